"""The failure policy, around every batch handler: an exception's type says what happens next.

* `Permanent` (and what the database proves by its SQLSTATE): the batch is halved, each half handled on its own
  and in order, until the culprit is alone and becomes a dead letter; the rest goes on.
* Everything else waits: retried with capped, jittered back-off for at most 60 s, then raised, so that the batch
  comes again, without end. A fault that stays with one record for 15 minutes while others get through becomes
  permanent; a `NewerWriter` never does.
* The fuse: when more than half of the last 50 records are bad, at least 5 of them and from 3 origins (sender
  domains or tickets), most likely the deployment is bad. The partitions pause and one record is tried every
  minute; the first that succeeds closes the fuse.
"""

import asyncio
import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from shared import metrics
from shared.clock import monotonic
from shared.failures import NewerWriter, Verdict, backoff, describe, reason_of, verdict
from shared.kafka.record import Record
from shared.logs import fields

log = logging.getLogger(__name__)

RETRY_SECONDS = 60.0
STUCK_SECONDS = 15 * 60.0
FUSE_WINDOW = 50
FUSE_LEAST_BAD = 5
FUSE_ORIGINS = 3
FUSE_PAUSE_SECONDS = 60.0


class BatchFailed(Exception):
    """Retries within the batch are used up: the batch comes again."""


class Fuse:
    """Counts good and bad records; pure but for its own memory."""

    def __init__(self) -> None:
        self.open = False
        self._last: deque[tuple[bool, str]] = deque(maxlen=FUSE_WINDOW)

    def good(self, count: int) -> None:
        self.open = False
        self._last.extend([(True, "")] * min(count, FUSE_WINDOW))

    def bad(self, origin: str) -> None:
        self._last.append((False, origin))
        origins = [name for good, name in self._last if not good]
        if len(origins) >= FUSE_LEAST_BAD and len(origins) * 2 > len(self._last) and len(set(origins)) >= FUSE_ORIGINS:
            self.open = True

    def reset(self) -> None:
        self._last.clear()


Handle = Callable[[Sequence[Record]], Awaitable[None]]
SetAside = Callable[[Record, BaseException], Awaitable[None]]


@dataclass
class Policy:
    """Runs batches for one subscriber. `handle` is atomic over what it is given (one transaction, or idempotent);
    `set_aside` makes a dead letter of a record and returns when the broker has confirmed it; `origin_of` names the
    sender domain or ticket of a record for the fuse. `stop` ends every back-off at once."""

    topic: str
    group: str
    handle: Handle
    set_aside: SetAside
    origin_of: Callable[[Record], str]
    stop: asyncio.Event
    now: Callable[[], float] = monotonic
    retry_seconds: float = RETRY_SECONDS
    stuck_seconds: float = STUCK_SECONDS

    def __post_init__(self) -> None:
        self.fuse = Fuse()
        self._batch_since: dict[tuple[int, int], float] = {}  # by its first record
        self._alone_since: dict[tuple[int, int], float] = {}  # a record tried apart
        self._touch: Callable[[], None] = lambda: None

    def on_attempt(self, touch: Callable[[], None]) -> None:
        """`touch` is called with every attempt: a retry is progress for the liveness probe."""
        self._touch = touch

    async def run(self, records: Sequence[Record]) -> None:
        """Returns when every record is done or set aside. Raises BatchFailed when the batch must come again."""
        if self.fuse.open:
            await self._try_one(records[0])
            return
        waiting: list[BaseException] = []
        await self._run(records, waiting, isolate=self._is_stuck(records))
        if waiting:
            raise BatchFailed(describe(waiting[0])) from waiting[0]
        for record in records:
            self._batch_since.pop((record.partition, record.offset), None)

    async def _run(self, records: Sequence[Record], waiting: list[BaseException], *, isolate: bool) -> None:
        """With `isolate` transient faults are halved as well, and what still waits alone goes to `waiting`: the
        others must get their turn, or nothing would show that the fault is this record's."""
        try:
            await self._attempts(records, patient=not isolate)
        except Exception as error:
            proven = verdict(error) is Verdict.PERMANENT
            if not proven and not isolate:
                raise BatchFailed(describe(error)) from error
            if len(records) > 1:
                middle = len(records) // 2
                for half in (records[:middle], records[middle:]):
                    if self.fuse.open:
                        raise BatchFailed("the fuse opened") from error
                    await self._run(half, waiting, isolate=isolate)
            elif proven or self._is_its_own_fault(records[0], error):
                await self._give_up(records[0], error)
            else:
                waiting.append(error)
        else:
            self._done(records)

    async def _attempts(self, records: Sequence[Record], *, patient: bool) -> None:
        deadline = self.now() + (self.retry_seconds if patient else 0)
        attempt = 0
        while True:
            self._touch()
            try:
                await self.handle(records)
            except Exception as error:
                what = verdict(error)
                attempt += 1
                pause = 0.0 if what is Verdict.AGAIN else backoff(attempt, random.random())  # noqa: S311  # jitter
                if what is Verdict.PERMANENT or self.stop.is_set() or self.now() + pause > deadline:
                    self._remember(records, patient=patient)
                    raise
                metrics.retries.labels(self.topic, _bucket(attempt)).inc()
                if attempt in (1, 5):
                    log.warning(
                        "batch waits and is tried again",
                        extra=fields(action="batch_retry", topic=self.topic, attempt=attempt, cause=describe(error)),
                    )
                if await _stopped_within(self.stop, pause):
                    self._remember(records, patient=patient)
                    raise
            else:
                return

    async def _try_one(self, record: Record) -> None:
        """While the fuse is open: one record. Raises BatchFailed so that the rest comes again after the pause."""
        try:
            await self._attempts([record], patient=False)
        except Exception as error:
            if verdict(error) is Verdict.PERMANENT:
                await self.set_aside(record, error)
            raise BatchFailed("the fuse is open") from error
        self.fuse.reset()
        self.fuse.good(1)
        metrics.fuse_open.labels(self.topic, self.group).set(0)
        log.warning("a record got through: the fuse closes", extra=fields(action="fuse_closed", topic=self.topic))
        raise BatchFailed("the fuse closed")

    async def _give_up(self, record: Record, error: BaseException) -> None:
        await self.set_aside(record, error)
        self._alone_since.pop((record.partition, record.offset), None)
        log.error(
            "record set aside as a dead letter",
            extra=fields(
                action="dead_letter",
                topic=record.topic,
                partition=record.partition,
                offset=record.offset,
                reason=reason_of(error),
                cause=describe(error),
            ),
        )
        self.fuse.bad(self.origin_of(record))
        if self.fuse.open:
            metrics.fuse_open.labels(self.topic, self.group).set(1)
            log.error("most records are bad: partitions pause", extra=fields(action="fuse_open", topic=self.topic))

    def _done(self, records: Sequence[Record]) -> None:
        self.fuse.good(len(records))
        self._last_pass = self.now()
        for record in records:
            self._alone_since.pop((record.partition, record.offset), None)

    _last_pass: float = float("-inf")

    def _remember(self, records: Sequence[Record], *, patient: bool) -> None:
        if patient:
            self._batch_since.setdefault((records[0].partition, records[0].offset), self.now())
        elif len(records) == 1:
            self._alone_since.setdefault((records[0].partition, records[0].offset), self.now())

    def _is_stuck(self, records: Sequence[Record]) -> bool:
        """Has a batch that began with one of these records failed for half the time? Then they are tried apart."""
        now = self.now()
        since = (self._batch_since.get((record.partition, record.offset), now) for record in records)
        return bool(self._batch_since) and any(now - first >= self.stuck_seconds / 2 for first in since)

    def _is_its_own_fault(self, record: Record, error: BaseException) -> bool:
        """Alone at fault for the other half of the time, while the same dependency served others since."""
        since = self._alone_since.get((record.partition, record.offset), self.now())
        waited = self.now() - since >= self.stuck_seconds / 2
        return waited and self._last_pass > since and not isinstance(error, NewerWriter)


def _bucket(attempt: int) -> str:
    return "1" if attempt == 1 else "2-5" if attempt <= 5 else "6+"


async def _stopped_within(stop: asyncio.Event, seconds: float) -> bool:
    if seconds <= 0:
        return stop.is_set()
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return False
    return True
