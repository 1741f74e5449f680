"""The one consumer on a real broker: nothing is lost, nothing stops the rest."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

import pytest

from shared.failures import Permanent, Transient
from shared.kafka.admin import apply_topics, differences, group_lags
from shared.kafka.consumer import Consumer, next_offsets
from shared.kafka.producer import Outgoing, Producer
from shared.kafka.record import Record
from shared.settings import Settings
from shared.topics import EVENTS, TOPICS
from tests.servers import Servers


class Installation:
    def __init__(self, kafka: str, prefix: str) -> None:
        self.settings = Settings.model_validate({"kafka": kafka, "prefix": prefix, "kafka_replicas": 1})
        self.producer = Producer(kafka, prefix, client_id="test")

    async def send(self, first: int, count: int) -> None:
        await self.producer.send_all(
            [Outgoing(EVENTS, b"key-%d" % (n % 7), b"%d" % n, []) for n in range(first, first + count)]
        )


@pytest.fixture
async def installation(servers: Servers, prefix: str) -> AsyncIterator[Installation]:
    await apply_topics(servers.kafka, prefix, 1)
    built = Installation(servers.kafka, prefix)
    yield built
    await built.producer.close()


class Reader:
    """A service in small: what it handled, what it set aside."""

    def __init__(self, fault: Callable[[Record], BaseException | None] = lambda _: None) -> None:
        self.fault = fault
        self.handled: list[bytes] = []
        self.aside: list[bytes] = []
        self.offsets: dict[int, int] = {}
        self.stop = asyncio.Event()
        self.fatal: list[BaseException] = []

    async def handle(self, records: Sequence[Record]) -> None:
        for record in records:
            if error := self.fault(record):
                raise error
        self.handled += [record.value or b"" for record in records]
        for partition, offset in next_offsets(records).items():
            self.offsets[partition] = max(offset, self.offsets.get(partition, 0))

    async def set_aside(self, record: Record, error: BaseException) -> None:
        self.aside.append(record.value or b"")

    async def stored(self, partitions: Sequence[int]) -> Mapping[int, int]:
        return {p: self.offsets[p] for p in partitions if p in self.offsets}

    def consumer(self, settings: Settings, *, stored: bool = False) -> Consumer:
        return Consumer(
            "mailer",
            settings,
            self.handle,
            self.set_aside,
            lambda r: (r.value or b"").decode(),
            self.stop,
            self.fatal.append,
            stored_offsets=self.stored if stored else None,
        )


@asynccontextmanager
async def running(consumer: Consumer) -> AsyncIterator[Consumer]:
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.close()


async def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


def numbers(first: int, last: int) -> set[bytes]:
    return {b"%d" % n for n in range(first, last)}


async def test_topics_are_applied_as_declared_and_applying_again_changes_nothing(
    installation: Installation, servers: Servers, prefix: str
) -> None:
    async with asyncio.timeout(20):  # the broker spreads the word after it has answered
        while await differences(servers.kafka, prefix, 1, [t.name for t in TOPICS]):
            await asyncio.sleep(0.1)
    assert await apply_topics(servers.kafka, prefix, 1) == []


async def test_a_missing_topic_is_said_in_a_sentence(servers: Servers, prefix: str) -> None:
    (found,) = await differences(servers.kafka, prefix, 1, [EVENTS])
    assert str(found) == f"topic {prefix}{EVENTS} is missing: run `carteiro topics apply`"


async def test_the_backlog_of_a_new_group_is_read_from_its_beginning_in_order_per_key(
    installation: Installation,
) -> None:
    await installation.send(0, 500)
    reader = Reader()
    async with running(reader.consumer(installation.settings)):
        await until(lambda: len(reader.handled) >= 500)
    for key in range(7):
        of_key = [int(value) for value in reader.handled if int(value) % 7 == key]
        assert of_key == list(range(key, 500, 7))


async def test_one_poison_record_is_set_aside_and_the_rest_goes_on(installation: Installation) -> None:
    await installation.send(0, 100)
    reader = Reader(lambda r: Permanent("decoding") if r.value == b"50" else None)
    async with running(reader.consumer(installation.settings)):
        await until(lambda: len(reader.handled) >= 99)
    assert reader.aside == [b"50"]
    assert set(reader.handled) == numbers(0, 100) - {b"50"}


async def test_a_header_that_is_not_utf8_reaches_the_handler_as_it_is(installation: Installation) -> None:
    await installation.producer.send_all([Outgoing(EVENTS, b"k", b"v", [("subject", b"\xff\xfe")])])
    seen: list[Record] = []
    reader = Reader(seen.append)
    async with running(reader.consumer(installation.settings)):
        await until(lambda: reader.handled == [b"v"])
    assert seen[0].header("subject") == b"\xff\xfe"


async def test_a_batch_that_failed_comes_again_until_it_passes(installation: Installation) -> None:
    await installation.send(0, 20)
    attempts = 0

    def fault(_: Record) -> BaseException | None:
        nonlocal attempts
        attempts += 1
        return Transient("away") if attempts <= 3 else None

    reader = Reader(fault)
    consumer = reader.consumer(installation.settings)
    consumer.policy.retry_seconds = 0  # every fault gives the batch back to the broker
    async with running(consumer):
        await until(lambda: set(reader.handled) == numbers(0, 20))
    assert reader.aside == []


async def test_a_clean_stop_commits_and_the_next_start_goes_on_behind_it(
    installation: Installation, servers: Servers, prefix: str
) -> None:
    await installation.send(0, 50)
    first = Reader()
    async with running(first.consumer(installation.settings)):
        await until(lambda: len(first.handled) >= 50)
    await installation.send(50, 50)
    second = Reader()
    async with running(second.consumer(installation.settings)):
        await until(lambda: len(second.handled) >= 50)
    assert set(second.handled) == numbers(50, 100)
    lags = [lag for lag in await group_lags(servers.kafka, prefix) if lag.topic == EVENTS]
    assert sum(lag.records for lag in lags) == 0


async def test_partitions_change_hands_without_a_loss_or_a_repeat(installation: Installation) -> None:
    one, two = Reader(), Reader()
    async with running(one.consumer(installation.settings)):
        await installation.send(0, 300)
        async with running(two.consumer(installation.settings)):
            await installation.send(300, 300)
            await until(lambda: len(one.handled) + len(two.handled) >= 600)
    assert sorted(one.handled + two.handled, key=int) == [b"%d" % n for n in range(600)]
    assert two.handled, "the second member got partitions"


async def test_the_database_decides_where_to_read_on(installation: Installation) -> None:
    """Kafka's committed offset is ahead of a restored database: what the database lost comes again."""
    await installation.send(0, 60)
    reader = Reader()
    async with running(reader.consumer(installation.settings, stored=True)):
        await until(lambda: len(reader.handled) >= 60)
    reader.handled.clear()
    reader.offsets = {partition: offset // 2 for partition, offset in reader.offsets.items()}
    lost = 60 - sum(reader.offsets.values())
    async with running(reader.consumer(installation.settings, stored=True)):
        await until(lambda: len(reader.handled) >= lost)
    assert len(reader.handled) == lost


async def test_a_database_that_goes_back_under_a_running_consumer_is_noticed(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.kafka.consumer.AUDIT_SECONDS", 0.2)
    await installation.send(0, 60)
    reader = Reader()
    async with running(reader.consumer(installation.settings, stored=True)):
        await until(lambda: len(reader.handled) >= 60)
        reader.handled.clear()
        reader.offsets.clear()
        await until(lambda: set(reader.handled) == numbers(0, 60))


async def test_the_fuse_pauses_and_the_consumer_stays_a_member(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.kafka.consumer.FUSE_PAUSE_SECONDS", 0.3)
    await installation.send(0, 60)
    broken = True
    reader = Reader(lambda _: Permanent("decoding") if broken else None)
    consumer = reader.consumer(installation.settings)
    async with running(consumer):
        await until(lambda: consumer.policy.fuse.open)
        aside = len(reader.aside)
        assert aside < 10
        broken = False
        await until(lambda: len(reader.handled) >= 60 - len(reader.aside))
    assert set(reader.handled) | set(reader.aside) == numbers(0, 60)
    assert len(reader.aside) <= aside + 3, "one try a pause, not the whole topic"
