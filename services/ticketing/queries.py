"""What people look at: SQL that only reads, and the one decision they take about a dead letter.

A connection is passed in; its owner says whose rights it has.
"""

import base64
import json
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from services.ticketing.batch import Sought, event_id_of, id_hash
from shared.postgres import Connection, Pool

Row = dict[str, Any]
Asked = Connection | Pool

_TICKET = """
SELECT t.number, t.id::text AS ticket_id, t.queue, t.state, t.state_type, t.priority, t.lock, t.owner, t.responsible,
       t.title, t.customer_user, t.created_at, t.changed_at, t.closed_at, t.pending_until, t.event_sequence AS version,
       t.type, t.service, t.sla, t.customer_no, t.dynamic_fields,
       ARRAY(SELECT jsonb_array_elements_text(t.watchers)) AS watchers,
       ARRAY(SELECT jsonb_array_elements_text(t.tags)) AS tags,
       (SELECT m.number FROM ticketing.tickets m WHERE m.id = t.merged_into) AS merged_into,
       (SELECT count(*) FROM ticketing.articles a WHERE a.ticket_id = t.id) AS articles
FROM ticketing.tickets t WHERE t.number = $1
"""


async def ticket(connection: Asked, number: str) -> Row | None:
    row = await connection.fetchrow(_TICKET, number)
    return None if row is None else dict(row)


class Holder(NamedTuple):
    """A ticket that a candidate leads to."""

    id: int
    number: str
    queue: str
    state: str
    state_type: str


_HOLDER = "SELECT t.id, t.number, t.queue, t.state, t.state_type FROM ticketing.tickets t "
_BY_MESSAGE = """
WHERE t.id IN (SELECT ticket_id FROM ticketing.articles WHERE message_id_hash = $1) ORDER BY t.id LIMIT 2
"""
_BY_FIELD = """
WHERE t.dynamic_fields ->> $1 = $2 AND t.state_type NOT IN ('closed', 'merged', 'removed') ORDER BY t.id DESC LIMIT 1
"""


async def holders(connection: Connection, wanted: Sought) -> list[Holder]:
    """The tickets that a candidate leads to; two say that it is ambiguous."""
    if wanted.number:
        rows = await connection.fetch(_HOLDER + "WHERE t.number = $1", wanted.number)
    elif wanted.key:
        rows = await connection.fetch(_HOLDER + "WHERE t.key = $1", wanted.key)
    elif wanted.field:
        rows = await connection.fetch(_HOLDER + _BY_FIELD, *wanted.field)
    else:
        rows = await connection.fetch(_HOLDER + _BY_MESSAGE, wanted.message)
    return [Holder(*row) for row in rows]


async def takes_part(connection: Connection, ticket_id: int, address: str) -> bool:
    found = "SELECT EXISTS (SELECT FROM ticketing.participants WHERE ticket_id = $1 AND address = $2)"
    return bool(address) and bool(await connection.fetchval(found, ticket_id, address))


_ARTICLES = """
SELECT a.id::text AS article_id, a.direction, a.sender_type, a.visible, a.kind, a.from_name, a.from_address,
       a.subject, a.message_id, a.text, COALESCE(NULLIF(a.reply_text, ''), a.text) AS reply_text, a.account,
       encode(a.raw_sha256, 'hex') AS sha256, a.received_at,
       ARRAY(SELECT p.filename FROM ticketing.attachments p WHERE p.article_id = a.id ORDER BY p.position) AS files
FROM ticketing.articles a WHERE a.ticket_id = $1 ORDER BY a.received_at, a.id
"""


async def conversation(connection: Connection, ticket_id: int) -> list[Row]:
    """The articles in the order in which the mails reached their server, with their attachments' file names."""
    return _rows(await connection.fetch(_ARTICLES, ticket_id))


_HISTORY = """
SELECT id::text AS entry_id, created_at, type, text, article_id::text AS article_id, agent, why
FROM ticketing.history h WHERE ticket_id = $1 AND h.id > $2 ORDER BY h.id LIMIT $3
"""


async def history(connection: Asked, ticket_id: int, after: int = 0, limit: int | None = None) -> list[Row]:
    """In the order in which it was written, what stands behind `after`."""
    return _rows(await connection.fetch(_HISTORY, ticket_id, after, limit))


_LINKS = """
SELECT t.number, l.type, CASE WHEN l.source_id = $1 THEN 'to' ELSE 'from' END AS direction, t.state, t.title, t.queue
FROM ((SELECT * FROM ticketing.ticket_links WHERE source_id = $1 LIMIT 500)
      UNION ALL (SELECT * FROM ticketing.ticket_links WHERE target_id = $1 LIMIT 500)) l
JOIN ticketing.tickets t ON t.id = CASE WHEN l.source_id = $1 THEN l.target_id ELSE l.source_id END
ORDER BY t.id
"""


async def links(connection: Asked, ticket_id: int) -> list[Row]:
    """The other ticket of each link; `direction` seen from this one."""
    return _rows(await connection.fetch(_LINKS, ticket_id))


_QUEUES = """
SELECT queue, state, count(*) AS tickets, max(changed_at) AS changed_at
FROM ticketing.tickets WHERE state_type NOT IN ('closed', 'merged', 'removed')
GROUP BY queue, state ORDER BY queue, state
"""


async def queues(connection: Connection) -> list[Row]:
    """Tickets by queue and state, closed ones left out."""
    return _rows(await connection.fetch(_QUEUES))


_OUTBOX = """
SELECT count(*) AS pending, min(created_at) AS oldest,
       EXISTS (SELECT FROM ticketing.relay WHERE until > clock_timestamp() AND lineage = ticketing.lineage()) AS led,
       (SELECT count(*) FROM ticketing.kept) AS to_come
FROM ticketing.outbox
"""


async def outbox(connection: Connection) -> Row:
    """Events committed and not yet published. `led`: a relay publishes, and batches settle; `to_come`: mails that were
    published and have not come again since the database went back."""
    return _rows(await connection.fetch(_OUTBOX))[0]


_GAPS = """
SELECT topic, reason, sum(last_offset - first_offset)::bigint AS records, max(noticed_at) AS noticed
FROM ticketing.gaps WHERE noticed_at > now() - interval '7 days' GROUP BY topic, reason ORDER BY topic, reason
"""


async def gaps(connection: Connection) -> list[Row]:
    """Records that had gone from a topic before they were read, noticed in the last seven days."""
    return [dict(record) for record in await connection.fetch(_GAPS)]


_OPEN_LETTERS = """
SELECT origin_topic AS topic, reason, count(*) AS letters, min(received_at) AS oldest
FROM ticketing.dead_letters WHERE state = 'open' GROUP BY 1, 2 ORDER BY 1, 2
"""


async def open_letters(connection: Connection) -> list[Row]:
    """Dead letters nobody has decided on, by topic and reason."""
    return _rows(await connection.fetch(_OPEN_LETTERS))


_SETTLED = """
SELECT i.transport_key, i.raw_sha256, i.account, i.queue, i.outcome, i.settled_at, i.article_id::text AS article_id,
       t.number, d.action, d.reason, d.kind, d.folder, d.uid, d.received_at
FROM ticketing.inbox i
LEFT JOIN ticketing.tickets t ON t.id = i.ticket_id
LEFT JOIN ticketing.decisions d USING (transport_key, raw_sha256)
"""
# the index of articles first: claims are for ever, and have none by Message-ID
_CLAIM_OF_MESSAGE = """
WHERE (i.transport_key, i.raw_sha256) IN (SELECT transport_key, raw_sha256 FROM ticketing.articles
                                          WHERE message_id_hash = $1)
"""


async def settled(
    connection: Connection, *, transport_key: bytes = b"", number: str = "", message_id: str = ""
) -> list[Row]:
    """The mails of a transport key, a ticket or a Message-ID, with what became of them; the oldest first. Of a mail
    without an article every claim is looked through."""
    if transport_key:
        rows = await connection.fetch(_SETTLED + "WHERE i.transport_key = $1", transport_key)
    elif number:
        rows = await connection.fetch(_SETTLED + "WHERE t.number = $1", number)
    else:
        wanted = id_hash(message_id)
        rows = await connection.fetch(_SETTLED + _CLAIM_OF_MESSAGE, wanted)
        rows = rows or await connection.fetch(_SETTLED + "WHERE i.message_id_hash = $1", wanted)
    found = _rows(sorted(rows, key=lambda row: row["settled_at"]))
    return [row | {"event_id": event_id_of(row["transport_key"], row["raw_sha256"])} for row in found]


async def unpublished(connection: Connection, event_ids: Sequence[str]) -> dict[str, datetime]:
    """Event id -> when it was committed, of those that wait in the outbox."""
    found = "SELECT event_id, created_at FROM ticketing.outbox WHERE event_id = ANY ($1::text[])"
    return {row["event_id"]: row["created_at"] for row in await connection.fetch(found, list(event_ids))}


_LETTERS_OF = """
SELECT id::text AS id, state, origin_topic AS topic, origin_partition AS partition, origin_offset::text AS "offset",
       service, reason, received_at, decided_by, decided_at, why
FROM ticketing.dead_letters
WHERE origin_id = ANY ($1::text[]) OR raw_sha256 = ANY ($2::bytea[]) OR position($3::bytea IN value) > 0
   OR EXISTS (SELECT FROM unnest($4::text[]) n WHERE headers @> jsonb_build_array(jsonb_build_array('ce_id', n)))
ORDER BY received_at
"""


async def letters_of(connection: Connection, ids: Sequence[str], hashes: Sequence[bytes], message_id: str) -> list[Row]:
    """Dead letters of a mail or its events: by their ids, by the hash of the mail, by the Message-ID in its bytes."""
    sought = message_id.encode("utf-8", "surrogateescape") or None
    coded = [base64.b64encode(name.encode()).decode() for name in ids]  # as a letter's headers hold it
    return _rows(await connection.fetch(_LETTERS_OF, list(ids), list(hashes), sought, coded))


async def next_offsets(connection: Connection, topic: str) -> dict[int, int]:
    """Partition -> the offset that is read next."""
    found = "SELECT partition, next_offset FROM ticketing.offsets WHERE topic = $1"
    return {row["partition"]: row["next_offset"] for row in await connection.fetch(found, topic)}


async def outcomes(connection: Connection, transport_keys: Sequence[bytes]) -> dict[bytes, str]:
    """Transport key -> what became of the mail, of those that were settled."""
    found = "SELECT transport_key, outcome FROM ticketing.inbox WHERE transport_key = ANY ($1::bytea[])"
    return {row["transport_key"]: row["outcome"] for row in await connection.fetch(found, list(transport_keys))}


_SET_ASIDE = """
SELECT origin_partition AS partition, origin_offset AS "offset" FROM ticketing.dead_letters
WHERE origin_topic = $1 AND (origin_partition, origin_offset) IN (SELECT * FROM unnest($2::int[], $3::bigint[]))
"""


async def set_aside(connection: Connection, topic: str, places: Sequence[tuple[int, int]]) -> set[tuple[int, int]]:
    """Those of the places (partition, offset) whose record is a dead letter, whatever was decided about it."""
    partitions, offsets = [partition for partition, _ in places], [offset for _, offset in places]
    rows = await connection.fetch(_SET_ASIDE, topic, partitions, offsets)
    return {(row["partition"], row["offset"]) for row in rows}


# a mail's decision names its original as long as the mail is kept, whatever became of it
_NAMED = """
SELECT split_part(original, ':', 1) FROM ticketing.articles
UNION SELECT split_part(original, ':', 1) FROM ticketing.decisions
UNION SELECT split_part(original, ':', 1) FROM ticketing.dead_letters
"""
_LETTERS_BYTES = "SELECT headers, value FROM ticketing.dead_letters"
_PACK = re.compile(rb"packs/[0-9/]+/[0-9a-f-]+\.pack")


async def named_packs(connection: Connection) -> set[str]:
    """Every pack that an article, a decision or a dead letter names; reads the tables whole."""
    named = {row[0] for row in await connection.fetch(_NAMED, timeout=3600)}
    async with connection.transaction():
        async for headers, value in connection.cursor(_LETTERS_BYTES):
            coded = [base64.b64decode(header) for _, header in json.loads(headers)]
            for written in (*coded, value or b""):
                named.update(name.decode() for name in _PACK.findall(written))
    return named - {""}


_LETTERS = """
SELECT id::text AS id, state, origin_topic AS topic, origin_partition AS partition, origin_offset::text AS "offset",
       origin_id, service, reason, exception, octet_length(value) AS size, received_at, decided_by, decided_at, why
FROM ticketing.dead_letters l WHERE ($1 OR state = 'open') AND l.id > $2 ORDER BY l.id LIMIT $3
"""


async def letters(connection: Asked, *, decided: bool, after: int = 0, limit: int | None = None) -> list[Row]:
    """Dead letters in the order they came, those behind `after`; with `decided` also those that were replayed or
    discarded."""
    return _rows(await connection.fetch(_LETTERS, decided, after, limit))


# the lock makes a second operator wait, and then see the first one's decision
_LETTER = """
SELECT id::text AS id, state, origin_topic AS topic, origin_partition AS partition, origin_offset::text AS "offset",
       origin_id, service, reason, exception, key, value, headers::text AS headers, original, received_at, decided_by,
       decided_at, why
FROM ticketing.dead_letters WHERE id = $1
"""


async def letter(connection: Asked, letter_id: int, *, lock: bool = False) -> Row | None:
    """One dead letter with its record: `headers` is JSON, `[[name, base64], …]`."""
    rows = await connection.fetch(_LETTER + (" FOR UPDATE" if lock else ""), letter_id)
    return dict(rows[0]) if rows else None


_DECIDE = """
UPDATE ticketing.dead_letters SET state = $2, decided_by = $3, decided_at = clock_timestamp(), why = $4 WHERE id = $1
"""


async def decide_letter(connection: Connection, letter_id: int, state: str, who: str, why: str | None) -> None:
    """`state`: `replayed` or `discarded`."""
    await connection.execute(_DECIDE, letter_id, state, who, why)


def _rows(records: Sequence[Any]) -> list[Row]:
    return [dict(record) for record in records]
