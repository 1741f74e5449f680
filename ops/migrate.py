"""`carteiro migrate`: applies, checks or waits for the schema of this version."""

import asyncpg

from shared.clock import monotonic
from shared.migrations import WAIT_SECONDS, available, migrate, standing, wait_until_applied
from shared.postgres import PostgresUnreachable, address, create_pool_within
from shared.settings import Settings

TOLD_TO_WAIT_SECONDS = 300.0


async def run_migrations(*, check: bool, wait: bool, phase: str | None) -> int:
    """0: nothing pending (any more); 1: --check found something.

    `wait`: five minutes for everything together, the server, other runners and locks that others hold.
    Raises PostgresUnreachable, MigrationBusy, MigrationError.
    """
    settings = Settings()
    try:
        if check:
            return await _check(settings.dsn, wait=wait, phase=phase)
        return await _apply(settings.dsn, wait=wait, phase=phase)
    except (OSError, TimeoutError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError) as error:
        raise PostgresUnreachable(
            f"PostgreSQL at {address(settings.dsn)} cannot be reached ({type(error).__name__})"
        ) from error


async def _apply(dsn: str, *, wait: bool, phase: str | None) -> int:
    deadline = monotonic() + (TOLD_TO_WAIT_SECONDS if wait else WAIT_SECONDS)
    if wait:
        pool = await create_pool_within(dsn, "migrate", TOLD_TO_WAIT_SECONDS, size=1, role=False)
        await pool.close()
    for migration in await migrate(dsn, phase=phase, wait_seconds=deadline - monotonic()):
        print(f"applied {migration}")
    found = await standing(dsn)
    for newer in found.newer:
        print(f"of a newer version: {newer}")
    for later in found.lacks:
        print(f"pending {later}: once no older process runs, `carteiro migrate --phase {later.phase}`")
    print(f"schema up to date, {len(available())} migrations")
    return 0


async def _check(dsn: str, *, wait: bool, phase: str | None) -> int:
    """Services need what is `pre`: that is what is waited for, unless told otherwise."""
    found = await wait_until_applied(dsn, TOLD_TO_WAIT_SECONDS if wait else 0, phase or ("pre" if wait else None))
    for newer in found.newer:
        print(f"of a newer version: {newer}")
    todo = found.pending(phase or ("pre" if wait else None))
    for migration in todo:
        print(f"pending {migration}")
    return 1 if todo else 0
