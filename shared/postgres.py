"""The door to PostgreSQL: pools with time-outs and the service's own role, transactions, and how errors read.

The log-in of the DSN is a member of the service's role (`carteiro_<service>`, made by the migrations); a session
takes that role, so a service reaches its own schema and the published views only.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import asyncpg
import msgspec

from shared.clock import monotonic

if TYPE_CHECKING:  # the stubs are generic, the classes themselves are not
    Connection = asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]
    Pool = asyncpg.Pool[asyncpg.Record]
else:
    Connection = asyncpg.Connection | asyncpg.pool.PoolConnectionProxy
    Pool = asyncpg.Pool

COMMAND_SECONDS = 30.0
ACQUIRE_SECONDS = 15.0
UNAVAILABLE = (
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a server killed in the middle of an answer; no kin of the others
)
"""What a statement raises when the database does not serve, outside of the failure policy."""
_UNREACHABLE = (OSError, TimeoutError, asyncpg.PostgresConnectionError, asyncpg.CannotConnectNowError)


class PostgresUnreachable(Exception):
    """The server does not accept connections. Status 69."""


def address(dsn: str) -> str:
    """host:port/database of a DSN, for messages: never its user or password."""
    parts = urlsplit(dsn)
    return f"{parts.hostname or '127.0.0.1'}:{parts.port or 5432}{parts.path}"


async def create_pool(dsn: str, service: str, *, size: int = 4, role: bool = True, **session: str) -> Pool:
    """A pool of up to `size` connections; `session`: settings of each. Raises OSError or asyncpg errors when the
    server is away."""
    return await asyncpg.create_pool(
        dsn,
        min_size=1,
        max_size=size,
        command_timeout=COMMAND_SECONDS,
        timeout=10.0,
        init=_prepare,
        reset=_nothing_to_reset,
        server_settings={
            "application_name": f"carteiro-{service}",
            "lock_timeout": "2s",
            "idle_in_transaction_session_timeout": "5s",
            # a host that dies silently: its session, and the locks with it, ends in half a minute, not in two hours
            "tcp_keepalives_idle": "10",
            "tcp_keepalives_interval": "5",
            "tcp_keepalives_count": "4",
            **({"role": f"carteiro_{service}"} if role else {}),
            **session,
        },
    )


async def create_pool_within(
    dsn: str, service: str, seconds: float, *, size: int = 4, role: bool = True, **session: str
) -> Pool:
    """Tries for `seconds`. Raises PostgresUnreachable with one sentence; a wrong password or a missing role at once."""
    deadline = monotonic() + seconds
    while True:
        try:
            return await create_pool(dsn, service, size=size, role=role, **session)
        except _UNREACHABLE as error:
            if monotonic() >= deadline:
                raise PostgresUnreachable(
                    f"PostgreSQL at {address(dsn)} could not be reached within {seconds:.0f} s ({type(error).__name__})"
                ) from error
            await asyncio.sleep(0.5)


async def _prepare(connection: Connection) -> None:
    # in binary form, or COPY could not carry it: a version byte, then the text (src/backend/utils/adt/jsonb.c)
    await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=_jsonb, decoder=_value, format="binary")


async def _nothing_to_reset(_: Connection) -> None:
    """A round trip less a transaction: locks and settings of ours end with the transaction, nothing listens."""


def _jsonb(value: Any) -> bytes:
    return b"\x01" + msgspec.json.encode(value)


def _value(data: bytes) -> Any:
    return msgspec.json.decode(data[1:])


@asynccontextmanager
async def transaction(pool: Pool) -> AsyncIterator[Connection]:
    """A transaction on a connection of the pool. Raises asyncpg errors, and TimeoutError when none comes free.

    A server that hangs answers a rollback as little as the statement before it: the connection is dropped instead,
    or whoever gave up would wait for as long again.
    """
    async with pool.acquire(timeout=ACQUIRE_SECONDS) as connection:
        begun = connection.transaction()
        await begun.start()
        try:
            yield connection
        except (TimeoutError, asyncio.CancelledError):
            connection.terminate()
            raise
        except BaseException:
            if not connection.is_closed():
                await begun.rollback()
            raise
        await begun.commit()
