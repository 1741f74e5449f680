"""Every shape that travels on a topic: the contract between the services.

Written strictly, read tolerantly: unknown fields are ignored, a missing field has a default that is right for
events written before it existed. A change whose neglect would be wrong needs a new topic version. One recorded
sample per topic and version stays readable for ever (`tests/contract/samples`). `docs/events.md` is generated
from this file: the docstring of a struct is its description there.

Ids are bigints in the database and strings here; times are RFC 3339, UTC.
"""

import hashlib
from datetime import datetime
from enum import StrEnum
from typing import ClassVar, NamedTuple

from msgspec import Struct

INLINE_LIMIT = 256 * 1024
"""Raw mail up to this size travels inside `mail.received.v1`; above it a reference does (bytes)."""

Headers = list[tuple[str, bytes]]


class UnknownFact(Exception):
    """A type that this version does not know: skipped and counted, never a dead letter."""


class Origin(StrEnum):
    LIVE = "live"
    BACKFILL = "backfill"


class Kind(StrEnum):
    """What a mail is."""

    HUMAN = "human"
    AUTOMATIC = "automatic"
    OUT_OF_OFFICE = "out_of_office"
    BOUNCE = "bounce"
    LIST = "list"
    LOOP = "loop"
    SPAM = "spam"


class Action(StrEnum):
    """What the dispatcher wants done. An unknown value makes the partition wait: the writer is newer."""

    DISPATCH = "dispatch"
    IGNORE = "ignore"
    QUARANTINE = "quarantine"
    OVERSIZE = "oversize"


class Check(StrEnum):
    """The thread checks, in the order in which their candidates are tried."""

    BOUNCE = "bounce"
    SUBJECT_NUMBER = "subject_number"
    PLUS_ADDRESS = "plus_address"
    SIGNED_MESSAGE_ID = "signed_message_id"
    IN_REPLY_TO = "in_reply_to"
    REFERENCES = "references"
    BODY = "body"
    ATTACHMENTS = "attachments"
    RAW_MAIL = "raw_mail"
    EXTERNAL_NUMBER = "external_number"


class ReceivedMail(NamedTuple):
    """A raw mail on `mail.received.v1`: plain headers beside the bytes as fetched.

    `uidvalidity` is None for POP3 and stdin, `uid` is the UID, the UIDL or the raw hash. `raw` is empty when
    `raw_ref` names an object; of an `oversize` mail it is the header block only. `size` in bytes.
    """

    account: str
    folder: str
    uidvalidity: int | None
    uid: str
    size: int
    sha256: str
    received_at: datetime
    origin: Origin
    raw: bytes
    raw_ref: str = ""
    oversize: bool = False
    replay_of: str = ""
    traceparent: bytes = b""

    @property
    def transport_key(self) -> str:
        """Identity of this delivery on its server, hex SHA-256: outlives retention and names nobody."""
        return transport_key(self.account, self.folder, self.uidvalidity, self.uid)


def transport_key(account: str, folder: str, uidvalidity: int | None, uid: str) -> str:
    parts = (account, folder, "" if uidvalidity is None else str(uidvalidity), uid)
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()


class Party(Struct, frozen=True):
    """A mailbox: display name (may be empty) and address."""

    name: str
    address: str


class AttachmentInfo(Struct, frozen=True):
    """An attachment's metadata; `size` in bytes of the decoded content. Never its bytes."""

    filename: str
    content_type: str
    size: int
    inline: bool = False
    content_id: str = ""


class TraceStep(Struct, frozen=True):
    """One line of the decision's trace: what was looked at, what was seen, what came of it."""

    check: str
    saw: str
    result: str


class BouncedRecipient(Struct, frozen=True):
    address: str
    status: str = ""
    permanent: bool = True


class Classification(Struct, frozen=True):
    """What a mail is, with the reasons (rule and header) that say so."""

    kind: Kind
    reasons: list[str] = []
    bounced: list[BouncedRecipient] = []

    @property
    def automatic(self) -> bool:
        return self.kind is not Kind.HUMAN


class Candidate(Struct, frozen=True):
    """Evidence of a thread: a ticket number, a ticket's key or a message id, and the check that found it.

    `value` is the ticket number (subject_number, plus_address, body, attachments,
    raw_mail), the ticket's key
    (signed_message_id), a message id with its angle brackets (bounce, in_reply_to, references), or for
    external_number a ticket number that a filter recognised, or `FIELD=NUMBER`: a dynamic field and what it holds.
    `proves_sender`: a signed id of ours, which admits the article whoever sent it.
    """

    check: Check
    value: str
    proves_sender: bool = False


class Answer(Struct, frozen=True):
    """Whom an automatic answer may go to: exactly one of `address` and `withheld` (the reason) is set. `verified`:
    the sender's domain vouched for him (DMARC or DKIM, by a server that the desk names), so an answer may repeat his
    subject, and a queue that takes authenticated senders alone takes him; said of a withheld answer too."""

    address: str = ""
    withheld: str = ""
    verified: bool = False


class NewTicketPlan(Struct, frozen=True):
    """What to do if the mail belongs to no ticket (OTRS names of the values). `refused_by`: the filter that refuses
    it then, with a notice to its sender. `pending_until`: of a pending state."""

    queue: str
    title: str
    state: str = "new"
    priority: str = "3 normal"
    lock: str = "unlock"
    customer_user: str = ""
    customer_no: str = ""
    type: str = ""
    service: str = ""
    sla: str = ""
    owner: str = ""
    responsible: str = ""
    pending_until: datetime | None = None
    dynamic_fields: dict[str, str] = {}
    sender_type: str = "customer"
    visible: bool = True
    refused_by: str = ""


class FollowUpPlan(Struct, frozen=True):
    """What to do if it is a reply. `state` empty keeps the ticket's state, `state_closed` is that of a ticket that was
    closed (empty: as `state`); `state_named`: a control header names it, so a new ticket takes it too. `reopen` says
    whether a closed ticket may be opened by this mail (automatic mail never does). Other fields change the ticket
    where they are not empty."""

    state: str = "open"
    reopen: bool = True
    state_closed: str = ""
    state_named: bool = False
    queue: str = ""
    title: str = ""
    priority: str = ""
    lock: str = ""
    type: str = ""
    service: str = ""
    sla: str = ""
    owner: str = ""
    responsible: str = ""
    pending_until: datetime | None = None
    dynamic_fields: dict[str, str] = {}
    sender_type: str = "customer"
    visible: bool = True


class MailDispatched(Struct, frozen=True, kw_only=True):
    """What a mail is, which queue takes it, the evidence of its thread, and a plan for both outcomes. `filters`: those
    of the desk that matched. `reply_text` is `text` without the history that it quotes, "" where they are the same."""

    TOPIC: ClassVar[str] = "mail.dispatched.v1"
    TYPE: ClassVar[str] = "mail-dispatched"

    transport_key: str
    content_key: str
    raw_sha256: str
    original: str
    size: int
    account: str
    folder: str
    uidvalidity: int | None
    uid: str
    received_at: datetime
    origin: Origin
    action: str
    reason: str = ""
    message_id: str
    in_reply_to: list[str] = []
    references: list[str] = []
    sender: Party
    sender_source: str = "from"
    from_all: list[Party] = []
    reply_to: list[Party] = []
    to: list[Party] = []
    cc: list[Party] = []
    date: str = ""
    subject: str = ""
    text: str = ""
    reply_text: str = ""
    html: str = ""
    attachments: list[AttachmentInfo] = []
    defects: list[str] = []
    classification: Classification
    answer: Answer
    candidates: list[Candidate] = []
    new: NewTicketPlan
    follow_up: FollowUpPlan
    filters: list[str] = []
    trace: list[TraceStep] = []
    desk: str = ""
    cut: list[str] = []
    replay_of: str = ""


class TicketEvent(Struct, frozen=True, kw_only=True):
    """What all facts about a ticket carry, as it is after the fact. `sequence` counts the ticket's events from 1. The
    CloudEvents id comes from the mail or the command that raised the fact: a repeat has the same, also after the
    database was restored. So has `ticket_key`, which comes from the ticket's first mail: it signs our Message-IDs and
    is the record's key; empty in facts from before there were keys. `owner`, `responsible` and `watchers` are agents'
    names in the desk. `references` are the incoming mail's, oldest first, and its own id last: what an answer
    continues. No bodies: they stay in the database."""

    TOPIC: ClassVar[str] = "ticket.events.v1"

    ticket_id: str
    ticket_key: str = ""
    number: str
    sequence: int
    queue: str
    title: str
    state: str
    priority: str = "3 normal"
    lock: str = "unlock"
    owner: str = ""
    responsible: str = ""
    watchers: list[str] = []
    tags: list[str] = []
    customer_user: str = ""
    occurred_at: datetime


class ArticleFact(TicketEvent, frozen=True, kw_only=True):
    """What the facts raised by an incoming mail share. Of a bounce: the recipients that it names (`bounced`) and the
    Message-ID of the mail it is about (`bounce_of`). `silent`: one of too many of its sender, nobody is told of it.
    `type` to `dynamic_fields` are the ticket's, empty in facts from before they were told; of dynamic fields the first
    50, each value cut at 500 characters. `visible`: for the customer."""

    article_id: str
    account: str
    origin: Origin
    kind: Kind
    sender: Party
    to: list[Party] = []
    cc: list[Party] = []
    subject: str = ""
    message_id: str = ""
    references: list[str] = []
    answer: Answer
    bounced: list[BouncedRecipient] = []
    bounce_of: str = ""
    silent: bool = False
    received_at: datetime
    type: str = ""
    service: str = ""
    sla: str = ""
    customer_no: str = ""
    pending_until: datetime | None = None
    dynamic_fields: dict[str, str] = {}
    visible: bool = True


class TicketCreated(ArticleFact, frozen=True, kw_only=True):
    """A mail became a new ticket. `follows`: id of the closed ticket that it continues (follow-up option
    `new_ticket`); `claims`: number of a ticket the sender named but may not write to."""

    TYPE: ClassVar[str] = "ticket-created"
    follows: str = ""
    claims: str = ""


class ArticleAdded(ArticleFact, frozen=True, kw_only=True):
    """A mail became an article of an existing ticket. `check` found the ticket; `reopened`: it was closed."""

    TYPE: ClassVar[str] = "article-added"
    check: str
    reopened: bool = False


class FollowUpRejected(ArticleFact, frozen=True, kw_only=True):
    """A follow-up on a closed ticket whose queue rejects them: the article is kept, the state is not changed."""

    TYPE: ClassVar[str] = "follow-up-rejected"
    check: str


class MailRefused(ArticleFact, frozen=True, kw_only=True):
    """A filter refused a mail that would have become a new ticket: there is neither ticket nor article (`ticket_id`
    and `article_id` are 0, `number` is empty), its sender gets the filter's notice. Key: content key."""

    TYPE: ClassVar[str] = "mail-refused"
    refused_by: str


class MailOversize(Struct, frozen=True, kw_only=True):
    """A mail over the account's `max_size` stayed on the server; only its header block was read. Key: transport key."""

    TOPIC: ClassVar[str] = "ticket.events.v1"
    TYPE: ClassVar[str] = "mail-oversize"

    transport_key: str
    account: str
    folder: str
    uid: str
    size: int
    sender: Party
    subject: str
    received_at: datetime


class Change(Struct, frozen=True):
    """A field of a ticket that is another one: as text, lists joined by commas, "" for none."""

    field: str
    before: str
    after: str


class CommandFact(TicketEvent, frozen=True, kw_only=True):
    """What the facts share that somebody's command raised. `agent`: his name in the desk; `why`: his own words."""

    agent: str
    why: str = ""


class TicketUpdated(CommandFact, frozen=True, kw_only=True):
    """An agent changed a ticket: state, priority, owner, responsible, lock, queue, title, pending_until, watchers,
    tags, links (`TYPE NUMBER`), or merged_from (the number of a ticket that was merged into it)."""

    TYPE: ClassVar[str] = "ticket-updated"
    changes: list[Change]


class NoteAdded(CommandFact, frozen=True, kw_only=True):
    """An agent wrote a note. `visible`: for the customer; he is not told."""

    TYPE: ClassVar[str] = "note-added"
    article_id: str
    subject: str = ""
    visible: bool = False


class AgentReplied(CommandFact, frozen=True, kw_only=True):
    """An agent answered the customer: the mail is to be sent. `sender`: the address of ours that it leaves from.
    `references` are those of the customer's last mail, oldest first, `in_reply_to` is its id. The text is the
    article's."""

    TYPE: ClassVar[str] = "agent-replied"
    article_id: str
    sender: Party
    to: list[Party]
    cc: list[Party] = []
    subject: str = ""
    in_reply_to: str = ""
    references: list[str] = []


class TicketMerged(CommandFact, frozen=True, kw_only=True):
    """A ticket became part of another one, which has its articles from now on: mail to it goes there."""

    TYPE: ClassVar[str] = "ticket-merged"
    into_id: str
    into_key: str
    into_number: str


class TicketSplit(CommandFact, frozen=True, kw_only=True):
    """An agent made this ticket of an article of another one. `article_id`: the copy that it begins with."""

    TYPE: ClassVar[str] = "ticket-split"
    article_id: str
    from_id: str
    from_key: str
    from_number: str


Fact = (
    TicketCreated
    | ArticleAdded
    | FollowUpRejected
    | MailRefused
    | TicketUpdated
    | NoteAdded
    | AgentReplied
    | TicketMerged
    | TicketSplit
    | MailOversize
)


class DeadLetter(NamedTuple):
    """A record as it came, with what was wrong. `partition` and `offset` are -1 for a mail that never reached
    Kafka (the fetcher's: `origin_id` is account and transport key). `reason`: a word, `exception` type and
    SQLSTATE or field, never a value."""

    origin_topic: str
    origin_partition: int
    origin_offset: int
    service: str
    reason: str
    exception: str
    key: bytes | None
    value: bytes | None
    headers: Headers
    origin_id: str = ""
