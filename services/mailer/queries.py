"""What people look at of the mailer, and what they decide about its mails. A connection is passed in; its owner has the
rights."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from shared.postgres import Connection, Pool

Row = dict[str, Any]
Asked = Connection | Pool

_DELIVERIES = """
SELECT delivery_id::text AS delivery_id, kind, rule, template, recipient, state, reason, account, message_id,
       attempts, smtp_code, smtp_class, created_at, nullif(due_at, 'infinity') AS due_at, sent_at, failed_at
FROM mailer.deliveries_v1 d WHERE ticket_id = $1 ORDER BY d.delivery_id
"""


async def deliveries(connection: Asked, ticket_id: int) -> list[Row]:
    """The mails a ticket led to, sent or not, and why not."""
    return [dict(record) for record in await connection.fetch(_DELIVERIES, ticket_id)]


MOST_COUNTED = 10_000

# from one account to the next by the index, and of each so many at most
_WAITING = f"""
WITH RECURSIVE accounts AS (
    (SELECT account FROM mailer.outbound WHERE state IN ('queued', 'deferred', 'unknown') ORDER BY account LIMIT 1)
    UNION ALL
    SELECT (SELECT o.account FROM mailer.outbound o
            WHERE o.state IN ('queued', 'deferred', 'unknown') AND o.account > a.account ORDER BY o.account LIMIT 1)
    FROM accounts a WHERE a.account IS NOT NULL),
mails AS (
    SELECT m.* FROM accounts a, LATERAL (
        SELECT account, CASE WHEN due_at = 'infinity' THEN 'held' ELSE state END AS state, created_at,
               nullif(due_at, 'infinity') AS due_at, attempts
        FROM mailer.outbound WHERE account = a.account AND state IN ('queued', 'deferred', 'unknown')
        ORDER BY due_at LIMIT {MOST_COUNTED}) m
    UNION ALL
    SELECT account, state, created_at, due_at, attempts FROM mailer.outbound WHERE state = 'sending')
SELECT account, state, count(*) AS mails, min(created_at) AS oldest, min(due_at) AS due, max(attempts) AS attempts
FROM mails GROUP BY account, state ORDER BY account, state
"""  # noqa: S608  # a number of ours


async def waiting(connection: Connection) -> list[Row]:
    """Mails not sent yet, by outbound account and state (`held`: until they are released); `due`: when the next of
    them is tried. At most 10,000 of an account are counted."""
    return [dict(record) for record in await connection.fetch(_WAITING)]


_GAPS = """
SELECT topic, reason, sum(last_offset - first_offset)::bigint AS records, max(noticed_at) AS noticed
FROM mailer.gaps WHERE noticed_at > now() - interval '7 days' GROUP BY topic, reason ORDER BY topic, reason
"""


async def gaps(connection: Connection) -> list[Row]:
    """Records that had gone from a topic before they were read, noticed in the last seven days."""
    return [dict(record) for record in await connection.fetch(_GAPS)]


_OF_EVENTS = """
SELECT id::text AS delivery_id, event_id, ticket_number, kind, rule, recipient, state, reason, smtp_class, smtp_code,
       attempts, message_id, created_at, nullif(due_at, 'infinity') AS due_at, sent_at, failed_at
FROM mailer.outbound WHERE event_id = ANY ($1::text[]) ORDER BY id
"""


async def deliveries_of(connection: Connection, event_ids: Sequence[str]) -> list[Row]:
    """The mails that events led to, sent or not, and why not."""
    return [dict(record) for record in await connection.fetch(_OF_EVENTS, list(event_ids))]


async def tickets_of(connection: Connection, *, message_id: str = "", event_id: str = "") -> list[str]:
    """Numbers of the tickets that a mail of ours, or an event, is about; every mail is looked through."""
    found = "SELECT DISTINCT ticket_number FROM mailer.outbound WHERE message_id = $1 OR event_id = $2"
    return [row["ticket_number"] for row in await connection.fetch(found, message_id or None, event_id or None)]


async def next_offsets(connection: Connection, topic: str) -> dict[int, int]:
    """Partition -> the offset that is read next."""
    found = "SELECT partition, next_offset FROM mailer.offsets WHERE topic = $1"
    return {row["partition"]: row["next_offset"] for row in await connection.fetch(found, topic)}


async def claimed(connection: Connection, event_ids: Sequence[str]) -> dict[str, datetime]:
    """Event id -> when it was claimed, of those whose mails are written."""
    found = "SELECT event_id, claimed_at FROM mailer.inbox WHERE event_id = ANY ($1::text[])"
    return {row["event_id"]: row["claimed_at"] for row in await connection.fetch(found, list(event_ids))}


_FAILED = """
SELECT account, kind, smtp_class AS cause, smtp_code AS code, count(*) AS mails, min(failed_at) AS oldest
FROM mailer.outbound WHERE state = 'failed' AND failed_at > now() - interval '1 day'
GROUP BY account, kind, smtp_class, smtp_code ORDER BY account, kind, smtp_class, smtp_code
"""


async def failed(connection: Connection) -> list[Row]:
    """Mails that failed for good in the last day, by account and cause."""
    return [dict(record) for record in await connection.fetch(_FAILED)]


_MAILS = """
SELECT id::text AS delivery_id, ticket_number, kind, rule, recipient, state, reason, account, smtp_class, smtp_code,
       attempts, message_id, coalesce(failed_at, sent_at, created_at) AS at
FROM mailer.outbound WHERE state = $1 ORDER BY id DESC LIMIT $2
"""


async def mails(connection: Asked, state: str, limit: int) -> list[Row]:
    """The latest mails in a state."""
    return [dict(record) for record in await connection.fetch(_MAILS, state, limit)]


# --- what an operator decides

_RETRY = """
UPDATE mailer.outbound
SET state = 'queued', due_at = now(), attempts = 0, deferred_since = NULL, failed_at = NULL, told_at = NULL
WHERE id = ANY ($1::bigint[]) AND state = 'failed' RETURNING id
"""


async def retry(connection: Asked, ids: Sequence[int]) -> set[int]:
    """Mails that failed go out again as they are; gives those it did."""
    return {record["id"] for record in await connection.fetch(_RETRY, list(ids))}


_HOLD = "INSERT INTO mailer.hold (before) VALUES ($1) ON CONFLICT (one) DO UPDATE SET before = excluded.before"
_HOLD_BACK = """
UPDATE mailer.outbound SET due_at = 'infinity'
WHERE state IN ('queued', 'deferred', 'unknown') AND created_at < $1 AND due_at < 'infinity'
"""
_LET_GO = """
UPDATE mailer.outbound SET due_at = now() WHERE state IN ('queued', 'deferred', 'unknown') AND due_at = 'infinity'
"""


async def hold(connection: Connection, before: datetime) -> int:
    """What waits and is older waits on, and what facts from before that moment still lead to; gives how many."""
    async with connection.transaction():
        await connection.execute(_HOLD, before)
        return _number(await connection.execute(_HOLD_BACK, before))


async def release(connection: Connection) -> int:
    async with connection.transaction():
        await connection.execute("DELETE FROM mailer.hold")
        return _number(await connection.execute(_LET_GO))


def _number(status: str) -> int:
    """`UPDATE 7` -> 7."""
    return int(status.rpartition(" ")[2])
