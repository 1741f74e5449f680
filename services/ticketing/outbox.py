"""The relay: what was committed to the outbox goes to Kafka, in order, at least once.

One per installation, the holder of a session lock: two would lose the order of a ticket's events. No transaction
is open while Kafka is asked, and a row is deleted only after the broker has confirmed its record.
"""

import asyncio
import logging
from collections.abc import Sequence

import asyncpg

from shared import metrics
from shared.clock import monotonic, rfc3339
from shared.events import TicketEvent
from shared.failures import Transient, describe
from shared.kafka.producer import Outgoing, Producer
from shared.logs import fields
from shared.postgres import UNAVAILABLE, Connection, create_pool
from shared.wire import cloud_headers

log = logging.getLogger(__name__)

_LOCK = 0x4F757462  # "Outb": one relay per installation
_MOST = 500
_POLL_SECONDS = 0.3
_AGAIN_SECONDS = 1.0

_LEAD = "SELECT pg_try_advisory_lock($1)"
_NEXT = "SELECT id, event_id, key, type, payload, created_at FROM ticketing.outbox ORDER BY id LIMIT $1"
_DONE = "DELETE FROM ticketing.outbox WHERE id = ANY ($1::bigint[])"
_PENDING = "SELECT count(*) FROM ticketing.outbox"


class Relay:
    """`run` until `close`. `wake` after a commit spares the wait for the next look."""

    def __init__(self, dsn: str, producer: Producer) -> None:
        self._dsn = dsn
        self._producer = producer
        self._news = asyncio.Event()
        self._closing = asyncio.Event()
        self.last_progress = monotonic()

    def wake(self) -> None:
        self._news.set()

    def close(self) -> None:
        """Lets `run` publish what is there, once, and return."""
        self._closing.set()
        self._news.set()

    async def run(self) -> None:
        """Survives a lost database and a lost broker; what was not confirmed goes out again with the same id."""
        while True:
            try:
                await self._serve()
            except (*UNAVAILABLE, Transient) as error:
                metrics.outbox_published.labels("failed").inc()
                log.warning(
                    "the outbox waits and is tried again", extra=fields(action="outbox_retry", cause=describe(error))
                )
            self.last_progress = monotonic()
            if await self._closed_within(_AGAIN_SECONDS):
                return

    async def _serve(self) -> None:
        """Returns when another process leads, or when all is published and the relay closes."""
        pool = await create_pool(self._dsn, "ticketing", size=1)
        try:
            async with pool.acquire() as connection:
                while not await connection.fetchval(_LEAD, _LOCK):
                    self.last_progress = monotonic()
                    if await self._closed_within(_AGAIN_SECONDS):
                        return
                await self._publish_all(connection)
        finally:
            pool.terminate()  # the lock goes with the connection, and nothing here is worth waiting for

    async def _publish_all(self, connection: Connection) -> None:
        while True:
            self._news.clear()
            self.last_progress = monotonic()
            rows = await connection.fetch(_NEXT, _MOST)
            await self._export(connection, rows)
            if rows:
                await self._producer.send_all([_record(row) for row in rows])
                await connection.execute(_DONE, [row["id"] for row in rows])
                metrics.outbox_published.labels("ok").inc(len(rows))
            elif self._closing.is_set():
                return
            else:
                await self._news_within(_POLL_SECONDS)

    async def _export(self, connection: Connection, rows: Sequence[asyncpg.Record]) -> None:
        pending = len(rows) if len(rows) < _MOST else await connection.fetchval(_PENDING)
        metrics.outbox_pending.set(pending)
        metrics.outbox_oldest.set(rows[0]["created_at"].timestamp() if rows else 0)

    async def _news_within(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            pass

    async def _closed_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._closing.wait()
        except TimeoutError:
            return False
        return True


def _record(row: asyncpg.Record) -> Outgoing:
    headers = cloud_headers(
        ce_id=row["event_id"],
        ce_type=row["type"],
        source="carteiro/ticketing",
        time=rfc3339(row["created_at"]),
        content_type="application/json",
    )
    return Outgoing(TicketEvent.TOPIC, row["key"].encode(), row["payload"], headers)
