"""The mailboxes that are watched. Pure."""

from datetime import timedelta
from typing import Any, Literal

from pydantic import ConfigDict, Field

from shared.desk.oauth import OAuth2
from shared.desk.part import Part, Secret
from shared.desk.values import Interval, Line, Size, StartFrom

AccountType = Literal["imap", "imaps", "imaptls", "pop3", "pop3s", "pop3tls"]
After = Literal["seen", "move", "delete", "keep"]

_PORTS = {"imap": 143, "imaps": 993, "imaptls": 143, "pop3": 110, "pop3s": 995, "pop3tls": 110}


def _port(data: dict[str, Any]) -> int:
    return _PORTS[data["type"]]


def _after(data: dict[str, Any]) -> After:
    return "keep" if data["type"].startswith("pop3") else "seen"


class Account(Part):
    """A mailbox that is watched."""

    model_config = ConfigDict(
        json_schema_extra={
            "allOf": [
                {"oneOf": [{"required": ["dispatch"]}, {"required": ["queue"]}]},
                {"oneOf": [{"required": ["password"]}, {"required": ["oauth2"]}]},
            ]
        }
    )

    type: AccountType = Field(
        title="Type",
        description="Protocol; the ending s means TLS from the first byte, the ending tls STARTTLS.",
    )
    host: Line = Field(title="Host", description="Name of the mail server.")
    port: int = Field(
        ge=1, le=65535, default_factory=_port, description="Port of the mail server; by default that of the type."
    )
    user: Line = Field(title="Username", description="Name to log in with.")
    password: Secret | None = Field(None, title="Password", description="The secret that holds the password.")
    oauth2: OAuth2 | None = Field(
        None, title="Authentication type", description="Log-in with OAuth2; stands instead of `password`."
    )
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
