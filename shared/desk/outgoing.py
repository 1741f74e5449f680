"""What goes out: ways out for mail, automatic answers, notifications, and how much of it. Pure."""

from typing import Any, Literal

from pydantic import Field

from shared.desk.oauth import OAuth2
from shared.desk.part import Language, Part, Secret
from shared.desk.rules import Rule
from shared.desk.values import Address, Line, TextFile

OutboundType = Literal["smtp", "smtps", "smtptls", "sendmail", "none"]
AutoResponseType = Literal["auto_reply", "auto_reject", "auto_follow_up", "auto_reply_new_ticket", "auto_remove"]

SHIPPED_ADDRESS = "carteiro@localhost"
"""Stands where the administrator has not named an address yet; `desk check` warns of it."""

_PORTS = {"smtp": 25, "smtps": 465, "smtptls": 587, "sendmail": 0, "none": 0}


def _port(data: dict[str, Any]) -> int:
    return _PORTS[data["type"]]


class Outbound(Part):
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
    oauth2: OAuth2 | None = Field(
        None,
        title="SendmailModule::AuthenticationType",
        description="Log-in with OAuth2; stands instead of `password`.",
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


class AutoResponse(Part):
    """An automatic answer to customers; each queue has at most one of each type."""

    type: AutoResponseType = Field(title="Type", description="The occasion on which it is sent.")
    queues: tuple[Line, ...] = Field(
        min_length=1, title="Queues <-> Auto Responses", description="Queues that send it."
    )
    subject: Line | None = Field(
        None,
        title="Subject",
        description="Subject, before the ticket number is put to it; without it the shipped one of the type, in the "
        "queue's language.",
    )
    text: TextFile | None = Field(
        None,
        title="Response",
        description="Name of a file beside the desk that holds the text; without it the shipped one.",
    )
    html: TextFile | None = Field(
        None,
        title="Response (text/html)",
        description="Name of a file beside the desk that holds the same as HTML; both are sent.",
    )


class Limits(Part):
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
    tickets_per_sender: int = Field(
        50,
        ge=0,
        description="New tickets an hour of one sender; beyond them every mail is still a ticket, but nobody is "
        "answered or notified.",
    )


class Notifications(Part):
    """Notifications: their sender, and the rules that change the default set."""

    sender_name: Line = Field(
        "Carteiro", title="NotificationSenderName", description="Real name in From of agents' notifications."
    )
    sender_email: Address = Field(
        SHIPPED_ADDRESS, title="NotificationSenderEmail", description="Address in From of agents' notifications."
    )
    self_notify: bool = Field(
        False,
        title="AgentSelfNotifyOnAction",
        description="Whether an agent is told of a mail that he wrote himself; never of an automatic one.",
    )
    rules: dict[Line, Rule] = Field(
        {},
        title="Ticket Notifications",
        description="Rules by name, beside the default set; a rule named as one of it (`new_ticket`, "
        "`follow_up_unlocked`, `follow_up_locked`, `owner_update`, `responsible_update`, `note`, `queue_update`, "
        "`delivery_failure`) stands in its place.",
    )


class Agent(Part):
    """Somebody who works on tickets."""

    name: Line = Field(title="Firstname, Lastname", description="Real name.")
    email: Address = Field(title="Email", description="Address for notifications.")
    language: Language | None = Field(
        None, title="Language", description="Language of notifications; without it the desk's."
    )
