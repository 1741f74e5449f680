"""Opening a connection to a mail server, and what it means when that fails. The same for every protocol."""

import asyncio
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from services.fetcher import faults


@dataclass(frozen=True)
class Trust:
    """How servers' certificates are verified: once for the process, building a context is dear."""

    verifying: ssl.SSLContext
    unverified: ssl.SSLContext

    @classmethod
    def load(cls, ca_file: Path | None) -> "Trust":
        """Raises OSError (SSLError included) when the file cannot be used."""
        unverified = ssl.create_default_context()
        unverified.check_hostname = False
        unverified.verify_mode = ssl.CERT_NONE  # only for accounts whose administrator wrote `tls_verify: false`
        return cls(ssl.create_default_context(cafile=str(ca_file) if ca_file else None), unverified)


async def dial(protocol: Callable[[], asyncio.Protocol], host: str, port: int, context: ssl.SSLContext | None) -> None:
    """Connects `protocol`; `context`: TLS from the first byte."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_connection(
        protocol, host, port, ssl=context, server_hostname=host if context else None
    )
    connection = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 20), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, option):  # macOS knows not all of them
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


def as_fault(error: BaseException, where: str, *, in_handshake: bool) -> faults.Fault | None:
    """The fault behind an exception of the connecting phase; None for what is no fault (a cancellation)."""
    if isinstance(error, faults.Fault):
        return error
    if isinstance(error, TimeoutError):
        return faults.TimedOut(f"{where}: not connected and logged in within the deadline")
    if isinstance(error, ssl.SSLCertVerificationError):
        return faults.TlsFailed(f"{where}: the certificate is not accepted: {error.verify_message}")
    if isinstance(error, ssl.SSLError):
        return faults.TlsFailed(f"{where}: TLS failed: {error.reason or 'handshake'}")
    if isinstance(error, OSError):
        kind = faults.TlsFailed if in_handshake else faults.ConnectFailed
        return kind(f"{where}: {error.strerror or type(error).__name__}")
    return None
