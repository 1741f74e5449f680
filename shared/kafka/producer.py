"""The one producer: idempotent, acks=all, zstd; a send returns when every record is confirmed, or fails whole.

After a failed send the producer is torn down *before* a new one is built. aiokafka's own `stop()` waits for
pending records without end while the broker is away, and those records are delivered later, behind the
repeats of the new producer: ten copies of a mail were seen.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from shared.events import Headers
from shared.failures import Transient
from shared.kafka.connection import Kafka, options
from shared.logs import fields

log = logging.getLogger(__name__)

SEND_SECONDS = 30.0
_TEARDOWN_SECONDS = 5.0


class Outgoing(NamedTuple):
    """A record to be sent; `topic` without the prefix."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers


class Place(NamedTuple):
    """Where the broker put a record. `offset` says nothing of a repeat that it had already: it may be too small."""

    partition: int
    offset: int


class SendFailed(Transient):
    """The broker did not confirm in time. The records may still have been written: send them again."""


class Producer:
    """Owned by one process. Concurrent `send_all` calls share the connection; a failed one makes all of them fail,
    because an idempotent producer is of no use after a gap in its sequence."""

    def __init__(self, kafka: Kafka, prefix: str, *, client_id: str, send_seconds: float = SEND_SECONDS) -> None:
        self._kafka = kafka
        self._prefix = prefix
        self._client_id = client_id
        self._send_seconds = send_seconds
        self._producer: AIOKafkaProducer | None = None
        self._building = asyncio.Lock()

    async def send_all(self, records: Sequence[Outgoing]) -> list[Place]:
        """Sends in order and waits for all confirmations; where each record stands.

        Raises SendFailed after `send_seconds`, or at once when the broker refuses; nothing is then known about
        the records, and the caller repeats them.
        """
        if not records:
            return []
        producer: AIOKafkaProducer | None = None
        try:
            async with asyncio.timeout(self._send_seconds):
                producer = await self._started()
                pending = [
                    await producer.send(
                        self._prefix + record.topic, record.value, key=record.key, headers=record.headers
                    )
                    for record in records
                ]
                confirmed = await asyncio.gather(*pending)
        except (KafkaError, OSError, TimeoutError) as error:
            await self._discard(producer)
            raise SendFailed(f"{type(error).__name__} while sending {len(records)} records") from error
        except asyncio.CancelledError:
            # what was handed to the sender would be delivered behind the caller's back
            await self._discard(producer)
            raise
        return [Place(one.partition, one.offset) for one in confirmed]

    async def close(self) -> None:
        """Every confirmed send is done already: nothing to flush, so nothing to wait for."""
        await self._discard(self._producer)

    async def _started(self) -> AIOKafkaProducer:
        async with self._building:
            if self._producer is None:
                producer = AIOKafkaProducer(
                    **options(self._kafka),
                    client_id=self._client_id,
                    enable_idempotence=True,
                    compression_type="zstd",
                    linger_ms=5,
                    max_batch_size=900_000,  # a whole batch of a partition in one request
                    max_request_size=1_000_000,  # below the topics' max.message.bytes: a refusal poisons the producer
                    retry_backoff_ms=1000,
                )
                try:
                    await producer.start()
                except BaseException:
                    await tear_down(producer)
                    raise
                self._producer = producer
            return self._producer

    async def _discard(self, producer: AIOKafkaProducer | None) -> None:
        if producer is None:
            return
        async with self._building:
            if self._producer is producer:
                self._producer = None
        await tear_down(producer)


async def tear_down(producer: AIOKafkaProducer) -> None:
    """Ends a producer without delivering what is pending.

    The sender is cancelled first, so that nothing new goes out; it then waits for its requests in flight, which
    end when the connections close; a last close takes those it opened meanwhile.
    """
    if producer._closed:  # no public way to end one without a flush; a test pins the names
        return
    producer._closed = True  # keeps __del__ quiet and refuses late sends
    sender = producer._sender.sender_task if producer._sender is not None else None
    try:
        async with asyncio.timeout(_TEARDOWN_SECONDS):
            if sender is not None and not sender.done():
                sender.cancel()
                await asyncio.sleep(0)
            await producer.client.close()
            if sender is not None:
                await asyncio.wait([sender])
                await producer.client.close()
    except TimeoutError:
        log.warning("a producer's connections did not close in time", extra=fields(action="producer_teardown"))
