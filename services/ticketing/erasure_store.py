"""Erasure: what a person wrote, and what names him, leaves the tables of ticketing. SQL and its order.

Whole tickets go where they are the customer's own, and where their time is over; of other tickets his articles go, and
in what is left his address is replaced. A ticket's row stays without what it said, so that its number is given to
nobody else; claims stay, hashes only, so that a mail that comes again brings nothing back. An original is erased with
its reference: the key stood there (ADR 6).
"""

import base64
import hashlib
import json
import re
from collections.abc import AsyncIterator, Collection, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from services.ticketing.batch import Ticket
from services.ticketing.facts import of_ticket
from services.ticketing.ticket_rows import COLUMNS
from shared.events import Change, TicketUpdated
from shared.postgres import Connection
from shared.wire import encode_fact

ERASED = "erased@invalid"
"""Stands where an address stood; RFC 2606: nobody's."""


class Gone(NamedTuple):
    """How many rows; `events`: ids of the facts that the erased articles' mails raised."""

    tickets: int = 0
    articles: int = 0
    changed: int = 0
    decisions: int = 0
    letters: int = 0
    events: tuple[str, ...] = ()


_OWN = "SELECT id FROM ticketing.tickets WHERE customer_user = $1 AND erased_at IS NULL ORDER BY id"
_OVER = """
SELECT id FROM ticketing.tickets
WHERE queue = $1 AND state IN ('closed successful', 'closed unsuccessful', 'merged', 'removed')
  AND coalesce(closed_at, changed_at) < $2 AND erased_at IS NULL ORDER BY id LIMIT $3
"""
# others that wait for one of them wait for its end
_LOCK = "SELECT id FROM ticketing.tickets WHERE id = ANY ($1::bigint[]) ORDER BY id FOR UPDATE"
_ARTICLES = """
SELECT id, encode(substring(sha256(transport_key || raw_sha256) for 16), 'hex') AS event_id, transport_key, raw_sha256
FROM ticketing.articles WHERE
"""
_EVENTS = """
SELECT event_id FROM ticketing.outbox
WHERE key IN (SELECT coalesce(key, id::text) FROM ticketing.tickets WHERE id = ANY ($1::bigint[]))
"""
_DROP_EVENTS = "DELETE FROM ticketing.outbox WHERE event_id = ANY ($1::text[])"
# whichever article of a mail goes, nobody else's copy of it is left without its decision
_DROP_DECISIONS = """
DELETE FROM ticketing.decisions d USING unnest($1::bytea[], $2::bytea[]) AS gone (transport_key, raw_sha256)
WHERE d.transport_key = gone.transport_key AND d.raw_sha256 = gone.raw_sha256
"""
_FORGET_ARTICLES = "UPDATE ticketing.history SET article_id = NULL WHERE article_id = ANY ($1::bigint[])"
_OF_ARTICLES = ("attachments", "article_references", "articles")
_BLANK = f"""
UPDATE ticketing.tickets
SET title = '', customer_user = '', customer_no = '', dynamic_fields = '{{}}', tags = '[]', watchers = '[]', owner = '',
    responsible = '', service = '', sla = '', type = '', state = 'removed', state_type = 'removed', lock = 'unlock',
    closed_at = coalesce(closed_at, $2), changed_at = $2, pending_until = NULL, erased_at = $2,
    event_sequence = event_sequence + 1
WHERE id = ANY ($1::bigint[]) RETURNING {COLUMNS}
"""  # noqa: S608  # names of columns
_TELL = "INSERT INTO ticketing.outbox (event_id, key, type, payload, created_at) VALUES ($1, $2, $3, $4, $5)"
_BLANK_HISTORY = """
INSERT INTO ticketing.history (ticket_id, article_id, type, text, created_at)
SELECT id, NULL, 'Misc', 'What the ticket held was erased.', $2 FROM unnest($1::bigint[]) AS id
"""
_BLANK_KEPT = """
UPDATE ticketing.kept SET title = '', sender = '' WHERE ticket_id = ANY ($1::bigint[])
"""


async def own_tickets(connection: Connection, address: str) -> list[int]:
    return [row[0] for row in await connection.fetch(_OWN, address)]


async def tickets_over(connection: Connection, queue: str, before: datetime, limit: int | None) -> list[int]:
    """Tickets of a queue that were closed before that moment."""
    return [row[0] for row in await connection.fetch(_OVER, queue, before, limit)]


async def erase_tickets(connection: Connection, ids: Sequence[int], moment: datetime) -> Gone:
    """Everything that these tickets hold, in the transaction of the caller."""
    if not ids:
        return Gone()
    await connection.execute(_LOCK, ids)
    found = await connection.fetch(_ARTICLES + "ticket_id = ANY ($1::bigint[])", ids)
    waiting = [row[0] for row in await connection.fetch(_EVENTS, ids)]
    gone = await _drop_articles(connection, found)
    await connection.execute(_DROP_EVENTS, waiting)
    for table in ("participants", "history"):
        rows = f"DELETE FROM ticketing.{table} WHERE ticket_id = ANY ($1::bigint[])"  # noqa: S608  # a name of ours
        await connection.execute(rows, ids)
    for row in await connection.fetch(_BLANK, ids, moment):
        await _tell(connection, Ticket(*row), moment)
    await connection.execute(_BLANK_HISTORY, ids, moment)
    await connection.execute(_BLANK_KEPT, ids)
    return gone._replace(tickets=len(ids), events=(*gone.events, *waiting))


async def _tell(connection: Connection, ticket: Ticket, moment: datetime) -> None:
    """A fact without what was erased."""
    shown = of_ticket(ticket, moment) | {"watchers": [], "tags": []}
    fact = TicketUpdated(**shown, agent="", why="erased", changes=[Change("state", "", "removed")])
    cause = hashlib.sha256(f"erased\0{ticket.id}\0{ticket.sequence}".encode()).hexdigest()[:32]
    key = ticket.key or str(ticket.id)
    await connection.execute(_TELL, cause, key, fact.TYPE, encode_fact(fact), moment)


async def erase_articles(connection: Connection, address: str) -> Gone:
    """The mails of this sender in tickets of others."""
    found = await connection.fetch(_ARTICLES + "lower(from_address) = $1", address, timeout=3600)
    return await _drop_articles(connection, found)


async def _drop_articles(connection: Connection, found: Sequence[Any]) -> Gone:
    ids = [row["id"] for row in found]
    mails = [(row["transport_key"], row["raw_sha256"]) for row in found if row["transport_key"]]
    events = [row["event_id"] for row in found if row["transport_key"]]
    decisions = 0
    if mails:
        decisions = _number(await connection.execute(_DROP_DECISIONS, *map(list, zip(*mails, strict=True))))
    await connection.execute(_DROP_EVENTS, events)
    await connection.execute(_FORGET_ARTICLES, ids)
    for table in _OF_ARTICLES:
        column = "id" if table == "articles" else "article_id"
        rows = f"DELETE FROM ticketing.{table} WHERE {column} = ANY ($1::bigint[])"  # noqa: S608  # names of ours
        await connection.execute(rows, ids)
    return Gone(articles=len(ids), decisions=decisions, events=tuple(events))


# --- the address in what is left

# columns of text, of lists and of JSON in which somebody may have named the address
_TEXTS = {
    "tickets": ("title", "customer_no", "customer_user"),
    "articles": ("from_name", "from_address", "subject", "message_id", "text", "reply_text", "html"),
    "attachments": ("filename", "content_id"),
    "history": ("text", "why"),
    "kept": ("title", "sender"),
    "decisions": ("reason", "uid"),
}
_JSON = {"tickets": ("dynamic_fields", "tags"), "articles": ("recipients",), "decisions": ("trace",)}
_LISTS = {"articles": ("in_reply_to", "reference_ids")}


def whole(address: str) -> str:
    """A regular expression of PostgreSQL and of Python: the address itself, no longer one that ends or begins so."""
    return rf"(?<![a-z0-9._+-]){re.escape(address)}(?![a-z0-9-]|\.[a-z0-9])"


# what is still to be published would name it again
_UNPUBLISHED = """
UPDATE ticketing.outbox
SET payload = convert_to(regexp_replace(convert_from(payload, 'UTF8'), $1, $2, 'gi'), 'UTF8')
WHERE convert_from(payload, 'UTF8') ~* $1
"""


async def replace_address(connection: Connection, address: str) -> int:
    """Everywhere; reads the tables whole. The original of a mail that names the address goes, for it does so too."""
    pattern = whole(address)
    changed = 0
    for table, texts in _TEXTS.items():
        columns = [(column, f"regexp_replace({column}, $1, $2, 'gi')") for column in texts]
        columns += [(c, f"regexp_replace({c}::text, $1, $2, 'gi')::jsonb") for c in _JSON.get(table, ())]
        columns += [(c, f"regexp_replace({c}::text, $1, $2, 'gi')::text[]") for c in _LISTS.get(table, ())]
        if table in {"articles", "decisions"}:
            columns.append(("original", "''"))
        named = " OR ".join(f"{column}::text ~* $1" for column, _ in columns if column != "original")
        puts = ", ".join(f"{column} = {value}" for column, value in columns)
        statement = f"UPDATE ticketing.{table} SET {puts} WHERE {named}"  # noqa: S608  # names of columns
        if table == "articles":
            changed += await _replaced_articles(connection, statement, pattern)
        else:
            changed += _number(await connection.execute(statement, pattern, ERASED, timeout=3600))
    await connection.execute("DELETE FROM ticketing.participants WHERE address = $1", address)
    await connection.execute(_UNPUBLISHED, pattern, ERASED)
    return changed


# the decision on a mail opens its original as well
_KEYS_GONE = """
UPDATE ticketing.decisions d SET original = ''
FROM unnest($1::bytea[], $2::bytea[]) AS named (transport_key, raw_sha256)
WHERE d.transport_key = named.transport_key AND d.raw_sha256 = named.raw_sha256
"""


async def _replaced_articles(connection: Connection, statement: str, pattern: str) -> int:
    """Their words are taken anew."""
    rows = await connection.fetch(
        statement + " RETURNING id, ticket_id, transport_key, raw_sha256", pattern, ERASED, timeout=3600
    )
    ids, tickets = [row[0] for row in rows], [row[1] for row in rows]
    again = "INSERT INTO ticketing.unsearched SELECT * FROM unnest($1::bigint[], $2::bigint[]) ON CONFLICT DO NOTHING"
    await connection.execute("DELETE FROM ticketing.searchable WHERE article_id = ANY ($1::bigint[])", ids)
    await connection.execute(again, ids, tickets)
    await connection.execute(_KEYS_GONE, [row[2] for row in rows], [row[3] for row in rows])
    return len(rows)


# --- what became neither ticket nor article

_BARE = """
SELECT d.transport_key, d.raw_sha256, d.original FROM ticketing.decisions d
WHERE d.original <> ''
  AND NOT EXISTS (SELECT FROM ticketing.articles a
                  WHERE a.raw_sha256 = d.raw_sha256 AND a.transport_key = d.transport_key)
"""
_OLD = """
DELETE FROM ticketing.decisions d USING ticketing.inbox i
WHERE i.transport_key = d.transport_key AND i.raw_sha256 = d.raw_sha256 AND i.article_id IS NULL
  AND i.queue = $1 AND d.received_at < $2
"""


async def bare_decisions(connection: Connection) -> AsyncIterator[tuple[bytes, bytes, str]]:
    """Decisions on mails that became nothing, each with its original's reference, in a transaction."""
    async for row in connection.cursor(_BARE):
        yield row["transport_key"], row["raw_sha256"], row["original"]


async def drop_decisions(connection: Connection, mails: Collection[tuple[bytes, bytes]]) -> int:
    if not mails:
        return 0
    return _number(await connection.execute(_DROP_DECISIONS, *map(list, zip(*mails, strict=True))))


async def drop_old_decisions(connection: Connection, queue: str, before: datetime) -> int:
    return _number(await connection.execute(_OLD, queue, before, timeout=3600))


_LETTERS = "SELECT id, key, value, headers, original FROM ticketing.dead_letters"
_DROP_LETTERS = "DELETE FROM ticketing.dead_letters WHERE id = ANY ($1::bigint[])"


class LetterContent(NamedTuple):
    """`said`: every byte of the record."""

    id: int
    said: bytes
    original: str


async def letter_contents(connection: Connection) -> AsyncIterator[LetterContent]:
    """Every dead letter, in a transaction."""
    async for row in connection.cursor(_LETTERS):
        headers = json.loads(row["headers"]) if isinstance(row["headers"], str) else row["headers"]
        coded = b"\n".join(base64.b64decode(value) for _, value in headers)
        yield LetterContent(row["id"], b"\n".join((row["key"] or b"", row["value"] or b"", coded)), row["original"])


async def drop_letters(connection: Connection, ids: Sequence[int]) -> int:
    return _number(await connection.execute(_DROP_LETTERS, list(ids)))


async def drop_answers(connection: Connection) -> None:
    """Answers kept for requests that come twice quote tickets; they live for a day at most."""
    await connection.execute("DELETE FROM ticketing.requests")


def _number(status: str) -> int:
    return int(status.rpartition(" ")[2])
