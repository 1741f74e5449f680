"""The desk: everything an administrator says about one helpdesk, as frozen values.

Pure: nothing here reads a file or a clock. `shared.desk.load` makes a `Desk` from YAML, `shared.desk.checks`
judges what fields say about each other; a `Desk` that a service holds has passed both.

`title` is the name of the setting in OTRS and Ligero, `description` what it means: the JSON Schema and
`docs/desk.md` are generated from them.
"""

from datetime import timedelta
from functools import cached_property
from typing import Any, Literal, NamedTuple
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field

from shared.desk.values import (
    Address,
    Forwarder,
    Fragment,
    HeaderName,
    Host,
    Interval,
    Line,
    Pattern,
    SecretName,
    Size,
    StartFrom,
    SystemId,
    TextFile,
    TimeZone,
    is_address,
    normal_address,
)

Language = Literal["en", "es", "pt-BR"]
AccountType = Literal["imap", "imaps", "imaptls", "pop3", "pop3s", "pop3tls"]
OutboundType = Literal["smtp", "smtps", "smtptls", "sendmail", "none"]
After = Literal["seen", "move", "delete", "keep"]
FollowUp = Literal["possible", "reject", "new_ticket"]
FollowUpFrom = Literal["anyone", "participants", "authenticated"]
NumberGenerator = Literal["auto_increment", "date", "date_checksum"]
ThreadCheck = Literal[
    "bounce", "subject_number", "plus_address", "signed_message_id", "in_reply_to", "references", "body",
    "attachments", "external_number",
]  # fmt: skip
THREAD_CHECKS: tuple[ThreadCheck, ...] = (
    "bounce", "subject_number", "plus_address", "signed_message_id", "in_reply_to", "references", "external_number",
)  # fmt: skip
AutoResponseType = Literal["auto_reply", "auto_reject", "auto_follow_up", "auto_reply_new_ticket", "auto_remove"]

SHIPPED_ADDRESS = "carteiro@localhost"
"""Stands where the administrator has not named an address yet; `desk check` warns of it."""
IMPLICIT_QUEUE = "Raw"
"""OTRS's default queue; it exists even where the desk does not name it, so no mail is without a queue."""

_PORTS: dict[str, int] = {
    "imap": 143, "imaps": 993, "imaptls": 143, "pop3": 110, "pop3s": 995, "pop3tls": 110,
    "smtp": 25, "smtps": 465, "smtptls": 587, "sendmail": 0, "none": 0,
}  # fmt: skip


def _port(data: dict[str, Any]) -> int:
    return _PORTS[data["type"]]


def _after(data: dict[str, Any]) -> After:
    return "keep" if data["type"].startswith("pop3") else "seen"


def plain_address(address: str) -> str:
    """In lower case, without a plus and what stands behind it (RFC 5233): one mailbox takes both."""
    local, at, domain = address.lower().rpartition("@")
    return f"{local.partition('+')[0] or local}{at}{domain}"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Secret(_Part):
    """Where a password is found; the desk never contains one."""

    secret: SecretName = Field(description="Name of a file in the folder CARTEIRO_SECRETS.")


class Ticket(_Part):
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
    check_system_id: bool = Field(
        True,
        title="CheckSystemID",
        description="Whether a number with another system's digits is no ticket number here.",
    )


class Queue(_Part):
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
    system_address: Address | None = Field(
        None,
        title="System address",
        description="Sender of the queue's mails; without it the first system address that leads here.",
    )
    agents: tuple[Line, ...] = Field((), description="Names of the agents who are told of mails in this queue.")


class SystemAddress(_Part):
    """An address of ours: mail to it goes to a queue, answers of the queue come from it."""

    name: Line = Field(title="Display name", description="Real name beside the address in From.")
    queue: Line = Field(title="Queue", description="Queue of the mails to this address.")
    outbound: Line | None = Field(
        None, description="Outbound account of the mails from this address; without it the default one."
    )


class Account(_Part):
    """A mailbox that is watched."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": ["dispatch"]}, {"required": ["queue"]}]})

    type: AccountType = Field(
        title="Type",
        description="Protocol; the ending s means TLS from the first byte, the ending tls STARTTLS.",
    )
    host: Line = Field(title="Host", description="Name of the mail server.")
    port: int = Field(
        ge=1, le=65535, default_factory=_port, description="Port of the mail server; by default that of the type."
    )
    user: Line = Field(title="Username", description="Name to log in with.")
    password: Secret = Field(title="Password", description="The secret that holds the password.")
    tls_verify: bool = Field(True, description="Whether the server's certificate is verified.")
    folder: Line = Field("INBOX", title="IMAP Folder", description="Folder that is watched (IMAP only).")
    folders: tuple[Line, ...] = Field(
        (),
        description="Several folders instead of one; new mail in the first is told at once, in the others "
        "it is found every `interval` and whenever the first has some (IMAP only).",
    )
    dispatch: Literal["by_to"] | None = Field(
        None,
        title="Dispatching",
        description="`by_to`: the recipient of a mail decides its queue; stands instead of `queue`.",
    )
    queue: Line | None = Field(
        None, title="Queue", description="Queue of every mail of this account; stands instead of `dispatch`."
    )
    trusted: bool = Field(
        False, title="Trusted", description="Whether filters and control headers apply to this account's mail."
    )
    trust_headers: bool | None = Field(
        None, description="Whether control headers (`X-OTRS-…`) of its mail are obeyed; by default as `trusted`."
    )
    apply_filters: bool | None = Field(
        None, description="Whether filters are applied to its mail; by default as `trusted`."
    )
    interval: Interval = Field(
        timedelta(minutes=10),
        json_schema_extra={"default": "10m"},
        title="Daemon::SchedulerCronTaskManager::Task###MailAccountFetch",
        description="Time between two looks into the mailbox; beside IDLE a safety net.",
    )
    idle: bool = Field(True, description="Whether the server is asked to tell of new mail at once (IMAP IDLE).")
    start_from: StartFrom = Field(
        "now",
        description="Oldest mail that is fetched: what comes from the first start on, all, or from a date on.",
    )
    after: After = Field(
        default_factory=_after,
        description="What is done with a mail on the server once it is safe here; by default `seen`, with POP3 `keep`.",
    )
    move_to: Line | None = Field(None, description="Folder for fetched mails (`after: move` only).")
    max_size: Size = Field(
        32 * 1024**2,
        json_schema_extra={"default": "32MiB"},
        title="PostMasterMaxEmailSize",
        description="Largest mail that is fetched; a larger one stays on the server and is reported once.",
    )

    @property
    def obeys_headers(self) -> bool:
        return self.trusted if self.trust_headers is None else self.trust_headers

    @property
    def filters_mail(self) -> bool:
        return self.trusted if self.apply_filters is None else self.apply_filters

    @property
    def is_imap(self) -> bool:
        return self.type.startswith("imap")

    @property
    def watched(self) -> tuple[str, ...]:
        """Every folder, the one that tells of new mail first."""
        return self.folders or (self.folder,)


class Outbound(_Part):
    """A way out for mail."""

    type: OutboundType = Field(
        title="SendmailModule",
        description="Transport; `none` composes and records but delivers to nobody.",
    )
    host: Line | None = Field(
        None, title="SendmailModule::Host", description="Name of the SMTP server (SMTP types only)."
    )
    port: int = Field(
        ge=0,
        le=65535,
        default_factory=_port,
        title="SendmailModule::Port",
        description="Port of the SMTP server; by default that of the type.",
    )
    user: Line | None = Field(None, title="SendmailModule::AuthUser", description="Name to log in with.")
    password: Secret | None = Field(
        None, title="SendmailModule::AuthPassword", description="The secret that holds the password."
    )
    tls_verify: bool = Field(True, description="Whether the server's certificate is verified.")
    command: Line = Field(
        "/usr/sbin/sendmail",
        title="SendmailModule::CMD",
        description="Program with its options (type sendmail only); `-i -f SENDER -- RECIPIENT` follow.",
    )
    helo: Line | None = Field(
        None,
        title="FQDN",
        description="Name in EHLO (SMTP types only); by default the host's full name, or else the domain of the "
        "address that mail leaves from.",
    )
    connections: int = Field(
        4,
        ge=1,
        le=64,
        description="Connections, or programs, at once; fewer by itself while the server says that they are too many.",
    )
    per_minute: int | None = Field(
        None, ge=1, description="Mails a minute that the server allows; without it no limit."
    )
    null_sender: bool = Field(
        True,
        title="SendmailNotificationEnvelopeFrom::FallbackToEmailFrom",
        description="Whether automatic mail has the empty envelope sender (MAIL FROM:<>), so that no bounce of it "
        "comes back; off for a server that refuses it: then the From address is used.",
    )
    default: bool = Field(False, description="Whether mails leave here when their address names no account.")


class AutoResponse(_Part):
    """An automatic answer to customers; each queue has at most one of each type."""

    type: AutoResponseType = Field(title="Type", description="The occasion on which it is sent.")
    queues: tuple[Line, ...] = Field(
        min_length=1, title="Queues <-> Auto Responses", description="Queues that send it."
    )
    subject: Line = Field(title="Subject", description="Subject, before the ticket number is put to it.")
    text: TextFile = Field(title="Response", description="Name of a file beside the desk that holds the text.")
    html: TextFile | None = Field(
        None,
        title="Response (text/html)",
        description="Name of a file beside the desk that holds the same as HTML; both are sent.",
    )


class Refusal(_Part):
    """The notice to the sender of a mail that is refused."""

    subject: Line = Field(title="Subject", description="Subject of the notice.")
    text: Line = Field(title="Body", description="Text of the notice.")


class Match(_Part):
    """A row of a filter: a header and what it has to hold. A header that is not there never matches, negated or not."""

    header: HeaderName = Field(title="Key", description="Name of a header; `Body` is the text of the mail.")
    pattern: Pattern = Field(
        title="Value",
        description="Regular expression (RE2), found anywhere, in any case of letters; `EMAILADDRESS:` before it "
        "compares each address of the header as a whole.",
    )
    negate: bool = Field(False, title="Not", description="Whether the row holds where the pattern is not found.")


class Filter(_Part):
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


class ExternalNumber(_Part):
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


class Limits(_Part):
    """How much mail goes out by itself; 0 means no limit. Beyond a limit nothing is sent, and an alert says so."""

    answers_per_domain: int = Field(
        100,
        ge=0,
        description="Automatic answers an hour to senders of one domain for whom nobody vouched (their address may be "
        "a victim's).",
    )
    answers_in_all: int = Field(1000, ge=0, description="The same for all domains together.")
    answers_per_ticket: int = Field(10, ge=0, description="Automatic answers an hour about one ticket.")
    notifications_per_ticket: int = Field(20, ge=0, description="Notifications an hour about one ticket to one agent.")
    notifications_per_agent: int = Field(500, ge=0, description="Notifications an hour to one agent.")


class Notifications(_Part):
    """Sender of the notifications to agents."""

    sender_name: Line = Field(
        "Carteiro", title="NotificationSenderName", description="Real name in From of agents' notifications."
    )
    sender_email: Address = Field(
        SHIPPED_ADDRESS, title="NotificationSenderEmail", description="Address in From of agents' notifications."
    )


class Agent(_Part):
    """Somebody who works on tickets."""

    name: Line = Field(title="Firstname, Lastname", description="Real name.")
    email: Address = Field(title="Email", description="Address for notifications.")
    language: Language | None = Field(
        None, title="Language", description="Language of notifications; without it the desk's."
    )


class NotifiedAgent(NamedTuple):
    """An agent as the mailer needs one; `login` is the name in the desk, `language` is settled."""

    login: str
    name: str
    email: str
    language: Language


class Mailbox(NamedTuple):
    """A real name with its address, for a From header."""

    name: str
    address: str


class Desk(_Part):
    """One helpdesk."""

    language: Language = Field(
        "en", title="DefaultLanguage", description="Language of texts where the reader has none of his own."
    )
    time_zone: TimeZone = Field(
        "UTC", title="OTRSTimeZone", description="Time zone of ticket numbers and of dates in texts."
    )
    postmaster_default_queue: Line = Field(
        IMPLICIT_QUEUE,
        title="PostmasterDefaultQueue",
        description="Queue of mails to no address of ours; `Raw` need not be listed under `queues`.",
    )
    postmaster_default_state: Line = Field("new", title="PostmasterDefaultState", description="State of a new ticket.")
    postmaster_default_priority: Line = Field(
        "3 normal", title="PostmasterDefaultPriority", description="Priority of a new ticket."
    )
    postmaster_follow_up_state: Line = Field(
        "open", title="PostmasterFollowUpState", description="State of a ticket after a follow-up."
    )
    postmaster_follow_up_state_closed: Line | None = Field(
        None,
        title="PostmasterFollowUpStateClosed",
        description="State after a follow-up that reopens a closed ticket; by default as `postmaster_follow_up_state`.",
    )
    thread_checks: tuple[ThreadCheck, ...] = Field(
        THREAD_CHECKS,
        title="PostMaster::CheckFollowUpModule",
        description="What says which ticket a mail belongs to, in the order in which it is asked; `body` and "
        "`attachments` (numbers in texts) only where they are named.",
    )
    postmaster_max_emails: int = Field(
        40,
        ge=1,
        title="PostmasterMaxEmails",
        description="Automatic answers to one address on one day.",
    )
    postmaster_max_emails_per_address: dict[Address, int] = Field(
        {},
        title="PostmasterMaxEmailsPerAddress",
        description="The same for single addresses; 0 means no limit.",
    )
    ticket: Ticket = Field(Ticket(), description="Ticket numbers and subjects.")
    queues: dict[Line, Queue] = Field({}, title="Queues", description="Queues by name.")
    system_addresses: dict[Address, SystemAddress] = Field(
        {}, title="System Email Addresses", description="Own addresses."
    )
    accounts: dict[Line, Account] = Field(
        {}, title="PostMaster Mail Accounts", description="Watched mailboxes by name."
    )
    outbound: dict[Line, Outbound] = Field({}, title="Core::Sendmail", description="Ways out by name.")
    auto_responses: dict[Line, AutoResponse] = Field(
        {}, title="Auto Responses", description="Automatic answers by name; without any nobody is answered."
    )
    limits: Limits = Field(Limits(), description="How much mail goes out by itself.")
    notifications: Notifications = Field(Notifications(), description="Sender of agents' notifications.")
    agents: dict[Line, Agent] = Field({}, title="Agents", description="Agents by name.")
    authserv_ids: tuple[Host, ...] = Field(
        (),
        description="Names by which our own mail servers sign Authentication-Results (RFC 8601): only the topmost "
        "such field of one of them is believed. Without any, no sender is authenticated.",
    )
    forwarders: tuple[Forwarder, ...] = Field(
        (),
        description="Domains and addresses that relay mail to us under a Return-Path of their own: who writes through "
        "them is answered.",
    )
    filters: dict[Line, Filter] = Field(
        {},
        title="PostMaster Filters",
        description="Filters by name; they run in the order of their names, on mail of accounts that apply them.",
    )
    external_numbers: dict[Line, ExternalNumber] = Field(
        {},
        title="PostMaster::PreFilterModule###000-ExternalTicketNumberRecognition",
        description="Numbers of other systems by which a mail finds its ticket.",
    )

    @cached_property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)

    @property
    def default_queue(self) -> str:
        return self.postmaster_default_queue

    def queue(self, name: str) -> Queue | None:
        """The queue of that name; `Raw` always exists; None means the desk does not know it."""
        return self.queues.get(name) or (Queue() if name == IMPLICIT_QUEUE else None)

    def queue_for_recipient(self, address: str) -> str | None:
        """Name of the queue that a system address leads to; None for an address that is not ours."""
        found = self.system_addresses.get(address) or self.system_addresses.get(plain_address(address))
        return found.queue if found else None

    def sender_of_queue(self, queue: str) -> Mailbox | None:
        """From of the queue's mails to customers; None: the queue has no address and answers nobody."""
        own = self.queue(queue)
        address = own.system_address if own else None
        if address is None:
            address = next((key for key, value in self.system_addresses.items() if value.queue == queue), None)
        found = self.system_addresses.get(address) if address else None
        return Mailbox(found.name, address) if found and address else None

    def auto_response(self, queue: str, kind: AutoResponseType) -> tuple[str, AutoResponse] | None:
        """Name and definition of the queue's answer of that type."""
        for name, response in self.auto_responses.items():
            if response.type == kind and queue in response.queues:
                return name, response
        return None

    def agents_of_queue(self, queue: str) -> tuple[NotifiedAgent, ...]:
        own = self.queue(queue)
        logins = dict.fromkeys(own.agents) if own else {}
        known = [(login, self.agents[login]) for login in logins if login in self.agents]
        return tuple(NotifiedAgent(k, a.name, a.email, a.language or self.language) for k, a in known)

    def outbound_for(self, sender: str) -> tuple[str, Outbound]:
        """Name and account by which mail from this address leaves; ("none", type none) where none is named."""
        address = self.system_addresses.get(sender.lower())
        if address and address.outbound in self.outbound:
            return address.outbound, self.outbound[address.outbound]
        named = ((name, account) for name, account in self.outbound.items() if account.default)
        return next(named, ("none", Outbound(type="none")))

    @cached_property
    def own_addresses(self) -> frozenset[str]:
        """Lower-case addresses that are ours: mail from them is answered by nobody."""
        users = [account.user for account in self.accounts.values()]
        users += [account.user for account in self.outbound.values() if account.user]
        found = (normal_address(user) for user in users if is_address(user))
        return frozenset((*self.system_addresses, self.notifications.sender_email, *found))

    def owns(self, address: str) -> bool:
        """Is it an address of ours, also with something behind a plus?"""
        return address.lower() in self.own_addresses or plain_address(address) in self.own_addresses

    @cached_property
    def own_domains(self) -> frozenset[str]:
        """Domains in which our addresses are."""
        users = [account.user for account in self.accounts.values() if is_address(account.user)]
        return frozenset(normal_address(each).rpartition("@")[2] for each in (*self.system_addresses, *users))

    def max_answers(self, address: str) -> int | None:
        """Automatic answers that address gets on one day; None: no limit."""
        own = self.postmaster_max_emails_per_address.get(address.lower())
        return self.postmaster_max_emails if own is None else own or None
