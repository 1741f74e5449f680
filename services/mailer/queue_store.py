"""All SQL of the mailer: claims of events, the outbound queue that is the send ledger too, loop counters.

Times are the database's. A claim to send is fenced by `attempts`: what an older claim reports later than its
successor changes nothing but a lost 250.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import NamedTuple

from services.mailer.plans import Outbound
from services.mailer.states import Step
from shared.failures import Transient
from shared.postgres import UNAVAILABLE, Connection, Pool, load_offsets, save_offsets

SCHEMA = "mailer"
CLAIM = timedelta(minutes=15)
_SESSION_SECONDS = 40.0
_ANSWER_LOST = timedelta(seconds=60)  # longer than a session: a claim that its claimer never got to know


class StoreUnavailable(Transient):
    """PostgreSQL did not serve; whether it wrote is not known."""


class Claimed(NamedTuple):
    """A mail that this process may send until the claim ends."""

    id: int
    kind: str
    template: str
    ticket_id: int
    recipient: str
    envelope_from: str
    raw: bytes
    attempts: int
    age: timedelta
    received_at: datetime


class Report(NamedTuple):
    """What came of a claimed mail."""

    id: int
    attempts: int
    step: Step


@dataclass(frozen=True)
class Batch:
    """The one transaction of a batch of events."""

    connection: Connection

    # the lock of a claimed event makes a second mailer with the same event wait, and then find it claimed
    _CLAIM = """
        INSERT INTO mailer.inbox (event_id) SELECT DISTINCT unnest($1::text[]) ORDER BY 1
        ON CONFLICT DO NOTHING RETURNING event_id
    """

    async def claim(self, event_ids: Collection[str]) -> set[str]:
        """Those of the events that nobody claimed before."""
        return {row["event_id"] for row in await self.connection.fetch(self._CLAIM, list(event_ids))}

    # sorted, so that two mailers cannot lock each other; the update without change is what locks the row
    _LOCK_COUNTERS = """
        INSERT INTO mailer.loop_counters AS c (address, day, count)
        SELECT DISTINCT address, $2::date, 0 FROM unnest($1::text[]) AS a (address) ORDER BY address
        ON CONFLICT (address, day) DO UPDATE SET count = c.count
        RETURNING address, count
    """

    async def answers_of(self, addresses: Collection[str], day: date) -> Counter[str]:
        """How many answers each address had on that day, locked until the batch ends."""
        rows = await self.connection.fetch(self._LOCK_COUNTERS, list(addresses), day)
        return Counter({row["address"]: row["count"] for row in rows})

    _COUNT = "UPDATE mailer.loop_counters SET count = $3 WHERE address = $1 AND day = $2"

    async def save_answers_of(self, counts: Mapping[str, int], day: date) -> None:
        await self.connection.executemany(self._COUNT, [(address, day, count) for address, count in counts.items()])

    _RESERVE = "SELECT nextval('mailer.delivery_ids') AS id FROM generate_series(1, $1::int)"

    async def delivery_ids(self, number: int) -> list[int]:
        """Ids for rows still to be written."""
        return [row["id"] for row in await self.connection.fetch(self._RESERVE, number)]

    async def enqueue(self, rows: Sequence[Outbound]) -> None:
        await self.connection.copy_records_to_table(
            "outbound", schema_name=SCHEMA, columns=Outbound._fields, records=rows
        )

    async def save_offsets(self, topic: str, offsets: Mapping[int, int]) -> None:
        await save_offsets(self.connection, SCHEMA, topic, offsets)


@dataclass(frozen=True)
class QueueStore:
    """`holder`: this process's name in claims; a static instance id, so that a restart knows its own."""

    pool: Pool
    holder: str

    @asynccontextmanager
    async def batch(self) -> AsyncIterator[Batch]:
        async with self.pool.acquire() as connection, connection.transaction():
            yield Batch(connection)

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[Connection]:
        """A connection outside of a batch. Raises StoreUnavailable: nobody else judges the errors there."""
        try:
            # one deadline over all of it: a connection that dies in the wrong moment can leave the pool waiting
            async with asyncio.timeout(_SESSION_SECONDS), self.pool.acquire() as connection:
                yield connection
        except UNAVAILABLE as error:
            raise StoreUnavailable(f"{type(error).__name__} {getattr(error, 'sqlstate', '')}".strip()) from error

    async def stored_offsets(self, topic: str, partitions: Sequence[int]) -> dict[int, int]:
        return await load_offsets(self.pool, SCHEMA, topic, partitions)

    # "sending" is committed before the server sees a byte; skip locked: two mailers share the queue
    _CLAIM_DUE = """
        UPDATE mailer.outbound o
        SET state = 'sending', attempts = o.attempts + 1, claimed_by = $2, claimed_until = clock_timestamp() + $4
        FROM (SELECT id FROM mailer.outbound
              WHERE account = $1 AND state IN ('queued', 'deferred', 'unknown')
                AND due_at <= clock_timestamp()
              ORDER BY due_at LIMIT $3 FOR NO KEY UPDATE SKIP LOCKED) due
        WHERE o.id = due.id
        RETURNING o.id, o.kind, o.template, o.ticket_id, o.recipient, o.envelope_from, o.raw, o.attempts,
                  clock_timestamp() - o.created_at AS age, o.received_at
    """

    async def claim_due(self, account: str, limit: int) -> list[Claimed]:
        """Mails of an outbound account that are due, oldest first."""
        async with self._session() as connection:
            rows = await connection.fetch(self._CLAIM_DUE, account, self.holder, limit, CLAIM)
        return [Claimed(*row.values()) for row in rows]

    # a 250 counts even when the claim was taken over meanwhile: the repeat can still be saved
    _RECORD = """
        UPDATE mailer.outbound o
        SET state = r.state, due_at = clock_timestamp() + r.delay, smtp_code = nullif(r.code, 0), smtp_class = r.word,
            reason = CASE WHEN r.state = 'suppressed' THEN r.word ELSE o.reason END,
            attempts = o.attempts - CASE WHEN r.state = 'queued' THEN 1 ELSE 0 END,
            sent_at = CASE WHEN r.state = 'sent' THEN clock_timestamp() END, claimed_until = NULL
        FROM unnest($1::bigint[], $2::int[], $3::text[], $4::interval[], $5::int[], $6::text[])
             AS r (id, attempts, state, delay, code, word)
        WHERE o.id = r.id AND o.attempts = r.attempts
          AND (o.state = 'sending' OR o.state = 'unknown' AND r.state = 'sent')
    """

    async def record(self, reports: Sequence[Report]) -> None:
        """Outcomes of claimed mails, in one statement."""
        steps = [report.step for report in reports]
        async with self._session() as connection:
            await connection.execute(
                self._RECORD,
                [report.id for report in reports],
                [report.attempts for report in reports],
                [step.state.value for step in steps],
                [step.delay for step in steps],
                [step.code for step in steps],
                [step.word for step in steps],
            )

    _TAKE_BACK = """
        UPDATE mailer.outbound SET state = 'unknown', due_at = clock_timestamp(), smtp_class = 'interrupted'
        WHERE state = 'sending' AND (claimed_until < clock_timestamp()
            OR claimed_by = $1 AND id <> ALL ($2::bigint[]) AND claimed_until < clock_timestamp() + $3)
    """

    async def take_back(self, *, own: bool, held: Collection[int] = ()) -> None:
        """Mails whose sender is gone become unknown, and are sent again as they are.

        `own`: all that this instance had claimed before it was killed. Else those of its claims that it does not
        hold: the database went away between the claim's commit and its answer.
        """
        latest = CLAIM if own else CLAIM - _ANSWER_LOST
        async with self._session() as connection:
            await connection.execute(self._TAKE_BACK, self.holder, list(held), latest)

    _REROUTE = """
        UPDATE mailer.outbound SET account = $1
        WHERE state IN ('queued', 'deferred', 'unknown') AND account <> ALL($2::text[])
    """

    async def reroute(self, known: Sequence[str], default: str) -> None:
        """Mails that wait for an outbound account the desk no longer has go by the default one."""
        async with self._session() as connection:
            await connection.execute(self._REROUTE, default, [*known, default])

    _OLDEST = """
        SELECT min(created_at) FROM mailer.outbound WHERE state IN ('queued', 'sending', 'deferred', 'unknown')
    """

    async def oldest(self) -> datetime | None:
        """When the oldest mail that waits was queued."""
        async with self._session() as connection:
            found: datetime | None = await connection.fetchval(self._OLDEST)
        return found

    _PURGE = "DELETE FROM mailer.loop_counters WHERE day < $1"

    async def purge_counters(self, before: date) -> None:
        async with self._session() as connection:
            await connection.execute(self._PURGE, before)
