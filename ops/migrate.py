"""`carteiro migrate`: applies, checks or waits for the schema of this version."""

import asyncpg

from shared.migrations import available, migrate, pending, wait_until_applied
from shared.postgres import PostgresUnreachable, address, create_pool_within
from shared.settings import Settings

_WAIT_SECONDS = 300.0


async def run_migrations(*, check: bool, wait: bool, phase: str | None) -> int:
    """0: nothing pending (any more); 1: --check found something.

    Raises PostgresUnreachable, MigrationError.
    """
    settings = Settings()
    if check:
        return await _check(settings.dsn, wait=wait, phase=phase)
    if wait:
        pool = await create_pool_within(settings.dsn, "migrate", settings.start_seconds, size=1, role=False)
        await pool.close()
    try:
        applied = await migrate(settings.dsn, phase=phase)
    except (OSError, TimeoutError, asyncpg.CannotConnectNowError) as error:
        raise _unreachable(settings.dsn, error) from error
    for migration in applied:
        print(f"applied {migration}")
    print(f"schema up to date, {len(available())} migrations")
    return 0


async def _check(dsn: str, *, wait: bool, phase: str | None) -> int:
    try:
        todo = await wait_until_applied(dsn, _WAIT_SECONDS if wait else 0, phase or "pre")
        if not wait and phase is None:
            todo = await pending(dsn, available())
    except (OSError, TimeoutError, asyncpg.CannotConnectNowError) as error:
        raise _unreachable(dsn, error) from error
    for migration in todo:
        print(f"pending {migration}")
    return 1 if todo else 0


def _unreachable(dsn: str, error: BaseException) -> PostgresUnreachable:
    return PostgresUnreachable(f"PostgreSQL at {address(dsn)} cannot be reached ({type(error).__name__})")
