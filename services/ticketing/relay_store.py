"""SQL of the relay: its lead, the outbox, how far it has published, and what was published of tickets lost since.

The lead is a lease in the database's time. Every write of its holder asks whether the row still is as he left it: an
older one has been fenced off, and a database that went back is not taken for the one it was.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import NamedTuple

import asyncpg

from services.ticketing.batch import Kept
from shared.failures import Transient
from shared.postgres import Connection

LEASE = timedelta(seconds=20)
BATCH_LOCK = 0x5469636B  # "Tick": one batch at a time per installation
_KEPT_FOR = timedelta(days=30)  # beyond the retention of every topic whose mail could still claim it

# its own lead a process takes up at once: what it was sending is over. A stranger's, on a database that may be an
# older one, only when that stranger's sends must be over as well: the row cannot say when he last renewed it
_TAKE = """
INSERT INTO ticketing.relay AS r (holder, epoch, until, lineage) VALUES ($1, 1, clock_timestamp() + $2, '')
ON CONFLICT (single) DO UPDATE SET holder = $1, epoch = r.epoch + 1, until = clock_timestamp() + $2
WHERE r.holder = $1 OR r.until < clock_timestamp() AND (r.lineage = ticketing.lineage() OR $3)
RETURNING epoch, until
"""
_RENEW = """
UPDATE ticketing.relay SET until = clock_timestamp() + $4 WHERE holder = $1 AND epoch = $2 AND until = $3
RETURNING until
"""
_COMPARED = "UPDATE ticketing.relay SET lineage = ticketing.lineage()"
_SETTLES = """
SELECT coalesce((SELECT lineage = ticketing.lineage() AND until > clock_timestamp() FROM ticketing.relay), false),
       EXISTS (SELECT FROM ticketing.kept)
"""
_NEXT = "SELECT id, event_id, key, type, payload, created_at, traceparent FROM ticketing.outbox ORDER BY id LIMIT $1"
_NEWEST = "SELECT max(id) FROM ticketing.outbox"
_DONE = "DELETE FROM ticketing.outbox WHERE id = ANY ($1::bigint[])"
# a repeat that the broker knew already is confirmed without its place
_PUBLISHED = """
INSERT INTO ticketing.published AS p (partition, next_offset) SELECT * FROM unnest($1::int[], $2::bigint[])
ON CONFLICT (partition) DO UPDATE SET next_offset = greatest(p.next_offset, excluded.next_offset)
"""
_POSITIONS = "SELECT partition, next_offset FROM ticketing.published"
_SET_POSITIONS = """
INSERT INTO ticketing.published (partition, next_offset) SELECT * FROM unnest($1::int[], $2::bigint[])
ON CONFLICT (partition) DO UPDATE SET next_offset = excluded.next_offset
"""
# an article that is there was not lost, and ids that were published are given to nobody else
_KEEP = """
INSERT INTO ticketing.kept (event_id, created, ticket_key, number, ticket_id, article_id, queue, title, sender,
                            message_id_hash, read_at)
SELECT k.*, clock_timestamp()
FROM unnest($1::text[], $2::boolean[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::text[], $8::text[],
            $9::text[], $10::bytea[])
     AS k (event_id, created, ticket_key, number, ticket_id, article_id, queue, title, sender, message_id_hash)
WHERE k.ticket_key <> '' AND NOT EXISTS (SELECT FROM ticketing.articles a WHERE a.id = k.article_id)
ON CONFLICT DO NOTHING
"""
_BEYOND = """
SELECT setval('ticketing.tickets_id_seq', greatest($1, (SELECT last_value FROM ticketing.tickets_id_seq))),
       setval('ticketing.articles_id_seq', greatest($2, (SELECT last_value FROM ticketing.articles_id_seq)))
"""
_COUNTED = """
INSERT INTO ticketing.ticket_counter AS c (day, system_id, counter)
SELECT * FROM unnest($1::date[], $2::text[], $3::bigint[])
ON CONFLICT (day, system_id) DO UPDATE SET counter = greatest(c.counter, excluded.counter)
"""
_FORGET = "DELETE FROM ticketing.kept WHERE read_at < clock_timestamp() - $1::interval"


class LeadLost(Transient):
    """Another process leads, or the database is not the one that was led."""


class NotCompared(Transient):
    """No relay leads that has compared this database with the topic: it may have gone back behind what was published,
    and a batch settled now could give a name to another mail."""

    def __init__(self) -> None:
        super().__init__("no relay of a running ticketing service has compared the database with the topic yet")


class Lead(NamedTuple):
    holder: str
    epoch: int
    until: datetime


async def take(connection: Connection, holder: str, *, patient: bool) -> Lead | None:
    """`patient`: this process has waited for as long as a lease lasts since it first met this database."""
    row = await connection.fetchrow(_TAKE, holder, LEASE, patient)
    return Lead(holder, row["epoch"], row["until"]) if row else None


async def lineage(connection: Connection) -> str:
    found: str = await connection.fetchval("SELECT ticketing.lineage()")
    return found


async def renew(connection: Connection, lead: Lead, lease: timedelta = LEASE) -> Lead:
    """Raises LeadLost. Within a transaction it fences what else that writes."""
    until = await connection.fetchval(_RENEW, *lead, lease)
    if until is None:
        raise LeadLost
    return lead._replace(until=until)


async def release(connection: Connection, lead: Lead) -> None:
    await renew(connection, lead, timedelta(0))


async def must_be_compared(connection: Connection) -> bool:
    """Raises NotCompared. Returns whether names are kept."""
    row = await connection.fetchrow(_SETTLES)
    if row is None or not row[0]:
        raise NotCompared
    return bool(row[1])


async def waiting(connection: Connection, most: int) -> tuple[list[asyncpg.Record], int]:
    """The next rows of the outbox, and about how many there are: ids are given in order, and a batch that failed
    leaves a gap. Counting them would cost more than publishing."""
    rows = await connection.fetch(_NEXT, most)
    if len(rows) < most:
        return rows, len(rows)
    newest: int = await connection.fetchval(_NEWEST)
    return rows, newest - rows[0]["id"] + 1


async def done(connection: Connection, lead: Lead, ids: Sequence[int], positions: Mapping[int, int]) -> Lead:
    """These rows are published, the topic's partitions reach so far. Raises LeadLost; nothing is then written."""
    async with connection.transaction():
        lead = await renew(connection, lead)
        await connection.execute(_DONE, ids)
        await connection.execute(_PUBLISHED, list(positions), list(positions.values()))
    return lead


async def positions(connection: Connection) -> dict[int, int]:
    """Partition of the topic -> offset behind the last event that this database knows as published."""
    return {row["partition"]: row["next_offset"] for row in await connection.fetch(_POSITIONS)}


async def keep(
    connection: Connection,
    lead: Lead,
    names: Collection[Kept],
    counters: Sequence[tuple[date, str, int]],
    positions: Mapping[int, int],
) -> Lead:
    """What was published up to `positions` is known from now on: names of mails that are gone here are kept, ids and
    numbers go on beyond them. `counters`: day, system id, highest count. Raises LeadLost; nothing is then written."""
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", BATCH_LOCK)  # no batch takes an id meanwhile
        lead = await renew(connection, lead)
        if names:
            await connection.execute(_KEEP, *map(list, zip(*names, strict=True)))
            ids = max(name.ticket_id for name in names), max(name.article_id for name in names)
            await connection.execute(_BEYOND, *ids)
        if counters:
            await connection.execute(_COUNTED, *map(list, zip(*counters, strict=True)))
        await connection.execute(_SET_POSITIONS, list(positions), list(positions.values()))
    return lead


async def compared(connection: Connection, lead: Lead) -> Lead:
    """All that was published is known: batches may settle. Raises LeadLost."""
    async with connection.transaction():
        lead = await renew(connection, lead)
        await connection.execute(_COMPARED)
        await connection.execute(_FORGET, _KEPT_FOR)
    return lead
