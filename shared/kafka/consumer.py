"""One constructor for every consumer. FastStream's defaults lose mail; what keeps it stands here, once.

A batch handler around the failure policy, an explicit group, `earliest`, negative acknowledgement as the last
net (the batch comes again), session and rebalance time-outs above the longest drain, and a listener that lets the
batch in hand finish before partitions leave. `tests/integration/kafka` walks over all subscribers and asserts it.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError
from faststream import AckPolicy
from faststream.kafka import KafkaBroker
from faststream.kafka.message import KafkaMessage

from shared import metrics
from shared.clock import monotonic, now
from shared.kafka.offsets import Rewind, StoredOffsets
from shared.kafka.policy import FUSE_PAUSE_SECONDS, BatchFailed, Handle, Policy, SetAside
from shared.kafka.record import Record
from shared.logs import fields
from shared.settings import Settings
from shared.topics import GROUPS

log = logging.getLogger(__name__)

MAX_RECORDS = 200
BATCH_TIMEOUT_MS = 30
SESSION_MS = 60_000
DRAIN_SECONDS = 25.0
GRACEFUL_SECONDS = 20.0
COMMITS_REFUSED_LIMIT = 3
AUDIT_SECONDS = 5.0


class CommitsRefused(Exception):
    """Three commits refused within a minute: most likely a second process with this instance id. Status 75."""


@dataclass
class Consumer:
    """A subscriber of one topic. `stored_offsets`: where the database is the truth about what is done; on
    assignment, and when it knows less than the consumer, the partitions are sought back to it.
    `on_fatal` is called once when the process should end."""

    name: str
    settings: Settings
    handle: Handle
    set_aside: SetAside
    origin_of: Callable[[Record], str]
    stop: asyncio.Event
    on_fatal: Callable[[BaseException], None]
    stored_offsets: StoredOffsets | None = None
    max_records: int = MAX_RECORDS
    last_progress: float = field(default_factory=monotonic)

    def __post_init__(self) -> None:
        self.group, self.topic = GROUPS[self.name]
        prefix = self.settings.prefix
        self.policy = Policy(self.topic, self.group, self.handle, self.set_aside, self.origin_of, self.stop)
        self.policy.on_attempt(self._progress)
        self.broker = KafkaBroker(
            self.settings.kafka,
            client_id=f"{prefix}carteiro-{self.name}",
            consumer_only=True,
            allow_auto_create_topics=False,
            apply_types=False,
            graceful_timeout=GRACEFUL_SECONDS,
            logger=None,  # it prints tracebacks, and a database's error carries the row's values; we say it below
            retry_backoff_ms=1000,
        )
        instance = self.settings.instance
        self.subscriber = self.broker.subscriber(
            prefix + self.topic,
            batch=True,
            group_id=prefix + self.group,
            group_instance_id=prefix + instance if instance else None,
            auto_offset_reset="earliest",
            ack_policy=AckPolicy.NACK_ON_ERROR,
            session_timeout_ms=SESSION_MS,
            rebalance_timeout_ms=SESSION_MS,
            max_records=self.max_records,
            batch_timeout_ms=BATCH_TIMEOUT_MS,
            parser=_raw_headers,
            decoder=_whole_message,
            listener=_Listener(self),
            title=self.name,
        )
        self.subscriber(self._on_batch)
        self._idle = asyncio.Event()
        self._idle.set()
        self._refused: list[float] = []
        self._batches = 0
        stored = self.stored_offsets
        self._rewind = Rewind(stored, self.topic, self.group) if stored is not None else None
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Joins the group. Raises KafkaError or OSError when the broker cannot be reached."""
        await self.broker.start()
        self._watch_polls(self.consumer)
        self._tasks.append(asyncio.create_task(self._audit(), name=f"{self.name}-audit"))

    async def close(self) -> None:
        """Lets the batch in hand finish (bounded), commits, leaves. Never raises."""
        for task in self._tasks:
            task.cancel()
        try:
            async with asyncio.timeout(GRACEFUL_SECONDS + 2):
                await self.broker.stop()
        except (TimeoutError, KafkaError, OSError) as error:
            metrics.drains_exceeded.labels(self.topic).inc()
            log.warning(
                "stopped without waiting for the batch in hand; it comes again",
                extra=fields(action="drain_exceeded", topic=self.topic, cause=type(error).__name__),
            )

    @property
    def consumer(self) -> AIOKafkaConsumer:
        consumer = self.subscriber.consumer
        if consumer is None:
            raise RuntimeError(f"the consumer {self.name} has not been started")
        return consumer

    @property
    def joined(self) -> bool:
        """True once an assignment came, an empty one included."""
        return self._assigned

    _assigned = False

    # --- a batch ----------------------------------------------------------------------------------------------

    async def _on_batch(self, message: KafkaMessage) -> None:
        self._progress()
        raw: Any = message.raw_message
        records = [self._record(record) for record in raw]
        self._idle.clear()
        self._batches += 1
        try:
            starts = {self._tp(p): group[0].offset for p, group in _by_partition(records)}
            if self._rewind is not None and await self._rewind.if_behind(self.consumer, starts):
                return
            await self.policy.run(records)
            await self._commit(message)
        except BatchFailed as failed:
            log.warning(
                "the batch comes again", extra=fields(action="batch_again", topic=self.topic, cause=str(failed))
            )
            if self.policy.fuse.open:
                self._pause()
            raise
        finally:
            self._idle.set()
            self._progress()

    async def _commit(self, message: KafkaMessage) -> None:
        try:
            await message.ack()
        except KafkaError as error:
            # most often the group went on without us: the batch comes again elsewhere, and is idempotent
            metrics.commits_refused.labels(self.topic, self.group).inc()
            now_ = monotonic()
            self._refused = [at for at in self._refused if now_ - at < 60] + [now_]
            if len(self._refused) >= COMMITS_REFUSED_LIMIT:
                self.on_fatal(CommitsRefused(f"group {self.group} refused {len(self._refused)} commits in a minute"))
            raise BatchFailed(f"commit refused: {type(error).__name__}") from error

    def _record(self, record: Any) -> Record:
        return Record(
            self.topic,
            record.partition,
            record.offset,
            record.key,
            record.value,
            tuple(record.headers),
            record.timestamp,
        )

    def _pause(self) -> None:
        """The consumer stays a member; after a minute one record is tried (policy.py)."""
        consumer = self.consumer
        held = consumer.assignment()
        consumer.pause(*held)

        async def resume() -> None:
            try:
                async with asyncio.timeout(FUSE_PAUSE_SECONDS):
                    await self.stop.wait()
            except TimeoutError:
                consumer.resume(*(held & consumer.assignment()))

        self._tasks.append(asyncio.create_task(resume(), name=f"{self.name}-fuse"))

    # --- where to read from -----------------------------------------------------------------------------------

    async def assigned(self, partitions: set[TopicPartition]) -> None:
        self._assigned = True
        metrics.rebalances.labels(self.topic, self.group).inc()
        metrics.assigned_partitions.labels(self.topic, self.group).set(len(partitions))
        if self._rewind is not None:
            await self._rewind.on_assignment(self.consumer, partitions)

    async def revoked(self) -> None:
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                await self._idle.wait()
        except TimeoutError:
            metrics.drains_exceeded.labels(self.topic).inc()

    async def _audit(self) -> None:
        """Every few seconds: lag for the metrics, and whether an idle consumer stands beyond the database."""
        seen = -1
        while not self.stop.is_set():
            await asyncio.sleep(AUDIT_SECONDS)
            try:
                positions = {tp: await self.consumer.position(tp) for tp in self.consumer.assignment()}
                self._export(positions)
                # two looks without a batch between them: a batch on its way to the handler is no gap
                if self._rewind is not None and positions and self._idle.is_set() and seen == self._batches:
                    await self._rewind.if_behind(self.consumer, positions)
                seen = self._batches
            except Exception as error:  # noqa: BLE001  # whatever it is, the next look may pass; readiness says the rest
                log.debug("audit failed", extra=fields(action="audit", cause=type(error).__name__))

    def _export(self, positions: Mapping[TopicPartition, int]) -> None:
        for tp, position in positions.items():
            high = self.consumer.highwater(tp)
            if high is not None:
                labels = (self.topic, self.group, str(tp.partition))
                metrics.position_lag.labels(*labels).set(max(0, high - position))

    def _tp(self, partition: int) -> TopicPartition:
        return TopicPartition(self.settings.prefix + self.topic, partition)

    # --- liveness ---------------------------------------------------------------------------------------------

    def _progress(self) -> None:
        self.last_progress = monotonic()

    def _watch_polls(self, consumer: AIOKafkaConsumer) -> None:
        """Counts polls as progress: an idle topic is alive. FastStream offers no hook around them."""
        getmany = consumer.getmany
        gauge = metrics.last_progress.labels(self.topic, self.group)

        async def watched(*args: Any, **kwargs: Any) -> Any:
            self._progress()
            gauge.set(now().timestamp())
            return await getmany(*args, **kwargs)

        consumer.getmany = watched  # type: ignore[method-assign]  # see the docstring


class _Listener(ConsumerRebalanceListener):
    def __init__(self, owner: Consumer) -> None:
        self._owner = owner

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        if revoked:
            await self._owner.revoked()

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        await self._owner.assigned(assigned)


async def _raw_headers(
    records: tuple[Any, ...], parse: Callable[[tuple[Any, ...]], Awaitable[KafkaMessage]]
) -> KafkaMessage:
    """The parser of every subscriber: FastStream's own decodes each header as UTF-8, and a record with one that is
    not would stop its partition for ever, before the failure policy sees it."""
    message = await parse((replace(records[0], headers=()),))  # one is enough: handlers read the records themselves
    message.raw_message = records
    return message


async def _whole_message(message: KafkaMessage) -> KafkaMessage:
    """The decoder of every subscriber: nothing is guessed, handlers get keys, headers and offsets too."""
    return message


def _by_partition(records: Sequence[Record]) -> list[tuple[int, list[Record]]]:
    """A fetched batch is contiguous per partition, in offset order."""
    return [(partition, list(group)) for partition, group in groupby(records, key=lambda r: r.partition)]


def next_offsets(records: Sequence[Record]) -> dict[int, int]:
    """Partition -> offset after the last of these records: what a service stores in the batch's transaction."""
    return {partition: group[-1].offset + 1 for partition, group in _by_partition(records)}
