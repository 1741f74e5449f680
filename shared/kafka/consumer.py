"""One constructor for every consumer. FastStream's defaults lose mail; what keeps it stands here, once.

Batches for the failure policy (batches.py), an explicit group, `earliest`, negative acknowledgement as the last net
(the batch comes again), session and rebalance time-outs above the longest drain, and a listener that lets the batch in
hand finish before partitions leave. `tests/contract/test_subscribers.py` walks over all subscribers and asserts it.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError
from faststream import AckPolicy
from faststream.kafka import KafkaBroker
from faststream.kafka.message import KafkaMessage
from faststream.message import AckStatus
from faststream.security import BaseSecurity, SASLPlaintext, SASLScram256, SASLScram512

from shared import metrics
from shared.clock import monotonic, now
from shared.failures import describe
from shared.kafka.batches import RETRY_BUCKETS, Batches, Handle, SetAside
from shared.kafka.connection import Cluster
from shared.kafka.offsets import Extent, Offsets, place, say_gaps
from shared.kafka.record import Record
from shared.logs import fields
from shared.settings import Settings
from shared.topics import GROUPS

log = logging.getLogger(__name__)

MAX_RECORDS = 500  # what a batch costs by itself (a transaction, a commit, a pack) is shared by so many
_PARTITION_BYTES = 4 * 1024 * 1024  # as stored: a batch is full before the answer is asked for again
_FETCH_BYTES = 16 * 1024 * 1024  # and over all partitions, which bounds what waits in memory
BATCH_TIMEOUT_MS = 30
SESSION_MS = 60_000
DRAIN_SECONDS = 25.0
GRACEFUL_SECONDS = 20.0
COMMITS_REFUSED_LIMIT = 3
MEASURE_SECONDS = 5.0


class CommitsRefused(Exception):
    """Three commits refused within a minute: most likely a second process with this instance id. Status 75."""


@dataclass
class Consumer:
    """A subscriber of one topic. `offsets`: where the database of the service says what is done; without one Kafka
    does. `on_fatal` is called once when the process should end."""

    name: str
    settings: Settings
    handle: Handle
    set_aside: SetAside
    origin_of: Callable[[Record], str]
    stop: asyncio.Event
    on_fatal: Callable[[BaseException], None]
    offsets: Offsets | None = None
    max_records: int = MAX_RECORDS
    last_progress: float = field(default_factory=monotonic)

    def __post_init__(self) -> None:
        self.group, self.topic = GROUPS[self.name]
        prefix = self.settings.prefix
        self.batches = Batches(
            self.topic,
            self.group,
            self.handle,
            self.set_aside,
            self.origin_of,
            self.offsets or CommittedOffsets(self),
            self,
            self.stop,
            touch=self._progress,
        )
        self.broker = KafkaBroker(
            self.settings.cluster.bootstrap,
            security=_security(self.settings.cluster),
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
            max_partition_fetch_bytes=_PARTITION_BYTES,
            fetch_max_bytes=_FETCH_BYTES,
            batch_timeout_ms=BATCH_TIMEOUT_MS,
            parser=_raw_headers,
            decoder=_whole_message,
            listener=_Listener(self),
            title=self.name,
        )
        self.subscriber(self._on_batch)
        self._refused: list[float] = []
        self._seeks = self._seeks_at_fetch = 0
        self._guessed: dict[int, int] = {}
        self._woken = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Joins the group. Raises KafkaError or OSError when the broker cannot be reached."""
        for counter in (metrics.rewinds, metrics.commits_refused):
            counter.labels(self.topic, self.group)  # they begin with 0, so that the first one is an increase
        for bucket in RETRY_BUCKETS:
            metrics.retries.labels(self.topic, bucket)
        metrics.fuse_open.labels(self.topic, self.group)
        await self.broker.start()
        self._watch_polls(self.consumer)
        for task in (self._look, self._measure):
            self._tasks.append(asyncio.create_task(task(), name=f"{self.name}{task.__name__}"))

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
        seeks = self._seeks_at_fetch
        raw: Any = message.raw_message
        await self.batches.run([self._record(record) for record in raw], stale=lambda: seeks != self._seeks)
        message.committed = AckStatus.ACKED  # by the batch itself; FastStream's own commits whatever was read
        message.raw_message, message.body = (), b""  # a circle of FastStream holds it until the collector runs
        self._progress()
        self._woken.set()

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

    # --- what batches ask of the log --------------------------------------------------------------------------

    async def extents(self, partitions: Sequence[int]) -> Mapping[int, Extent]:
        tps = [self.tp(partition) for partition in partitions]
        beginnings = await self.consumer.beginning_offsets(tps)
        ends = await self.consumer.end_offsets(tps)
        return {tp.partition: Extent(beginnings[tp], ends[tp]) for tp in tps}

    def seek(self, partition: int, offset: int) -> None:
        if self.tp(partition) in self.consumer.assignment():
            self._seeks += 1
            self.consumer.seek(self.tp(partition), offset)

    def pause(self, partitions: set[int]) -> None:
        assigned, paused = self.consumer.assignment(), self.consumer.paused()
        wanted = {tp for tp in assigned if tp.partition in partitions}
        if wanted - paused:
            self.consumer.pause(*(wanted - paused))
        if paused - wanted:
            self.consumer.resume(*(paused - wanted))

    async def commit(self, offsets: Mapping[int, int]) -> None:
        """Raises KafkaError; refused for the third time within a minute, the process ends."""
        assigned = self.consumer.assignment()
        wanted = {self.tp(partition): offset for partition, offset in offsets.items() if self.tp(partition) in assigned}
        if not wanted:
            return
        try:
            await self.consumer.commit(wanted)
        except KafkaError:
            # most often the group went on without us: the batch comes again elsewhere, and is idempotent
            metrics.commits_refused.labels(self.topic, self.group).inc()
            now_ = monotonic()
            self._refused = [at for at in self._refused if now_ - at < 60] + [now_]
            if len(self._refused) >= COMMITS_REFUSED_LIMIT:
                self.on_fatal(CommitsRefused(f"group {self.group} refused {len(self._refused)} commits in a minute"))
            raise

    def tp(self, partition: int) -> TopicPartition:
        return TopicPartition(self.settings.prefix + self.topic, partition)

    # --- membership -------------------------------------------------------------------------------------------

    async def assigned(self, partitions: set[TopicPartition]) -> None:
        self._assigned = True
        metrics.rebalances.labels(self.topic, self.group).inc()
        metrics.assigned_partitions.labels(self.topic, self.group).set(len(partitions))
        self._seeks += 1
        self.batches.assign([tp.partition for tp in partitions])
        self._woken.set()

    async def revoked(self, partitions: set[TopicPartition]) -> None:
        if not await self.batches.leave(DRAIN_SECONDS):
            metrics.drains_exceeded.labels(self.topic).inc()
        for tp in partitions:
            self._forget_lag(tp.partition)

    # --- beside the batches -----------------------------------------------------------------------------------

    async def _look(self) -> None:
        while True:
            self._woken.clear()
            try:
                seconds = await self.batches.look()
            except Exception as error:  # noqa: BLE001  # without looks paused partitions would stay paused
                extra = fields(action="look_error", topic=self.topic, cause=describe(error))
                log.error("a look failed", extra=extra)  # noqa: TRY400  # a traceback may carry values
                seconds = 1.0
            try:
                async with asyncio.timeout(max(0.01, seconds)):
                    await self._woken.wait()
            except TimeoutError:
                continue

    async def _measure(self) -> None:
        """How far behind each partition is, whatever its batch waits for."""
        ends: dict[TopicPartition, int] = {}
        while True:
            await asyncio.sleep(MEASURE_SECONDS)
            assigned = self.consumer.assignment()
            try:
                async with asyncio.timeout(MEASURE_SECONDS):
                    ends |= await self.consumer.end_offsets(list(assigned))
                    await self._guess_starts(assigned)
            except (KafkaError, OSError, TimeoutError) as error:
                log.debug("lag not measured", extra=fields(action="measure", cause=describe(error)))
            for tp in assigned & ends.keys():
                self._export_lag(tp.partition, ends[tp])
            since = self.batches.policy.waiting_since()
            gauge = metrics.waiting_since.labels(self.topic, self.group)
            gauge.set(0 if since is None else now().timestamp() - (monotonic() - since))

    async def _guess_starts(self, assigned: set[TopicPartition]) -> None:
        """While the database does not say where a partition stands, Kafka's offset is the best guess at its lag."""
        for tp in assigned:
            lane = self.batches.policy.lanes.get(tp.partition)
            if lane is not None and lane.next < 0:
                self._guessed[tp.partition] = await self.consumer.committed(tp) or 0

    def _export_lag(self, partition: int, end: int) -> None:
        lane = self.batches.policy.lanes.get(partition)
        if lane is not None:
            stands = lane.next if lane.next >= 0 else self._guessed.get(partition, 0)
            metrics.position_lag.labels(self.topic, self.group, str(partition)).set(max(0, end - stands))

    def _forget_lag(self, partition: int) -> None:
        try:
            metrics.position_lag.remove(self.topic, self.group, str(partition))
        except KeyError:
            return

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
            fetched = await getmany(*args, **kwargs)
            self._seeks_at_fetch = self._seeks
            return fetched

        consumer.getmany = watched  # type: ignore[method-assign]  # see the docstring


def _security(cluster: Cluster) -> BaseSecurity | None:
    """As FastStream asks for it; None: neither TLS nor a log-in."""
    if cluster.logs_in:
        made = _MECHANISMS[cluster.mechanism]
        return made(cluster.user, cluster.password, ssl_context=cluster.tls, use_ssl=cluster.tls is not None)
    return BaseSecurity(ssl_context=cluster.tls, use_ssl=True) if cluster.tls else None


_MECHANISMS: Mapping[str, type[SASLPlaintext | SASLScram256 | SASLScram512]] = {
    "PLAIN": SASLPlaintext,
    "SCRAM-SHA-256": SASLScram256,
    "SCRAM-SHA-512": SASLScram512,
}


@dataclass(frozen=True)
class CommittedOffsets:
    """Offsets of a service without a database: Kafka's own, of the group."""

    consumer: Consumer

    async def find(self, extents: Mapping[int, Extent]) -> Mapping[int, int]:
        found: dict[int, int] = {}
        gaps = []
        for partition, extent in extents.items():
            committed = await self.consumer.consumer.committed(self.consumer.tp(partition))
            if committed is None:  # a new group, or one that Kafka has forgotten: everything the topic still has
                found[partition] = extent.beginning
                continue
            found[partition], gap = place(partition, committed, extent)
            gaps += [gap] if gap else []
        say_gaps(self.consumer.topic, self.consumer.group, gaps)
        return found

    async def advance(self, partition: int, since: int, to: int) -> None:  # noqa: ARG002  # Kafka compares nothing
        await self.consumer.commit({partition: to})

    async def stored(self, partitions: Sequence[int]) -> Mapping[int, int | None]:  # noqa: ARG002  # nor goes it back
        return {}


class _Listener(ConsumerRebalanceListener):
    def __init__(self, owner: Consumer) -> None:
        self._owner = owner

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        if revoked:
            await self._owner.revoked(revoked)

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
