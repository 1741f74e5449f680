"""Databases and topics that go back under a consumer: what was lost is read again, what is gone is written down."""

import asyncio

import pytest
from aiokafka import TopicPartition
from aiokafka.admin.records_to_delete import RecordsToDelete

from shared import metrics
from shared.kafka.admin import admin, apply_topics, group_lags
from shared.kafka.offsets import Elsewhere, Extent
from shared.kafka.record import Record
from shared.kafka.stored_offsets import StoredOffsets, stored_offsets, take_offsets
from shared.postgres import Pool, transaction
from shared.topics import EVENTS, GROUPS
from tests.integration.kafka.installation import Copy, Installation, Reader, numbers, running, until
from tests.servers import Servers
from tests.unit.kafka.world import MemoryOffsets, World

GROUP = GROUPS["mailer"][0]


async def claimed(reader: Reader, wanted: set[bytes]) -> None:
    async with asyncio.timeout(60):
        while await reader.claimed() != wanted:
            await asyncio.sleep(0.05)


async def gaps(pool: Pool) -> list[tuple[int, int, str]]:
    rows = await pool.fetch("SELECT first_offset, last_offset, reason FROM mailer.gaps ORDER BY id")
    return [tuple(row) for row in rows]


async def test_the_same_copy_is_restored_twice_under_a_running_consumer(
    installation: Installation, pool: Pool, database: str
) -> None:
    reader, copy = Reader(pool=pool), Copy(database)
    async with running(reader.consumer(installation.settings)):
        await installation.send(0, 60)
        await claimed(reader, numbers(0, 60))
        await copy.take()
        await installation.send(60, 120)
        await claimed(reader, numbers(0, 180))
        for _ in range(2):
            await copy.restore()
            await claimed(reader, numbers(0, 180))  # although no record comes
    assert await gaps(pool) == []


async def test_a_database_restored_between_two_processes_decides_where_to_read_on(
    installation: Installation, pool: Pool, database: str, servers: Servers, prefix: str
) -> None:
    reader, copy = Reader(pool=pool), Copy(database)
    async with running(reader.consumer(installation.settings)):
        await installation.send(0, 30)
        await claimed(reader, numbers(0, 30))
        await copy.take()
        await installation.send(30, 30)
        await claimed(reader, numbers(0, 60))
    await copy.restore()
    reader.handled.clear()
    async with running(reader.consumer(installation.settings)):
        await claimed(reader, numbers(0, 60))
    assert set(reader.handled) == numbers(30, 60), "from where the copy stands, no more"
    assert sum(lag.records for lag in await group_lags(servers.kafka, prefix) if lag.topic == EVENTS) == 0


async def test_an_emptied_database_reads_everything_the_topic_still_has(
    installation: Installation, pool: Pool, database: str
) -> None:
    reader, copy = Reader(pool=pool), Copy(database)
    await copy.take()  # empty: not even an offset
    async with running(reader.consumer(installation.settings)):
        await installation.send(0, 60)
        await claimed(reader, numbers(0, 60))
        await copy.restore()
        await installation.send(60, 20)
        await claimed(reader, numbers(0, 80))
        await copy.restore()
        await claimed(reader, numbers(0, 80))


async def test_only_partitions_that_went_back_are_read_again(
    installation: Installation, pool: Pool, database: str
) -> None:
    """The other partitions of a batch that does not begin are handled, once."""
    reader = Reader(pool=pool)
    async with running(reader.consumer(installation.settings)):
        await installation.send(0, 70)
        await claimed(reader, numbers(0, 70))
        reader.handled.clear()
        stored = await stored_offsets(pool, "mailer", EVENTS, range(6))
        partition = next(p for p, offset in stored.items() if offset > 5)
        await pool.execute("UPDATE mailer.offsets SET next_offset = next_offset - 5 WHERE partition = $1", partition)
        await installation.send(70, 70)
        await claimed(reader, numbers(0, 140))
    assert len(reader.handled) == 75
    assert numbers(70, 140) <= set(reader.handled)


async def test_what_retention_took_before_it_was_read_is_written_down(
    installation: Installation, pool: Pool, servers: Servers, prefix: str
) -> None:
    reader = Reader(pool=pool)
    async with running(reader.consumer(installation.settings)):
        await installation.send(0, 10, lambda _: b"one")
        await claimed(reader, numbers(0, 10))
    await installation.send(10, 10, lambda _: b"one")
    (partition,) = [p for p, n in (await stored_offsets(pool, "mailer", EVENTS, range(6))).items() if n == 10]
    async with admin(servers.kafka) as client:
        await client.delete_records({TopicPartition(prefix + EVENTS, partition): RecordsToDelete(before_offset=15)})
    async with running(reader.consumer(installation.settings)):
        await claimed(reader, numbers(0, 10) | numbers(15, 20))
    assert await gaps(pool) == [(10, 15, "expired")]
    assert metrics.gap_noticed.labels(EVENTS, GROUP)._value.get() > 0


@pytest.mark.parametrize("stored", [True, False])
async def test_a_topic_made_anew_is_read_from_its_beginning(
    installation: Installation, pool: Pool, servers: Servers, prefix: str, *, stored: bool
) -> None:
    reader = Reader(pool=pool if stored else None)
    async with running(reader.consumer(installation.settings)):
        await installation.send(0, 30, lambda _: b"one")
        await until(lambda: set(reader.handled) == numbers(0, 30))
    async with admin(servers.kafka) as client:
        await client.delete_topics([prefix + EVENTS])
    async with asyncio.timeout(30):
        while True:
            try:
                if await apply_topics(servers.kafka, prefix, 1):
                    break
            except RuntimeError:
                await asyncio.sleep(0.2)
    anew = Installation(servers.kafka, prefix)
    await anew.send(100, 5, lambda _: b"one")
    async with running(reader.consumer(installation.settings)):
        await until(lambda: numbers(100, 105) <= set(reader.handled))
    await anew.producer.close()
    if stored:
        assert await gaps(pool) == [(5, 30, "log_went_back")]


# --- the suite of stored offsets: the memory ones of the model obey it too ------------------------------------------


@pytest.mark.parametrize("kept", ["postgres", "memory"])
async def test_offsets_are_taken_where_they_stand_and_nowhere_else(pool: Pool, kept: str) -> None:
    world = World()
    offsets = StoredOffsets(pool, "mailer", EVENTS, GROUP) if kept == "postgres" else MemoryOffsets(world)
    assert await offsets.stored([0, 1]) == {0: None, 1: None}
    with pytest.raises(Elsewhere) as unknown:
        await offsets.advance(0, 0, 1)
    assert unknown.value.stored == {0: None}
    assert await offsets.find({0: Extent(0, 9), 1: Extent(4, 9)}) == {0: 0, 1: 4}
    await offsets.advance(0, 0, 7)
    for since in (0, 8):
        with pytest.raises(Elsewhere) as moved:
            await offsets.advance(0, since, 9)
        assert moved.value.stored == {0: 7}
    assert await offsets.find({0: Extent(0, 9)}) == {0: 7}
    assert await offsets.find({0: Extent(8, 9)}) == {0: 8}
    assert await offsets.find({0: Extent(2, 6)}) == {0: 2}
    assert await offsets.stored([0, 1]) == {0: 2, 1: 4}
    written = await gaps(pool) if kept == "postgres" else [gap[1:] for gap in world.base.gaps]
    assert written == [(0, 4, "expired"), (7, 8, "expired"), (6, 8, "log_went_back")]


async def test_offsets_of_a_batch_that_is_rolled_back_stay(pool: Pool) -> None:
    offsets = StoredOffsets(pool, "mailer", EVENTS, GROUP)
    await offsets.find({0: Extent(0, 9), 1: Extent(0, 9)})
    batch = [Record(EVENTS, p, n, b"", b"", (), 0) for p in (0, 1) for n in range(3)]

    async def fail() -> None:
        async with transaction(pool) as connection:
            await take_offsets(connection, "mailer", EVENTS, batch)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await offsets.stored([0, 1]) == {0: 0, 1: 0}
    async with transaction(pool) as connection:
        await take_offsets(connection, "mailer", EVENTS, batch)
    assert await offsets.stored([0, 1]) == {0: 3, 1: 3}


async def test_two_processes_with_the_same_batch_take_it_once(pool: Pool) -> None:
    offsets = StoredOffsets(pool, "mailer", EVENTS, GROUP)
    await offsets.find({0: Extent(0, 9)})
    batch = [Record(EVENTS, 0, n, b"", b"", (), 0) for n in range(3)]
    taken = 0

    async def take() -> None:
        nonlocal taken
        async with transaction(pool) as connection:
            await take_offsets(connection, "mailer", EVENTS, batch)
            await asyncio.sleep(0.2)
            taken += 1

    outcomes = await asyncio.gather(take(), take(), return_exceptions=True)
    assert taken == 1
    assert [type(outcome) for outcome in outcomes if outcome] == [Elsewhere]
