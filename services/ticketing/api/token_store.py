"""SQL of the tokens and of requests that may come twice."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from services.ticketing.api.tokens import Scope, Token
from shared.postgres import Connection, Pool

Row = dict[str, Any]

_CREATE = """
INSERT INTO ticketing.tokens (secret_sha256, name, scopes, queues, agent, created_by, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id
"""


async def create(
    connection: Connection,
    digest: bytes,
    *,
    name: str,
    scopes: Sequence[str],
    queues: Sequence[str] | None,
    agent: str,
    created_by: str,
    expires_at: datetime | None,
) -> int:
    rows = None if queues is None else list(queues)
    return int(await connection.fetchval(_CREATE, digest, name, list(scopes), rows, agent, created_by, expires_at))


_LIST = """
SELECT id::text AS id, name, scopes, queues, agent, created_by, created_at, expires_at, revoked_at,
       CASE WHEN revoked_at IS NOT NULL THEN 'revoked' WHEN expires_at <= now() THEN 'expired' ELSE 'valid' END AS state
FROM ticketing.tokens t ORDER BY t.id
"""


async def listed(connection: Connection) -> list[Row]:
    return [dict(record) for record in await connection.fetch(_LIST)]


_REVOKE = "UPDATE ticketing.tokens SET revoked_at = now() WHERE id = $1 AND revoked_at IS NULL RETURNING id"


async def revoke(connection: Connection, token_id: int) -> bool:
    """False where there is none, or it was revoked before."""
    return await connection.fetchval(_REVOKE, token_id) is not None


_FIND = """
SELECT id, name, scopes, queues, agent FROM ticketing.tokens
WHERE secret_sha256 = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
"""


async def find(pool: Pool, digest: bytes) -> Token | None:
    """The token of this hash, as long as it is valid."""
    row = await pool.fetchrow(_FIND, digest)
    if row is None:
        return None
    queues = None if row["queues"] is None else frozenset(row["queues"])
    return Token(row["id"], row["name"], frozenset(map(Scope, row["scopes"])), queues, row["agent"])


class Before(NamedTuple):
    """A request under the same key. `status` None: it is being handled, or its handler died."""

    fingerprint: bytes
    status: int | None
    headers: list[list[str]]
    body: bytes


# one that nobody finished is tried anew once its handler must be dead; after a day a key is free again
_CLAIM = """
INSERT INTO ticketing.requests AS r (token_id, key, fingerprint) VALUES ($1, $2, $3)
ON CONFLICT (token_id, key) DO UPDATE
SET fingerprint = excluded.fingerprint, status = NULL, headers = '[]', body = NULL, asked_at = clock_timestamp()
WHERE r.asked_at < now() - interval '1 day' OR (r.status IS NULL AND r.asked_at < now() - interval '2 minutes')
RETURNING key
"""
_BEFORE = "SELECT fingerprint, status, headers, body FROM ticketing.requests WHERE token_id = $1 AND key = $2"
_ANSWERED = "UPDATE ticketing.requests SET status = $3, headers = $4, body = $5 WHERE token_id = $1 AND key = $2"
_FREED = "DELETE FROM ticketing.requests WHERE token_id = $1 AND key = $2 AND status IS NULL"
_FORGOTTEN = "DELETE FROM ticketing.requests WHERE asked_at < now() - interval '1 day'"


async def claim(pool: Pool, token_id: int, key: str, fingerprint: bytes) -> Before | None:
    """None: the key is new, and whoever asked handles the request."""
    while True:
        if await pool.fetchval(_CLAIM, token_id, key, fingerprint) is not None:
            return None
        row = await pool.fetchrow(_BEFORE, token_id, key)
        if row is not None:  # else the other one gave it up in between
            return Before(row["fingerprint"], row["status"], row["headers"], row["body"] or b"")


async def answered(
    pool: Pool, token_id: int, key: str, *, status: int, headers: Sequence[tuple[str, str]], body: bytes
) -> None:
    await pool.execute(_ANSWERED, token_id, key, status, headers, body)


async def free(pool: Pool, token_id: int, key: str) -> None:
    """Nothing was done: the key may be used again."""
    await pool.execute(_FREED, token_id, key)


async def forget(pool: Pool) -> None:
    await pool.execute(_FORGOTTEN)
