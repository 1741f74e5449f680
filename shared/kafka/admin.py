"""What is asked of the broker beside records: topics applied and read back, group lag, a ping."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError

from shared.kafka.connection import Cluster, Kafka, options
from shared.topics import BY_NAME, GROUPS, RECEIVED, TOPICS, Topic

_UNREACHABLE = (KafkaError, OSError, TimeoutError)


class KafkaUnreachable(Exception):
    """No broker answered. Status 69."""


@dataclass(frozen=True)
class Difference:
    """A topic that is not as declared: `setting` is a configuration name, `partitions`, `replicas` or `missing`."""

    topic: str
    setting: str
    expected: str
    found: str

    def __str__(self) -> str:
        if self.setting == "missing":
            return f"topic {self.topic} is missing: run `carteiro topics apply`"
        return f"topic {self.topic}: {self.setting} is {self.found}, expected {self.expected}"


@dataclass(frozen=True)
class Lag:
    """Records of a group's topic not read yet, and what is kept: `oldest_unread` is in epoch milliseconds."""

    group: str
    topic: str
    partition: int
    committed: int | None
    end: int

    @property
    def records(self) -> int:
        return max(0, self.end - (self.committed or 0))


@asynccontextmanager
async def admin(kafka: Kafka, seconds: float = 10.0) -> AsyncIterator[AIOKafkaAdminClient]:
    """Raises KafkaUnreachable."""
    client = AIOKafkaAdminClient(**options(kafka), request_timeout_ms=int(seconds * 1000))
    try:
        async with asyncio.timeout(seconds):
            await client.start()
    except _UNREACHABLE as error:
        await client.close()
        refused = " or refuses the log-in" if isinstance(kafka, Cluster) and kafka.logs_in else ""
        raise KafkaUnreachable(f"Kafka at {kafka} cannot be reached{refused} ({type(error).__name__})") from error
    try:
        yield client
    finally:
        await client.close()


async def ping(kafka: Kafka, seconds: float = 2.0) -> None:
    """Raises KafkaUnreachable."""
    async with admin(kafka, seconds) as client:
        try:
            async with asyncio.timeout(seconds):
                await client.describe_cluster()
        except _UNREACHABLE as error:
            raise KafkaUnreachable(f"Kafka at {kafka} does not answer ({type(error).__name__})") from error


async def apply_topics(kafka: Kafka, prefix: str, replicas: int) -> list[str]:
    """Creates what is missing, adds partitions, corrects settings; returns a sentence per change.

    Settings are read, merged and written whole: `alter_configs` puts every setting it does not name back to its
    default. Raises KafkaUnreachable, or RuntimeError with the broker's word.
    """
    done: list[str] = []
    async with admin(kafka) as client:
        found = await _described(client, [prefix + topic.name for topic in TOPICS])
        missing = [topic for topic in TOPICS if prefix + topic.name not in found]
        if missing:
            new = [
                NewTopic(prefix + t.name, t.partitions, replicas, topic_configs=t.settings(replicas)) for t in missing
            ]
            _raise_errors(await client.create_topics(new))
            done += [f"created {prefix + topic.name} with {topic.partitions} partitions" for topic in missing]
        for topic in TOPICS:
            name = prefix + topic.name
            if name in found:
                done += await _correct(client, topic, name, found[name], replicas)
    return done


async def _correct(
    client: AIOKafkaAdminClient, topic: Topic, name: str, described: dict[str, Any], replicas: int
) -> list[str]:
    done = []
    if len(described["partitions"]) < topic.partitions:
        _raise_errors(await client.create_partitions({name: NewPartitions(topic.partitions)}))
        done.append(f"{name}: {topic.partitions} partitions instead of {len(described['partitions'])}")
    wanted = topic.settings(replicas)
    current = await _settings(client, name)
    wrong = {key: value for key, value in wanted.items() if current.get(key, ("", False))[0] != value}
    if wrong:
        own = {key: value for key, (value, is_own) in current.items() if is_own}
        merged = own | wanted
        _raise_errors_alter(
            await client.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, configs=merged)])
        )
        done += [f"{name}: {key}={value}" for key, value in wrong.items()]
    return done


async def differences(kafka: Kafka, prefix: str, replicas: int, names: Sequence[str]) -> list[Difference]:
    """How the topics differ from their declaration; more partitions than declared are fine. Raises KafkaUnreachable."""
    async with admin(kafka) as client:
        try:
            found = await _described(client, [prefix + name for name in names])
            return [
                difference
                for name in names
                for difference in await _differing(
                    client, BY_NAME[name], prefix + name, found.get(prefix + name), replicas
                )
            ]
        except _UNREACHABLE as error:
            raise KafkaUnreachable(f"Kafka at {kafka} does not answer ({type(error).__name__})") from error


async def _differing(
    client: AIOKafkaAdminClient, topic: Topic, name: str, described: dict[str, Any] | None, replicas: int
) -> list[Difference]:
    if described is None:
        return [Difference(name, "missing", "", "")]
    result = []
    partitions = described["partitions"]
    if len(partitions) < topic.partitions:
        result.append(Difference(name, "partitions", str(topic.partitions), str(len(partitions))))
    have = min((len(p["replicas"]) for p in partitions), default=0)
    if have < replicas:
        result.append(Difference(name, "replicas", str(replicas), str(have)))
    current = await _settings(client, name)
    return result + [
        Difference(name, key, value, current.get(key, ("unset", False))[0])
        for key, value in topic.settings(replicas).items()
        if current.get(key, ("unset", False))[0] != value
    ]


async def prefixes(kafka: Kafka) -> list[str]:
    """The prefixes under which this broker has topics of Carteiro. Raises KafkaUnreachable."""
    async with admin(kafka) as client:
        try:
            names = [str(topic["topic"]) for topic in await client.describe_topics()]
        except _UNREACHABLE as error:
            raise KafkaUnreachable(f"Kafka at {kafka} does not answer ({type(error).__name__})") from error
    return sorted(name.removesuffix(RECEIVED) for name in names if name.endswith(RECEIVED))


async def group_lags(kafka: Kafka, prefix: str) -> list[Lag]:
    """Lag of every subscriber's group, per partition. Raises KafkaUnreachable."""
    lags: list[Lag] = []
    async with admin(kafka) as client:
        consumer = AIOKafkaConsumer(**options(kafka))
        try:
            await consumer.start()
            found = await _described(client, [prefix + topic.name for topic in TOPICS])
            for group, topic in GROUPS.values():
                if prefix + topic not in found:
                    continue
                tps = [TopicPartition(prefix + topic, p["partition"]) for p in found[prefix + topic]["partitions"]]
                ends = await consumer.end_offsets(tps)
                committed = await client.list_consumer_group_offsets(prefix + group, partitions=tps)
                for tp in tps:
                    offset = committed[tp].offset if tp in committed else -1
                    lags.append(Lag(group, topic, tp.partition, None if offset < 0 else offset, ends[tp]))
        except _UNREACHABLE as error:
            raise KafkaUnreachable(f"Kafka at {kafka} does not answer ({type(error).__name__})") from error
        finally:
            await consumer.stop()
    return lags


async def _described(client: AIOKafkaAdminClient, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    described = await client.describe_topics(list(names))
    return {topic["topic"]: topic for topic in described if topic["error_code"] == 0}


async def _settings(client: AIOKafkaAdminClient, name: str) -> dict[str, tuple[str, bool]]:
    """Setting -> (value, set on the topic itself)."""
    answers = await client.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)])
    topic_source = 1  # DYNAMIC_TOPIC_CONFIG
    settings: dict[str, tuple[str, bool]] = {}
    for answer in answers:
        for _error, _message, _type, _name, entries in answer.resources:
            for entry in entries:
                key, value, _read_only, source = entry[:4]
                settings[key] = (value, source == topic_source)
    return settings


def _raise_errors(answer: Any) -> None:
    errors = [error for error in answer.topic_errors if error[1]]
    if errors:
        raise RuntimeError(f"the broker refused: {errors[0][0]}: error {errors[0][1]} {errors[0][-1]}")


def _raise_errors_alter(answers: Sequence[Any]) -> None:
    for answer in answers:
        for error, message, _type, name in answer.resources:
            if error:
                raise RuntimeError(f"the broker refused settings of {name}: error {error} {message}")
