"""Notification rules: which event about which tickets is told to whom. Pure.

The lineage's default set is here, as far as facts say that its events happened; a desk changes it by name.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from pydantic import Field

from shared.desk.part import Language, Part
from shared.desk.values import Address, Line, TextFile

NotificationEvent = Literal[
    "new_ticket", "follow_up", "owner_update", "responsible_update", "note", "queue_update", "delivery_failure"
]
BY_MAIL = frozenset({"new_ticket", "follow_up"})
"""Events that a mail causes; the others have no customer who could be told."""
Audience = Literal["owner", "responsible", "watchers", "queue_agents", "customer"]
TicketLock = Literal["unlock", "lock", "tmp_lock"]


class Wording(Part):
    """A notification's own text in one language."""

    subject: Line = Field(title="Subject", description="Subject, before the ticket number is put to it.")
    text: TextFile = Field(title="Text", description="Name of a file beside the desk that holds the text.")


class Rule(Part):
    """A notification: its events, the tickets it is about, and whom it tells. Empty filters take every ticket."""

    events: tuple[NotificationEvent, ...] = Field(
        (),
        title="Events",
        description="NotificationNewTicket, NotificationFollowUp, NotificationOwnerUpdate, "
        "NotificationResponsibleUpdate, NotificationAddNote, NotificationMove, ArticleEmailSendingError.",
    )
    queues: tuple[Line, ...] = Field((), title="QueueID", description="Only tickets in these queues.")
    states: tuple[Line, ...] = Field((), title="StateID", description="Only tickets in these states.")
    priorities: tuple[Line, ...] = Field((), title="PriorityID", description="Only tickets of these priorities.")
    locks: tuple[TicketLock, ...] = Field(
        (), title="LockID", description="Only tickets that are locked so; a lock without an owner counts as none."
    )
    recipients: tuple[Audience, ...] = Field(
        (),
        title="Recipients",
        description="AgentOwner, AgentResponsible, AgentWatcher, AgentMyQueues (the queue's `agents`), Customer.",
    )
    addresses: tuple[Address, ...] = Field(
        (), title="RecipientEmail", description="Addresses that are told beside them."
    )
    language: Language | None = Field(
        None, title="LanguageID", description="Language for customers and `addresses`; without it the desk's."
    )
    texts: dict[Language, Wording] = Field(
        {},
        description="Own texts by language; where the reader's is missing, the desk's, then en, then any. Without any "
        "the shipped ones, which are for agents.",
    )
    once_per_day: bool = Field(
        False, title="OncePerDay", description="Whether nobody is told twice a day of one ticket by this rule."
    )
    out_of_office: bool = Field(
        True,
        title="SendOnOutOfOffice",
        description="Whether agents are told who are out of office (`carteiro agent out`).",
    )
    valid: bool = Field(True, title="Validity", description="Off: the rule does nothing.")


DEFAULT_RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "new_ticket": Rule(events=("new_ticket",), recipients=("queue_agents",)),
        "follow_up_unlocked": Rule(
            events=("follow_up",), locks=("unlock",), recipients=("owner", "watchers", "queue_agents")
        ),
        "follow_up_locked": Rule(
            events=("follow_up",), locks=("lock", "tmp_lock"), recipients=("owner", "responsible", "watchers")
        ),
        "owner_update": Rule(events=("owner_update",), recipients=("owner",)),
        "responsible_update": Rule(events=("responsible_update",), recipients=("responsible",)),
        "note": Rule(events=("note",), recipients=("owner", "responsible", "watchers")),
        "queue_update": Rule(events=("queue_update",), recipients=("queue_agents",)),
        # the lineage tells the group of administrators besides, who are nobody here
        "delivery_failure": Rule(
            events=("delivery_failure",), recipients=("responsible", "owner", "queue_agents"), out_of_office=False
        ),
    }
)
