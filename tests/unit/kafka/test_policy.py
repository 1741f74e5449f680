"""The failure policy as a table of situations: what the handler does, what becomes of each record."""

import asyncio
from collections.abc import Callable, Sequence

import pytest

from shared.failures import NewerWriter, Permanent, Transient, backoff, describe
from shared.kafka.policy import BatchFailed, Policy
from shared.kafka.record import Record


def record(offset: int, partition: int = 0) -> Record:
    return Record("mail.received.v1", partition, offset, b"k", b"v", (("from", b"%d.example" % offset),), 0)


class Clock:
    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


class Desk:
    """Handles records as told; remembers what was done, tried and set aside."""

    def __init__(self, fault: Callable[[Record], BaseException | None], clock: Clock | None = None) -> None:
        self.fault = fault
        self.done: list[int] = []
        self.tries: list[list[int]] = []
        self.aside: list[tuple[int, str]] = []
        self.clock = clock or Clock()
        self.stop = asyncio.Event()
        self.policy = Policy(
            "mail.received.v1",
            "carteiro-dispatcher-received",
            self.handle,
            self.set_aside,
            lambda r: r.header("from").decode(),
            self.stop,
            now=self.clock,
            retry_seconds=0.3,
        )

    async def handle(self, records: Sequence[Record]) -> None:
        self.tries.append([r.offset for r in records])
        self.clock.time += 0.1
        for r in records:
            error = self.fault(r)
            if error is not None:
                raise error
        self.done += [r.offset for r in records]

    async def set_aside(self, record: Record, error: BaseException) -> None:
        self.aside.append((record.offset, describe(error)))


class DataFault(Exception):
    sqlstate = "22021"
    column_name = "subject"


class Deadlock(Exception):
    sqlstate = "40P01"


def bad(*offsets: int, error: BaseException | None = None) -> Callable[[Record], BaseException | None]:
    return lambda r: (error or Permanent("decoding", "$.size")) if r.offset in offsets else None


async def test_a_good_batch_is_handled_once_and_whole() -> None:
    desk = Desk(bad())
    await desk.policy.run([record(n) for n in range(8)])
    assert desk.tries == [list(range(8))]
    assert desk.aside == []


async def test_one_poison_record_is_set_aside_and_the_rest_goes_on_in_order() -> None:
    desk = Desk(bad(5))
    await desk.policy.run([record(n) for n in range(8)])
    assert desk.done == [0, 1, 2, 3, 4, 6, 7]
    assert desk.aside == [(5, "Permanent $.size")]


async def test_what_the_database_proves_by_its_sqlstate_is_permanent_and_named_without_a_value() -> None:
    desk = Desk(bad(1, error=DataFault("the secret value")))
    await desk.policy.run([record(0), record(1)])
    assert desk.aside == [(1, "DataFault sqlstate=22021 column_name=subject")]


async def test_a_transient_fault_is_retried_within_the_batch_and_then_the_batch_comes_again() -> None:
    desk = Desk(bad(2, error=Transient("database away")))
    with pytest.raises(BatchFailed):
        await desk.policy.run([record(n) for n in range(4)])
    assert len(desk.tries) > 1
    assert all(tried == [0, 1, 2, 3] for tried in desk.tries)
    assert desk.aside == []


async def test_a_deadlock_is_repeated_at_once() -> None:
    faults = [Deadlock(), None]
    desk = Desk(lambda _: faults.pop(0) if faults else None)
    await desk.policy.run([record(0)])
    assert desk.tries == [[0], [0]]
    assert desk.done == [0]


async def test_the_stop_signal_ends_the_back_off_at_once() -> None:
    desk = Desk(bad(0, error=Transient("away")))
    desk.policy.retry_seconds = 3600
    task = asyncio.create_task(desk.policy.run([record(0)]))
    async with asyncio.timeout(5):
        while not desk.tries:
            await asyncio.sleep(0)
        desk.stop.set()
        with pytest.raises(BatchFailed):
            await task


async def again(desk: Desk, records: list[Record], step: float) -> None:
    """The batch comes again, `step` seconds later."""
    desk.clock.time += step
    try:
        await desk.policy.run(records)
    except BatchFailed:
        return


async def test_a_fault_that_stays_with_one_record_while_others_pass_becomes_permanent_after_15_minutes() -> None:
    desk = Desk(bad(3, error=KeyError("bug")))
    batch = [record(n) for n in range(6)]
    for _ in range(8):
        await again(desk, batch, 120)
        assert desk.aside == []
    await again(desk, batch, 120)
    assert desk.aside == [(3, "KeyError")]


async def test_an_outage_of_any_length_makes_no_dead_letter() -> None:
    desk = Desk(lambda _: OSError("away"))
    for _ in range(40):
        await again(desk, [record(n) for n in range(6)], 120)
    assert desk.aside == []


async def test_a_record_of_a_newer_writer_waits_for_ever() -> None:
    desk = Desk(bad(3, error=NewerWriter("action=forward")))
    for _ in range(40):
        await again(desk, [record(n) for n in range(6)], 120)
    assert desk.aside == []
    assert {0, 1, 2, 4, 5} <= set(desk.done), "the others get their turn meanwhile"


async def test_the_fuse_opens_when_most_records_are_bad_and_closes_with_the_first_good_one() -> None:
    broken = True
    desk = Desk(lambda _: Permanent("decoding") if broken else None)
    batch = [record(n) for n in range(20)]
    with pytest.raises(BatchFailed):
        await desk.policy.run(batch)
    assert desk.policy.fuse.open
    assert len(desk.aside) == 5
    with pytest.raises(BatchFailed):
        await desk.policy.run(batch[5:])
    assert len(desk.aside) == 6, "while it is open one record is tried"
    broken = False
    with pytest.raises(BatchFailed):
        await desk.policy.run(batch[6:])
    assert not desk.policy.fuse.open
    await desk.policy.run(batch[6:])
    assert desk.done[-14:] == list(range(6, 20))


async def test_many_bad_mails_of_one_sender_do_not_open_the_fuse() -> None:
    desk = Desk(lambda _: Permanent("decoding"))
    desk.policy.origin_of = lambda _: "one.example"
    await desk.policy.run([record(n) for n in range(20)])
    assert len(desk.aside) == 20


@pytest.mark.parametrize(("attempt", "least", "most"), [(1, 0.05, 0.1), (4, 0.4, 0.8), (50, 5.0, 10.0)])
def test_the_back_off_doubles_jitters_and_is_capped(attempt: int, least: float, most: float) -> None:
    assert backoff(attempt, 0.0) == pytest.approx(least)
    assert backoff(attempt, 1.0) == pytest.approx(most)
