"""The desk: everything an administrator says about one helpdesk, as frozen values.

Pure: nothing here reads a file or a clock. `shared.desk.load` makes a `Desk` from YAML, `shared.desk.checks`
judges what fields say about each other; a `Desk` that a service holds has passed both. Its parts stand in files by
subject; this is the door to all of them.

`title` is the name of the setting in OTRS and Ligero, `description` what it means: the JSON Schema and
`docs/desk.md` are generated from them.
"""

from functools import cached_property
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo

from pydantic import Field

from shared.desk.accounts import Account, AccountType, After
from shared.desk.filters import ExternalNumber, Filter, Match, Refusal
from shared.desk.outgoing import (
    SHIPPED_ADDRESS,
    Agent,
    AutoResponse,
    AutoResponseType,
    Limits,
    Notifications,
    Outbound,
    OutboundType,
)
from shared.desk.part import Language, Part, Secret
from shared.desk.queues import FollowUp, FollowUpFrom, NumberGenerator, Queue, SystemAddress, Ticket
from shared.desk.rules import DEFAULT_RULES, NotificationEvent, Rule, Wording
from shared.desk.values import Address, Forwarder, Host, Line, TimeZone, is_address, normal_address

__all__ = [
    "IMPLICIT_QUEUE",
    "SHIPPED_ADDRESS",
    "THREAD_CHECKS",
    "Account",
    "AccountType",
    "After",
    "Agent",
    "AutoResponse",
    "AutoResponseType",
    "Desk",
    "ExternalNumber",
    "Filter",
    "FollowUp",
    "FollowUpFrom",
    "Language",
    "Limits",
    "Mailbox",
    "Match",
    "NotificationEvent",
    "Notifications",
    "NotifiedAgent",
    "NumberGenerator",
    "Outbound",
    "OutboundType",
    "Queue",
    "Refusal",
    "Rule",
    "Secret",
    "SystemAddress",
    "ThreadCheck",
    "Ticket",
    "Wording",
    "plain_address",
]

ThreadCheck = Literal[
    "bounce", "subject_number", "plus_address", "signed_message_id", "in_reply_to", "references", "body",
    "attachments", "raw_mail", "external_number",
]  # fmt: skip
THREAD_CHECKS: tuple[ThreadCheck, ...] = (
    "bounce", "subject_number", "plus_address", "signed_message_id", "in_reply_to", "references", "external_number",
)  # fmt: skip

IMPLICIT_QUEUE = "Raw"
"""OTRS's default queue; it exists even where the desk does not name it, so no mail is without a queue."""


def plain_address(address: str) -> str:
    """In lower case, without a plus and what stands behind it (RFC 5233): one mailbox takes both."""
    local, at, domain = address.lower().rpartition("@")
    return f"{local.partition('+')[0] or local}{at}{domain}"


class NotifiedAgent(NamedTuple):
    """A reader as the mailer needs one; `login` is the name in the desk (empty: no agent), `language` is settled."""

    login: str
    name: str
    email: str
    language: Language


class Mailbox(NamedTuple):
    """A real name with its address, for a From header."""

    name: str
    address: str


class Desk(Part):
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
        description="What says which ticket a mail belongs to, in the order in which it is asked; numbers in "
        "texts (`body`, `attachments`) and anywhere in the mail as it came (`raw_mail`) only where they are named.",
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
    notifications: Notifications = Field(Notifications(), description="Who tells agents of what.")
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

    @cached_property
    def named_settings(self) -> dict[str, str]:
        """Settings that a text may name, by placeholder (lower case); none of them is a secret."""
        named = {
            "Ticket::Hook": self.ticket.hook,
            "Ticket::HookDivider": self.ticket.hook_divider,
            "SystemID": self.ticket.system_id,
            "NotificationSenderName": self.notifications.sender_name,
            "NotificationSenderEmail": self.notifications.sender_email,
            "DefaultLanguage": self.language,
            "OTRSTimeZone": self.time_zone,
        }
        return {f"config_{name.lower()}": value for name, value in named.items()}

    @property
    def default_queue(self) -> str:
        return self.postmaster_default_queue

    def queue(self, name: str) -> Queue | None:
        """The queue of that name; `Raw` always exists; None means the desk does not know it."""
        return self.queues.get(name) or (Queue() if name == IMPLICIT_QUEUE else None)

    def language_of_queue(self, name: str) -> Language:
        """Of what its customers read."""
        own = self.queue(name)
        return (own.language if own else None) or self.language

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

    @cached_property
    def notification_rules(self) -> dict[str, Rule]:
        """Valid ones by name: the default set, changed by the desk's own."""
        rules = {**DEFAULT_RULES, **self.notifications.rules}
        return {name: rule for name, rule in rules.items() if rule.valid}

    def agent(self, login: str) -> NotifiedAgent | None:
        found = self.agents.get(login)
        return NotifiedAgent(login, found.name, found.email, found.language or self.language) if found else None

    def agents_of_queue(self, queue: str) -> tuple[NotifiedAgent, ...]:
        own = self.queue(queue)
        return tuple(filter(None, map(self.agent, dict.fromkeys(own.agents)))) if own else ()

    @cached_property
    def agents_by_address(self) -> dict[str, str]:
        """Address in lower case -> name in the desk, of the first agent who has it."""
        found: dict[str, str] = {}
        for login, agent in self.agents.items():
            found.setdefault(agent.email.lower(), login)
        return found

    def agent_of(self, address: str) -> tuple[str, Agent] | None:
        """The agent who has this address, and his name in the desk."""
        login = self.agents_by_address.get(address.lower())
        return (login, self.agents[login]) if login is not None else None

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
