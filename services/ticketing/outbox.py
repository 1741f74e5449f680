"""The relay: what was committed to the outbox goes to Kafka, in order, at least once.

One per installation, the holder of a lease: two would lose the order of a ticket's events. No transaction is open
while Kafka is asked; a row is deleted, and how far the topic reaches is written down, only after the broker has
confirmed its record. Whoever takes the lead first compares the database with the topic (recall.py).
"""

import asyncio
import logging
import math
from collections.abc import Sequence

import asyncpg

from services.ticketing import relay_store
from services.ticketing.recall import Recall
from services.ticketing.relay_store import LEASE, Lead
from shared import metrics, tracing
from shared.clock import monotonic, rfc3339
from shared.events import TicketEvent
from shared.failures import Transient, describe
from shared.kafka.producer import Outgoing, Producer
from shared.logs import fields
from shared.postgres import UNAVAILABLE, Connection, create_pool
from shared.wire import cloud_headers

log = logging.getLogger(__name__)

_MOST = 500
_POLL_SECONDS = 0.3
_AGAIN_SECONDS = 1.0
_LEASE_SECONDS = LEASE.total_seconds()
_RENEW_SECONDS = _LEASE_SECONDS / 4
_MARGIN_SECONDS = 2.0  # a send is over before the lease is: what comes later could cross a successor's events


class Relay:
    """`run` until `close`. `wake` after a commit spares the wait for the next look. `holder`: this process's name,
    a static instance id, so that a restart takes up its own lead."""

    def __init__(self, dsn: str, holder: str, producer: Producer, recall: Recall) -> None:
        self._dsn = dsn
        self._holder = holder
        self._producer = producer
        self._recall = recall
        self._news = asyncio.Event()
        self._closing = asyncio.Event()
        self._met = ("", 0.0)  # the database's lineage, and since when this process knows it
        self._leads_until = 0.0
        self._complaint = ""
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
                self._complain(describe(error))
            finally:
                # who does not lead knows nothing: a zero here would speak for the one who does
                metrics.outbox_pending.set(math.nan)
                metrics.outbox_oldest.set(math.nan)
            self._progress()
            if await self._closed_within(_AGAIN_SECONDS):
                return

    async def _serve(self) -> None:
        """Returns when another process leads, or when all is published and the relay closes."""
        pool = await create_pool(self._dsn, "ticketing", size=1)
        try:
            async with pool.acquire() as connection:
                lead = await self._led(connection)
                if lead is None:
                    return
                lead = await self._recall(connection, lead, self._progress)
                self._complaint = ""
                await self._publish_all(connection, lead)
        finally:
            pool.terminate()  # nothing here is worth waiting for

    async def _led(self, connection: Connection) -> Lead | None:
        """The lead, waited for; None when the relay closes before."""
        while True:
            self._progress()
            lineage = await relay_store.lineage(connection)
            if lineage != self._met[0]:
                self._met = (lineage, monotonic())
            began = monotonic()
            patient = began - self._met[1] >= _LEASE_SECONDS
            lead = await relay_store.take(connection, self._holder, patient=patient)
            if lead is not None:
                self._leads_until = began + _LEASE_SECONDS
                log.info("leads the outbox", extra=fields(action="relay_leads", epoch=lead.epoch))
                return lead
            if await self._closed_within(_AGAIN_SECONDS):
                return None

    async def _publish_all(self, connection: Connection, lead: Lead) -> None:
        while True:
            self._news.clear()
            self._progress()
            lead = await self._renewed(connection, lead)
            rows, pending = await relay_store.waiting(connection, _MOST)
            metrics.outbox_pending.set(pending)
            metrics.outbox_oldest.set(rows[0]["created_at"].timestamp() if rows else 0)
            if rows:
                lead = await self._publish(connection, lead, rows)
            elif self._closing.is_set():
                await relay_store.release(connection, lead)
                return
            else:
                await self._news_within(_POLL_SECONDS)

    async def _renewed(self, connection: Connection, lead: Lead) -> Lead:
        began = monotonic()
        if began < self._leads_until - _LEASE_SECONDS + _RENEW_SECONDS:
            return lead
        lead = await relay_store.renew(connection, lead)
        self._leads_until = began + _LEASE_SECONDS
        return lead

    async def _publish(self, connection: Connection, lead: Lead, rows: Sequence[asyncpg.Record]) -> Lead:
        started = monotonic()
        stored = [(row["traceparent"] or "").encode() for row in rows]
        with tracing.batch("publish", stored) as spans:
            records = [_record(row, spans.of(n) or stored[n]) for n, row in enumerate(rows)]
            async with asyncio.timeout(self._leads_until - _MARGIN_SECONDS - started):
                places = await self._producer.send_all(records)
        reached: dict[int, int] = {}
        for place in places:
            reached[place.partition] = max(place.offset + 1, reached.get(place.partition, 0))
        began = monotonic()
        lead = await relay_store.done(connection, lead, [row["id"] for row in rows], reached)
        self._leads_until = began + _LEASE_SECONDS
        metrics.outbox_published.labels("ok").inc(len(rows))
        metrics.stage_duration.labels("relay").observe(monotonic() - started)
        return lead

    def _complain(self, cause: str) -> None:
        """Once for each cause, not once a second."""
        if cause != self._complaint:
            self._complaint = cause
            log.warning("the outbox waits and is tried again", extra=fields(action="outbox_retry", cause=cause))

    def _progress(self) -> None:
        self.last_progress = monotonic()

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


def _record(row: asyncpg.Record, traceparent: bytes) -> Outgoing:
    headers = cloud_headers(
        ce_id=row["event_id"],
        ce_type=row["type"],
        source="carteiro/ticketing",
        time=rfc3339(row["created_at"]),
        content_type="application/json",
        traceparent=traceparent or None,
    )
    return Outgoing(TicketEvent.TOPIC, row["key"].encode(), row["payload"], headers)
