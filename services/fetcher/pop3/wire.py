"""One POP3 connection (RFC 1939) that cannot hang, grow without bound or be reused after a fault.

One command at a time, every one under a deadline; what an answer may bring is bounded before it is kept. After any
fault the transport is aborted and every further call raises it.
"""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from services.fetcher import faults
from shared.redaction import Redaction

_LINE_AT_MOST = 64 * 1024
_COMMAND_AT_MOST = 253  # RFC 2449 section 4, without its line end
LIST_AT_MOST = 16 * 1024 * 1024  # UIDL of some 200,000 mails


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds a command may take."""

    command: float = 30.0  # a whole command, plus
    bytes_per_second: float = 65_536.0  # the time its expected bytes take at this pace
    silence: float = 30.0  # no byte at all within a command


class Wire(asyncio.Protocol):
    """The connection's protocol object; see `client` for the commands."""

    def __init__(self, limits: Limits, secrets: Redaction) -> None:
        self.limits = limits
        self.secrets = secrets
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._room = _LINE_AT_MOST  # bytes the buffer may hold
        self._changed = asyncio.Event()
        self._turn = asyncio.Lock()
        self._fault: faults.Fault | None = None
        self._heard = self._loop.time()
        self.deaf = False  # between the +OK to STLS and the handshake every byte is an attack

    # --- life and death

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        reason = type(exc).__name__ if exc else "closed by the server"
        kind = faults.TlsFailed if isinstance(exc, ssl.SSLError) else faults.ConnectFailed
        self.fail(kind(f"connection lost: {reason}"))

    def fail(self, fault: faults.Fault) -> None:
        """Ends the connection; the first fault is the one everybody is told."""
        if self._fault is None:
            self._fault = fault
        if self._transport is not None:
            self._transport.abort()
        self._changed.set()

    def peer_certificate(self) -> Mapping[str, Any] | None:
        secured: ssl.SSLObject | None = self._transport.get_extra_info("ssl_object") if self._transport else None
        return (secured.getpeercert() or {}) if secured else None

    def data_received(self, data: bytes) -> None:
        self._heard = self._loop.time()
        if self._fault is not None:
            return
        if self.deaf:
            self.fail(faults.TlsFailed("bytes came between the +OK to STLS and the handshake"))
            return
        self._buffer += data
        if len(self._buffer) > self._room:
            self.fail(faults.TooLarge(f"more than {self._room} bytes where fewer were expected"))
        self._changed.set()

    # --- commands

    async def greeting(self) -> bytes:
        """What the server says first, behind +OK."""
        async with self._turn:
            return self._judged(await self._line(self._deadline(0)), "refused at once", faults.ConnectFailed)

    async def ask(self, command: str, doing: str, *, otherwise: type[faults.Fault] = faults.Refused) -> bytes:
        """One command with an answer of one line; returns what stands behind +OK, raises what -ERR means."""
        async with self._turn:
            return await self._exchange(command, doing, otherwise)

    async def read(self, command: str, doing: str, *, expected: int, at_most: int) -> bytes:
        """One command with an answer of many lines: their bytes, dots undone, without the final line."""
        async with self._turn:
            deadline = self._deadline(expected)
            await self._exchange(command, doing, faults.Refused, deadline, room=at_most)
            return await self._lines(deadline, at_most)

    async def authenticate(self, mechanism: str, initial: bytes, end: bytes) -> bytes:
        """AUTH (RFC 5034) with an initial response, behind the server's `+` where the line would be too long (there
        section 4); a challenge to it is the reason of a refusal, answered with `end`. Raises what -ERR means."""
        async with self._turn:
            deadline = self._deadline(0)
            challenge = b""
            command = f"AUTH {mechanism} {initial.decode()}"
            if len(command) > _COMMAND_AT_MOST:
                self._send(f"AUTH {mechanism}")
                line = await self._line(deadline)
                if not _continues(line):
                    return self._judged(line, "log-in refused", faults.AuthFailed)
                command = initial.decode()
            self._send(command)
            line = await self._line(deadline)
            if _continues(line):
                challenge = line[2:]
                self._send(end.decode())
                line = await self._line(deadline)
            said = line + b" " + faults.decoded(challenge) if challenge else line
            return self._judged(said, "log-in refused", faults.AuthFailed)

    async def start_tls(self, context: ssl.SSLContext, host: str) -> None:
        """STLS (RFC 2595), handshake included; nothing said before it is believed after it."""
        async with self._turn:
            await self._exchange("STLS", "STLS refused", faults.TlsFailed)
            self.deaf = True
            if self._buffer:
                self.fail(faults.TlsFailed("bytes came between the +OK to STLS and the handshake"))
            if self._fault is not None:
                raise self._fault
            assert self._transport is not None
            secured = await self._loop.start_tls(
                self._transport, self, context, server_hostname=host, ssl_handshake_timeout=self.limits.command
            )
            if secured is None:
                raise faults.TlsFailed("connection lost in the TLS handshake")
            self._transport = secured
            self.deaf = False

    # --- within a turn

    async def _exchange(
        self,
        command: str,
        doing: str,
        otherwise: type[faults.Fault],
        deadline: float | None = None,
        *,
        room: int = _LINE_AT_MOST,
    ) -> bytes:
        self._room = room + _LINE_AT_MOST
        self._send(command)
        return self._judged(await self._line(deadline or self._deadline(0)), doing, otherwise)

    def _send(self, command: str) -> None:
        if self._fault is not None:
            raise self._fault
        if any(character in command for character in "\r\n\0"):
            raise faults.ProtocolFault("NUL, CR or LF in an argument")
        assert self._transport is not None
        self._heard = self._loop.time()
        self._transport.write(command.encode() + b"\r\n")

    def _judged(self, line: bytes, doing: str, otherwise: type[faults.Fault]) -> bytes:
        if line[:3].upper() == b"+OK":
            return line[3:].strip()
        if line[:4].upper() == b"-ERR":
            raise faults.of_refusal(line[4:].strip(), otherwise, doing, self.secrets)
        fault = faults.ProtocolFault(f"{doing}: the server does not answer as a POP3 server")
        self.fail(fault)
        raise fault

    def _deadline(self, expected: int) -> float:
        return self._loop.time() + self.limits.command + expected / self.limits.bytes_per_second

    async def _line(self, deadline: float) -> bytes:
        while (end := self._buffer.find(b"\n")) < 0:
            await self._more(deadline)
        line = bytes(self._buffer[:end]).rstrip(b"\r")
        del self._buffer[: end + 1]
        return line

    async def _lines(self, deadline: float, at_most: int) -> bytes:
        """Up to the line that is a dot (RFC 1939 §3)."""
        searched = 0
        while True:
            if self._buffer.startswith(b".\r\n"):
                del self._buffer[:3]
                return b""
            if (end := self._buffer.find(b"\r\n.\r\n", searched)) >= 0:
                break
            searched = max(0, len(self._buffer) - 4)
            await self._more(deadline)
        if end + 2 > at_most:
            fault = faults.TooLarge(f"{end + 2} bytes where at most {at_most} were expected")
            self.fail(fault)
            raise fault
        found = bytes(memoryview(self._buffer)[: end + 2])
        del self._buffer[: end + 5]
        found = found.replace(b"\r\n..", b"\r\n.")
        return found[1:] if found.startswith(b"..") else found

    async def _more(self, deadline: float) -> None:
        """Until more bytes have come. Whoever is cancelled here leaves an answer behind: the connection is over."""
        self._changed.clear()
        if self._fault is not None:
            raise self._fault
        try:
            async with asyncio.timeout_at(min(deadline, self._heard + self.limits.silence)):
                await self._changed.wait()
        except TimeoutError:
            self.fail(faults.TimedOut("no answer within its deadline"))
        except asyncio.CancelledError:
            self.fail(faults.ConnectFailed("a command was cancelled"))
            raise


def _continues(line: bytes) -> bool:
    return line.startswith(b"+ ") or line == b"+"
