"""A scripted IMAP server: a test writes down what the server says and what it must hear.

Each connection runs the next script of the list (the last one again and again), so that a test can say
what happens on a reconnect. A script that fails, or hears something else, fails the test on leaving.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

CAPABILITIES = "IMAP4rev1 IDLE MOVE UIDPLUS SASL-IR AUTH=PLAIN"


class Unexpected(AssertionError):
    pass


class Server:
    """One connection, seen from the server's side."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.tag = "*"
        self.heard: list[str] = []

    async def says(self, *lines: str | bytes) -> None:
        """Sends the lines, each with CRLF."""
        for line in lines:
            self.writer.write((line.encode() if isinstance(line, str) else line) + b"\r\n")
        await self.writer.drain()

    async def sends(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def hears_line(self) -> str:
        line = (await self.reader.readline()).decode()
        if not line:
            raise Unexpected("the client closed the connection")
        self.heard.append(line.rstrip("\r\n"))
        return self.heard[-1]

    async def hears(self, command: str) -> str:
        """Reads a command that must begin so (behind its tag); the rest of it is returned."""
        tag, _, said = (await self.hears_line()).partition(" ")
        if not said.startswith(command):
            raise Unexpected(f"expected {command!r}, heard {said!r}")
        self.tag = tag
        return said.removeprefix(command).strip()

    async def answers(self, *untagged: str | bytes, tagged: str = "OK done") -> None:
        await self.says(*untagged, f"{self.tag} {tagged}")

    async def hears_nothing_more(self) -> None:
        if line := await self.reader.readline():
            raise Unexpected(f"expected the end of the connection, heard {line!r}")

    async def starts_tls(self, context: ssl.SSLContext) -> None:
        await self.writer.start_tls(context)

    # the openings most scripts share

    async def greets(self, capabilities: str = CAPABILITIES) -> None:
        await self.says("* OK ready")
        await self.tells_capabilities(capabilities)

    async def tells_capabilities(self, capabilities: str = CAPABILITIES) -> None:
        await self.hears("CAPABILITY")
        await self.answers(f"* CAPABILITY {capabilities}")

    async def lets_in(self, capabilities: str = CAPABILITIES) -> None:
        await self.greets(capabilities)
        await self.hears("LOGIN")
        await self.answers()
        await self.tells_capabilities(capabilities)

    async def opens(self, *, uidvalidity: int = 7, uidnext: int = 2, exists: int = 1) -> None:
        await self.hears("SELECT")
        await self.answers(
            f"* {exists} EXISTS", f"* OK [UIDVALIDITY {uidvalidity}] ok", f"* OK [UIDNEXT {uidnext}] next"
        )

    async def lets_in_and_opens(self, capabilities: str = CAPABILITIES) -> None:
        await self.lets_in(capabilities)
        await self.opens()

    async def hangs(self) -> None:
        """Says nothing more until the client goes."""
        while await self.reader.read(65_536):
            pass


Script = Callable[[Server], Awaitable[None]]


@dataclass
class Running:
    port: int
    connections: int = 0
    failures: list[BaseException] = field(default_factory=list)


@asynccontextmanager
async def scripted(*scripts: Script, tls: ssl.SSLContext | None = None) -> AsyncIterator[Running]:
    """Serves the scripts on 127.0.0.1; on leaving, the first failure of a script is raised."""
    running = Running(port=0)
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        script = scripts[min(running.connections, len(scripts) - 1)]
        running.connections += 1
        try:
            await script(Server(reader, writer))
        except AssertionError as failure:
            running.failures.append(failure)
        except (ConnectionError, ssl.SSLError, asyncio.CancelledError):
            pass  # the client's end of a dialogue is the test's business
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    running.port = server.sockets[0].getsockname()[1]
    try:
        yield running
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if running.failures:
            raise running.failures[0]
    finally:
        for task in list(tasks):
            task.cancel()
        server.close()
        await asyncio.gather(*tasks, return_exceptions=True)
