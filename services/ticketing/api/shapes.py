"""What the API answers: msgspec structs, from which the OpenAPI document is made. Ids are strings, times RFC 3339."""

from datetime import datetime
from typing import Annotated, Any, TypeVar

import msgspec

from shared.events import TraceStep

Shape = TypeVar("Shape", bound=msgspec.Struct)
Moment = Annotated[str, msgspec.Meta(max_length=40, extra_json_schema={"format": "date-time"})]
"""A time in a request: read by `problems.moment`, for a number is none."""


class Ticket(msgspec.Struct, kw_only=True):
    """`customer_user`: the address of who wrote first; `owner`, `responsible`: agents of the desk, or empty.
    `version` grows with each change; the ETag is made of it."""

    number: str
    ticket_id: str
    queue: str
    state: str
    state_type: str
    priority: str
    lock: str
    title: str
    owner: str
    responsible: str
    customer_user: str
    created_at: datetime
    changed_at: datetime
    closed_at: datetime | None
    version: int
    articles: int


class TicketPage(msgspec.Struct):
    """The newest first. `next`: what `after` is for the next page; null: there is none."""

    tickets: list[Ticket]
    next: str | None


class Participant(msgspec.Struct):
    address: str
    role: str


class Link(msgspec.Struct):
    """Another ticket; `direction` seen from this one."""

    number: str
    type: str
    direction: str
    state: str
    title: str


class TicketDetail(Ticket, kw_only=True):
    """One ticket. Links to tickets that the token does not reach are left out."""

    type: str
    service: str
    sla: str
    customer_no: str
    pending_until: datetime | None
    dynamic_fields: dict[str, str]
    watchers: list[str]
    tags: list[str]
    merged_into: str | None
    participants: list[Participant]
    links: list[Link]


class Attachment(msgspec.Struct):
    """`position` names it in the path of its bytes; `size` in bytes."""

    position: int
    filename: str
    content_type: str
    size: int
    inline: bool
    content_id: str


class Article(msgspec.Struct, kw_only=True):
    """`reply_text`: the text without the history that it quotes. `has_html`: the mail has HTML, which has an address
    of its own. `has_original`: its raw bytes are kept."""

    article_id: str
    ticket_number: str
    direction: str
    sender_type: str
    visible: bool
    kind: str
    from_name: str
    from_address: str
    subject: str
    message_id: str
    text: str
    reply_text: str
    has_html: bool
    has_original: bool
    account: str
    sha256: str
    received_at: datetime
    created_at: datetime
    attachments: list[Attachment]


class ArticlePage(msgspec.Struct):
    """In the order in which they were stored."""

    articles: list[Article]
    next: str | None


class HistoryEntry(msgspec.Struct):
    """`type`: one of OTRS's words; `agent` and `why` of what an agent did."""

    entry_id: str
    type: str
    text: str
    article_id: str | None
    agent: str
    why: str
    created_at: datetime


class HistoryPage(msgspec.Struct):
    history: list[HistoryEntry]
    next: str | None


class Decision(msgspec.Struct, kw_only=True):
    """Why a mail was handled as it was. `desk`: hash of the desk that decided."""

    action: str
    reason: str
    kind: str
    trace: list[TraceStep]
    desk: str
    account: str
    folder: str
    uid: str
    received_at: datetime


def shaped(row: dict[str, Any], shape: type[Shape]) -> Shape:
    """A row as it is answered; columns that the shape does not name stay inside."""
    return msgspec.convert(row, shape)
