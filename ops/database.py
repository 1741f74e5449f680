"""The operator's connection to PostgreSQL: read or decide, then leave."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from shared.postgres import Connection, PostgresUnreachable, address
from shared.process import Misconfigured
from shared.settings import Settings


@asynccontextmanager
async def connected(settings: Settings) -> AsyncIterator[Connection]:
    """Raises PostgresUnreachable, Misconfigured when the schema is not there; a wrong password or database as asyncpg
    says it."""
    try:
        connection = await asyncpg.connect(
            settings.dsn,
            timeout=10,
            command_timeout=30,
            server_settings={"application_name": "carteiro-ops", "lock_timeout": "5s"},
        )
    except (OSError, TimeoutError, asyncpg.CannotConnectNowError, asyncpg.PostgresConnectionError) as error:
        raise PostgresUnreachable(
            f"PostgreSQL at {address(settings.dsn)} cannot be reached ({type(error).__name__})"
        ) from error
    try:
        yield connection
    except (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError, asyncpg.InvalidSchemaNameError) as error:
        raise Misconfigured(
            f"the database at {address(settings.dsn)} lacks this version's schema: run `carteiro migrate`"
        ) from error
    finally:
        await connection.close()
