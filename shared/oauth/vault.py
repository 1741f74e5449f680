"""Rotated refresh tokens in a service's own schema (`refresh_tokens`), sealed; whose turn it is to renew one."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import cast

from shared.clock import monotonic
from shared.failures import Transient
from shared.postgres import ACQUIRE_SECONDS, UNAVAILABLE, Connection, Pool

_TURN = timedelta(seconds=60)  # longer than a renewal may take; whoever died in his is waited for
_LOOKED_AT = 0.2

# the schema's name is our own
_TAKE = """
INSERT INTO {0}.refresh_tokens AS t (account, taken_by, taken_until) VALUES ($1, $2, clock_timestamp() + $3)
ON CONFLICT (account) DO UPDATE SET taken_by = $2, taken_until = clock_timestamp() + $3
WHERE t.taken_until <= clock_timestamp()
RETURNING account
"""
_GIVE_BACK = """
UPDATE {0}.refresh_tokens SET taken_until = clock_timestamp() WHERE account = $1 AND taken_by = $2
"""
_LOAD = "SELECT sealed FROM {0}.refresh_tokens WHERE account = $1"
_SAVE = "UPDATE {0}.refresh_tokens SET sealed = $2, saved_at = clock_timestamp() WHERE account = $1"


class PostgresVault:
    """A `tokens.Vault`. Raises Transient when PostgreSQL does not serve, or a turn does not come."""

    def __init__(self, pool: Pool, schema: str) -> None:
        self._pool = pool
        self._schema = schema

    @asynccontextmanager
    async def turn(self, name: str) -> AsyncIterator[None]:
        me = secrets.token_hex(8)
        ends = monotonic() + _TURN.total_seconds()
        while await self._value(_TAKE, name, me, _TURN) is None:
            if monotonic() >= ends:
                raise Transient("another process has not ended its renewal of the access token")
            await asyncio.sleep(_LOOKED_AT)
        try:
            yield
        finally:
            with suppress(Transient):  # it ends by itself
                await self._value(_GIVE_BACK, name, me)

    async def load(self, name: str) -> bytes | None:
        return cast("bytes | None", await self._value(_LOAD, name))

    async def save(self, name: str, sealed: bytes) -> None:
        """Within a turn."""
        await self._value(_SAVE, name, sealed)

    async def _value(self, statement: str, *args: object) -> object:
        connection: Connection
        try:
            async with self._pool.acquire(timeout=ACQUIRE_SECONDS) as connection:
                return await connection.fetchval(statement.format(self._schema), *args)
        except UNAVAILABLE as error:
            raise Transient(f"PostgreSQL does not serve ({type(error).__name__})") from error
