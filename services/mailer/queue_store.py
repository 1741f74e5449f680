"""All SQL of the mailer: claims of events, the outbound queue that is the send ledger too, loop counters.

Times are the database's. A claim to send is fenced by `attempts`: what an older claim reports later than its
successor changes nothing but a lost 250.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from services.mailer.audience import Absence
from services.mailer.letters import Failed
from services.mailer.loops import Known, Window
from services.mailer.plans import Birth, Bounce, Outbound
from services.mailer.states import Step
from shared.clock import boottime
from shared.failures import Transient
from shared.kafka.record import Record
from shared.kafka.stored_offsets import take_offsets
from shared.postgres import UNAVAILABLE, Connection, Pool, transaction

SCHEMA = "mailer"
CLAIM = timedelta(minutes=15)
DOT_WITHIN = timedelta(minutes=5)  # of a claim: the reply to a mail may take ten minutes (RFC 5321 section 4.5.3.2.6)
REROUTE_AFTER = timedelta(minutes=2)  # longer than a desk takes to reach every mailer
SERVED_FOR = timedelta(minutes=15)  # longer than a slow machine keeps a mailer from saying again what it serves
MOST_COUNTED = 10_000
_CUT_SHORT = 20  # times a mail's sender may die before the mail is suspected
_SESSION_SECONDS = 40.0
_ANSWER_LOST = timedelta(seconds=60)  # longer than a session: a claim that its claimer never got to know


class StoreUnavailable(Transient):
    """PostgreSQL did not serve; whether it wrote is not known."""


class Claimed(NamedTuple):
    """A mail that this process may send until the claim ends. `sender`: the address in From; `age`: since the first
    try that the mail itself did not pass; `dot_before`: `boottime` after which it must not be handed over."""

    id: int
    kind: str
    template: str
    ticket_id: int
    recipient: str
    sender: str
    raw: bytes
    attempts: int
    age: timedelta
    received_at: datetime
    traceparent: str | None
    dot_before: float


class Report(NamedTuple):
    """What came of a claimed mail."""

    id: int
    attempts: int
    step: Step


@dataclass(frozen=True)
class Batch:
    """The one transaction of a batch of events."""

    connection: Connection
    holder: str

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
        INSERT INTO mailer.windows AS w (key, starts, count)
        SELECT key, starts, 0 FROM unnest($1::text[], $2::timestamptz[]) AS a (key, starts) ORDER BY key, starts
        ON CONFLICT (key, starts) DO UPDATE SET count = w.count
        RETURNING key, starts, count
    """
    _BOUNCED = "SELECT address FROM mailer.bounced_addresses WHERE address = ANY ($1::text[])"

    async def known(self, windows: Collection[Window], addresses: Collection[str]) -> Known:
        """How many mails went out in each window, locked until the batch ends, and which addresses bounced."""
        counted = await self.connection.fetch(
            self._LOCK_COUNTERS, [window.of for window in windows], [window.starts for window in windows]
        )
        bounced = await self.connection.fetch(self._BOUNCED, list(addresses))
        return Known(
            Counter({Window(row["key"], row["starts"]): row["count"] for row in counted}),
            frozenset(row["address"] for row in bounced),
        )

    _COUNT = """
        UPDATE mailer.windows w SET count = n.count
        FROM unnest($1::text[], $2::timestamptz[], $3::int[]) AS n (key, starts, count)
        WHERE w.key = n.key AND w.starts = n.starts
    """

    async def save_counts(self, counts: Mapping[Window, int]) -> None:
        await self.connection.execute(
            self._COUNT, [each.of for each in counts], [each.starts for each in counts], list(counts.values())
        )

    _BIRTH = """
        SELECT nextval('mailer.delivery_ids') AS id, now() AS now, now() + $2 AS until,
               (SELECT before FROM mailer.hold) AS held_before
        FROM generate_series(1, $1::int)
    """

    async def birth(self, number: int, room: Mapping[str, int]) -> tuple[list[int], Birth]:
        """Ids and times for rows still to be written. At least one is reserved."""
        rows = await self.connection.fetch(self._BIRTH, max(1, number), CLAIM)
        first = rows[0]
        return [row["id"] for row in rows], Birth(self.holder, first["now"], first["until"], first["held_before"], room)

    # a Message-ID of ours is signed, so that nobody can name one that he has not got
    _BOUNCE = """
        WITH bounced AS (
            UPDATE mailer.outbound o SET state = 'bounced', smtp_class = r.status
            FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bool[]) AS r (ticket_id, message_id, status, flag)
            WHERE o.ticket_id = r.ticket_id AND o.message_id = r.message_id AND o.state = 'sent'
            RETURNING lower(o.recipient) AS address, r.status, r.flag),
        flagged AS (
            INSERT INTO mailer.bounced_addresses AS b (address, status, reports, bounced_at)
            SELECT address, max(status), count(*), now() FROM bounced WHERE flag GROUP BY address ORDER BY address
            ON CONFLICT (address) DO UPDATE
            SET status = excluded.status, reports = b.reports + excluded.reports, bounced_at = now())
        SELECT count(*) FROM bounced
    """

    async def bounce(self, reports: Sequence[Bounce]) -> int:
        """Mails that were sent become bounced, addresses that are wrong for good are flagged; gives how many mails."""
        if not reports:
            return 0
        found: int = await self.connection.fetchval(
            self._BOUNCE,
            [report.ticket_id for report in reports],
            [report.message_id for report in reports],
            [report.status for report in reports],
            [report.flag for report in reports],
        )
        return found

    _TEXTS = "SELECT article_id, text FROM ticketing.mail_facts_v1 WHERE article_id = ANY ($1::bigint[])"

    async def texts(self, articles: Collection[int]) -> dict[int, str]:
        """Article -> its text, of those that are there."""
        return {row["article_id"]: row["text"] for row in await self.connection.fetch(self._TEXTS, list(articles))}

    async def enqueue(self, rows: Sequence[Outbound]) -> None:
        await self.connection.copy_records_to_table(
            "outbound", schema_name=SCHEMA, columns=Outbound._fields, records=rows
        )

    async def take_offsets(self, topic: str, records: Sequence[Record]) -> None:
        """Raises Elsewhere when the records do not begin where their partitions stand."""
        await take_offsets(self.connection, SCHEMA, topic, records)


@dataclass(frozen=True)
class QueueStore:
    """`holder`: this process's name in claims; a static instance id, so that a restart knows its own."""

    pool: Pool
    holder: str

    @asynccontextmanager
    async def batch(self) -> AsyncIterator[Batch]:
        async with transaction(self.pool) as connection:
            yield Batch(connection, self.holder)

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[Connection]:
        """A connection outside of a batch. Raises StoreUnavailable: nobody else judges the errors there."""
        try:
            # one deadline over all of it: a connection that dies in the wrong moment can leave the pool waiting
            async with asyncio.timeout(_SESSION_SECONDS), self.pool.acquire() as connection:
                yield connection
        except UNAVAILABLE as error:
            raise StoreUnavailable(f"{type(error).__name__} {getattr(error, 'sqlstate', '')}".strip()) from error

    # "sending" is committed before the server sees a byte; skip locked: two mailers share the queue; now() and not
    # clock_timestamp(), which is no condition that an index can have: it read every deferred mail
    _CLAIM_DUE = """
        UPDATE mailer.outbound o
        SET state = 'sending', attempts = o.attempts + 1, claimed_by = $2, claimed_until = now() + $4
        FROM (SELECT id FROM mailer.outbound
              WHERE account = $1 AND state IN ('queued', 'deferred', 'unknown') AND due_at <= now()
              ORDER BY due_at LIMIT $3 FOR NO KEY UPDATE SKIP LOCKED) due
        WHERE o.id = due.id
        RETURNING o.id, o.kind, o.template, o.ticket_id, o.recipient,
                  CASE WHEN o.sender = '' THEN o.envelope_from ELSE o.sender END, o.raw, o.attempts,
                  now() - coalesce(o.deferred_since, now()), o.received_at, o.traceparent
    """

    async def claim_due(self, account: str, limit: int) -> list[Claimed]:
        """Mails of an outbound account that are due, oldest first."""
        async with self._session() as connection:
            dot_before = boottime() + DOT_WITHIN.total_seconds()
            rows = await connection.fetch(self._CLAIM_DUE, account, self.holder, limit, CLAIM)
        return [Claimed._make((*row.values(), dot_before)) for row in rows]

    # a 250 counts even when the claim was taken over meanwhile: the repeat can still be saved
    _RECORD = """
        UPDATE mailer.outbound o
        SET state = r.state, due_at = now() + r.delay, smtp_code = nullif(r.code, 0), smtp_class = r.word,
            reason = CASE WHEN r.state = 'suppressed' THEN r.word ELSE o.reason END,
            attempts = o.attempts - CASE WHEN r.state = 'queued' THEN 1 ELSE 0 END,
            sent_at = CASE WHEN r.state = 'sent' THEN now() END,
            failed_at = CASE WHEN r.state = 'failed' THEN now() END,
            deferred_since = CASE WHEN r.state IN ('deferred', 'unknown') THEN coalesce(o.deferred_since, now())
                                  ELSE o.deferred_since END,
            claimed_until = NULL
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

    # a mail whose sender has died so often is what it dies of
    _TAKE_BACK = """
        UPDATE mailer.outbound
        SET state = CASE WHEN attempts < $4 THEN 'unknown' ELSE 'failed' END,
            failed_at = CASE WHEN attempts < $4 THEN NULL ELSE now() END,
            due_at = now(), deferred_since = coalesce(deferred_since, now()), smtp_class = 'interrupted'
        WHERE state = 'sending' AND (claimed_until < now()
            OR claimed_by = $1 AND id <> ALL ($2::bigint[]) AND claimed_until < now() + $3)
    """

    async def take_back(self, *, own: bool, held: Collection[int] = ()) -> None:
        """Mails whose sender is gone become unknown, and are sent again as they are.

        `own`: all that this instance had claimed before it was killed. Else those of its claims that it does not
        hold: the database went away between the claim's commit and its answer.
        """
        latest = CLAIM if own else CLAIM - _ANSWER_LOST
        async with self._session() as connection:
            await connection.execute(self._TAKE_BACK, self.holder, list(held), latest, _CUT_SHORT)

    # `since`: for how long without a break
    _SERVE = """
        INSERT INTO mailer.served AS s (account, holder, seen_at, since)
        SELECT unnest($1::text[]), $2::text, now(), now()
        ON CONFLICT (account, holder) DO UPDATE
        SET seen_at = now(), since = CASE WHEN s.seen_at < now() - $3::interval THEN now() ELSE s.since END
    """
    _LEAVE = """
        DELETE FROM mailer.served
        WHERE holder = $2 AND account <> ALL ($1::text[]) OR seen_at < now() - $3::interval
    """

    # from one account to the next by the index, however many mails wait for each
    _REROUTE = """
        WITH RECURSIVE waiting AS (
            (SELECT account FROM mailer.outbound WHERE state IN ('queued', 'deferred', 'unknown')
             ORDER BY account LIMIT 1)
            UNION ALL
            SELECT (SELECT o.account FROM mailer.outbound o
                    WHERE o.state IN ('queued', 'deferred', 'unknown') AND o.account > w.account
                    ORDER BY o.account LIMIT 1)
            FROM waiting w WHERE w.account IS NOT NULL)
        UPDATE mailer.outbound SET account = $1
        WHERE state IN ('queued', 'deferred', 'unknown') AND created_at < now() - $3::interval
          AND account = ANY (ARRAY(
              SELECT account FROM waiting WHERE account <> $1 AND NOT EXISTS (
                  SELECT FROM mailer.served s WHERE s.account = waiting.account AND s.seen_at > now() - $4::interval)))
          AND EXISTS (SELECT FROM mailer.served
                      WHERE account = $1 AND holder = $2 AND since < now() - $3::interval)
    """

    async def serve(self, accounts: Sequence[str]) -> None:
        """Says that this process serves these outbound accounts, and no others."""
        async with self._session() as connection:
            await connection.execute(self._SERVE, list(accounts), self.holder, REROUTE_AFTER)
            await connection.execute(self._LEAVE, list(accounts), self.holder, SERVED_FOR)

    async def reroute(self, default: str) -> None:
        """Mails that wait for an outbound account which no mailer serves go by the default one, once this process has
        seen that for a while. A mailer that still reads an old desk must not take those of a new account, nor one that
        is up again before the others."""
        async with self._session() as connection:
            await connection.execute(self._REROUTE, default, self.holder, REROUTE_AFTER, SERVED_FOR)

    # the expression is that of an index; a queued one is due at once, and is given back with a new time whenever our
    # own account fails: it waits since it was written
    _OVERDUE = """
        SELECT min(CASE WHEN state = 'queued' OR deferred_since IS NULL THEN created_at ELSE due_at END)
        FROM mailer.outbound WHERE state IN ('queued', 'sending', 'deferred', 'unknown')
          AND CASE WHEN state = 'queued' OR deferred_since IS NULL THEN created_at ELSE due_at END <= now()
    """

    async def overdue(self) -> datetime | None:
        """Since when the mail that waits longest could have been sent. One that its recipient's server postponed is in
        time until it is due again: a single server must not hide whether the others' mail goes out."""
        async with self._session() as connection:
            found: datetime | None = await connection.fetchval(self._OVERDUE)
        return found

    _FAILED = """
        SELECT count(*) FROM mailer.outbound WHERE state = 'failed' AND failed_at > now() - interval '1 day'
    """

    _TO_TELL = """
        UPDATE mailer.outbound o SET told_at = now()
        FROM (SELECT id FROM mailer.outbound
              WHERE state = 'failed' AND failed_at > now() - interval '1 day' AND told_at IS NULL
                AND kind IN ('auto_response', 'reply') AND message_id <> '' AND ticket_id > 0
              ORDER BY failed_at LIMIT $1 FOR NO KEY UPDATE SKIP LOCKED) f
        WHERE o.id = f.id
        RETURNING o.event_id, o.recipient, o.ticket_id, o.ticket_number, o.sender, o.message_id,
                  concat_ws(' ', o.smtp_class, o.smtp_code), o.failed_at, o.queue, o.owner, o.responsible
    """

    @asynccontextmanager
    async def failures(self, limit: int) -> AsyncIterator[tuple[Batch, list[Failed]]]:
        """Answers that failed and of which nobody was told; told, when the transaction commits."""
        async with self._session() as connection, connection.transaction():
            rows = await connection.fetch(self._TO_TELL, limit)
            yield Batch(connection, self.holder), [Failed(*row.values()) for row in rows]

    async def failed(self) -> int:
        """Mails that failed in the last day."""
        async with self._session() as connection:
            found: int = await connection.fetchval(self._FAILED)
        return found

    async def absences(self) -> dict[str, Absence]:
        """Agents who are out of office, or will be."""
        async with self._session() as connection:
            rows = await connection.fetch("SELECT agent, since, until FROM ticketing.absences_v1")
        return {row["agent"]: Absence(row["since"], row["until"]) for row in rows}

    _PURGE = "DELETE FROM mailer.windows WHERE starts < now() - interval '2 days'"

    async def purge_windows(self) -> None:
        """Those that are over in every time zone."""
        async with self._session() as connection:
            await connection.execute(self._PURGE)
