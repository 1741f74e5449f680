"""The ticketing service: two consumers and the relay of the outbox around one database.

It needs only PostgreSQL to start and to be ready: tickets can be read while Kafka is away, and the consumers join
by themselves when it comes.
"""

import asyncio
import logging
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from services.ticketing import dead_letter_store
from services.ticketing.handlers import DeadLetterHandler, MailHandler, origin_of
from services.ticketing.outbox import Relay
from services.ticketing.recall import Recall
from shared import metrics
from shared.failures import describe
from shared.kafka.admin import differences
from shared.kafka.batches import Handle
from shared.kafka.consumer import Consumer
from shared.kafka.dead_letters import dead_letter_sink
from shared.kafka.producer import Producer
from shared.kafka.record import Record
from shared.kafka.stored_offsets import StoredOffsets
from shared.logs import fields
from shared.postgres import UNAVAILABLE, Pool
from shared.process import Process
from shared.topics import DEAD_LETTERS, DISPATCHED, EVENTS, GROUPS

log = logging.getLogger(__name__)

_JOIN_AGAIN_SECONDS = 1.0
_LETTERS_SECONDS = 10.0
_DRAIN_SECONDS = 10.0


async def serve(process: Process) -> None:
    """Runs until `process.stop`, then lets the batches in hand finish and publishes what they committed."""
    desk = process.desk()
    pool = await process.database("ticketing")
    settings = process.settings
    producer = Producer(settings.cluster, settings.prefix, client_id=f"{settings.prefix}carteiro-ticketing")
    recall = Recall(settings.cluster, settings.prefix, lambda: desk.current.desk.ticket)
    relay = Relay(settings.dsn, settings.prefix + (settings.instance or uuid.uuid4().hex), producer, recall)
    process.health.alive["outbox relay"] = lambda: relay.last_progress
    service = _Service(process, pool, producer)
    relaying = asyncio.create_task(relay.run(), name="outbox-relay")
    relaying.add_done_callback(_ends(process))
    side = [
        asyncio.create_task(service.consume("ticketing", MailHandler(pool, desk, relay.wake), origin_of)),
        asyncio.create_task(service.consume("ticketing-deadletters", DeadLetterHandler(pool), _place)),
        asyncio.create_task(_count_letters(pool), name="dead-letters-gauge"),
    ]
    for task in side:
        task.add_done_callback(_ends(process))
    await process.stop.wait()
    for task in side:
        task.cancel()
    await asyncio.gather(*side, return_exceptions=True)
    await service.close()
    relay.close()
    await asyncio.wait([relaying], timeout=_DRAIN_SECONDS)
    relaying.cancel()
    await producer.close()
    pool.terminate()


@dataclass
class _Service:
    process: Process
    pool: Pool
    producer: Producer

    def __post_init__(self) -> None:
        self._consumers: list[Consumer] = []

    async def consume(self, name: str, handle: Handle, origin: Callable[[Record], str]) -> None:
        """Joins the group as soon as Kafka answers and the topics are as declared."""
        complaint = ""
        while True:
            try:
                consumer = await self._joined(name, handle, origin)
            except Exception as error:  # noqa: BLE001  # whatever the client raises: the broker is away or not ready
                if str(error) != complaint:
                    complaint = str(error)
                    log.warning("waits for Kafka", extra=fields(action="kafka_wait", group=name, cause=complaint))
                await asyncio.sleep(_JOIN_AGAIN_SECONDS)
            else:
                break
        self._consumers.append(consumer)
        self.process.health.alive[name] = lambda: consumer.last_progress

    async def _joined(self, name: str, handle: Handle, origin: Callable[[Record], str]) -> Consumer:
        """A consumer that has not started is of no further use: each attempt builds a new one."""
        await self._check_topics()
        consumer = self._consumer(name, handle, origin)
        try:
            await consumer.start()
        except BaseException:
            await consumer.close()
            raise
        return consumer

    async def close(self) -> None:
        await asyncio.gather(*(consumer.close() for consumer in self._consumers))

    async def _check_topics(self) -> None:
        settings = self.process.settings
        topics = (DISPATCHED, EVENTS, DEAD_LETTERS)
        wrong = await differences(settings.cluster, settings.prefix, settings.kafka_replicas, topics)
        if wrong:
            raise _TopicsDiffer("; ".join(map(str, wrong)))

    def _consumer(self, name: str, handle: Handle, origin: Callable[[Record], str]) -> Consumer:
        group, topic = GROUPS[name]
        return Consumer(
            name,
            self.process.settings,
            handle,
            dead_letter_sink(self.producer, "ticketing"),
            origin,
            self.process.stop,
            self.process.fatal,
            StoredOffsets(self.pool, "ticketing", topic, group),
        )


class _TopicsDiffer(Exception):
    """A topic is missing or has other settings than declared."""


def _place(record: Record) -> str:
    return f"{record.partition}"


def _ends(process: Process) -> Callable[[asyncio.Task[None]], None]:
    """A task that dies of something unforeseen ends the process: half a service would look alive."""

    def done(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            process.fatal(error)

    return done


async def _count_letters(pool: Pool) -> None:
    while True:
        try:
            counts = await dead_letter_store.open_letters(pool)
        except UNAVAILABLE as error:
            log.debug("dead letters not counted", extra=fields(action="letters_gauge", cause=describe(error)))
        else:
            metrics.dead_letters_pending.clear()
            for topic, letters in counts.items():
                metrics.dead_letters_pending.labels(topic).set(letters)
        await asyncio.sleep(_LETTERS_SECONDS)
