"""The one consumer on a real broker: nothing is lost, nothing stops the rest."""

import asyncio
import gc
from collections.abc import Sequence

from aiokafka import ConsumerRecord

from shared.failures import Permanent, Transient
from shared.kafka.admin import apply_topics, differences, group_lags
from shared.kafka.producer import Outgoing
from shared.kafka.record import Record
from shared.topics import EVENTS, TOPICS
from tests.integration.kafka.installation import Installation, Reader, numbers, running, until
from tests.servers import Servers


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
    async with running(reader.consumer(installation.settings)):
        await until(lambda: set(reader.handled) == numbers(0, 20))
    assert reader.aside == []


async def handled(reader: Reader, count: int) -> None:
    await until(lambda: len(reader.handled) >= count)


async def test_a_batch_that_was_handled_leaves_memory_at_once(installation: Installation) -> None:
    """In a circle it waits for the collector, which counts objects and not their megabytes."""
    gc.collect()
    gc.disable()
    try:
        reader = Reader()
        async with running(reader.consumer(installation.settings)):
            for batch in range(5):
                await installation.send(batch * 10, 10)
                await handled(reader, batch * 10 + 10)
            kept = [each for each in gc.get_objects() if isinstance(each, ConsumerRecord)]
        assert len(kept) <= 10, "those of the batch in hand"
    finally:
        gc.enable()


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


class Slow(Reader):
    """Has a batch in hand when partitions are taken away: whoever takes them must not get it as well."""

    async def handle(self, records: Sequence[Record]) -> None:
        await asyncio.sleep(2)  # more than half of the time in which a member hears of a rebalance
        await super().handle(records)


async def test_partitions_change_hands_without_a_loss_or_a_repeat(installation: Installation) -> None:
    one, two = Slow(), Slow()
    async with running(one.consumer(installation.settings)):
        await installation.send(0, 300)
        async with running(two.consumer(installation.settings)):
            await installation.send(300, 300)
            await until(lambda: len(one.handled) + len(two.handled) >= 600)
    assert sorted(one.handled + two.handled, key=int) == [b"%d" % n for n in range(600)]
    assert two.handled, "the second member got partitions"
