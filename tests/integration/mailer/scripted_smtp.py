"""An SMTP server that says what a test tells it to, beside real ones: for refusals, silences and cut connections that
no real server gives on demand. It takes commands one after another also when they come in one write."""

import asyncio
import contextlib
import re
import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field

SILENT = "silent"
CUT = "cut"
_ADDRESS = re.compile(r"<([^>]*)>")


@dataclass
class Dialog:
    """One connection: what the client called itself, its present envelope, what it has done."""

    helo: str = ""
    sender: str = ""
    recipient: str = ""
    raw: bytes = b""
    secure: bool = False
    verbs: list[str] = field(default_factory=list)


Say = str | Callable[[Dialog], str | None]
"""A reply (`SILENT`, `CUT`), or what gives one; None: as if nothing had been scripted."""


@dataclass
class Script:
    """`says`: reply by verb, `.` for the end of the data, `CONNECT` for the greeting. `mails`: what was answered with
    2xx: recipient and bytes. `writes`: chunks as they came."""

    says: dict[str, Say] = field(default_factory=dict)
    offers: Sequence[str] = ("PIPELINING", "SIZE 50000000", "ENHANCEDSTATUSCODES")
    delay: float = 0.0
    tls: ssl.SSLContext | None = None  # from the first byte
    starttls: ssl.SSLContext | None = None
    port: int = 0
    mails: list[tuple[str, bytes]] = field(default_factory=list)
    ended: list[tuple[str, bytes]] = field(default_factory=list)
    dialogs: list[Dialog] = field(default_factory=list)
    writes: list[bytes] = field(default_factory=list)
    open_now: int = 0
    most_open: int = 0

    def tried(self, verb: str) -> int:
        return sum(dialog.verbs.count(verb) for dialog in self.dialogs)

    def of(self, recipient: str) -> list[bytes]:
        return [raw for to, raw in self.mails if to == recipient]


_DEFAULTS: Mapping[str, str] = {
    "CONNECT": "220 scripted.test ESMTP",
    "HELO": "250 scripted.test",
    "MAIL": "250 2.1.0 ok",
    "RCPT": "250 2.1.5 ok",
    "DATA": "354 go on",
    ".": "250 2.0.0 queued",
    "RSET": "250 2.0.0 ok",
    "NOOP": "250 2.0.0 ok",
    "QUIT": "221 2.0.0 bye",
}


class _Served(Exception):
    """The connection is over."""


class _Connection:
    def __init__(self, script: Script, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._script, self._reader, self._writer = script, reader, writer
        self._pending = b""
        self.dialog = Dialog()

    async def serve(self) -> None:
        await self._say("CONNECT")
        while True:
            line = (await self._until(b"\r\n")).decode("utf-8", "replace")
            verb = line[:4].upper().rstrip()
            self.dialog.verbs.append(verb)
            if verb in ("EHLO", "HELO"):
                self.dialog.helo = line[5:].strip()
            if verb == "MAIL":
                self.dialog.sender = _named(line)
            if verb == "RCPT":
                self.dialog.recipient = _named(line)
            if line.upper().startswith("STARTTLS") and self._script.starttls is not None:
                self._writer.write(b"220 2.0.0 go on\r\n")
                await self._writer.start_tls(self._script.starttls)
                self.dialog.secure = True
                continue
            reply = await self._say(verb)
            if verb == "DATA" and reply.startswith("354"):
                await self._data()
            if verb == "QUIT":
                raise _Served

    async def _data(self) -> None:
        self._pending = b"\r\n" + self._pending  # so that the end of an empty mail is found as well
        self.dialog.raw = (await self._until(b"\r\n.\r\n") + b"\r\n").replace(b"\r\n..", b"\r\n.")[2:]
        if not self.dialog.raw:  # it went on though every recipient was refused (RFC 2920 section 3.1)
            self._writer.write(b"554 5.5.1 no valid recipients\r\n")
            return
        self.dialog.verbs.append(".")
        mail = (self.dialog.recipient, self.dialog.raw)
        self._script.ended.append(mail)
        await self._say(".", mail)

    async def _until(self, end: bytes) -> bytes:
        while end not in self._pending:
            chunk = await self._reader.read(65536)
            if not chunk:
                raise _Served
            self._script.writes.append(chunk)
            self._pending += chunk
            await asyncio.sleep(self._script.delay)
        found, _, self._pending = self._pending.partition(end)
        return found

    async def _say(self, verb: str, mail: tuple[str, bytes] | None = None) -> str:
        said = self._script.says.get(verb)
        reply = said(self.dialog) if callable(said) else said
        if reply is None:
            reply = self._ehlo() if verb == "EHLO" else _DEFAULTS.get(verb, "502 5.5.1 not implemented")
        if mail is not None and (reply.startswith("2") or reply == CUT):
            self._script.mails.append(mail)
        if reply == SILENT:
            await asyncio.Event().wait()
        if reply == CUT:
            self._writer.transport.abort()
            raise _Served
        self._writer.write(reply.encode() + b"\r\n")
        if reply.startswith("421"):
            await self._writer.drain()
            raise _Served
        return reply

    def _ehlo(self) -> str:
        starttls = ["STARTTLS"] if self._script.starttls and not self.dialog.secure else []
        lines = ["scripted.test", *self._script.offers, *starttls]
        return "\r\n".join(f"250{'-' if at < len(lines) - 1 else ' '}{line}" for at, line in enumerate(lines))


def _named(line: str) -> str:
    found = _ADDRESS.search(line)
    return found[1] if found else ""


@contextlib.asynccontextmanager
async def scripted(**fields: object) -> AsyncIterator[Script]:
    """Listens on a loopback port until left; connections are cut then, as by a crash."""
    script = Script(**fields)  # type: ignore[arg-type]  # its own fields
    tasks: set[asyncio.Task[None]] = set()

    async def session(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection(script, reader, writer)
        script.dialogs.append(connection.dialog)
        script.open_now += 1
        script.most_open = max(script.most_open, script.open_now)
        try:
            with contextlib.suppress(_Served, OSError):  # a failed handshake is an OSError too
                await connection.serve()
        finally:
            script.open_now -= 1
            writer.close()

    def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(session(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accepted, "127.0.0.1", script.port, ssl=script.tls)
    script.port = server.sockets[0].getsockname()[1]
    try:
        yield script
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()
