"""A record that is set aside, on its way over Kafka."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from shared import metrics
from shared.failures import Permanent
from shared.kafka.admin import apply_topics
from shared.kafka.dead_letters import dead_letter_sink
from shared.kafka.producer import Producer, SendFailed
from shared.kafka.record import Record
from shared.topics import BY_NAME, DEAD_LETTERS, RECEIVED
from shared.wire import decode_dead_letter
from tests.servers import Servers


def record(offset: int, value: bytes) -> Record:
    return Record(RECEIVED, 3, offset, b"key", value, (("account", b"caixa"),), 0)


def counted(reason: str) -> float:
    return float(metrics.dead_letters.labels(RECEIVED, reason)._value.get())


async def arrivals(reader: AIOKafkaConsumer, number: int) -> list[ConsumerRecord[bytes, bytes]]:
    found: list[ConsumerRecord[bytes, bytes]] = []
    async with asyncio.timeout(20):
        while len(found) < number:
            for records in (await reader.getmany(timeout_ms=500)).values():
                found += records
    return found


@pytest.fixture
async def reader(servers: Servers, prefix: str) -> AsyncIterator[AIOKafkaConsumer]:
    await apply_topics(servers.kafka, prefix, 1)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=servers.kafka, auto_offset_reset="earliest", max_partition_fetch_bytes=4 * 2**20
    )
    await consumer.start()
    consumer.assign([TopicPartition(prefix + DEAD_LETTERS, p) for p in range(BY_NAME[DEAD_LETTERS].partitions)])
    yield consumer
    await consumer.stop()


async def test_a_record_arrives_as_it_came_and_in_the_order_of_its_partition(
    servers: Servers, prefix: str, reader: AIOKafkaConsumer
) -> None:
    producer = Producer(servers.kafka, prefix, client_id="test")
    set_aside = dead_letter_sink(producer, "dispatcher")
    before = counted("malformed")
    for offset in range(8):
        await set_aside(record(offset, b"\xff\x00 %d" % offset), Permanent("malformed", "$.size"))
    await producer.close()
    arrived = await arrivals(reader, 8)
    letters = [decode_dead_letter(each.value, each.headers) for each in arrived]
    assert [letter.origin_offset for letter in letters] == list(range(8))
    assert len({each.partition for each in arrived}) == 1
    last = letters[-1]
    assert (last.origin_topic, last.origin_partition, last.service, last.reason) == (
        RECEIVED,
        3,
        "dispatcher",
        "malformed",
    )
    assert (last.key, last.value, last.headers) == (b"key", b"\xff\x00 7", [("account", b"caixa")])
    assert last.exception == "Permanent $.size"
    assert counted("malformed") == before + 8


async def test_a_value_that_the_producer_would_refuse_is_cut(
    servers: Servers, prefix: str, reader: AIOKafkaConsumer
) -> None:
    """A record that cannot be set aside would hold its partition for ever."""
    producer = Producer(servers.kafka, prefix, client_id="test")
    await dead_letter_sink(producer, "dispatcher")(record(1, b"x" * 1_040_000), Permanent("malformed"))
    await producer.close()
    [arrived] = await arrivals(reader, 1)
    assert arrived.value == b"x" * 900_000


async def test_what_was_not_confirmed_is_not_counted(prefix: str) -> None:
    producer = Producer("127.0.0.1:9", prefix, client_id="test", send_seconds=1)
    before = counted("stuck")
    with pytest.raises(SendFailed):
        await dead_letter_sink(producer, "dispatcher")(record(1, b"x"), RuntimeError("who knows"))
    assert counted("stuck") == before
