"""Carries out commands: one transaction each, in the batch's order of locks (tickets by id, the day's number last)."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, NamedTuple

from services.ticketing.batch import Ticket, longer_key
from services.ticketing.commands import (
    AddNote,
    Command,
    Decided,
    Given,
    Merge,
    Note,
    Order,
    Quoted,
    Refusal,
    Refused,
    Reply,
    SetLink,
    Split,
)
from services.ticketing.deciding import decide
from services.ticketing.relay_store import must_be_compared
from services.ticketing.ticket_numbers import counting_day, number_of
from services.ticketing.ticket_rows import CHANGE, COLUMNS, CREATED, change_row, created_row, last_mails
from shared.clock import now
from shared.desk.model import Agent, Desk
from shared.message_ids import key_of
from shared.postgres import Connection
from shared.wire import encode_fact

_SCHEMA = "ticketing"

_DONE = """
SELECT c.command, c.version, c.article_id, t.number, m.number AS created
FROM ticketing.commands c JOIN ticketing.tickets t ON t.id = c.ticket_id
LEFT JOIN ticketing.tickets m ON m.id = c.created_id WHERE c.id = $1
"""
_DO = """
INSERT INTO ticketing.commands (id, ticket_id, command, agent, version, article_id, created_id, done_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
"""
_TICKETS = f"""
SELECT {COLUMNS} FROM ticketing.tickets WHERE number = ANY ($1::text[]) ORDER BY id FOR NO KEY UPDATE
"""  # noqa: S608  # names of columns
_LINKED = "SELECT EXISTS (SELECT FROM ticketing.ticket_links WHERE source_id = $1 AND target_id = $2 AND type = $3)"
_ARTICLE = "SELECT id, subject, from_address, sender_type FROM ticketing.articles WHERE id = $1 AND ticket_id = $2"
_ARTICLE_ID = "SELECT nextval('ticketing.articles_id_seq')"
_TICKET_ID = "SELECT nextval('ticketing.tickets_id_seq')"
_KEY_TAKEN = "SELECT EXISTS (SELECT FROM ticketing.tickets WHERE key = $1)"
_COUNT = """
INSERT INTO ticketing.ticket_counter AS c (day, system_id, counter) VALUES ($1, $2, 1)
ON CONFLICT (day, system_id) DO UPDATE SET counter = c.counter + 1 RETURNING counter
"""
_NOTE = """
INSERT INTO ticketing.articles (id, ticket_id, direction, sender_type, visible, kind, from_name, from_address,
                                recipients, subject, message_id, in_reply_to, reference_ids, text, html, account,
                                original, transport_key, raw_sha256, received_at, created_at)
VALUES ($1, $2, $9, 'agent', $3, $10, $4, $5, $11, $6, '', '{}', '{}', $7, '', '', '', '', '', $8, $8)
"""
# the copy has no hash of the Message-ID: replies to the mail itself stay where it was
_COPY = """
INSERT INTO ticketing.articles (id, ticket_id, direction, sender_type, visible, kind, from_name, from_address,
                                recipients, subject, message_id, in_reply_to, reference_ids, text, reply_text, html,
                                account, original, transport_key, raw_sha256, received_at, created_at)
SELECT $1, $2, direction, sender_type, visible, kind, from_name, from_address, recipients, subject, message_id,
       in_reply_to, reference_ids, text, reply_text, html, account, original, transport_key, raw_sha256, received_at, $4
FROM ticketing.articles WHERE id = $3
"""
_COPY_FILES = """
INSERT INTO ticketing.attachments (article_id, position, filename, content_type, size, inline, content_id)
SELECT $1, position, filename, content_type, size, inline, content_id
FROM ticketing.attachments WHERE article_id = $2
"""
_COPY_CUSTOMER = """
INSERT INTO ticketing.participants (ticket_id, address, role)
SELECT $1, p.address, p.role FROM ticketing.participants p
JOIN ticketing.articles a ON a.id = $2 AND p.ticket_id = a.ticket_id AND p.address = lower(a.from_address)
"""
_MOVE_ARTICLES = "UPDATE ticketing.articles SET ticket_id = $2 WHERE ticket_id = $1"
_MOVE_WORDS = "UPDATE ticketing.searchable SET ticket_id = $2 WHERE ticket_id = $1"
_MOVE_UNSEARCHED = """
UPDATE ticketing.unsearched SET ticket_id = $2
WHERE article_id = ANY (ARRAY(SELECT id FROM ticketing.articles WHERE ticket_id = $1))
"""
_MOVE_PARTICIPANTS = """
INSERT INTO ticketing.participants (ticket_id, address, role)
SELECT $2, address, role FROM ticketing.participants WHERE ticket_id = $1 ON CONFLICT DO NOTHING
"""
_LINK = """
INSERT INTO ticketing.ticket_links (source_id, target_id, type, created_at) VALUES ($1, $2, $3, $4)
ON CONFLICT DO NOTHING
"""
_UNLINK = "DELETE FROM ticketing.ticket_links WHERE source_id = $1 AND target_id = $2 AND type = $3"
_ABSENT = """
INSERT INTO ticketing.absences (agent, since, until) VALUES ($1, $2, $3)
ON CONFLICT (agent) DO UPDATE SET since = excluded.since, until = excluded.until
"""
_PRESENT = "DELETE FROM ticketing.absences WHERE agent = $1"
_HISTORY = "ticket_id article_id type text agent why created_at"
_OUTBOX = "event_id key type payload created_at"


class Done(NamedTuple):
    """A command that was carried out. `version`: the ticket's afterwards; `article_id`: of what it wrote or copied;
    `created`: number of the ticket that it made. `repeated`: it had been carried out before."""

    number: str
    version: int
    article_id: int | None = None
    created: str = ""
    repeated: bool = False


async def run(connection: Connection, desk: Desk, number: str, command: Command, order: Order) -> Done:
    """Carries out a command on the ticket of this number, on a connection of `shared.postgres.create_pool`.

    Raises Refused: nothing is written; NotCompared, for what gives names to articles and tickets, while no relay has
    compared this database with the topic; asyncpg errors (55P03: another one holds the ticket), after which it may be
    given again under the same id.
    """
    async with connection.transaction():
        tickets = await _locked(connection, [number, *_named(command)])
        if repeated := await _before(connection, number, command, order):
            return repeated
        ticket = tickets.get(number)
        if ticket is None:
            raise Refused(Refusal.NO_TICKET, f"there is no ticket {number}")
        moment = now()
        given = await _given(connection, ticket, tickets, command, order)
        if isinstance(command, Split):  # last: the row of the day's number is the last lock
            given = given._replace(number=await _next_number(connection, desk, moment))
        decided = decide(command, order, given, desk, moment)
        await _save(connection, decided, desk, order, moment)
        made, article_id = decided.created, given.article_id if decided.note or decided.copied else None
        done = order.id, ticket.id, _name(command), order.agent, ticket.sequence, article_id, made and made.id, moment
        await connection.execute(_DO, *done)
        return Done(number, ticket.sequence, article_id, made.number if made else "")


def _named(command: Command) -> list[str]:
    match command:
        case Merge(into=number) | SetLink(to=number):
            return [number]
        case _:
            return []


def _name(command: Command) -> str:
    return type(command).__name__


async def _locked(connection: Connection, numbers: Sequence[str]) -> dict[str, Ticket]:
    rows = await connection.fetch(_TICKETS, numbers)
    return {ticket.number: ticket for ticket in (Ticket(*row) for row in rows)}


async def _before(connection: Connection, number: str, command: Command, order: Order) -> Done | None:
    row = await connection.fetchrow(_DONE, order.id)
    if row is None:
        return None
    if (row["number"], row["command"]) != (number, _name(command)):
        raise Refused(Refusal.INVALID, "another command has this id")
    return Done(number, row["version"], row["article_id"], row["created"] or "", repeated=True)


async def _given(
    connection: Connection, ticket: Ticket, tickets: dict[str, Ticket], command: Command, order: Order
) -> Given:
    match command:
        case Merge(into=number):
            return Given(ticket, tickets.get(number))
        case SetLink(to=number, type=kind):
            other = tickets.get(number)
            linked = other is not None and await connection.fetchval(_LINKED, ticket.id, other.id, kind)
            return Given(ticket, other, linked=bool(linked))
        case AddNote() | Reply():
            await must_be_compared(connection)
            last = await last_mails(connection, [ticket.id]) if isinstance(command, Reply) else {}
            return Given(ticket, last=last.get(ticket.id), article_id=await connection.fetchval(_ARTICLE_ID))
        case Split(article_id=article_id):
            await must_be_compared(connection)
            row = await connection.fetchrow(_ARTICLE, article_id, ticket.id)
            key = key_of("ticket", order.split_id)
            return Given(
                ticket,
                article=Quoted(*row) if row else None,
                article_id=await connection.fetchval(_ARTICLE_ID),
                ticket_id=await connection.fetchval(_TICKET_ID),
                key=longer_key(order.split_id) if await connection.fetchval(_KEY_TAKEN, key) else key,
            )
        case _:
            return Given(ticket)


async def _next_number(connection: Connection, desk: Desk, moment: datetime) -> str:
    day: date = counting_day(desk.ticket, moment, desk.zone)
    return number_of(desk.ticket, day, await connection.fetchval(_COUNT, day, desk.ticket.system_id))


async def _save(connection: Connection, decided: Decided, desk: Desk, order: Order, moment: datetime) -> None:
    if decided.created:
        await _copy(connection, "tickets", CREATED, [created_row(decided.created, moment)])
    if decided.changed:
        columns = zip(*map(change_row, decided.changed), strict=True)
        await connection.execute(CHANGE, *map(list, columns), moment)
    if note := decided.note:
        await connection.execute(_NOTE, *_note_row(note, desk.agents[order.agent], moment))
    if decided.copied and decided.created:
        source, copy = decided.copied
        await connection.execute(_COPY, copy, decided.created.id, source, moment)
        await connection.execute(_COPY_FILES, copy, source)
        await connection.execute(_COPY_CUSTOMER, decided.created.id, source)
    if decided.merged:
        for statement in (_MOVE_WORDS, _MOVE_UNSEARCHED, _MOVE_ARTICLES, _MOVE_PARTICIPANTS):
            await connection.execute(statement, *decided.merged)
    for link in decided.linked:
        await connection.execute(_LINK, *link, moment)
    for link in decided.unlinked:
        await connection.execute(_UNLINK, *link)
    await _copy(connection, "history", _HISTORY, [(*line, moment) for line in decided.history])
    facts = [(each.event_id, each.key, each.fact.TYPE, encode_fact(each.fact), moment) for each in decided.facts]
    await _copy(connection, "outbox", _OUTBOX, facts)


def _note_row(note: Note, author: Agent, moment: datetime) -> tuple[Any, ...]:
    """A note is from its author; an answer from the address that it leaves from, in his name."""
    head = note.reply
    address, kind = (head.sender.address, "human") if head else (author.email, "note")
    recipients = {"to": head.to, "cc": head.cc, "reply_to": []} if head else {}
    row = note.id, note.ticket_id, note.visible, author.name, address, note.subject, note.text, moment
    return *row, "outgoing" if head else "internal", kind, recipients


async def _copy(connection: Connection, table: str, columns: str, rows: Sequence[Sequence[Any]]) -> None:
    await connection.copy_records_to_table(table, schema_name=_SCHEMA, columns=columns.split(), records=rows)


async def absent(connection: Connection, desk: Desk, agent: str, since: datetime, until: datetime) -> None:
    """The agent is out of office then, instead of what was said before. Raises Refused."""
    if agent not in desk.agents:
        raise Refused(Refusal.UNKNOWN, f"the desk has no agent {agent}")
    if until <= since:
        raise Refused(Refusal.INVALID, "an absence ends after it began")
    await connection.execute(_ABSENT, agent, since, until)


async def present(connection: Connection, agent: str) -> None:
    """The agent is not out of office any more."""
    await connection.execute(_PRESENT, agent)
