"""A wire between client and broker that can hold back what either says, and that can be cut."""

import asyncio
import contextlib
from typing import Any, Self

import aiokafka.client


class HeldWire:
    """Forwards connections to one broker; `hold()` keeps its answers back until `release()`, or what is said to it."""

    def __init__(self, broker: str) -> None:
        host, _, port = broker.rpartition(":")
        self._broker = (host, int(port))
        self._answers, self._requests = asyncio.Event(), asyncio.Event()
        self.release()
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self.opened = 0
        self.open_now = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.release()
        for writer in self._writers:
            writer.close()  # the pumps end by themselves
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def hold(self, *, requests: bool = False) -> None:
        (self._requests if requests else self._answers).clear()

    def release(self) -> None:
        self._answers.set()
        self._requests.set()

    def cut(self) -> None:
        """Every connection breaks; what was held is lost."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened += 1
        self.open_now += 1
        up_reader, up_writer = await asyncio.open_connection(*self._broker)
        self._writers |= {writer, up_writer}
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pump(reader, up_writer, self._requests))
                both.create_task(self._pump(up_reader, writer, self._answers))
        except* (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open_now -= 1
            for each in (writer, up_writer):
                each.close()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, flowing: asyncio.Event) -> None:
        while data := await source.read(65536):
            await flowing.wait()
            if source.at_eof() or sink.is_closing():
                break  # who said it has hung up meanwhile
            sink.write(data)
            with contextlib.suppress(ConnectionError):
                await sink.drain()
        sink.close()
        raise ConnectionResetError  # ends the other direction too


def through(wire: HeldWire, monkeypatch: Any) -> None:
    """From here on every aiokafka connection of this test goes through the wire, wherever the broker says it is."""
    connect = aiokafka.client.create_conn

    async def detour(_host: str, _port: int, **options: Any) -> Any:
        return await connect("127.0.0.1", wire.port, **options)

    monkeypatch.setattr(aiokafka.client, "create_conn", detour)
