"""The failure policy as a table of situations: the records, what becomes of each, and how often it is tried."""

import copy
import logging

import pytest

from shared.failures import Permanent, backoff, describe
from shared.kafka.batches import AGAIN_TIMES, RUN_SECONDS
from shared.kafka.offsets import Extent, Gap, place
from shared.kafka.policy import FUSE_SECONDS, STUCK_SECONDS, Failure, Fault, Policy, Word
from shared.kafka.record import Record
from tests.unit.kafka.world import BUG, GOOD, NEWER, POISON, SLOW, World


def numbers(*records: int, partition: int = 0) -> set[tuple[int, int]]:
    return {(partition, record) for record in records}


async def test_a_good_batch_is_handled_in_one_call_over_all_partitions() -> None:
    world = World()
    for partition in range(3):
        world.send(partition, GOOD, GOOD)
    await world.live(1)
    assert world.tries == [6]
    assert world.base.offsets == {0: 2, 1: 2, 2: 2} == world.committed


async def test_one_poison_record_is_set_aside_and_the_rest_goes_on_in_order() -> None:
    world = World()
    world.send(0, *[GOOD] * 5, POISON, GOOD, GOOD)
    world.send(1, GOOD)
    await world.live(1)
    assert set(world.letters) == numbers(5)
    assert world.base.handled == numbers(0, 1, 2, 3, 4, 6, 7) | numbers(0, partition=1)
    assert len(world.tries) < 15
    assert world.base.offsets[0] == 8


async def test_what_is_behind_a_record_that_waits_is_not_passed_and_others_go_on() -> None:
    world = World()
    world.newer_unknown = True
    world.send(0, GOOD, GOOD, NEWER, GOOD)
    world.send(1, GOOD, GOOD)
    for _ in range(60):
        await world.live(60)
        world.send(2, GOOD)
    await world.live(1)
    assert world.base.offsets == {0: 2, 1: 2, 2: 60} == world.committed
    assert not world.letters
    world.newer_unknown = False
    await world.live(15)
    assert world.missing() == []


async def test_a_transient_fault_backs_off_is_said_once_and_is_told_when_it_is_over() -> None:
    world = World()
    world.send(0, GOOD, GOOD)
    world.base_away = True
    await world.live(60)
    world.base_away = False
    await world.live(15)
    assert world.missing() == []
    assert 0 < world.failures.total() < 20
    assert [word for word, partition in world.said if partition == 0] == [
        Word.LOST,
        Word.FOUND,
        Word.GOES_ON,
    ]


async def test_a_database_that_fails_with_records_in_hand_is_said_once_for_each_partition() -> None:
    world = World()
    await world.live(1)
    world.base_away = True
    world.send(0, GOOD, GOOD)
    await world.live(60)
    assert [word for word, _ in world.said] == [Word.WAITS, Word.HELD]
    world.base_away = False
    await world.live(15)
    assert world.said[-1] == (Word.GOES_ON, 0)
    assert world.missing() == []


async def test_a_deadlock_is_repeated_at_once_but_not_for_ever() -> None:
    world = World()
    world.deadlocks = AGAIN_TIMES
    world.send(0, GOOD)
    await world.live(0.05)
    assert world.missing() == []
    assert world.said == []
    world.deadlocks = AGAIN_TIMES + 1
    world.send(0, GOOD)
    await world.live(0.05)
    assert world.said == [(Word.WAITS, 0), (Word.HELD, 0)]


async def test_a_fault_that_stays_with_one_record_while_others_pass_becomes_permanent_after_15_minutes() -> None:
    world = World()
    world.send(0, GOOD, BUG, GOOD)
    for second in range(0, int(STUCK_SECONDS) + 120, 30):
        assert not world.letters or second > STUCK_SECONDS
        world.send(1, GOOD)
        await world.live(30)
    assert set(world.letters) == numbers(1)
    assert world.missing() == []


async def test_a_record_of_a_newer_writer_waits_however_long_others_pass() -> None:
    world = World()
    world.newer_unknown = True
    world.send(0, GOOD, NEWER, GOOD)
    for _ in range(0, int(STUCK_SECONDS) + 300, 30):
        world.send(1, GOOD)
        await world.live(30)
    assert not world.letters
    assert world.base.offsets[0] == 1


async def test_a_fault_of_one_record_while_nobody_else_is_served_waits() -> None:
    world = World()
    world.send(0, BUG, GOOD)
    world.send(1, GOOD)
    await world.live(3 * STUCK_SECONDS)
    assert not world.letters


async def test_an_outage_of_any_length_makes_no_dead_letter_nor_does_the_moment_after_it() -> None:
    world = World()
    for partition in range(3):
        world.send(partition, GOOD, GOOD)
    await world.live(0.003)
    world.base_away = True
    await world.live(4 * STUCK_SECONDS)
    for _ in range(5):  # it comes and goes
        world.base_away = not world.base_away
        world.send(0, GOOD)
        await world.live(7)
    world.base_away = False
    await world.live(15)
    assert not world.letters
    assert world.missing() == []


async def test_the_fuse_opens_when_most_records_are_bad_and_one_is_tried_a_minute_from_different_partitions() -> None:
    world = World()
    for partition in range(3):
        world.send(partition, *[POISON] * 10)
    await world.live(1)
    assert world.members[0].batches.policy.fuse.open
    aside = world.letters.total()
    assert aside == 5
    await world.live(6 * FUSE_SECONDS + 1)
    later = [where for where in world.asides if world.asides[where] and where[1] >= 0][aside:]
    assert len(later) == 6
    assert len({partition for partition, _ in later}) == 3
    assert max(world.asides.values()) == 1


async def test_the_first_record_that_succeeds_closes_the_fuse() -> None:
    world = World()
    world.send(0, *[POISON] * 7, *[GOOD] * 30)
    world.send(1, GOOD)
    await world.live(1)
    world.send(0, *[GOOD] * 5)
    await world.live(10 * FUSE_SECONDS)
    assert world.missing() == []
    assert set(world.letters) == numbers(*range(7))
    assert not world.members[0].batches.policy.fuse.open


async def test_many_bad_mails_of_one_sender_do_not_open_the_fuse() -> None:
    world = World()
    world.members[0].batches.origin_of = lambda _: "one.example"
    world.send(0, *[POISON] * 20)
    await world.live(5)
    assert len(world.letters) == 20


async def test_setting_aside_that_fails_waits_and_passes_nothing() -> None:
    world = World()
    world.aside_fails = True
    world.send(0, GOOD, POISON, GOOD)
    await world.live(600)
    assert world.base.offsets[0] == 1
    assert world.failures.total() < 100
    world.aside_fails = False
    await world.live(15)
    assert world.missing() == []
    assert world.asides[0, 1] == 1


async def test_a_dead_letter_whose_offset_was_not_stored_is_the_same_letter_again() -> None:
    world = World()
    world.send(0, POISON, GOOD)
    member = world.members[0]
    advance, calls = member.offsets.advance, 0

    async def dies(partition: int, since: int, to: int) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise OSError
        await advance(partition, since, to)

    member.offsets.advance = dies  # type: ignore[method-assign]
    await world.live(5)
    assert world.asides == {(0, 0): 2}
    assert world.missing() == []


async def test_a_partition_that_hangs_takes_no_more_than_half_of_the_time() -> None:
    world = World()
    policy = world.members[0].batches.policy
    await world.live(1)
    policy.failed({0: 2}, Failure(Fault.OTHER, "TimeoutError", took=40), world.time, 0.5)
    assert policy.lanes[0].due - world.time == 40


async def test_slow_batches_go_on_after_the_poll_that_the_group_waits_for() -> None:
    world = World()
    world.send(0, *[POISON if n % 2 else SLOW for n in range(300)])
    world.members[0].batches.origin_of = lambda _: "one.example"
    world.fetch = 300
    await world.live(400)
    assert world.missing() == []
    assert world.longest_run < RUN_SECONDS + 5


async def test_a_database_that_goes_back_while_nothing_comes_is_noticed() -> None:
    world = World()
    world.send(0, GOOD, GOOD)
    await world.live(10)
    copied = copy.deepcopy(world.base)
    world.send(0, GOOD, GOOD)
    for _ in range(2):
        await world.live(10)
        world.restore(copied)
    await world.live(10)
    assert world.missing() == []


async def test_a_batch_that_was_fetched_before_its_partitions_were_sought_elsewhere_is_dropped() -> None:
    world = World()
    world.send(0, GOOD, GOOD)
    await world.live(0.003)
    member = world.members[0]
    world.send(0, GOOD, GOOD)
    records = [Record("topic", 0, n, b"", GOOD, (), 0) for n in (2, 3)]
    await member.batches.run(records, stale=lambda: True)
    assert world.base.offsets[0] == 2
    assert member.positions[0] == 2
    await world.live(1)
    assert world.missing() == []


async def test_every_attempt_is_progress() -> None:
    world = World()
    touched: list[int] = []
    world.members[0].batches.touch = lambda: touched.append(1)
    world.send(0, *[GOOD] * 5, POISON, GOOD, GOOD)
    await world.live(1)
    assert len(touched) == len(world.tries) > 5


async def test_a_commit_that_is_refused_brings_back_what_it_would_have_committed() -> None:
    world = World(database=False)
    world.send(0, GOOD)
    await world.live(1)
    world.members[0].zombie = True
    world.send(0, GOOD)
    await world.live(1)
    world.members[0].zombie = False
    await world.live(15)
    assert world.published[0, 1] == 2
    assert world.committed[0] == 2


async def test_what_retention_takes_while_a_record_waits_is_written_down() -> None:
    world = World()
    world.newer_unknown = True
    world.send(0, GOOD, NEWER, *[GOOD] * 5)
    await world.live(60)
    world.expire(0, 4)
    world.newer_unknown = False
    await world.live(60)
    assert world.base.gaps == [Gap(0, 1, 4, "expired")]
    assert world.passed() == world.missing() == []


async def test_offsets_that_no_record_has_are_passed() -> None:
    world = World()
    world.send(0, *[GOOD] * 5)
    world.holes[0] |= {1, 2}
    await world.live(5)
    assert world.base.offsets[0] == 5
    assert world.base.gaps == []


async def test_a_batch_that_the_database_has_done_in_part_is_handled_from_there() -> None:
    world = World()
    await world.live(1)
    world.send(0, *[GOOD] * 4)
    world.send(1, GOOD)
    world.base.offsets[0] = 2  # the work of another process
    world.base.handled |= numbers(0, 1)
    await world.live(0.01)
    assert world.missing() == []
    assert world.tries == [5, 3]


async def test_stopping_ends_a_run_after_the_attempt_in_hand_and_nothing_is_read_any_more() -> None:
    world = World()
    world.send(0, *[POISON] * 8)
    batches = world.members[0].batches
    set_aside = batches.set_aside

    async def stops(record: Record, error: BaseException) -> None:
        await set_aside(record, error)
        batches.stop.set()

    batches.set_aside = stops
    await world.live(5)
    assert world.base.offsets[0] == world.committed[0] == 1
    assert world.members[0].paused == {0, 1, 2}


@pytest.mark.parametrize(
    ("stored", "extent", "offset", "gap"),
    [
        (None, Extent(0, 10), 0, None),
        (None, Extent(4, 10), 4, Gap(0, 0, 4, "expired")),
        (7, Extent(0, 10), 7, None),
        (10, Extent(10, 10), 10, None),
        (7, Extent(8, 10), 8, Gap(0, 7, 8, "expired")),
        (11, Extent(3, 10), 3, Gap(0, 10, 11, "log_went_back")),
    ],
)
def test_a_partition_is_read_on_where_it_stands(
    stored: int | None, extent: Extent, offset: int, gap: Gap | None
) -> None:
    assert place(0, stored, extent) == (offset, gap)


def test_a_fuse_whose_turn_brings_no_record_asks_the_others_again() -> None:
    policy = Policy(lambda *_: None)
    policy.assign([0, 1], 0)
    for lane in policy.starting(0):
        policy.found(lane, 0)
    for n in range(5):
        policy.put_aside(0, n + 1, str(n), 0)
    assert policy.paused() == {0, 1}
    policy.wake(60)
    assert policy.next_try({0: 3}, 61) == {0: 1}
    policy.wake(121)
    assert policy.paused() == {0}, "partition 1 has its turn"
    policy.wake(182)
    assert policy.paused() == set(), "it had no record: both are asked"
    assert policy.next_try({0: 3, 1: 1}, 182) == {0: 1}
    assert policy.next_try({0: 3, 1: 1}, 182) == {}, "one a minute"


@pytest.mark.parametrize(("attempt", "least", "most"), [(1, 0.05, 0.1), (4, 0.4, 0.8), (50, 5.0, 10.0)])
def test_the_back_off_doubles_jitters_and_is_capped(attempt: int, least: float, most: float) -> None:
    assert backoff(attempt, 0.0) == pytest.approx(least)
    assert backoff(attempt, 1.0) == pytest.approx(most)


class DataFault(Exception):
    sqlstate = "22021"
    column_name = "subject"


def test_a_cause_names_the_field_and_never_a_value() -> None:
    assert describe(DataFault("the secret value")) == "DataFault sqlstate=22021 column_name=subject"
    assert describe(Permanent("decoding", "$.size")) == "Permanent $.size"


async def test_what_is_said_stands_in_the_log_with_its_place(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "shared.kafka")
    world = World()
    await world.live(1)
    world.base_away = True
    world.send(1, GOOD)
    await world.live(1)
    (waits,) = [r for r in caplog.records if r.getMessage().startswith("a partition waits")]
    extra = waits.__dict__
    assert "partition" in str(extra)
    assert "OSError" in str(extra)
