"""What people look at of the mailer: SQL that only reads. A connection is passed in; its owner has the rights."""

from typing import Any

from shared.postgres import Connection

Row = dict[str, Any]

_DELIVERIES = """
SELECT delivery_id::text AS delivery_id, kind, rule, template, recipient, state, reason, account, message_id,
       attempts, smtp_code, smtp_class, created_at, due_at, sent_at
FROM mailer.deliveries_v1 d WHERE ticket_id = $1 ORDER BY d.delivery_id
"""


async def deliveries(connection: Connection, ticket_id: int) -> list[Row]:
    """The mails a ticket led to, sent or not, and why not."""
    return [dict(record) for record in await connection.fetch(_DELIVERIES, ticket_id)]


_WAITING = """
SELECT account, state, count(*) AS mails, min(created_at) AS oldest, min(due_at) AS due, max(attempts) AS attempts
FROM mailer.outbound WHERE state IN ('queued', 'sending', 'deferred', 'unknown')
GROUP BY account, state ORDER BY account, state
"""


async def waiting(connection: Connection) -> list[Row]:
    """Mails not sent yet, by outbound account and state; `due`: when the next of them is tried."""
    return [dict(record) for record in await connection.fetch(_WAITING)]


_GAPS = """
SELECT topic, reason, sum(last_offset - first_offset)::bigint AS records, max(noticed_at) AS noticed
FROM mailer.gaps WHERE noticed_at > now() - interval '7 days' GROUP BY topic, reason ORDER BY topic, reason
"""


async def gaps(connection: Connection) -> list[Row]:
    """Records that had gone from a topic before they were read, noticed in the last seven days."""
    return [dict(record) for record in await connection.fetch(_GAPS)]
