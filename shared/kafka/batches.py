"""Carries out what the policy decides (policy.py): handles records, sets aside, finds offsets, pauses and seeks.

Knows no Kafka library: the log is a port, so that a model test drives all of this against one in memory.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from shared import metrics
from shared.clock import monotonic
from shared.failures import NewerWriter, Verdict, describe, reason_of, verdict
from shared.kafka.offsets import Elsewhere, Extent, Offsets
from shared.kafka.policy import Failure, Fault, Lane, Policy, State, Word
from shared.kafka.record import Record, by_partition
from shared.logs import fields

log = logging.getLogger(__name__)

ATTEMPT_SECONDS = 40.0  # without progress; all of it is below what the probe and the group wait for
LONGEST_ATTEMPT_SECONDS = 150.0
RUN_SECONDS = 60.0
FIND_SECONDS = 15.0
COMPARE_SECONDS = 5.0
COMMIT_SECONDS = 15.0
AGAIN_TIMES = 5
RETRY_BUCKETS = ("1", "2-5", "6+")

Handle = Callable[[Sequence[Record]], Awaitable[None]]
SetAside = Callable[[Record, BaseException], Awaitable[None]]
Hand = dict[int, list[Record]]


class Log(Protocol):
    """What is asked of the consumer. Partitions that were revoked meanwhile are passed over."""

    async def extents(self, partitions: Sequence[int]) -> Mapping[int, Extent]: ...

    def seek(self, partition: int, offset: int) -> None: ...

    def pause(self, partitions: set[int]) -> None:
        """These and no others."""
        ...

    async def commit(self, offsets: Mapping[int, int]) -> None: ...


@dataclass
class Batches:
    """The batches of one consumer, one at a time. `handle` is atomic over what it is given (one transaction, or
    idempotent) and raises Elsewhere when that does not begin where the database stands; `set_aside` makes a dead
    letter of a record and returns when the broker has confirmed it; `origin_of` names the sender domain or ticket of
    a record for the fuse; `touch` is called with every attempt and every `progress`. `stop` ends a run after the
    attempt in hand."""

    topic: str
    group: str
    handle: Handle
    set_aside: SetAside
    origin_of: Callable[[Record], str]
    offsets: Offsets
    log: Log
    stop: asyncio.Event
    touch: Callable[[], None] = lambda: None
    now: Callable[[], float] = monotonic
    rand: Callable[[], float] = random.random
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self.policy = Policy(self._say)
        self.leaving = False
        self._deadline: asyncio.Timeout | None = None
        self._longest = 0.0
        self._compare_at = self.now()

    # --- a batch -------------------------------------------------------------------------------------------------

    async def run(self, records: Sequence[Record], *, stale: Callable[[], bool] = lambda: False) -> None:
        """Returns when every partition of the batch is done, waits or is to be read anew. Never raises.

        `stale`: a partition was sought elsewhere since the batch was fetched; all of it comes again then.
        """
        async with self.turn:
            groups = dict(by_partition(records))
            read = {partition: group[-1].offset + 1 for partition, group in groups.items()}
            try:
                begun = {p: group for p, group in groups.items() if not stale() and await self._begins(p, group)}
                await self._run(begun)
            except Exception as error:  # noqa: BLE001  # an error of ours: with a pause and a word, like any other
                # no traceback: a database's error carries the row's values
                log.error("a batch was not carried out", extra=fields(action="batch_error", cause=describe(error)))  # noqa: TRY400
                for partition in groups:
                    self.policy.lost(partition, describe(error), self.now(), self.rand())
            for partition, offset in read.items():
                self._seek_back(partition, offset)
            await self._commit()
            self._pause()

    def _seek_back(self, partition: int, read: int) -> None:
        """To what was read and not done. One that starts anew is sought when it was found."""
        lane = self.policy.lanes.get(partition)
        if lane is not None and lane.state is not State.STARTING and lane.next != read:
            self.log.seek(partition, lane.next)

    async def _run(self, hand: Hand) -> None:
        deadline = self.now() + RUN_SECONDS  # the others are waiting to be read, and the group for a poll
        while not (self.stop.is_set() or self.leaving) and self.now() < deadline:
            tried = self.policy.next_try({partition: len(left) for partition, left in hand.items()}, self.now())
            if not tried:
                return
            await self._try(tried, hand)

    async def _begins(self, partition: int, group: Sequence[Record]) -> bool:
        policy, first = self.policy, group[0].offset
        if policy.begins(partition, first):
            return True
        lane = policy.lanes.get(partition)
        if lane is None or lane.state in (State.STARTING, State.WAITING):
            return False  # fetched before it was paused
        if policy.is_hole(partition, first):
            try:
                async with asyncio.timeout(FIND_SECONDS):
                    await self.offsets.advance(partition, lane.next, first)
            except Exception as error:  # noqa: BLE001  # whatever it is: looked at anew after a pause
                policy.lost(partition, describe(error), self.now(), self.rand())
                return False
            self._pass({partition: (lane.next, first)})
            policy.passed(partition, first)
            return True
        policy.lost(partition, f"read {first}", self.now(), self.rand())
        return False

    async def _try(self, tried: dict[int, int], hand: Hand) -> None:
        records = [record for partition, number in tried.items() for record in hand[partition][:number]]
        began = self.now()
        try:
            await self._attempt(records)
        except Elsewhere as moved:
            self._moved(tried, moved, hand)
        except Exception as error:  # noqa: BLE001  # the policy says what comes of it
            failure = Failure(_fault(error), describe(error), self.now() - began)
            if self.policy.failed(tried, failure, self.now(), self.rand()):
                await self._give_up(records[0], error, hand)
            else:
                metrics.retries.labels(self.topic, self._bucket(tried)).inc()
        else:
            ends = {partition: hand[partition][number - 1].offset + 1 for partition, number in tried.items()}
            self._pass({partition: (hand[partition][0].offset, end) for partition, end in ends.items()})
            self.policy.handled(tried, ends, {partition: len(left) for partition, left in hand.items()}, self.now())
            for partition, number in tried.items():
                del hand[partition][:number]

    def _pass(self, spans: Mapping[int, tuple[int, int]]) -> None:
        """Offsets from the first to the second (without it) are passed; the handlers take off what they have recorded
        an outcome for (`metrics.unaccounted`)."""
        metrics.unaccounted.labels(self.topic).inc(sum(end - first for first, end in spans.values()))

    def _bucket(self, tried: Mapping[int, int]) -> str:
        faults = max((self.policy.lanes[p].faults for p in tried if p in self.policy.lanes), default=0)
        return RETRY_BUCKETS[0 if faults <= 1 else 1 if faults <= 5 else 2]

    async def _attempt(self, records: Sequence[Record]) -> None:
        """A deadlock or a serialisation failure says nothing about the records: they are repeated a few times."""
        self._longest = asyncio.get_running_loop().time() + LONGEST_ATTEMPT_SECONDS
        for left in range(AGAIN_TIMES, -1, -1):
            self.touch()
            try:
                async with asyncio.timeout(ATTEMPT_SECONDS) as self._deadline:
                    await self.handle(records)
                return
            except Exception as error:
                if not left or verdict(error) is not Verdict.AGAIN:
                    raise
            finally:
                self._deadline = None

    def progress(self) -> None:
        """A handler whose batch may take long says that it moves: it is given more time, up to a limit."""
        self.touch()
        if self._deadline is not None and not self._deadline.expired():
            self._deadline.reschedule(min(self._longest, asyncio.get_running_loop().time() + ATTEMPT_SECONDS))

    def _moved(self, tried: Mapping[int, int], moved: Elsewhere, hand: Hand) -> None:
        """What the database has done already is dropped; what it does not know of yet is read anew."""
        for partition in moved.stored or tried:
            stored, left = moved.stored.get(partition), hand.get(partition) or []
            if stored is not None and left and left[0].offset < stored <= left[-1].offset + 1:
                hand[partition] = [record for record in left if record.offset >= stored]
                self.policy.passed(partition, stored)
            else:
                hand.pop(partition, None)
                metrics.rewinds.labels(self.topic, self.group).inc()
                self.policy.lost(partition, f"stored {stored}", self.now(), self.rand())

    async def _give_up(self, record: Record, error: BaseException, hand: Hand) -> None:
        """A dead letter first and the offset then: a crash between them repeats the letter, which its place in the
        topic makes one."""
        began = self.now()
        partition = record.partition
        try:
            async with asyncio.timeout(ATTEMPT_SECONDS):
                await self.set_aside(record, error)
                await self.offsets.advance(partition, record.offset, record.offset + 1)
        except Elsewhere as moved:
            self._moved({partition: 1}, moved, hand)
        except Exception as failure:  # noqa: BLE001  # a fault of its own, of whatever kind
            why = Failure(Fault.OTHER, f"setting aside: {describe(failure)}", self.now() - began)
            self.policy.aside_failed(partition, why, self.now(), self.rand())
        else:
            log.error(
                "record set aside as a dead letter",
                extra=fields(
                    action="dead_letter",
                    topic=record.topic,
                    partition=partition,
                    offset=record.offset,
                    reason=reason_of(error),
                    cause=describe(error),
                ),
            )
            self.policy.put_aside(partition, record.offset + 1, self.origin_of(record), self.now())
            del hand[partition][:1]

    # --- between batches -----------------------------------------------------------------------------------------

    def assign(self, partitions: Sequence[int]) -> None:
        """Nothing is read of them before it is known where they stand."""
        self.leaving = False
        self.policy.assign(partitions, self.now())
        self._pause()

    async def leave(self, seconds: float) -> bool:
        """Before the partitions go elsewhere: waits for the attempt in hand. False: it did not end in time."""
        self.leaving = True
        try:
            async with asyncio.timeout(seconds), self.turn:
                return True
        except TimeoutError:
            return False
        finally:
            self.policy.assign((), self.now())

    async def look(self) -> float:
        """Ends pauses that are over, finds offsets, compares those of idle partitions. Returns the seconds until the
        next look is due. Never raises."""
        async with self.turn:
            self.policy.wake(self.now())
            await self._find(self.policy.starting(self.now()))
            if self.now() >= self._compare_at:
                await self._compare()
                self._compare_at = self.now() + COMPARE_SECONDS
            await self._commit()
            self._pause()
            return max(0.0, min(self.policy.next_due(), self._compare_at) - self.now())

    async def _find(self, lanes: Sequence[Lane]) -> None:
        if not lanes:
            return
        began = self.now()
        partitions = [lane.partition for lane in lanes]
        try:
            async with asyncio.timeout(FIND_SECONDS):
                found = await self.offsets.find(await self.log.extents(partitions))
        except Exception as error:  # noqa: BLE001  # either server may be away, in any way
            now = self.now()
            for partition in partitions:
                self.policy.lost(partition, describe(error), now, self.rand(), now - began)
            return
        for lane in lanes:
            if self.policy.lanes.get(lane.partition) is lane:  # else the group went on meanwhile
                self.policy.found(lane, found[lane.partition])
                self.log.seek(lane.partition, lane.next)

    async def _compare(self) -> None:
        """No batch is in hand: what is stored must be what was handled. Else the database went back."""
        standing = {p: lane.next for p, lane in self.policy.lanes.items() if lane.state is not State.STARTING}
        if not standing:
            return
        try:
            async with asyncio.timeout(FIND_SECONDS):
                stored = await self.offsets.stored(list(standing))
        except Exception as error:  # noqa: BLE001  # the next look may pass; a batch would say the rest
            log.debug("offsets not compared", extra=fields(action="compare", cause=describe(error)))
            return
        for partition, offset in stored.items():
            if offset != standing[partition]:
                metrics.rewinds.labels(self.topic, self.group).inc()
                self.policy.lost(partition, f"stored {offset}", self.now(), self.rand())

    async def _commit(self) -> None:
        """To Kafka, what is new. A commit that is refused means that the group went on without us, one that does
        not end that the broker is away: either way nothing is known, and the partitions start anew."""
        lanes = [lane for lane in self.policy.lanes.values() if lane.state is not State.STARTING]
        ahead = {lane.partition: lane for lane in lanes if lane.next != lane.committed}
        if not ahead:
            return
        offsets = {partition: lane.next for partition, lane in ahead.items()}
        try:
            async with asyncio.timeout(COMMIT_SECONDS):
                await self.log.commit(offsets)
        except Exception as error:  # noqa: BLE001  # see above
            for partition in ahead:
                self.policy.lost(partition, f"commit: {describe(error)}", self.now(), self.rand())
        else:
            for partition, lane in ahead.items():
                lane.committed = offsets[partition]

    def _pause(self) -> None:
        self.log.pause(set(self.policy.lanes) if self.stop.is_set() else self.policy.paused())

    def _say(self, word: Word, lane: Lane | None, cause: str) -> None:
        metrics.fuse_open.labels(self.topic, self.group).set(self.policy.fuse.open)
        place = {} if lane is None else {"partition": lane.partition, "offset": lane.next}
        level, sentence = _SENTENCES[word]
        why = {"cause": cause} if cause else {}
        extra = fields(action=word.value, topic=self.topic, group=self.group, **place, **why)
        log.log(level, sentence, extra=extra)


_SENTENCES = {
    Word.LOST: (logging.WARNING, "a partition does not stand where it was thought to: its offset is looked up"),
    Word.FOUND: (logging.INFO, "a partition's offset was found"),
    Word.WAITS: (logging.WARNING, "a partition waits and is tried again; the others go on"),
    Word.HELD: (logging.WARNING, "one record holds its partition"),
    Word.GOES_ON: (logging.INFO, "a partition goes on"),
    Word.FUSE_OPEN: (logging.ERROR, "most records are bad: one is tried every minute, the others wait"),
    Word.FUSE_CLOSED: (logging.WARNING, "a record got through: the fuse closes"),
}


def _fault(error: BaseException) -> Fault:
    if isinstance(error, NewerWriter):
        return Fault.NEWER
    return Fault.PROVEN if verdict(error) is Verdict.PERMANENT else Fault.OTHER
