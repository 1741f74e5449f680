"""A consumer on a real broker and a real database, and what stands for the service around it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import asyncpg

from shared.kafka.consumer import Consumer
from shared.kafka.offsets import Offsets
from shared.kafka.producer import Outgoing, Producer
from shared.kafka.record import Record
from shared.kafka.stored_offsets import StoredOffsets, take_offsets
from shared.postgres import Pool, transaction
from shared.settings import Settings
from shared.topics import EVENTS, GROUPS

Fault = Callable[[Record], BaseException | None]


class Installation:
    def __init__(self, kafka: str, prefix: str) -> None:
        self.settings = Settings.model_validate({"kafka": kafka, "prefix": prefix, "kafka_replicas": 1})
        self.producer = Producer(kafka, prefix, client_id="test")

    async def send(self, first: int, count: int, key: Callable[[int], bytes] = lambda n: b"key-%d" % (n % 7)) -> None:
        await self.producer.send_all([Outgoing(EVENTS, key(n), b"%d" % n, []) for n in range(first, first + count)])


class Reader:
    """A service in small: what it tried, handled and set aside. With a pool, it claims what it handles in the
    database of the mailer; without one it is the dispatcher."""

    def __init__(self, fault: Fault = lambda _: None, pool: Pool | None = None) -> None:
        self.fault = fault
        self.pool = pool
        self.tries = 0
        self.handled: list[bytes] = []
        self.aside: list[bytes] = []
        self.stop = asyncio.Event()
        self.fatal: list[BaseException] = []
        self.offsets: Offsets | None = (
            None if pool is None else StoredOffsets(pool, "mailer", EVENTS, GROUPS["mailer"][0])
        )

    async def handle(self, records: Sequence[Record]) -> None:
        self.tries += 1
        for record in records:
            if error := self.fault(record):
                raise error
        values = [record.value or b"" for record in records]
        if self.pool is not None:
            async with transaction(self.pool) as connection:
                await take_offsets(connection, "mailer", EVENTS, records)
                claim = "INSERT INTO mailer.inbox (event_id) VALUES ($1) ON CONFLICT DO NOTHING"
                await connection.executemany(claim, [(value.decode(),) for value in values])
        self.handled += values

    async def set_aside(self, record: Record, error: BaseException) -> None:
        self.aside.append(record.value or b"")

    async def claimed(self) -> set[bytes]:
        assert self.pool is not None
        return {row["event_id"].encode() for row in await self.pool.fetch("SELECT event_id FROM mailer.inbox")}

    def consumer(self, settings: Settings) -> Consumer:
        return Consumer(
            "mailer",
            settings,
            self.handle,
            self.set_aside,
            lambda r: (r.value or b"").decode(),
            self.stop,
            self.fatal.append,
            self.offsets,
        )


class Copy:
    """A backup of what the reader writes: restored, the database has gone back to it."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn

    async def take(self) -> None:
        await self._execute(
            "CREATE SCHEMA backup; CREATE TABLE backup.inbox AS TABLE mailer.inbox;"
            "CREATE TABLE backup.offsets AS TABLE mailer.offsets"
        )

    async def restore(self) -> None:
        await self._execute(
            "TRUNCATE mailer.inbox, mailer.offsets; INSERT INTO mailer.inbox TABLE backup.inbox;"
            "INSERT INTO mailer.offsets TABLE backup.offsets"
        )

    async def _execute(self, statements: str) -> None:
        administrator = await asyncpg.connect(self.dsn)
        try:
            async with administrator.transaction():
                await administrator.execute(statements)
        finally:
            await administrator.close()


@asynccontextmanager
async def running(consumer: Consumer) -> AsyncIterator[Consumer]:
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.close()


async def until(condition: Callable[[], bool], seconds: float = 40) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


def numbers(first: int, last: int) -> set[bytes]:
    return {b"%d" % n for n in range(first, last)}
