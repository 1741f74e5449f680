"""How far each consumer group is: records it has not read, how old the oldest of them is, and who reads at all."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import GroupCoordinatorNotAvailableError, KafkaError

from shared.clock import monotonic
from shared.kafka.admin import KafkaUnreachable, Lag, admin, group_lags
from shared.kafka.connection import Kafka, options

_LOOK_SECONDS = 5.0


@dataclass(frozen=True)
class GroupState:
    """A subscriber's group: `lag` in records over all partitions, `oldest` the time of the oldest unread record
    (None: nothing unread, or it could not be read in time), `members` the processes that are in the group.

    A member with a static id that was killed counts until its session ends (60 s).
    """

    group: str
    topic: str
    lag: int
    oldest: datetime | None
    members: int


async def group_states(kafka: Kafka, prefix: str) -> list[GroupState]:
    """Every subscriber's group whose topic exists. Raises KafkaUnreachable."""
    lags = await _lags(kafka, prefix)
    by_group: dict[tuple[str, str], list[Lag]] = defaultdict(list)
    for lag in lags:
        by_group[lag.group, lag.topic].append(lag)
    try:
        members = await _members(kafka, [prefix + group for group, _ in by_group])
        oldest = await _oldest(kafka, prefix, [lag for lag in lags if lag.records])
    except (KafkaError, OSError, TimeoutError) as error:
        raise KafkaUnreachable(f"Kafka at {kafka} does not answer ({type(error).__name__})") from error
    return [
        GroupState(group, topic, sum(lag.records for lag in own), oldest.get(group), members.get(prefix + group, 0))
        for (group, topic), own in by_group.items()
    ]


async def _lags(kafka: Kafka, prefix: str) -> list[Lag]:
    """A broker that never had a group makes the topic of their offsets when it is asked first."""
    deadline = monotonic() + _LOOK_SECONDS
    while True:
        try:
            return await group_lags(kafka, prefix)
        except KafkaUnreachable as error:
            if not isinstance(error.__cause__, GroupCoordinatorNotAvailableError) or monotonic() > deadline:
                raise
            await asyncio.sleep(0.2)


async def _members(kafka: Kafka, groups: Sequence[str]) -> dict[str, int]:
    async with admin(kafka) as client:
        # one a request: aiokafka misreads an answer about several (a field of each group taken for the answer's)
        answers = [await client.describe_consumer_groups([group]) for group in groups]
    # error, group, state, protocol type, protocol, members
    return {entry[1]: len(entry[5]) for (answer,) in answers for entry in answer.groups}


async def _oldest(kafka: Kafka, prefix: str, lags: Sequence[Lag]) -> dict[str, datetime]:
    """Group -> time of its oldest unread record: one record of each partition that lags is read, by nobody's group."""
    if not lags:
        return {}
    wanted = {TopicPartition(prefix + lag.topic, lag.partition): lag for lag in lags}
    consumer = AIOKafkaConsumer(**options(kafka), auto_offset_reset="earliest")
    found: dict[str, int] = {}
    deadline = monotonic() + _LOOK_SECONDS
    try:
        async with asyncio.timeout(2 * _LOOK_SECONDS):
            await consumer.start()
        consumer.assign(list(wanted))
        for tp, lag in wanted.items():
            consumer.seek(tp, lag.committed or 0)
        missing = set(wanted)
        while missing and monotonic() < deadline:
            for tp, records in (await consumer.getmany(*missing, timeout_ms=500)).items():
                missing.discard(tp)
                consumer.pause(tp)
                group = wanted[tp].group
                found[group] = min(records[0].timestamp, found.get(group, records[0].timestamp))
    finally:
        await consumer.stop()
    return {group: datetime.fromtimestamp(stamp / 1000, UTC) for group, stamp in found.items()}
