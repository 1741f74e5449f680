"""All SQL of a batch: one transaction under one lock, from the look-ups to the offsets.

The order of locks is the batch's advisory lock, tickets by id, the row of ticket numbers last: commands that lock
tickets themselves cannot deadlock with a batch.
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import date, datetime
from typing import Any

from services.ticketing import dead_letter_store
from services.ticketing.batch import (
    Article,
    Claim,
    Kept,
    Mail,
    OutgoingFact,
    Settlement,
    Snapshot,
    Sought,
    Ticket,
    sender_hash,
    sought,
)
from services.ticketing.known import MOST_MERGES, NAMED_BY_SIBLINGS
from services.ticketing.relay_store import BATCH_LOCK, must_be_compared
from services.ticketing.ticket_rows import CHANGE, COLUMNS, CREATED, change_row, created_row, last_mails
from shared.events import DeadLetter
from shared.kafka.record import Record
from shared.kafka.stored_offsets import take_offsets
from shared.postgres import Connection, Pool, transaction
from shared.wire import encode_fact

_SCHEMA = "ticketing"
_MOST_LOOKS = 3

# every mail may become a ticket and an article; a gap in ids harms nobody, unlike one in ticket numbers
_RESERVE = """
SELECT nextval('ticketing.tickets_id_seq') AS ticket, nextval('ticketing.articles_id_seq') AS article
FROM generate_series(1, $1)
"""
_CLAIMS = """
SELECT transport_key, raw_sha256, content_key, message_id_hash, claims_content, account, queue, outcome, ticket_id,
       article_id
FROM ticketing.inbox WHERE transport_key = ANY ($1::bytea[])
UNION
SELECT transport_key, raw_sha256, content_key, message_id_hash, claims_content, account, queue, outcome, ticket_id,
       article_id
FROM ticketing.inbox WHERE claims_content AND content_key = ANY ($2::bytea[])
"""
# the oldest ten: a stranger can put one id into any number of mails
_CARRIERS = """
SELECT h, ARRAY(SELECT DISTINCT ticket_id FROM ticketing.articles WHERE message_id_hash = h ORDER BY ticket_id LIMIT 10)
FROM unnest($1::bytea[]) AS h
"""
_HIDDEN = """
SELECT message_id_hash, array_agg(DISTINCT ticket_id) FROM ticketing.articles
WHERE message_id_hash = ANY ($1::bytea[]) AND ticket_id = ANY ($2::bigint[]) AND NOT visible GROUP BY message_id_hash
"""
_NAMERS = """
SELECT h, ARRAY(SELECT DISTINCT ticket_id FROM ticketing.article_references WHERE message_id_hash = h
                ORDER BY ticket_id LIMIT 10)
FROM unnest($1::bytea[]) AS h
"""
# with those that they were merged into, in one statement: tickets are locked in the order of their ids. The planner
# cannot know how few a recursion finds: written otherwise it reads the table
_TICKETS = f"""
WITH RECURSIVE wanted AS (
    SELECT id, merged_into, 0 AS hops FROM ticketing.tickets
    WHERE number = ANY ($1::text[]) OR id = ANY ($2::bigint[]) OR key = ANY ($3::text[])
    UNION
    SELECT t.id, t.merged_into, w.hops + 1
    FROM wanted w, LATERAL (SELECT id, merged_into FROM ticketing.tickets WHERE id = w.merged_into LIMIT 1) t
    WHERE w.hops < {MOST_MERGES})
SELECT {COLUMNS} FROM ticketing.tickets WHERE id = ANY (ARRAY(SELECT id FROM wanted)) ORDER BY id FOR NO KEY UPDATE
"""  # noqa: S608  # names of columns
# the newest one that is open: another system may give its numbers anew
_BY_FIELD = """
SELECT max(t.id) FROM unnest($1::jsonb[]) AS w (wanted)
JOIN ticketing.tickets t ON t.dynamic_fields @> w.wanted AND t.dynamic_fields <> '{}'
WHERE t.state_type NOT IN ('closed', 'merged', 'removed') GROUP BY w.wanted
"""
_PARTICIPANTS = """
SELECT ticket_id, address FROM ticketing.participants
WHERE ticket_id = ANY ($1::bigint[]) AND address = ANY ($2::text[])
"""
# with all that is known of the same tickets
_KEPT = """
SELECT event_id, created, ticket_key, number, ticket_id, article_id, queue, title, sender, message_id_hash
FROM ticketing.kept
WHERE ticket_key IN (SELECT ticket_key FROM ticketing.kept
                     WHERE event_id = ANY ($1::text[]) OR number = ANY ($2::text[]) OR ticket_key = ANY ($3::text[])
                        OR message_id_hash = ANY ($4::bytea[]))
"""
_NOTIFIED = """
SELECT ticket_id, lower(recipient), lower(message_id) FROM mailer.deliveries_v1
WHERE ticket_id = ANY ($1::bigint[]) AND kind = 'notification' AND lower(recipient) = ANY ($2::text[])
"""
_ABSENT = "SELECT agent FROM ticketing.absences WHERE since <= $1 AND until > $1"
_FLOODS = "SELECT sender, tickets FROM ticketing.floods WHERE starts = $1 AND sender = ANY ($2::bytea[])"
_FLOOD = """
INSERT INTO ticketing.floods (starts, sender, tickets) SELECT $3, * FROM unnest($1::bytea[], $2::int[])
ON CONFLICT (starts, sender) DO UPDATE SET tickets = excluded.tickets
"""
_FORGET_FLOODS = "DELETE FROM ticketing.floods WHERE starts < $1"
_EXISTING = "SELECT id FROM ticketing.articles WHERE id = ANY ($1::bigint[])"
_RECALLED = "DELETE FROM ticketing.kept WHERE event_id = ANY ($1::text[])"
_COUNTER = """
INSERT INTO ticketing.ticket_counter AS c (day, system_id, counter) VALUES ($1, $2, 0)
ON CONFLICT (day, system_id) DO UPDATE SET counter = c.counter RETURNING counter
"""
_COUNT = "UPDATE ticketing.ticket_counter SET counter = $3 WHERE day = $1 AND system_id = $2"
# the snapshot holds only those participants that the batch's mails name
_PARTICIPANT = """
INSERT INTO ticketing.participants (ticket_id, address, role)
SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[]) ON CONFLICT DO NOTHING
"""
_LINK = """
INSERT INTO ticketing.ticket_links (source_id, target_id, type, created_at)
SELECT *, $4 FROM unnest($1::bigint[], $2::bigint[], $3::text[]) ON CONFLICT DO NOTHING
"""
# a replay takes over the claim of the mail that became nothing
_CLAIM = """
INSERT INTO ticketing.inbox (transport_key, raw_sha256, content_key, message_id_hash, claims_content, account, queue,
                             outcome, ticket_id, article_id, settled_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
ON CONFLICT (transport_key, raw_sha256) DO UPDATE
SET claims_content = excluded.claims_content, queue = excluded.queue, outcome = excluded.outcome,
    ticket_id = excluded.ticket_id, article_id = excluded.article_id, settled_at = excluded.settled_at
"""
_DECISION = """
INSERT INTO ticketing.decisions (transport_key, raw_sha256, action, reason, kind, trace, desk, account, folder, uid,
                                 original, received_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
ON CONFLICT (transport_key, raw_sha256) DO UPDATE
SET action = excluded.action, reason = excluded.reason, kind = excluded.kind, trace = excluded.trace,
    desk = excluded.desk, original = excluded.original
"""
_NOT_TRACED: Mapping[str, str] = {}
# columns in the order of the rows below; what can conflict with nothing is copied, one COPY a table
_COPIED = {
    "tickets": CREATED,
    "articles": "id ticket_id direction sender_type visible kind from_name from_address recipients subject message_id "
    "message_id_hash in_reply_to reference_ids text reply_text html account original transport_key raw_sha256 "
    "received_at created_at",
    "attachments": "article_id position filename content_type size inline content_id",
    "article_references": "message_id_hash article_id ticket_id",
    "history": "ticket_id article_id type text agent why created_at",
    "inbox": "transport_key raw_sha256 content_key message_id_hash claims_content account queue outcome ticket_id "
    "article_id settled_at",
    "decisions": "transport_key raw_sha256 action reason kind trace desk account folder uid original received_at",
    "outbox": "event_id key type payload created_at traceparent",
}


class Batch:
    """One batch inside its transaction: `load`, settle, `save`."""

    def __init__(self, connection: Connection, *, names_kept: bool) -> None:
        self._connection = connection
        self._names_kept = names_kept

    async def load(
        self, mails: Sequence[Mail], day: date, system_id: str, moment: datetime, agents: Collection[str] = ()
    ) -> Snapshot:
        """`agents`: their addresses, in lower case."""
        fetch = self._connection.fetch
        claims = await fetch(_CLAIMS, [mail.transport_key for mail in mails], [mail.content_key for mail in mails])
        wanted = [sought(each.check, each.value) for mail in mails for each in mail.event.candidates]
        carriers = await self._index(_CARRIERS, {each.message for each in wanted if each.message})
        asked = {mail.message_id_hash for mail in mails if mail.message_id_hash}
        namers = await self._index(_NAMERS, asked.union(*(mail.named[-NAMED_BY_SIBLINGS:] for mail in mails)))
        kept = await self._kept(mails, wanted)
        # whether a name is taken must be known before it is given
        wanted += [Sought(key=mail.ticket_key) for mail in mails]
        wanted += [each for names in kept for each in (Sought(key=names.ticket_key), Sought(number=names.number))]
        ids = {names.ticket_id for names in kept}.union(
            await self._by_field(wanted),
            *carriers.values(),
            *namers.values(),
        )
        tickets = await self._tickets(wanted, ids)
        participants: dict[int, set[str]] = defaultdict(set)
        if tickets:
            rows = await fetch(_PARTICIPANTS, [ticket.id for ticket in tickets], _addresses(mails))
            for ticket_id, address in rows:
                participants[ticket_id].add(address)
        writing = [mail.sender for mail in mails if mail.sender in agents]
        found = [ticket.id for ticket in tickets] if writing else []
        reserved = await fetch(_RESERVE, len(mails))
        return Snapshot(
            claims=[Claim(*row) for row in claims],
            tickets=tickets,
            carriers=carriers,
            namers=namers,
            hidden=await self._hidden(carriers),
            participants={ticket_id: frozenset(addresses) for ticket_id, addresses in participants.items()},
            ticket_ids=[row["ticket"] for row in reserved],
            article_ids=[row["article"] for row in reserved],
            counter=await self._connection.fetchval(_COUNTER, day, system_id),
            kept=kept,
            articles=await self._existing(kept),
            absent=frozenset(row[0] for row in await fetch(_ABSENT, moment)),
            flood={row[0]: row[1] for row in await fetch(_FLOODS, _hour(moment), _senders(mails))},
            notified=await self._notified(found, writing),
            last=await last_mails(self._connection, found) if found else {},
        )

    async def _notified(
        self, tickets: Sequence[int], addresses: Sequence[str]
    ) -> dict[int, frozenset[tuple[str, str]]]:
        found: dict[int, set[tuple[str, str]]] = defaultdict(set)
        for ticket, address, message_id in (
            await self._connection.fetch(_NOTIFIED, tickets, addresses) if tickets else ()
        ):
            found[ticket].add((address, message_id))
        return {ticket: frozenset(sent) for ticket, sent in found.items()}

    async def _index(self, statement: str, hashes: set[bytes]) -> dict[bytes, frozenset[int]]:
        rows = await self._connection.fetch(statement, list(hashes)) if hashes else []
        return {row[0]: frozenset(row[1]) for row in rows if row[1]}

    async def _hidden(self, carriers: Mapping[bytes, Collection[int]]) -> dict[bytes, frozenset[int]]:
        if not carriers:
            return {}
        tickets = {ticket for ids in carriers.values() for ticket in ids}
        rows = await self._connection.fetch(_HIDDEN, list(carriers), list(tickets))
        return {row[0]: frozenset(row[1]) for row in rows}

    async def _kept(self, mails: Sequence[Mail], wanted: Sequence[Sought]) -> list[Kept]:
        if not self._names_kept:
            return []
        rows = await self._connection.fetch(
            _KEPT,
            [mail.event_id for mail in mails],
            [each.number for each in wanted if each.number],
            [each.key for each in wanted if each.key],
            [each.message for each in wanted if each.message],
        )
        return [Kept(*row) for row in rows]

    async def _existing(self, kept: Sequence[Kept]) -> frozenset[int]:
        ids = [names.article_id for names in kept]
        return frozenset(row["id"] for row in await self._connection.fetch(_EXISTING, ids)) if ids else frozenset()

    async def _by_field(self, wanted: Sequence[Sought]) -> list[int]:
        fields = [dict([each.field]) for each in wanted if each.field]
        return [row[0] for row in await self._connection.fetch(_BY_FIELD, fields)] if fields else []

    async def _tickets(self, wanted: Sequence[Sought], ids: Collection[int]) -> list[Ticket]:
        numbers = {each.number for each in wanted if each.number}
        keys = {each.key for each in wanted if each.key}
        found: dict[int, Ticket] = {}
        for _ in range(_MOST_LOOKS):
            rows = await self._connection.fetch(_TICKETS, list(numbers), list(ids), list(keys))
            found = {ticket.id: ticket for ticket in (Ticket(*row) for row in rows)}
            # merged while the lock was waited for: it names one that was not asked for
            if all(each.merged_into is None or each.merged_into in found for each in found.values()):
                break
        return list(found.values())

    async def save(
        self,
        settled: Settlement,
        day: date,
        system_id: str,
        moment: datetime,
        traceparents: Mapping[str, str] = _NOT_TRACED,
    ) -> None:
        """`traceparents`: of the mails behind the facts, by event id, where they are traced."""
        if settled.created:
            await self._connection.execute(_COUNT, day, system_id, settled.counter)
        articles = settled.articles
        await self._copy("tickets", [created_row(ticket, moment) for ticket in settled.created])
        await self._write(CHANGE, [change_row(ticket) for _, ticket in sorted(settled.changed.items())], moment)
        await self._copy("articles", [_article(article, moment) for article in articles])
        await self._copy("attachments", [row for article in articles for row in _attachments(article)])
        named = [(each, article.id, article.ticket_id) for article in articles for each in article.mail.named]
        await self._copy("article_references", named)
        await self._write(_PARTICIPANT, settled.participants)
        await self._copy("history", [(*line, moment) for line in settled.history])
        await self._write(_LINK, settled.links, moment)
        await self._save_claims(settled, moment)
        if settled.flood:
            await self._connection.execute(_FORGET_FLOODS, _hour(moment))
            await self._write(_FLOOD, list(settled.flood.items()), _hour(moment))
        if settled.recalled:
            await self._connection.execute(_RECALLED, settled.recalled)
        facts = settled.facts
        await self._copy("outbox", [_outbox(each, moment, traceparents) for each in facts])

    async def _save_claims(self, settled: Settlement, moment: datetime) -> None:
        """A mail's claim and decision are new, but for a replay's, which takes them over, in the same batch too."""
        replays = {mail.transport_key + mail.raw_sha256 for mail in settled.decided if mail.event.replay_of}
        claims = [(*claim, moment) for claim in settled.claims]
        decisions = [_decision(mail) for mail in settled.decided]
        for table, upsert, rows in (("inbox", _CLAIM, claims), ("decisions", _DECISION, decisions)):
            await self._copy(table, [row for row in rows if row[0] + row[1] not in replays])
            again = [row for row in rows if row[0] + row[1] in replays]
            if again:
                await self._connection.executemany(upsert, again)

    async def save_letters(self, letters: Sequence[tuple[DeadLetter, Mail]], moment: datetime) -> None:
        """Quarantined mails wait for a decision beside the dead letters."""
        rows = [
            dead_letter_store.row(letter, moment, original=mail.event.original, raw_sha256=mail.raw_sha256)
            for letter, mail in letters
        ]
        await dead_letter_store.insert(self._connection, rows)

    async def take_offsets(self, topic: str, records: Sequence[Record]) -> None:
        """Raises Elsewhere when the records do not begin where their partitions stand."""
        await take_offsets(self._connection, _SCHEMA, topic, records)

    async def _copy(self, table: str, rows: Sequence[Sequence[Any]]) -> None:
        if rows:
            await self._connection.copy_records_to_table(
                table, schema_name=_SCHEMA, columns=_COPIED[table].split(), records=rows
            )

    async def _write(self, statement: str, rows: Sequence[Sequence[Any]], *more: Any) -> None:
        """One statement for all rows: an array a column."""
        if rows:
            await self._connection.execute(statement, *map(list, zip(*rows, strict=True)), *more)


@asynccontextmanager
async def batch(pool: Pool) -> AsyncIterator[Batch]:
    """A transaction under the lock that lets one batch settle at a time. Raises asyncpg errors; nothing is then
    written. A lock that does not come within two seconds is one of them (55P03). Raises NotCompared too."""
    async with transaction(pool) as connection:
        await connection.execute("SELECT pg_advisory_xact_lock($1)", BATCH_LOCK)
        yield Batch(connection, names_kept=await must_be_compared(connection))


def _hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def _senders(mails: Sequence[Mail]) -> list[bytes]:
    return list({sender_hash(mail.sender) for mail in mails if mail.sender})


def _addresses(mails: Sequence[Mail]) -> list[str]:
    """Only a sender's part in a conversation is asked for; who else is in it, the insert finds out."""
    return list({mail.sender for mail in mails if mail.sender})


def _article(article: Article, moment: datetime) -> tuple[Any, ...]:
    mail = article.mail
    event = mail.event
    return (
        article.id,
        article.ticket_id,
        article.direction,
        article.sender_type,
        article.visible,
        event.classification.kind,
        event.sender.name,
        event.sender.address,
        {"to": event.to, "cc": event.cc, "reply_to": event.reply_to},
        event.subject,
        event.message_id,
        mail.message_id_hash,
        event.in_reply_to,
        event.references,
        event.text,
        event.reply_text,
        event.html,
        event.account,
        event.original,
        mail.transport_key,
        mail.raw_sha256,
        event.received_at,
        moment,
    )


def _attachments(article: Article) -> list[tuple[Any, ...]]:
    return [
        (article.id, position, part.filename, part.content_type, part.size, part.inline, part.content_id)
        for position, part in enumerate(article.mail.event.attachments)
    ]


def _decision(mail: Mail) -> tuple[Any, ...]:
    event = mail.event
    return (
        mail.transport_key,
        mail.raw_sha256,
        event.action,
        event.reason,
        event.classification.kind,
        event.trace,
        event.desk,
        event.account,
        event.folder,
        event.uid,
        event.original,
        event.received_at,
    )


def _outbox(event: OutgoingFact, moment: datetime, traceparents: Mapping[str, str]) -> tuple[Any, ...]:
    traceparent = traceparents.get(event.event_id)
    return event.event_id, event.key, event.fact.TYPE, encode_fact(event.fact), moment, traceparent
