"""The one producer: confirmed or failed whole, and what failed is not delivered later behind our back."""

import asyncio
import gc
from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from shared.clock import monotonic
from shared.kafka.admin import apply_topics
from shared.kafka.producer import Outgoing, Producer, SendFailed
from shared.topics import BY_NAME, EVENTS
from tests.integration.kafka.held_wire import HeldWire, through
from tests.servers import Servers

PARTITIONS = range(BY_NAME[EVENTS].partitions)


@pytest.fixture
async def topic(servers: Servers, prefix: str) -> str:
    await apply_topics(servers.kafka, prefix, 1)
    return prefix + EVENTS


@pytest.fixture
async def reader(servers: Servers, topic: str) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(bootstrap_servers=servers.kafka)
    await consumer.start()
    consumer.assign([TopicPartition(topic, p) for p in PARTITIONS])
    yield consumer
    await consumer.stop()


async def written(reader: AIOKafkaConsumer, topic: str) -> int:
    return sum((await reader.end_offsets([TopicPartition(topic, p) for p in PARTITIONS])).values())


def outgoing(count: int) -> list[Outgoing]:
    return [Outgoing(EVENTS, b"%d" % n, b"value", [("ce_id", b"%d" % n)]) for n in range(count)]


async def test_a_send_returns_when_all_records_are_confirmed(
    servers: Servers, prefix: str, topic: str, reader: AIOKafkaConsumer
) -> None:
    producer = Producer(servers.kafka, prefix, client_id="test")
    await producer.send_all(outgoing(300))
    assert await written(reader, topic) == 300
    await producer.close()


async def none_open(wire: HeldWire) -> None:
    """The torn-down producers hold no connection; one that aiokafka was opening goes with its object."""
    async with asyncio.timeout(10):
        while wire.open_now:
            gc.collect()
            await asyncio.sleep(0.05)


async def test_an_answer_held_back_for_a_minute_makes_one_copy_a_try_and_none_afterwards(
    servers: Servers, prefix: str, topic: str, reader: AIOKafkaConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with HeldWire(servers.kafka) as wire:
        through(wire, monkeypatch)
        producer = Producer(servers.kafka, prefix, client_id="test", send_seconds=20)
        await producer.send_all(outgoing(1))
        wire.hold()
        started, tries, opened = monotonic(), 0, wire.opened
        while monotonic() - started < 55:
            tries += 1
            with pytest.raises(SendFailed):
                await producer.send_all(outgoing(1))
        await none_open(wire)
        assert wire.opened > opened, "each try had a producer of its own"
        wire.release()
        await producer.send_all(outgoing(1))
        await producer.close()
    # the first try reached the broker; a new producer cannot even get its id while answers are held
    copies = await written(reader, topic)
    assert 2 <= copies <= 2 + tries
    await calm(reader, topic, copies)


async def test_a_record_too_large_fails_and_the_next_send_passes(
    servers: Servers, prefix: str, topic: str, reader: AIOKafkaConsumer
) -> None:
    """A refused batch poisons an idempotent producer: every later send to that partition would fail."""
    producer = Producer(servers.kafka, prefix, client_id="test")
    with pytest.raises(SendFailed):
        await producer.send_all([Outgoing(EVENTS, b"0", b"x" * 1_100_000, [])])
    await producer.send_all(outgoing(10))
    assert await written(reader, topic) == 10
    await producer.close()


async def test_a_cancelled_send_leaves_nothing_that_is_sent_later(
    servers: Servers, prefix: str, topic: str, reader: AIOKafkaConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with HeldWire(servers.kafka) as wire:
        through(wire, monkeypatch)
        producer = Producer(servers.kafka, prefix, client_id="test")
        await producer.send_all(outgoing(1))
        wire.hold()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await producer.send_all(outgoing(1))
        before = await written(reader, topic)
        wire.release()
        await producer.close()
        await none_open(wire)
    assert await written(reader, topic) == before


async def calm(reader: AIOKafkaConsumer, topic: str, expected: int) -> None:
    started = monotonic()
    while monotonic() - started < 3:
        assert await written(reader, topic) == expected, "something was delivered behind our back"
        await asyncio.sleep(0.2)


async def test_a_cancelled_send_that_had_not_left_does_not_leave_later(
    servers: Servers, prefix: str, topic: str, reader: AIOKafkaConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with HeldWire(servers.kafka) as wire:
        through(wire, monkeypatch)
        producer = Producer(servers.kafka, prefix, client_id="test")
        await producer.send_all(outgoing(1))
        wire.hold(requests=True)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await producer.send_all(outgoing(1))
        wire.release()
        await calm(reader, topic, 1)
        await producer.close()


async def test_an_answer_that_was_lost_makes_no_second_copy(
    servers: Servers, prefix: str, topic: str, reader: AIOKafkaConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client sends the batch again on a new connection; the broker knows its sequence number."""
    async with HeldWire(servers.kafka) as wire:
        through(wire, monkeypatch)
        producer = Producer(servers.kafka, prefix, client_id="test")
        await producer.send_all(outgoing(1))
        wire.hold()
        sending = asyncio.create_task(producer.send_all(outgoing(1)))
        async with asyncio.timeout(20):
            while await written(reader, topic) < 2:
                await asyncio.sleep(0.05)
        wire.cut()
        wire.release()
        await sending
        await producer.close()
    assert await written(reader, topic) == 2


async def test_an_answer_that_does_not_come_is_a_failed_send_within_the_deadline(
    servers: Servers, prefix: str, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with HeldWire(servers.kafka) as wire:
        through(wire, monkeypatch)
        producer = Producer(servers.kafka, prefix, client_id="test", send_seconds=2)
        await producer.send_all(outgoing(1))
        wire.hold()
        with pytest.raises(SendFailed):
            async with asyncio.timeout(15):
                await producer.send_all(outgoing(1))
        wire.release()
        await producer.close()


async def test_a_broker_that_is_not_there_is_a_failed_send_within_the_deadline(prefix: str) -> None:
    producer = Producer("127.0.0.1:9", prefix, client_id="test", send_seconds=2)
    started = monotonic()
    with pytest.raises(SendFailed):
        await producer.send_all(outgoing(1))
    assert monotonic() - started < 6


def test_the_private_names_that_the_tear_down_uses_are_there() -> None:
    assert AIOKafkaProducer._closed is None
    assert "_sender" in AIOKafkaProducer.__init__.__code__.co_names
    assert "client" in AIOKafkaProducer.__init__.__code__.co_names
