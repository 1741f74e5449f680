"""What becomes of records that are not handled: a state machine for each partition, a fuse over all of them. Pure.

A partition stands at `next`, the first record that is neither handled nor set aside. Nothing behind it is passed.

| state    | what happens                                     | becomes                  | pause before it goes on |
|----------|--------------------------------------------------|--------------------------|-------------------------|
| STARTING | where it stands was found                        | FLOWING                  |                         |
|          | it could not be found                            | STARTING                 | back-off                |
| FLOWING  | handled, in one call with the others             | FLOWING                  |                         |
|          | a fault that the data proves                     | APART, all of it or half | none: halving ends      |
|          | any other fault                                  | WAITING                  | back-off                |
| APART    | handled, and no more at hand                     | FLOWING                  |                         |
|          | handled, and more at hand                        | APART, twice as many     |                         |
|          | proven fault of several records                  | APART, half as many      | none: halving ends      |
|          | proven fault of one record                       | APART, it is set aside   |                         |
|          | any other fault                                  | WAITING, half as many    | back-off                |
|          | one record's for 15 min, others were served      | APART, it is set aside   |                         |
|          | setting aside failed                             | WAITING                  | back-off                |
| WAITING  | the pause is over                                | APART                    |                         |
| any      | the stored offset is another, or a commit failed | STARTING                 | back-off                |

Back-off: 0.1 s, doubled to 10 s, jittered, and never shorter than what failed had taken, so that a partition that
hangs takes at most half of the time. A record of a newer writer is never set aside.

The fuse opens when more than half of the last 50 records are bad, at least 5 of them and from 3 origins (sender
domains or tickets): most likely the deployment is. All partitions are held then, and one record is tried every minute,
from each partition in turn; the first that succeeds closes it.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from typing import NamedTuple

from shared.failures import backoff

STUCK_SECONDS = 15 * 60.0
STUCK_PROOFS = 5
"""Failures of one record between which others were served: one could be the first moment after an outage."""
FUSE_WINDOW = 50
FUSE_LEAST_BAD = 5
FUSE_ORIGINS = 3
FUSE_SECONDS = 60.0


class State(StrEnum):
    STARTING = auto()
    FLOWING = auto()
    APART = auto()
    WAITING = auto()


class Fault(Enum):
    PROVEN = auto()  # by the data: no retry helps
    NEWER = auto()  # the record is of a newer writer
    OTHER = auto()


class Failure(NamedTuple):
    """`cause` for people; `took`: how long the attempt lasted, in seconds."""

    fault: Fault
    cause: str
    took: float = 0.0


class Word(StrEnum):
    """What is said, once for each change."""

    LOST = "offset_unknown"
    FOUND = "offset_found"
    WAITS = "partition_waits"
    HELD = "record_waits"
    GOES_ON = "partition_goes_on"
    FUSE_OPEN = "fuse_open"
    FUSE_CLOSED = "fuse_closed"


@dataclass
class Lane:
    """One partition."""

    partition: int
    due: float = 0.0  # STARTING, WAITING: nothing is tried before
    state: State = State.STARTING
    next: int = -1  # not known yet
    limit: int = 0  # APART: records tried at a time
    faults: int = 0  # in a row
    began: float = 0.0  # of the first of them
    cause: str = ""
    held: bool = False  # the record at `next` failed alone
    failed: float | None = None  # when it did last
    proofs: int = 0
    since: float = 0.0  # of the first proof
    hole: tuple[int, int] | None = None
    committed: int | None = None  # in Kafka


Say = Callable[[Word, Lane | None, str], None]
"""What is said, of which partition, and its cause."""


class Fuse:
    """Counts good and bad records. `turn`: the partitions of which one may be tried now."""

    def __init__(self, pause: float = FUSE_SECONDS) -> None:
        self.open = False
        self.pause = pause
        self.due = 0.0
        self.turn: set[int] = set()
        self._had: set[int] = set()
        self._last: deque[tuple[bool, str]] = deque(maxlen=FUSE_WINDOW)

    def good(self, count: int) -> bool:
        """True: it closes."""
        closes, self.open = self.open, False
        if closes:
            self._last.clear()
            self._had.clear()
        self._last.extend([(True, "")] * min(count, FUSE_WINDOW))
        return closes

    def bad(self, origin: str, now: float) -> bool:
        """True: it opens."""
        self._last.append((False, origin))
        origins = [name for good, name in self._last if not good]
        most = len(origins) >= FUSE_LEAST_BAD and len(origins) * 2 > len(self._last)
        if self.open or not most or len(set(origins)) < FUSE_ORIGINS:
            return False
        self.open = True
        self.due = now + self.pause
        return True

    def give_turn(self, partitions: set[int], now: float) -> None:
        """Those that did not have their turn yet. Had none of them a record, all may be asked again."""
        if self.turn:
            self._had.clear()
        self.turn = partitions - self._had
        if not self.turn:
            self._had.clear()
            self.turn = set(partitions)
        self.due = now + self.pause

    def take_turn(self, partitions: Iterable[int], now: float) -> int | None:
        for partition in partitions:
            if partition in self.turn:
                self._had.add(partition)
                self.turn = set()
                self.due = now + self.pause
                return partition
        return None


class Policy:
    """The partitions of one consumer. Times are of one monotonic clock, in seconds; `rand` (0..1) jitters."""

    def __init__(self, say: Say) -> None:
        self.lanes: dict[int, Lane] = {}
        self.fuse = Fuse()
        self._say = say
        self._served = float("-inf")

    # --- which partitions, and where they stand ------------------------------------------------------------------

    def assign(self, partitions: Iterable[int], now: float) -> None:
        """In place of those of before."""
        self.lanes = {partition: Lane(partition, now) for partition in partitions}

    def starting(self, now: float) -> list[Lane]:
        """Those whose offset is to be found now."""
        return [lane for lane in self.lanes.values() if lane.state is State.STARTING and lane.due <= now]

    def found(self, lane: Lane, offset: int) -> None:
        if lane.state is not State.STARTING:
            return
        if offset != lane.next:
            self._forget_fault(lane)
        lane.state, lane.next, lane.committed = State.FLOWING, offset, None
        if lane.faults > 1:
            self._say(Word.FOUND, lane, "")

    def lost(self, partition: int, cause: str, now: float, rand: float, took: float = 0.0) -> None:
        """It does not stand where it was thought to, or that cannot be found out."""
        lane = self.lanes.get(partition)
        if lane is None:
            return
        self._pause(lane, State.STARTING, took, now, rand)
        if lane.faults == 1 or (lane.faults == 2 and cause != lane.cause):
            self._say(Word.LOST, lane, cause)
        lane.cause = cause

    def begins(self, partition: int, first: int) -> bool:
        """May records of it that begin with this offset be handled?"""
        lane = self.lanes.get(partition)
        return lane is not None and lane.state in (State.FLOWING, State.APART) and lane.next == first

    def is_hole(self, partition: int, first: int) -> bool:
        """The second time that the log, sought where the partition stands, gives a later record: there is none
        between. The first time the partition starts anew; what retention has taken is found out there."""
        lane = self.lanes.get(partition)
        if lane is None or lane.state not in (State.FLOWING, State.APART) or first < lane.next:
            return False
        hole = (lane.next, first)
        seen, lane.hole = lane.hole == hole, hole
        return seen

    def passed(self, partition: int, offset: int) -> None:
        """Everything before `offset` is known to be done."""
        lane = self.lanes.get(partition)
        if lane is not None and lane.state is not State.STARTING:
            lane.next, lane.hole = offset, None
            self._forget_fault(lane)

    # --- records at hand -----------------------------------------------------------------------------------------

    def next_try(self, hand: Mapping[int, int], now: float) -> dict[int, int]:
        """Partition -> number of its records at hand to be handled now, in one call; empty: nothing."""
        ready = {p: n for p, n in hand.items() if n and p in self.lanes and self.lanes[p].state in _TRIED}
        if self.fuse.open:
            turn = self.fuse.take_turn(ready, now)
            return {} if turn is None else {turn: 1}
        flowing = {p: n for p, n in ready.items() if self.lanes[p].state is State.FLOWING}
        if flowing or not ready:
            return flowing
        partition, number = next(iter(ready.items()))
        return {partition: min(number, self.lanes[partition].limit)}

    def handled(self, tried: Mapping[int, int], ends: Mapping[int, int], hand: Mapping[int, int], now: float) -> None:
        """`ends`: the offset after the last record of each; `hand`: how many of each were at hand."""
        for partition, number in tried.items():
            lane = self.lanes.get(partition)
            if lane is None or lane.state is State.STARTING:
                continue
            if lane.faults:
                self._say(Word.GOES_ON, lane, "")
            lane.next, lane.faults = ends[partition], 0
            self._forget_fault(lane)
            if lane.state is State.APART:
                lane.limit *= 2
                lane.state = State.FLOWING if number == hand[partition] else State.APART
        self._served = now
        if self.fuse.good(sum(tried.values())):
            self._say(Word.FUSE_CLOSED, None, "")

    def failed(self, tried: Mapping[int, int], failure: Failure, now: float, rand: float) -> bool:
        """True: the one record that was tried is to be set aside."""
        alone = list(tried.values()) == [1]
        if alone and (failure.fault is Fault.PROVEN or self._is_its_own(next(iter(tried)), failure.fault, now)):
            return True
        for partition, number in tried.items():
            lane = self.lanes.get(partition)
            if lane is None or lane.state is State.STARTING:
                continue
            lane.limit = number if len(tried) > 1 else max(1, number // 2)
            if failure.fault is Fault.PROVEN:
                lane.state = State.APART
            else:
                self._wait(lane, failure, now, rand)
                if alone:
                    self._hold(lane, failure.cause, now)
        return False

    def put_aside(self, partition: int, offset: int, origin: str, now: float) -> None:
        """A record is a dead letter now; `offset` is the next one's."""
        lane = self.lanes.get(partition)
        if lane is not None and lane.state is not State.STARTING:
            lane.next, lane.faults, lane.state, lane.limit = offset, 0, State.APART, 1
            self._forget_fault(lane)
        if self.fuse.bad(origin, now):
            self._say(Word.FUSE_OPEN, None, "")

    def aside_failed(self, partition: int, failure: Failure, now: float, rand: float) -> None:
        lane = self.lanes.get(partition)
        if lane is not None and lane.state is not State.STARTING:
            lane.limit = 1
            self._wait(lane, failure, now, rand)

    # --- pauses --------------------------------------------------------------------------------------------------

    def wake(self, now: float) -> None:
        """Ends the pauses that are over."""
        for lane in self.lanes.values():
            if lane.state is State.WAITING and lane.due <= now:
                lane.state = State.APART
        if self.fuse.open and self.fuse.due <= now:
            self.fuse.give_turn({lane.partition for lane in self.lanes.values() if lane.state in _TRIED}, now)

    def paused(self) -> set[int]:
        """The partitions of which nothing may be read."""
        return {
            lane.partition
            for lane in self.lanes.values()
            if lane.state not in _TRIED or (self.fuse.open and lane.partition not in self.fuse.turn)
        }

    def next_due(self) -> float:
        """When the next pause ends; infinity: there is none."""
        ends = [lane.due for lane in self.lanes.values() if lane.state not in _TRIED]
        return min(ends + ([self.fuse.due] if self.fuse.open else []), default=float("inf"))

    def waiting_since(self) -> float | None:
        """When the partition began to wait that waits longest for its next record."""
        return min((lane.began for lane in self.lanes.values() if lane.faults), default=None)

    # --- inside --------------------------------------------------------------------------------------------------

    def _wait(self, lane: Lane, failure: Failure, now: float, rand: float) -> None:
        self._pause(lane, State.WAITING, failure.took, now, rand)
        if lane.faults == 1:
            self._say(Word.WAITS, lane, failure.cause)

    @staticmethod
    def _pause(lane: Lane, state: State, took: float, now: float, rand: float) -> None:
        lane.began = lane.began if lane.faults else now
        lane.faults += 1
        lane.state, lane.due = state, now + max(backoff(lane.faults, rand), took)

    def _hold(self, lane: Lane, cause: str, now: float) -> None:
        if not lane.held:
            self._say(Word.HELD, lane, cause)
        lane.held, lane.failed = True, now

    def _is_its_own(self, partition: int, fault: Fault, now: float) -> bool:
        """Has the record failed alone for long, while the same dependency served others?"""
        lane = self.lanes.get(partition)
        if lane is None or lane.failed is None or fault is Fault.NEWER or self._served <= lane.failed:
            return False
        lane.proofs += 1
        if lane.proofs == 1:
            lane.since = lane.failed
        return lane.proofs >= STUCK_PROOFS and now - lane.since >= STUCK_SECONDS

    @staticmethod
    def _forget_fault(lane: Lane) -> None:
        lane.held, lane.failed, lane.proofs = False, None, 0


_TRIED = (State.FLOWING, State.APART)
