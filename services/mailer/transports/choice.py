"""The one place where the desk's word for a way out becomes a transport."""

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from services.mailer.states import Outcome
from services.mailer.transports.none import NoTransport
from services.mailer.transports.sendmail import SendmailTransport
from services.mailer.transports.smtp import SmtpServer, SmtpTransport
from shared.desk.model import Outbound
from shared.settings import Settings


class Transport(Protocol):
    """One connection, used by one worker; opened when needed."""

    async def deliver(self, sender: str, recipient: str, raw: bytes, dot_before: float, /) -> Outcome:
        """One try. `sender` empty is the null sender; `dot_before`: `boottime` after which the mail must not be
        handed over. Raises AccountFault, Expired."""

    async def close(self) -> None:
        """Never raises."""


def transport_for(outbound: Outbound, settings: Settings, helo: str) -> Callable[[], Transport]:
    """A maker of connections by this account, which call themselves `helo`."""
    match outbound.type:
        case "none":
            return NoTransport
        case "smtp" | "smtps" | "smtptls":
            server = smtp_server(outbound, settings.secrets, settings.ca_file, helo)
            return lambda: SmtpTransport(server)
        case "sendmail":
            return lambda: SendmailTransport(outbound.command)


def smtp_server(outbound: Outbound, secrets: Path | None, ca_file: Path | None, helo: str) -> SmtpServer:
    return SmtpServer(outbound, secrets or Path(), _context(outbound, ca_file), helo)


def _context(outbound: Outbound, ca_file: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    if not outbound.tls_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
