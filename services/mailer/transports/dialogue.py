"""Commands and replies on a connection that aiosmtplib has opened, secured and logged in.

aiosmtplib sends one command and waits for its reply. Where the server offers PIPELINING (RFC 2920), MAIL, RCPT and
DATA of a mail leave in one write here: a third of the CPU, and one round trip instead of three. Its transport gets
this protocol instead of the library's, by asyncio's own `set_protocol`.
"""

import asyncio
import re
from collections import deque
from typing import NamedTuple

_MAX_REPLY = 32 * 1024
_CODE = re.compile("[2-5][0-9][0-9]", re.ASCII)
_BARE = re.compile(rb"\r(?!\n)|(?<!\r)\n")


class Reply(NamedTuple):
    """`text`: the lines without their codes, joined by blanks."""

    code: int
    text: str

    @property
    def positive(self) -> bool:
        return 200 <= self.code < 300


class Ended(Exception):
    """The connection ended, or what came is no reply: nothing can be said on it any more."""


class Dialogue(asyncio.Protocol):
    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._buffer = bytearray()
        self._lines: list[str] = []
        self._replies: deque[Reply] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._room = asyncio.Event()
        self._room.set()
        self._over = False
        transport.set_protocol(self)

    async def reply(self) -> Reply:
        """The next one, however long it takes. Raises Ended."""
        while not self._replies:
            if self._over or self._transport.is_closing():
                raise Ended
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        return self._replies.popleft()

    async def command(self, line: bytes) -> Reply:
        self.write(line)
        return await self.reply()

    def write(self, data: bytes) -> None:
        """Raises Ended."""
        if self._over or self._transport.is_closing():
            raise Ended
        self._transport.write(data)

    async def drain(self) -> None:
        """Returns when the system has taken most of what was written. Raises Ended."""
        await self._room.wait()
        if self._over:
            raise Ended

    @property
    def quiet(self) -> bool:
        """Whether it can begin something new: open, and nothing unread."""
        return not (self._over or self._replies or self._buffer or self._transport.is_closing())

    def abort(self) -> None:
        self._transport.abort()

    # --- asyncio's side -----------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        try:
            self._parse()
        except ValueError:
            self._over = True
        if len(self._buffer) > _MAX_REPLY or len(self._lines) > _MAX_REPLY // 16:
            self._over = True
        if self._over:
            self._transport.abort()
        self._tell()

    def _parse(self) -> None:
        while (end := self._buffer.find(b"\n")) >= 0:
            line = self._buffer[:end].decode("utf-8", "replace").rstrip()
            del self._buffer[: end + 1]
            mark = line[3:4]
            if not _CODE.fullmatch(line[:3]) or mark not in ("", " ", "-"):
                raise ValueError
            self._lines.append(line[4:].strip())
            if mark != "-":
                self._replies.append(Reply(int(line[:3]), " ".join(self._lines)))
                self._lines = []

    def eof_received(self) -> bool:
        self._over = True
        self._tell()
        return False  # the transport closes itself

    def connection_lost(self, _exc: Exception | None) -> None:
        self._over = True
        self._tell()
        self._room.set()

    def pause_writing(self) -> None:
        self._room.clear()

    def resume_writing(self) -> None:
        self._room.set()

    def _tell(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def stuffed(raw: bytes) -> bytes:
    """A mail as DATA carries it, without the final dot (RFC 5321 section 4.5.2): CRLF throughout, because a bare line
    end may be read as the end of the mail elsewhere; leading dots doubled."""
    if raw.count(b"\n") != (lines := raw.count(b"\r\n")) or raw.count(b"\r") != lines:
        raw = _BARE.sub(b"\r\n", raw)
    if not raw.endswith(b"\r\n"):
        raw += b"\r\n"
    if raw.startswith(b"."):
        raw = b"." + raw
    return raw.replace(b"\r\n.", b"\r\n..")
