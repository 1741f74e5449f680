"""SQL of articles, as the API shows them: a row carries its ticket's `queue`, which decides who may see it."""

from typing import Any

from shared.postgres import Connection, Pool

Row = dict[str, Any]
Asked = Connection | Pool

_PARTICIPANTS = "SELECT address, role FROM ticketing.participants WHERE ticket_id = $1 ORDER BY address LIMIT 500"


async def participants(asked: Asked, ticket_id: int) -> list[Row]:
    return [dict(row) for row in await asked.fetch(_PARTICIPANTS, ticket_id)]


_ARTICLE = """
SELECT a.id::text AS article_id, t.number AS ticket_number, t.queue, a.direction, a.sender_type, a.visible, a.kind,
       a.from_name, a.from_address, a.subject, a.message_id, a.text,
       COALESCE(NULLIF(a.reply_text, ''), a.text) AS reply_text, a.html <> '' AS has_html,
       a.original <> '' AS has_original, a.account, encode(a.raw_sha256, 'hex') AS sha256, a.received_at, a.created_at,
       COALESCE((SELECT jsonb_agg(jsonb_build_object('position', p.position, 'filename', p.filename, 'content_type',
                                  p.content_type, 'size', p.size, 'inline', p.inline, 'content_id', p.content_id)
                                  ORDER BY p.position)
                 FROM ticketing.attachments p WHERE p.article_id = a.id), '[]') AS attachments
FROM ticketing.articles a JOIN ticketing.tickets t ON t.id = a.ticket_id
"""


async def articles(asked: Asked, ticket_id: int, after: int, limit: int) -> list[Row]:
    """In the order in which they were stored, those behind `after`."""
    tail = "WHERE a.ticket_id = $1 AND a.id > $2 ORDER BY a.id LIMIT $3"
    return [dict(row) for row in await asked.fetch(_ARTICLE + tail, ticket_id, after, limit)]


async def article(asked: Asked, article_id: int) -> Row | None:
    row = await asked.fetchrow(_ARTICLE + "WHERE a.id = $1", article_id)
    return None if row is None else dict(row)


_BODY = """
SELECT t.queue, a.html, a.text, a.original FROM ticketing.articles a JOIN ticketing.tickets t ON t.id = a.ticket_id
WHERE a.id = $1
"""
_PART = "SELECT filename, content_type FROM ticketing.attachments WHERE article_id = $1 AND position = $2"
_CONTENT_IDS = """
SELECT content_id, position FROM ticketing.attachments WHERE article_id = $1 AND content_id <> '' ORDER BY position DESC
"""


async def body(asked: Asked, article_id: int) -> Row | None:
    """`html`, `text` and the reference of the original."""
    row = await asked.fetchrow(_BODY, article_id)
    return None if row is None else dict(row)


async def part(asked: Asked, article_id: int, position: int) -> Row | None:
    row = await asked.fetchrow(_PART, article_id, position)
    return None if row is None else dict(row)


async def content_ids(asked: Asked, article_id: int) -> dict[str, int]:
    """Content-ID -> position; of two with one name the first."""
    return dict(map(tuple, await asked.fetch(_CONTENT_IDS, article_id)))


_DECISION = """
SELECT d.action, d.reason, d.kind, d.trace, d.desk, d.account, d.folder, d.uid, d.received_at
FROM ticketing.articles a
JOIN ticketing.decisions d ON d.transport_key = a.transport_key AND d.raw_sha256 = a.raw_sha256
WHERE a.id = $1
"""


async def decision(asked: Asked, article_id: int) -> Row | None:
    row = await asked.fetchrow(_DECISION, article_id)
    return None if row is None else dict(row)
