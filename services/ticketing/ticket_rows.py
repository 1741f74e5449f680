"""A ticket as a row: what batches and commands read and write of it. The order of columns stands here once."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from services.ticketing.batch import LastMail, Ticket
from shared.events import Party
from shared.postgres import Connection

COLUMNS = """id, number, queue, state, state_type, lock, title, event_sequence, priority, customer_user, closed_at,
       coalesce(key, ''), owner, responsible, type, service, sla, customer_no, pending_until, dynamic_fields,
       merged_into, watchers, tags"""
"""What `Ticket(*row)` takes."""

CREATED = (
    "id number queue state state_type priority lock title customer_user created_at changed_at closed_at event_sequence "
    "key owner responsible type service sla customer_no pending_until dynamic_fields merged_into tags"
)
"""Columns of `created_row`; a new ticket has no watchers."""

# lists inside of an array would be taken for its dimensions: they travel as text
CHANGE = """
UPDATE ticketing.tickets t
SET state = c.state, state_type = c.state_type, closed_at = c.closed_at, event_sequence = c.event_sequence,
    queue = c.queue, title = c.title, priority = c.priority, lock = c.lock, owner = c.owner,
    responsible = c.responsible, type = c.type, service = c.service, sla = c.sla, pending_until = c.pending_until,
    dynamic_fields = c.dynamic_fields, merged_into = c.merged_into, watchers = c.watchers::jsonb,
    tags = c.tags::jsonb, changed_at = $20
FROM unnest($1::bigint[], $2::text[], $3::text[], $4::timestamptz[], $5::bigint[], $6::text[], $7::text[], $8::text[],
            $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::timestamptz[],
            $16::jsonb[], $17::bigint[], $18::text[], $19::text[])
     AS c (id, state, state_type, closed_at, event_sequence, queue, title, priority, lock, owner, responsible, type,
           service, sla, pending_until, dynamic_fields, merged_into, watchers, tags)
WHERE t.id = c.id
"""
"""An array for each place of `change_row`, then the moment."""


# an answer continues what the customer wrote last
_LAST = """
SELECT w.id, a.message_id, a.reference_ids, a.in_reply_to, a.recipients, a.from_name, a.from_address, a.subject
FROM unnest($1::bigint[]) AS w (id), LATERAL (
    SELECT * FROM ticketing.articles WHERE ticket_id = w.id AND direction = 'incoming' AND sender_type = 'customer'
    ORDER BY id DESC LIMIT 1) a
"""


async def last_mails(connection: Connection, tickets: Sequence[int]) -> dict[int, LastMail]:
    """Ticket -> its customer's last mail."""
    found = {}
    for ticket, message_id, references, parents, recipients, name, address, subject in await connection.fetch(
        _LAST, tickets
    ):
        named = list(dict.fromkeys([*references, *parents]))
        written_to = [each["address"] for field in ("to", "cc") for each in recipients.get(field, ())]
        found[ticket] = LastMail(message_id, named, written_to, Party(name, address), subject)
    return found


def created_row(ticket: Ticket, moment: datetime) -> tuple[Any, ...]:
    return (
        ticket.id,
        ticket.number,
        ticket.queue,
        ticket.state,
        ticket.state_type,
        ticket.priority,
        ticket.lock,
        ticket.title,
        ticket.customer_user,
        moment,
        moment,
        ticket.closed_at,
        ticket.sequence,
        ticket.key,
        ticket.owner,
        ticket.responsible,
        ticket.type,
        ticket.service,
        ticket.sla,
        ticket.customer_no,
        ticket.pending_until,
        ticket.dynamic_fields,
        ticket.merged_into,
        ticket.tags,
    )


def change_row(ticket: Ticket) -> tuple[Any, ...]:
    return (
        ticket.id,
        ticket.state,
        ticket.state_type,
        ticket.closed_at,
        ticket.sequence,
        ticket.queue,
        ticket.title,
        ticket.priority,
        ticket.lock,
        ticket.owner,
        ticket.responsible,
        ticket.type,
        ticket.service,
        ticket.sla,
        ticket.pending_until,
        ticket.dynamic_fields,
        ticket.merged_into,
        _text(ticket.watchers),
        _text(ticket.tags),
    )


def _text(items: list[str]) -> str:
    return msgspec.json.encode(items).decode()
