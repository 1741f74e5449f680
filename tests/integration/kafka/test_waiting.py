"""Records that cannot be handled, and servers that are away, on a real broker: who waits, who goes on, how often."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from aiokafka.errors import CommitFailedError

from shared import metrics
from shared.failures import NewerWriter, Permanent, Transient
from shared.health import STUCK_SECONDS
from shared.kafka import batches
from shared.kafka.consumer import CommitsRefused, Consumer
from shared.kafka.offsets import Extent
from shared.kafka.record import Record
from shared.kafka.stored_offsets import StoredOffsets
from shared.postgres import Pool
from shared.topics import EVENTS, GROUPS
from tests.integration.kafka.installation import Installation, Reader, numbers, running, until

GROUP = GROUPS["mailer"][0]
SHORT = 3.0
MAX_POLL_SECONDS = 300  # aiokafka's and Kafka's default
MOST_TRIES = 40
"""In three seconds, of one partition, halving included: 0.1 s, doubled each time."""


def one_key(_: int) -> bytes:
    return b"one"


def lag(consumer: Consumer) -> float:
    """Over all partitions, as exported; `consumer` names the group."""
    found = metrics.position_lag.collect()
    return sum(s.value for metric in found for s in metric.samples if s.labels["group"] == consumer.group)


@pytest.mark.parametrize("stored", [True, False])
async def test_a_record_of_a_newer_writer_holds_its_partition_until_the_roll_out(
    installation: Installation, pool: Pool, *, stored: bool
) -> None:
    """Those behind it are not passed, other partitions go on, and after the roll-out nothing is missing."""
    await installation.send(0, 7, one_key)
    await installation.send(100, 60)
    using = pool if stored else None
    old = Reader(lambda r: NewerWriter("a value") if r.value == b"3" else None, using)
    async with running(old.consumer(installation.settings)):
        await until(lambda: numbers(0, 3) <= set(old.handled) and len(old.handled) > 3 + 30)
        assert not numbers(3, 7) & set(old.handled)
    new = Reader(pool=using)
    async with running(new.consumer(installation.settings)):
        await until(lambda: set(new.handled) | set(old.handled) == numbers(0, 7) | numbers(100, 160))
    assert old.aside == new.aside == []


async def test_the_fuse_that_opens_on_the_first_records_closes_when_good_ones_come(
    installation: Installation, pool: Pool
) -> None:
    """Each bad record is set aside once, none of the good ones is."""
    await installation.send(0, 49)
    bad = {b"%d" % n for n in range(49) if n < 30}
    reader = Reader(lambda r: Permanent("decoding") if r.value in bad else None, pool)
    consumer = reader.consumer(installation.settings)
    consumer.batches.policy.fuse.pause = 0.2
    async with running(consumer):
        await until(lambda: consumer.batches.policy.fuse.open)
        await until(lambda: len(reader.aside) + len(reader.handled) >= 49, 60)
        assert not consumer.batches.policy.fuse.open
    assert sorted(reader.aside) == sorted(bad)
    assert set(reader.handled) == numbers(30, 49)


async def test_while_the_fuse_is_open_one_record_is_tried_a_pause(installation: Installation) -> None:
    await installation.send(0, 60)
    broken = True
    reader = Reader(lambda _: Permanent("decoding") if broken else None)
    consumer = reader.consumer(installation.settings)
    consumer.batches.policy.fuse.pause = 0.5
    async with running(consumer):
        await until(lambda: consumer.batches.policy.fuse.open)
        aside = len(reader.aside)
        assert aside < 10
        await asyncio.sleep(1.8)
        assert aside < len(reader.aside) <= aside + 4
        broken = False
        await until(lambda: set(reader.handled) | set(reader.aside) == numbers(0, 60))
    assert len(reader.aside) == len(set(reader.aside))


@pytest.mark.parametrize("stored", [True, False])
async def test_a_transient_fault_tried_apart_backs_off_and_its_neighbours_are_handled_once(
    installation: Installation, pool: Pool, *, stored: bool
) -> None:
    """As one missing object among 61 mails."""
    await installation.send(0, 61)
    reader = Reader(lambda r: OSError("no such object") if r.value == b"30" else None, pool if stored else None)
    async with running(reader.consumer(installation.settings)):
        await asyncio.sleep(SHORT)
        assert reader.tries < MOST_TRIES
        await until(lambda: len(reader.handled) > 40)
        reader.fault = lambda _: None
        await until(lambda: set(reader.handled) == numbers(0, 61))
    assert len(reader.handled) == 61, "nothing is handled again while one record waits"


async def test_setting_aside_that_fails_backs_off_says_so_and_goes_on(
    installation: Installation, pool: Pool, caplog: pytest.LogCaptureFixture
) -> None:
    class Away(Reader):
        away = True
        asked = 0

        async def set_aside(self, record: Record, error: BaseException) -> None:
            self.asked += 1
            if self.away:
                raise Transient("no broker")
            await super().set_aside(record, error)

    await installation.send(0, 10, one_key)
    reader = Away(lambda r: Permanent("decoding") if r.value == b"4" else None, pool)
    async with running(reader.consumer(installation.settings)):
        await until(lambda: reader.asked > 0)
        await asyncio.sleep(SHORT)
        assert reader.asked < 10
        assert [r.getMessage() for r in caplog.records if "waits and is tried again" in r.getMessage()]
        assert set(reader.handled) == numbers(0, 4), "what lies before it is done, nothing behind it"
        reader.away = False
        await until(lambda: set(reader.handled) == numbers(0, 10) - {b"4"})
    assert reader.aside == [b"4"]
    async with running(reader.consumer(installation.settings)):
        await installation.send(10, 1, one_key)
        await until(lambda: b"10" in reader.handled)
    assert reader.aside == [b"4"], "its offset was stored with it"


async def test_a_database_away_when_offsets_are_looked_up_is_asked_with_pauses_and_said_once(
    installation: Installation, pool: Pool, caplog: pytest.LogCaptureFixture
) -> None:
    class Away(StoredOffsets):
        asked = 0
        away = True

        async def find(self, extents: Mapping[int, Extent]) -> Mapping[int, int]:
            Away.asked += 1
            if Away.away:
                raise ConnectionRefusedError
            return await super().find(extents)

    await installation.send(0, 20)
    reader = Reader(pool=pool)
    reader.offsets = Away(pool, "mailer", EVENTS, GROUP)
    caplog.set_level(logging.WARNING, "shared.kafka")
    async with running(reader.consumer(installation.settings)):
        await until(lambda: Away.asked > 0)
        await asyncio.sleep(SHORT)
        assert Away.asked < MOST_TRIES
        assert 0 < len([r for r in caplog.records if "offset is looked up" in r.getMessage()]) <= 2 * 6
        Away.away = False
        await until(lambda: set(reader.handled) == numbers(0, 20))


async def test_liveness_moves_and_the_lag_is_told_while_a_store_hangs(
    installation: Installation, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Hanging(Reader):
        hangs = True

        async def handle(self, records: Sequence[Record]) -> None:
            if self.hangs:
                self.tries += 1
                await asyncio.Event().wait()
            await super().handle(records)

    monkeypatch.setattr("shared.kafka.batches.ATTEMPT_SECONDS", 1.0)
    monkeypatch.setattr("shared.kafka.consumer.MEASURE_SECONDS", 0.2)
    await installation.send(0, 20)
    reader = Hanging(pool=pool)
    consumer = reader.consumer(installation.settings)
    async with running(consumer):
        await until(lambda: reader.tries == 1)
        await until(lambda: lag(consumer) == 20)
        progress = consumer.last_progress
        await until(lambda: reader.tries >= 3)
        assert consumer.last_progress > progress
        assert lag(consumer) == 20
        reader.hangs = False
        await until(lambda: set(reader.handled) == numbers(0, 20))
        await until(lambda: lag(consumer) == 0)


async def test_a_handler_that_says_it_moves_is_given_more_time_up_to_a_limit(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Long(Reader):
        steps = 4

        async def handle(self, records: Sequence[Record]) -> None:
            self.tries += 1
            for _ in range(self.steps):
                await asyncio.sleep(0.25)
                consumer.batches.progress()
            await super().handle(records)

    monkeypatch.setattr("shared.kafka.batches.ATTEMPT_SECONDS", 0.5)
    monkeypatch.setattr("shared.kafka.batches.LONGEST_ATTEMPT_SECONDS", 2.0)
    await installation.send(0, 5, one_key)
    reader = Long()
    consumer = reader.consumer(installation.settings)
    async with running(consumer):
        await until(lambda: set(reader.handled) == numbers(0, 5))
        assert reader.tries == 2, "its own count and that of the reader it is built on: one attempt"
        reader.steps = 1000
        await installation.send(5, 5, one_key)
        await until(lambda: reader.tries >= 5)
        reader.steps = 0
        await until(lambda: set(reader.handled) == numbers(0, 10))


def test_an_attempt_is_given_up_before_the_probe_gives_up_the_process() -> None:
    assert batches.ATTEMPT_SECONDS + batches.FIND_SECONDS + batches.COMMIT_SECONDS < STUCK_SECONDS
    assert batches.LONGEST_ATTEMPT_SECONDS + batches.RUN_SECONDS + batches.COMMIT_SECONDS < MAX_POLL_SECONDS


async def test_a_refused_commit_brings_the_batch_again_and_three_end_the_process(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = Reader()
    consumer = reader.consumer(installation.settings)
    async with running(consumer):
        await installation.send(0, 5, one_key)
        await until(lambda: set(reader.handled) == numbers(0, 5))
        commit = consumer.consumer.commit
        refusals = 1

        async def refuse(*offsets: Any) -> None:
            nonlocal refusals
            if refusals:
                refusals -= 1
                raise CommitFailedError
            await commit(*offsets)

        monkeypatch.setattr(consumer.consumer, "commit", refuse)
        await installation.send(5, 5, one_key)
        await until(lambda: reader.handled.count(b"5") == 2)
        assert reader.fatal == []
        refusals = 2
        await installation.send(10, 1, one_key)
        await until(lambda: b"10" in reader.handled)
        await until(lambda: refusals == 0)
        assert isinstance(reader.fatal[0], CommitsRefused)
