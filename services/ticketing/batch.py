"""The shapes of a batch: the mails, what was loaded for them, and what is to be written. Pure."""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from shared.events import Check, Fact, MailDispatched, Party
from shared.message_ids import LONG_KEY_CHARACTERS, key_of

_MOST_NAMED = 100
_NUMBERS = (Check.SUBJECT_NUMBER, Check.PLUS_ADDRESS, Check.BODY, Check.ATTACHMENTS, Check.RAW_MAIL)


class Mail(NamedTuple):
    """A decision of the dispatcher with its keys as bytes. `position`: its place in the batch's records;
    `named`: hashes of the Message-IDs it names, the newest last. `event_id`: of the fact it raises; `ticket_key`:
    of the ticket it may become. Both come from the mail, so a database that went back names them again as before."""

    position: int
    event: MailDispatched
    transport_key: bytes
    raw_sha256: bytes
    content_key: bytes
    message_id_hash: bytes | None
    named: tuple[bytes, ...]
    sender: str
    event_id: str
    ticket_key: str


def mail_of(position: int, event: MailDispatched) -> Mail:
    """Raises ValueError where a key is not hexadecimal."""
    named = dict.fromkeys([*event.references, *event.in_reply_to])
    transport_key, raw_sha256 = bytes.fromhex(event.transport_key), bytes.fromhex(event.raw_sha256)
    event_id = event_id_of(transport_key, raw_sha256)
    return Mail(
        position,
        event,
        transport_key,
        raw_sha256,
        bytes.fromhex(event.content_key),
        id_hash(event.message_id) if event.message_id else None,
        tuple(dict.fromkeys(id_hash(each) for each in list(named)[-_MOST_NAMED:])),
        event.sender.address.lower(),
        event_id,
        key_of("ticket", event_id),
    )


def event_id_of(transport_key: bytes, raw_sha256: bytes) -> str:
    """Of the fact that a mail raises."""
    return hashlib.sha256(transport_key + raw_sha256).hexdigest()[:32]


def longer_key(event_id: str) -> str:
    """The key of a ticket whose ordinary one another ticket has. `event_id`: of the fact that says it was made."""
    return key_of("ticket", event_id, characters=LONG_KEY_CHARACTERS)


def id_hash(message_id: str) -> bytes:
    """What a Message-ID is looked up by: Message-IDs are strangers' input, of any length, and personal data."""
    return hashlib.sha256(message_id.strip().strip("<>").encode("utf-8", "surrogateescape")).digest()[:16]


def sender_hash(address: str) -> bytes:
    """What a sender's mails are counted by: nothing of it names him once they are gone."""
    return hashlib.sha256(f"sender\0{address.lower()}".encode("utf-8", "surrogateescape")).digest()[:16]


class Sought(NamedTuple):
    """What a candidate is looked up by: exactly one is set. `field`: a dynamic field, and what it holds."""

    number: str = ""
    key: str = ""
    message: bytes = b""
    field: tuple[str, str] | None = None


def sought(check: Check, value: str) -> Sought:
    if check in _NUMBERS:
        return Sought(number=value)
    if check is Check.SIGNED_MESSAGE_ID:
        return Sought(key=value)
    if check is Check.EXTERNAL_NUMBER:
        name, equals, number = value.partition("=")
        return Sought(field=(name, number)) if equals else Sought(number=value)
    return Sought(message=id_hash(value))


class Claim(NamedTuple):
    """A row of the inbox: what became of a mail. `claims_content`: it became a ticket or an article."""

    transport_key: bytes
    raw_sha256: bytes
    content_key: bytes
    message_id_hash: bytes | None
    claims_content: bool
    account: str
    queue: str
    outcome: str
    ticket_id: int | None
    article_id: int | None


@dataclass(slots=True)
class Ticket:
    """A ticket as the fold, or a command, sees and changes it; `sequence` is that of its last event, `key` names it in
    our Message-IDs (empty: made before there were keys). `watchers`: agents' names in the desk."""

    id: int
    number: str
    queue: str
    state: str
    state_type: str
    lock: str
    title: str
    sequence: int
    priority: str
    customer_user: str
    closed_at: datetime | None = None
    key: str = ""
    owner: str = ""
    responsible: str = ""
    type: str = ""
    service: str = ""
    sla: str = ""
    customer_no: str = ""
    pending_until: datetime | None = None
    dynamic_fields: dict[str, str] = field(default_factory=dict)
    merged_into: int | None = None
    watchers: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)


class Kept(NamedTuple):
    """The names that an event gave which was published and is not in this database any more: its mail takes them
    when it comes again. `created`: the mail became the ticket, else an article of it. `sender` in lower case.
    `message`: hash of the mail's Message-ID, empty without one."""

    event_id: str
    created: bool
    ticket_key: str
    number: str
    ticket_id: int
    article_id: int
    queue: str
    title: str
    sender: str
    message: bytes


class LastMail(NamedTuple):
    """The customer's last mail on a ticket: what an agent's answer continues. `recipients`: addresses."""

    message_id: str
    references: list[str]
    recipients: list[str]
    sender: Party
    subject: str


@dataclass
class Snapshot:
    """What the database knows that concerns a batch, read under the batch's lock.

    `carriers` and `namers`: hash of a Message-ID -> the tickets whose articles carry, or name it, at most
    ten; `hidden`: those of the carriers' tickets whose customer cannot see the article. `ticket_ids`,
    `article_ids`: reserved ids, one each for every mail. `counter`: the day's last ticket number. `kept`: what was
    published of these mails and of the tickets that they name; `articles`: those of their articles' ids that exist.
    `absent`: agents who are out of office. `flood`: sender's hash -> tickets of this hour. Where agents write:
    `notified`, ticket -> (address, Message-ID), both in lower case, of notifications that were sent about it, and
    `last`, ticket -> its customer's last mail.
    """

    claims: list[Claim] = field(default_factory=list)
    tickets: list[Ticket] = field(default_factory=list)
    carriers: dict[bytes, frozenset[int]] = field(default_factory=dict)
    namers: dict[bytes, frozenset[int]] = field(default_factory=dict)
    hidden: dict[bytes, frozenset[int]] = field(default_factory=dict)
    participants: dict[int, frozenset[str]] = field(default_factory=dict)
    ticket_ids: list[int] = field(default_factory=list)
    article_ids: list[int] = field(default_factory=list)
    counter: int = 0
    kept: list[Kept] = field(default_factory=list)
    articles: frozenset[int] = frozenset()
    absent: frozenset[str] = frozenset()
    flood: dict[bytes, int] = field(default_factory=dict)
    notified: dict[int, frozenset[tuple[str, str]]] = field(default_factory=dict)
    last: dict[int, LastMail] = field(default_factory=dict)


class Article(NamedTuple):
    id: int
    ticket_id: int
    mail: Mail
    sender_type: str = "customer"
    visible: bool = True
    direction: str = "incoming"


class Participant(NamedTuple):
    ticket_id: int
    address: str
    role: str


class History(NamedTuple):
    """A line of a ticket's history; `type` is one of OTRS's words. `agent`: who did it, and `why`, in his words."""

    ticket_id: int
    article_id: int | None
    type: str
    text: str
    agent: str = ""
    why: str = ""


class Link(NamedTuple):
    source_id: int
    target_id: int
    type: str = "Normal"


class OutgoingFact(NamedTuple):
    """`key` of the record on Kafka: the ticket's, of an oversize mail its transport key, of a refused one its content
    key. A mail raises one fact, so `event_id` comes from the mail, or from the command and the ticket: a database
    restored from an older copy settles it again under the same id, and whoever has claimed the event does nothing
    twice. An id counted by the database would then be given to another mail's fact, whose answer would never be
    sent."""

    event_id: str
    key: str
    fact: Fact


class Outcome(NamedTuple):
    """What became of a mail: the word of the metric."""

    mail: Mail
    word: str


@dataclass
class Settlement:
    """Rows to write, in the order of the fold. `changed`: tickets that existed before, by id. `decided`: mails
    whose decision is kept. `recalled`: events whose kept names have served. `flood`: as in the snapshot, afterwards."""

    created: list[Ticket] = field(default_factory=list)
    changed: dict[int, Ticket] = field(default_factory=dict)
    articles: list[Article] = field(default_factory=list)
    participants: list[Participant] = field(default_factory=list)
    history: list[History] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    decided: list[Mail] = field(default_factory=list)
    quarantined: list[Mail] = field(default_factory=list)
    facts: list[OutgoingFact] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    recalled: list[str] = field(default_factory=list)
    counter: int = 0
    flood: dict[bytes, int] = field(default_factory=dict)
