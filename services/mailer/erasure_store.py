"""Erasure in the tables of the mailer: mails of ours to a person, or about what was erased. Claims stay."""

from collections.abc import Sequence

from shared.postgres import Connection

_QUEUE = """
DELETE FROM mailer.outbound
WHERE ticket_id = ANY ($1::bigint[]) OR event_id = ANY ($2::text[]) OR ($3 <> '' AND (
    lower(recipient) = $3 OR lower(sender) = $3 OR lower(envelope_from) = $3 OR reason ~* $4 OR message_id ~* $4
    OR encode(raw, 'escape') ~* $4))
"""
_WINDOWS = "DELETE FROM mailer.windows WHERE key ~* $1"
_BOUNCED = "DELETE FROM mailer.bounced_addresses WHERE lower(address) = $1"


async def erase(
    connection: Connection, tickets: Sequence[int], events: Sequence[str], address: str = "", pattern: str = ""
) -> int:
    """Rows of the queue: of whole tickets, of single facts, of an address (`pattern` finds it in a text). Gives how
    many."""
    status = await connection.execute(_QUEUE, list(tickets), list(events), address, pattern, timeout=3600)
    if address:
        await connection.execute(_WINDOWS, pattern)
        await connection.execute(_BOUNCED, address)
    return int(status.rpartition(" ")[2])
