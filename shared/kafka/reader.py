"""Records of a topic outside of any group: from given offsets to where the topic ends now."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from shared.clock import monotonic
from shared.failures import Transient
from shared.kafka.connection import Kafka, options
from shared.kafka.record import Record

_ANSWER_SECONDS = 10.0
_MOST = 2000


class ReadFailed(Transient):
    """The broker did not answer, or has no such topic."""


class Reader:
    """`ends`: partition -> the offset that its next record will have, when the reader was opened; `beginnings`: that
    of its oldest record."""

    def __init__(
        self,
        consumer: AIOKafkaConsumer,
        topic: str,
        beginnings: Mapping[TopicPartition, int],
        ends: Mapping[TopicPartition, int],
    ) -> None:
        self._consumer = consumer
        self._topic = topic
        self._ends = ends
        self.ends = {tp.partition: end for tp, end in ends.items()}
        self.beginnings = {tp.partition: beginning for tp, beginning in beginnings.items()}

    async def offsets_at(self, moment: datetime) -> dict[int, int]:
        """Partition -> the offset of its first record of `moment` or later, by the broker's time; else its end."""
        times = dict.fromkeys(self._ends, int(moment.timestamp() * 1000))
        found = await self._consumer.offsets_for_times(times)
        return {tp.partition: found[tp].offset if found.get(tp) else end for tp, end in self._ends.items()}

    async def since(self, starts: Mapping[int, int]) -> AsyncIterator[Sequence[Record]]:
        """Every record between `starts` (none: the oldest that is kept) and `ends`, in the order of each partition.
        Raises ReadFailed when nothing comes for ten seconds."""
        consumer = self._consumer
        oldest = await consumer.beginning_offsets(list(self._ends))
        begin = {tp: max(oldest[tp], starts.get(tp.partition, 0)) for tp in self._ends}
        open_ = {tp for tp, end in self._ends.items() if begin[tp] < end}
        for tp, offset in begin.items():
            consumer.seek(tp, offset)
        consumer.pause(*(self._ends.keys() - open_))
        deadline = monotonic() + _ANSWER_SECONDS
        while open_:
            found = await consumer.getmany(timeout_ms=500, max_records=_MOST)
            for tp, records in found.items():
                deadline = monotonic() + _ANSWER_SECONDS
                wanted = [record for record in records if record.offset < self._ends[tp]]
                if wanted:
                    yield [
                        Record(self._topic, r.partition, r.offset, r.key, r.value, tuple(r.headers), r.timestamp)
                        for r in wanted
                    ]
            for tp in list(open_):
                # the position, not the last record: what a topic no longer has leaves gaps
                if await consumer.position(tp) >= self._ends[tp]:
                    open_.discard(tp)
                    consumer.pause(tp)
            if open_ and monotonic() > deadline:
                raise ReadFailed(f"{self._topic} gave no record for {_ANSWER_SECONDS:.0f} s")

    async def follow(self, starts: Mapping[int, int]) -> AsyncIterator[Sequence[Record]]:
        """Every record from `starts` on (none, or beyond the end: the end), as it comes and without end; an empty list
        where none came for a second."""
        consumer = self._consumer
        oldest = await consumer.beginning_offsets(list(self._ends))
        for tp, end in self._ends.items():
            consumer.seek(tp, min(end, max(oldest[tp], starts.get(tp.partition, end))))
        while True:
            found = await consumer.getmany(timeout_ms=1000, max_records=_MOST)
            yield [
                Record(self._topic, r.partition, r.offset, r.key, r.value, tuple(r.headers), r.timestamp)
                for records in found.values()
                for r in records
            ]


@asynccontextmanager
async def reading(kafka: Kafka, prefix: str, topic: str) -> AsyncIterator[Reader]:
    """Raises ReadFailed, within as well."""
    consumer = AIOKafkaConsumer(
        prefix + topic,
        **options(kafka),
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        request_timeout_ms=int(_ANSWER_SECONDS * 1000),
    )
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            await consumer.start()
            beginnings = await consumer.beginning_offsets(list(consumer.assignment()))
            ends = await consumer.end_offsets(list(consumer.assignment()))
        yield Reader(consumer, topic, beginnings, ends)
    except (KafkaError, OSError, TimeoutError) as error:
        raise ReadFailed(f"{topic}: {type(error).__name__}") from error
    finally:
        await consumer.stop()
