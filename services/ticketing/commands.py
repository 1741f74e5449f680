"""What agents tell us to do with tickets, and how it ends: the shapes. Pure; what a command does is in `deciding`."""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from services.ticketing.batch import History, LastMail, Link, OutgoingFact, Ticket
from services.ticketing.replies import Addressed

LINKS = ("Normal", "ParentChild")
"""Types of links between tickets."""


class Order(NamedTuple):
    """Who gives a command, and why. `id` names it: given twice, it is done once. `version`: that of the ticket as he
    saw it; None: whatever it is."""

    agent: str
    id: str
    why: str = ""
    version: int | None = None

    def event_id(self, cause: str) -> str:
        """Of one of the facts that the command raises: no mail did."""
        return hashlib.sha256(f"command\0{self.id}\0{cause}".encode()).hexdigest()[:32]

    @property
    def split_id(self) -> str:
        """Of the fact that a ticket was made."""
        return self.event_id("split")


class Set(NamedTuple):
    """Fields that become others; None: stays. `owner` and `responsible` are names in the desk, "" for nobody."""

    state: str | None = None
    pending_until: datetime | None = None
    priority: str | None = None
    owner: str | None = None
    responsible: str | None = None
    lock: str | None = None
    queue: str | None = None
    title: str | None = None


class AddNote(NamedTuple):
    """`visible`: for the customer, who is not told of it."""

    text: str
    subject: str = ""
    visible: bool = False


class Reply(NamedTuple):
    """Answers the customer: `to` is he where nobody is named; addresses. It leaves by mail."""

    text: str
    subject: str = ""
    to: tuple[str, ...] = ()
    cc: tuple[str, ...] = ()


class Merge(NamedTuple):
    """The ticket becomes part of the one of number `into`."""

    into: str


class Split(NamedTuple):
    """An article becomes a ticket of its own, and stays where it is. None: as the ticket, as the article."""

    article_id: int
    queue: str | None = None
    title: str | None = None


class SetLink(NamedTuple):
    """`gone`: the tickets are linked no more. Of a ParentChild the ticket of the command is the parent."""

    to: str
    type: str = "Normal"
    gone: bool = False


class Watch(NamedTuple):
    """The agent is told of what happens to the ticket; `gone`: no more."""

    agent: str
    gone: bool = False


class Tag(NamedTuple):
    add: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()


Command = Set | AddNote | Reply | Merge | Split | SetLink | Watch | Tag


class Refusal(StrEnum):
    NO_TICKET = "no_ticket"
    CHANGED = "changed"  # since the version that the order names
    MERGED = "merged"
    UNKNOWN = "unknown"  # a name that the desk does not have, or an article that the ticket does not have
    INVALID = "invalid"


class Refused(Exception):
    """The command was not carried out, and nothing is written. `detail` is a sentence; `version`: the ticket's."""

    def __init__(self, reason: Refusal, detail: str, version: int = 0) -> None:
        super().__init__(detail)
        self.reason, self.detail, self.version = reason, detail, version


class Quoted(NamedTuple):
    """The article that a split begins with."""

    id: int
    subject: str
    from_address: str
    sender_type: str


class Given(NamedTuple):
    """What the command finds. `other`: the ticket that it names besides; `linked`: the two are linked so already.
    `last`: the customer's last mail. `key`, `number` and ids are for what it makes."""

    ticket: Ticket
    other: Ticket | None = None
    linked: bool = False
    article: Quoted | None = None
    last: LastMail | None = None
    article_id: int = 0
    ticket_id: int = 0
    number: str = ""
    key: str = ""


class Note(NamedTuple):
    """An article that an agent wrote. `reply`: its head, of one that goes to the customer."""

    id: int
    ticket_id: int
    subject: str
    text: str
    visible: bool
    reply: Addressed | None = None


@dataclass
class Decided:
    """What to write. `copied`: article -> the id of its copy on the created ticket."""

    changed: list[Ticket] = field(default_factory=list)
    created: Ticket | None = None
    note: Note | None = None
    merged: tuple[int, int] | None = None
    copied: tuple[int, int] | None = None
    linked: list[Link] = field(default_factory=list)
    unlinked: list[Link] = field(default_factory=list)
    history: list[History] = field(default_factory=list)
    facts: list[OutgoingFact] = field(default_factory=list)
