"""Filters of incoming mail, and the numbers of other systems. Pure."""

from typing import Literal

from pydantic import Field

from shared.desk.part import Part
from shared.desk.values import HeaderName, Line, Pattern


class Refusal(Part):
    """The notice to the sender of a mail that is refused."""

    subject: Line = Field(title="Subject", description="Subject of the notice.")
    text: Line = Field(title="Body", description="Text of the notice.")


class Match(Part):
    """A row of a filter: a header and what it has to hold. A header that is not there never matches, negated or not."""

    header: HeaderName = Field(title="Key", description="Name of a header; `Body` is the text of the mail.")
    pattern: Pattern = Field(
        title="Value",
        description="Regular expression (RE2), found anywhere, in any case of letters; `EMAILADDRESS:` before it "
        "compares each address of the header as a whole.",
    )
    negate: bool = Field(False, title="Not", description="Whether the row holds where the pattern is not found.")


class Filter(Part):
    """What is set for a mail where every row of `match` holds. `[***]` in a value becomes what the last row captured,
    `[**\\name**]` a named capture."""

    match: tuple[Match, ...] = Field(min_length=1, title="Match", description="Rows; all of them have to hold.")
    set: dict[HeaderName, str] = Field(
        {}, title="Set", description="Headers and their values, usually control headers such as `X-OTRS-Queue`."
    )
    stop: bool = Field(
        False, title="StopAfterMatch", description="Whether later filters are left out where this one matched."
    )
    accounts: tuple[Line, ...] = Field((), description="Accounts whose mail it looks at; without any all of them.")
    direction: Literal["any", "new", "follow_up"] = Field(
        "any",
        description="Whether it looks only at mail that names no ticket and no other mail (`new`), or only at mail "
        "that does (`follow_up`).",
    )
    refuse: Refusal | None = Field(
        None,
        title="PostMaster::PreFilterModule###3-NewTicketReject",
        description="Refuses a mail that would become a new ticket, with a notice to its sender.",
    )


class ExternalNumber(Part):
    """How the number of another system is found, and the dynamic field that keeps it."""

    senders: Pattern | None = Field(
        None, title="FromAddressRegExp", description="Addresses of From whose mail carries such numbers; default: all."
    )
    number: Pattern = Field(title="NumberRegExp", description="The number; its first group, or all that is found.")
    subject: bool = Field(True, title="SearchInSubject", description="Whether the subject is searched.")
    body: bool = Field(False, title="SearchInBody", description="Whether the text is searched.")
    dynamic_field: Line = Field(
        title="DynamicFieldName", description="Field of the ticket that holds the number; a new ticket gets it."
    )
