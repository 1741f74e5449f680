"""One IMAP connection that cannot hang, grow without bound or be reused after a fault.

aioimaplib's protocol class, hardened: own reading loop over a buffer, one command at a time, every command
under a deadline, literals checked against a budget before a byte is kept, lost connections noticed at once,
nothing formatted for a log. After any fault the transport is aborted and every further call raises it.
Nothing else in Carteiro imports aioimaplib.
"""

import asyncio
import logging
import re
import ssl
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aioimaplib.aioimaplib import CONNECTED, LOGOUT, Command, Commands, IMAP4ClientProtocol

from services.fetcher import faults
from services.fetcher.imap.syntax import Untagged
from shared.redaction import Redaction

# at DEBUG the library formats every chunk, log-in lines included
logging.getLogger("aioimaplib").setLevel(logging.WARNING)

_LITERAL = re.compile(rb"\{(\d+)\}\Z")
_FETCH = re.compile(rb"\* \d+ FETCH ", re.IGNORECASE)
_EXISTS = re.compile(rb"\* \d+ (?:EXISTS|EXPUNGE)\Z", re.IGNORECASE)
_LITERAL_DIGITS = 10


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds and bytes a connection may take."""

    command: float = 30.0  # a whole command, plus
    bytes_per_second: float = 65_536.0  # the time its expected bytes take at this pace
    silence: float = 30.0  # no byte at all within a command
    line: int = 1024 * 1024
    text: int = 8 * 1024 * 1024  # all untagged lines of one command


@dataclass(slots=True)
class Exchange:
    """The command under way and what has come back for it."""

    tag: bytes
    name: str
    literal_bytes: int  # what is left of the command's budget
    text_bytes: int
    replies: deque[bytes]  # answers to the server's `+`, in order
    secrets: Redaction
    untagged: list[Untagged] = field(default_factory=list)
    challenges: list[bytes] = field(default_factory=list)  # what stood behind each `+` that was answered
    continued: bool = False
    status: str = ""  # OK, NO or BAD once the tagged line is there
    text: bytes = b""

    def require_ok(self, doing: str) -> "Exchange":
        if self.status != "OK":
            raise faults.of_refusal(self.text, faults.Refused, doing, self.secrets)
        return self


class Wire(IMAP4ClientProtocol):
    """The connection's protocol object; see `services.fetcher.imap.client` for the commands."""

    def __init__(self, limits: Limits, secrets: Redaction | None = None) -> None:
        super().__init__(asyncio.get_running_loop())
        self.limits = limits
        self.secrets = secrets or Redaction()
        self.greeting = b""
        self.news = False  # EXISTS came since this was last set to False
        self._turn = asyncio.Lock()
        self._changed = asyncio.Event()
        self._exchange: Exchange | None = None
        self._fault: faults.Fault | None = None
        self._heard = self.loop.time()
        self.deaf = False  # between the OK to STARTTLS and the handshake every byte is an attack
        self._line = bytearray()  # an unfinished line
        self._parts: list[bytes] = []  # finished lines of a response that literals cut
        self._literals: list[bytes] = []
        self._literal: list[bytes] = []  # its pieces: joined once, never grown or copied between
        self._missing = 0  # bytes of the literal still to come

    # --- life and death

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._heard = self.loop.time()

    def connection_lost(self, exc: Exception | None) -> None:
        reason = type(exc).__name__ if exc else "closed by the server"
        kind = faults.TlsFailed if isinstance(exc, ssl.SSLError) else faults.ConnectFailed
        self.fail(kind(f"connection lost: {reason}"))

    def fail(self, fault: faults.Fault) -> None:
        """Ends the connection; the first fault is the one everybody is told."""
        if self._fault is None:
            self._fault = fault
        self.state = LOGOUT
        if self.transport is not None:
            self.transport.abort()
        self._changed.set()

    async def until(self, ready: Callable[[], object], seconds: float, silence: float | None = None) -> bool:
        """Waits for `ready`; False after `seconds`, or after `silence` seconds without a byte.

        Raises the fault of a connection that dies meanwhile, or that is dead.
        """
        ends = self.loop.time() + seconds
        while not ready():
            if self._fault is not None:
                raise self._fault
            limit = ends if silence is None else min(ends, self._heard + silence)
            if self.loop.time() >= limit:
                return False
            self._changed.clear()
            try:
                async with asyncio.timeout_at(limit):
                    await self._changed.wait()
            except TimeoutError:
                continue
        return True

    # --- commands

    @asynccontextmanager
    async def _talk(self, command: Command, literal_bytes: int, replies: Sequence[bytes]) -> AsyncIterator[Exchange]:
        """Holds the connection for one command, and ends it if the command does not end well."""
        async with self._turn:
            if self._fault is not None:
                raise self._fault
            if self.state not in Commands[command.name].valid_states:
                raise faults.ProtocolFault(f"{command.name} in state {self.state}")
            exchange = Exchange(
                command.tag.encode(), command.name, literal_bytes, self.limits.text, deque(replies), self.secrets
            )
            self._exchange = exchange
            self._heard = self.loop.time()
            self.send(str(command))
            try:
                yield exchange
            except BaseException as error:
                # also when cancelled: the answer still to come would be taken for the next command's
                cancelled = faults.ConnectFailed(f"{command.name} was cancelled")
                self.fail(error if isinstance(error, faults.Fault) else cancelled)
                raise
            finally:
                self._exchange = None

    async def _finish(self, exchange: Exchange, expected: int) -> None:
        seconds = self.limits.command + expected / self.limits.bytes_per_second
        if not await self.until(lambda: exchange.status, seconds, self.limits.silence):
            raise faults.TimedOut(f"{exchange.name}: no answer within its deadline")

    async def execute(
        self,
        command: Command,
        scrub: str | None = None,  # noqa: ARG002  # the library's parameter; nothing is logged here
        *,
        expected: int = 0,
        literal_bytes: int = 0,
        replies: Sequence[bytes] = (),
    ) -> Exchange:
        """Sends one command and awaits its tagged answer, whatever the status.

        `expected` bytes stretch the deadline, `literal_bytes` bound what literals may bring, `replies`
        answer the server's continuation requests.
        """
        async with self._talk(command, literal_bytes, replies) as exchange:
            await self._finish(exchange, expected)
            return exchange

    async def idle(self, seconds: float = 540.0) -> Exchange:
        """IDLE (RFC 2177) until EXISTS, EXPUNGE or `seconds`; returns after DONE was answered, or with the answer
        of a server that ends it by itself."""
        async with self._talk(Command("IDLE", self.new_tag(), loop=self.loop), 0, ()) as exchange:
            started = await self.until(
                lambda: exchange.continued or exchange.status, self.limits.command, self.limits.silence
            )
            if not started:
                raise faults.TimedOut("IDLE: not begun within its deadline")
            await self.until(lambda: self.news or exchange.status, seconds)
            if not exchange.status:
                self._heard = self.loop.time()
                self.send("DONE")
            await self._finish(exchange, 0)
            return exchange

    async def start_tls(self, context: ssl.SSLContext, host: str) -> None:
        """STARTTLS (RFC 3501 §6.2.1), handshake included; nothing said before it is believed after it."""
        exchange = await self.execute(Command("STARTTLS", self.new_tag(), loop=self.loop))
        if exchange.status != "OK":
            raise faults.of_refusal(exchange.text, faults.TlsFailed, "STARTTLS refused", self.secrets)
        if self._fault is not None:
            raise self._fault
        secured = await self.loop.start_tls(
            self.transport, self, context, server_hostname=host, ssl_handshake_timeout=self.limits.command
        )
        if secured is None:
            raise faults.TlsFailed("connection lost in the TLS handshake")
        self.transport = secured
        self.capabilities = set()
        self.deaf = False

    def send(self, line: str, scrub: str | None = None) -> None:  # noqa: ARG002  # nothing is logged here
        self.transport.write(line.encode() + b"\r\n")

    # --- reading

    def data_received(self, d: bytes) -> None:
        self._heard = self.loop.time()
        if self._fault is not None:
            return
        try:
            self._read(d)
        except faults.Fault as fault:
            self.fail(fault)
        except Exception as error:  # noqa: BLE001  # a fault in here must end the command, not be lost in the loop
            self.fail(faults.ProtocolFault(f"unreadable response: {type(error).__name__}"))

    def _read(self, data: bytes) -> None:
        position = 0
        while position < len(data):
            if self.deaf:
                raise faults.TlsFailed("bytes came between the OK to STARTTLS and the handshake")
            if self._missing:
                piece = data[position : position + self._missing]
                self._literal.append(piece)
                self._missing -= len(piece)
                position += len(piece)
                if not self._missing:
                    self._end_literal()
                continue
            end = data.find(b"\n", position) + 1
            self._line += data[position : end or len(data)]
            position = end or len(data)
            if len(self._line) > self.limits.line:
                raise faults.ProtocolFault("a response line of more than 1 MiB")
            if end:
                line = bytes(self._line).rstrip(b"\r\n")
                self._line.clear()
                self._on_line(line)

    def _on_line(self, line: bytes) -> None:
        self._parts.append(line)
        if (match := _LITERAL.search(line)) and _FETCH.match(self._parts[0]):
            self._begin_literal(match[1])
            return
        response = Untagged(b"".join(self._parts), tuple(self._literals))
        self._parts, self._literals = [], []
        self._on_response(response)

    def _begin_literal(self, digits: bytes) -> None:
        budget = self._exchange.literal_bytes if self._exchange is not None else 0
        if len(digits) > _LITERAL_DIGITS or int(digits) > budget:
            shown = digits[:_LITERAL_DIGITS].decode()
            raise faults.TooLarge(f"a literal of {shown} bytes where at most {budget} were expected")
        assert self._exchange is not None or int(digits) == 0
        if self._exchange is not None:
            self._exchange.literal_bytes -= int(digits)
        self._missing = int(digits)
        if not self._missing:
            self._end_literal()

    def _end_literal(self) -> None:
        self._literals.append(b"".join(self._literal))
        self._literal = []

    def _on_response(self, response: Untagged) -> None:
        text = response.text
        exchange = self._exchange
        if not text:
            return
        if self.state == CONNECTED and not self.greeting:
            self.greeting = text
            self._changed.set()
        elif text.startswith(b"* "):
            self._on_untagged(response, exchange)
        elif text.startswith(b"+"):
            self._on_continuation(text, exchange)
        elif exchange is not None and text.startswith(exchange.tag + b" "):
            status, _, exchange.text = text[len(exchange.tag) + 1 :].partition(b" ")
            exchange.status = status.decode("ascii", "replace").upper()
            self.deaf = exchange.name == "STARTTLS" and exchange.status == "OK"
            self._changed.set()
        else:
            raise faults.ProtocolFault("a response line that belongs to no command")

    def _on_untagged(self, response: Untagged, exchange: Exchange | None) -> None:
        text = response.text
        if text[:6].upper() == b"* BYE " and (exchange is None or exchange.name != "LOGOUT"):
            raise faults.of_refusal(text[6:], faults.ConnectFailed, "connection ended", self.secrets)
        if _EXISTS.match(text) and (exchange is None or exchange.name == "IDLE" or text[-6:].upper() == b"EXISTS"):
            self.news = True
            self._changed.set()
        if exchange is None:
            return
        exchange.text_bytes -= len(text)
        if exchange.text_bytes < 0:
            raise faults.ProtocolFault(f"{exchange.name}: more than 8 MiB of untagged lines")
        exchange.untagged.append(response)

    def _on_continuation(self, text: bytes, exchange: Exchange | None) -> None:
        if exchange is not None and exchange.name == "IDLE":
            exchange.continued = True
            self._changed.set()
        elif exchange is not None and exchange.replies:
            exchange.challenges.append(text[1:].strip())
            self.transport.write(exchange.replies.popleft() + b"\r\n")
        else:
            raise faults.ProtocolFault("a continuation request nobody asked for")
