"""Tickets, queues and the addresses that lead to them, as an administrator says them. Pure."""

from typing import Literal

from pydantic import Field

from shared.desk.part import Language, Part
from shared.desk.values import Address, Fragment, Line, Period, SystemId, TextFile

FollowUp = Literal["possible", "reject", "new_ticket"]
FollowUpFrom = Literal["anyone", "participants", "authenticated"]
NumberGenerator = Literal["auto_increment", "date", "date_checksum"]


class Ticket(Part):
    """Ticket numbers and how they stand in a subject."""

    hook: Line = Field("Ticket#", title="Ticket::Hook", description="Word before a ticket number in a subject.")
    hook_divider: Fragment = Field(
        "", title="Ticket::HookDivider", description="Characters between the hook and the number."
    )
    subject_format: Literal["left", "right", "none"] = Field(
        "left",
        title="Ticket::SubjectFormat",
        description="Side of the subject on which the ticket number stands.",
    )
    subject_size: int = Field(
        100,
        ge=1,
        le=998,
        title="Ticket::SubjectSize",
        description="Characters of a subject that an answer keeps.",
    )
    subject_re: Fragment = Field(
        "Re",
        title="Ticket::SubjectRe",
        description="Word before the subject of a reply; empty: neither added nor cleaned.",
    )
    subject_fwd: Fragment = Field(
        "Fwd", title="Ticket::SubjectFwd", description="Word before the subject of a forwarded article."
    )
    subject_clean_all_numbers: bool = Field(
        False,
        title="Ticket::SubjectCleanAllNumbers",
        description="Whether every ticket number is taken out of a subject, not only that of its ticket.",
    )
    number_generator: NumberGenerator = Field(
        "date_checksum",
        title="Ticket::NumberGenerator",
        description="How ticket numbers are made: system_id and a counter; the date before them, the counter of the "
        "day; the same and a check digit.",
    )
    min_counter_size: int = Field(
        5, ge=1, le=20, title="MinCounterSize", description="Digits of the counter at least (`auto_increment`)."
    )
    system_id: SystemId = Field(
        "10",
        title="SystemID",
        description="Digits that tell this system's ticket numbers from those of others.",
    )
    plus_address: bool = Field(
        False,
        description="Whether mails to customers ask for replies to the queue's address with the ticket's number behind "
        "a plus (support+NUMBER@company.example): only where the mail server takes such addresses.",
    )
    check_system_id: bool = Field(
        True,
        title="CheckSystemID",
        description="Whether a number with another system's digits is no ticket number here.",
    )


class Queue(Part):
    """A queue: what happens to replies, and who is told."""

    follow_up: FollowUp = Field(
        "possible", title="Follow up Option", description="What a mail to a closed ticket does."
    )
    follow_up_from: FollowUpFrom = Field(
        "participants",
        description="Who may add to a ticket by mail: whoever knows its number, those who take part in it, "
        "or only senders whose address is proven.",
    )
    follow_up_lock: bool = Field(
        False,
        title="Ticket lock after a follow up",
        description="Whether a closed ticket is locked to its owner when a mail reopens it.",
    )
    reopen_within: Period | None = Field(
        None,
        description="How long after it was closed a mail opens a ticket again; later it makes a new one, linked to it. "
        "Without it always (`follow_up: possible`).",
    )
    keep_closed: Period | None = Field(
        None,
        description="How long a ticket is kept after it was closed: `carteiro retention apply` empties it then. "
        "Without it for ever.",
    )
    system_address: Address | None = Field(
        None,
        title="System address",
        description="Sender of the queue's mails; without it the first system address that leads here.",
    )
    language: Language | None = Field(
        None, title="Language", description="Language of the queue's customers; without it the desk's."
    )
    salutation: TextFile | None = Field(
        None,
        title="Salutation",
        description="Name of a file beside the desk: stands before the text of the queue's automatic answers.",
    )
    signature: TextFile | None = Field(
        None, title="Signature", description="Name of a file beside the desk: stands behind it."
    )
    agents: tuple[Line, ...] = Field((), description="Names of the agents who are told of mails in this queue.")


class SystemAddress(Part):
    """An address of ours: mail to it goes to a queue, answers of the queue come from it."""

    name: Line = Field(title="Display name", description="Real name beside the address in From.")
    queue: Line = Field(title="Queue", description="Queue of the mails to this address.")
    outbound: Line | None = Field(
        None, description="Outbound account of the mails from this address; without it the default one."
    )
