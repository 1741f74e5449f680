"""The one place where the desk's word for a way out becomes a transport."""

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from services.mailer.states import Outcome
from services.mailer.transports.faults import AccountFault
from services.mailer.transports.none import NoTransport
from services.mailer.transports.smtp import SmtpServer, SmtpTransport
from shared.desk.model import Outbound
from shared.settings import Settings


class Transport(Protocol):
    """One connection, used by one worker; opened when needed."""

    async def deliver(self, sender: str, recipient: str, raw: bytes, /) -> Outcome:
        """One try. `sender` empty is the null sender. Raises AccountFault."""

    async def close(self) -> None:
        """Never raises."""


class _Unavailable:
    """A type this version cannot serve: its mail waits."""

    async def deliver(self, _sender: str, _recipient: str, _raw: bytes) -> Outcome:
        raise AccountFault("transport_unavailable")

    async def close(self) -> None:
        """Nothing is open."""


def transport_for(outbound: Outbound, settings: Settings) -> Callable[[], Transport]:
    """A maker of connections by this account."""
    match outbound.type:
        case "none":
            return NoTransport
        case "smtp" | "smtps" | "smtptls":
            server = SmtpServer(outbound, settings.secrets, _context(outbound, settings.ca_file))
            return lambda: SmtpTransport(server)
        case "sendmail":
            return _Unavailable


def _context(outbound: Outbound, ca_file: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    if not outbound.tls_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
