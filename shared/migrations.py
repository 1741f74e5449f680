"""Schema changes: plain SQL, `services/<service>/migrations/NNNN_{pre,post}_what.sql`, applied once, in order.

`pre` runs before the new code, `post` after the old code is gone. A file changed after it was applied is an
error, not a warning. One advisory lock lets any number of runners start at once. `-- no-transaction` on the
first line is for `CREATE INDEX CONCURRENTLY`.
"""

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from shared.clock import monotonic

SERVICES = ("fetcher", "ticketing", "mailer")
_ROOT = Path(__file__).resolve().parent.parent / "services"
_LOCK = 0x43617274  # "Cart": one runner at a time per database
_ROLE_LOCK = 0x526F6C65  # roles belong to the whole server: one maker at a time
_TABLE = """
CREATE TABLE IF NOT EXISTS public.carteiro_migrations (
    service text NOT NULL, number int NOT NULL, phase text NOT NULL, name text NOT NULL, sha256 text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp(), PRIMARY KEY (service, number))
"""


class MigrationError(Exception):
    """A migration cannot be applied as it is: the message says which and why. Status 78."""


@dataclass(frozen=True)
class Migration:
    service: str
    number: int
    phase: str
    name: str
    sql: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()

    @property
    def in_transaction(self) -> bool:
        return not self.sql.startswith("-- no-transaction")

    def __str__(self) -> str:
        return f"{self.service}/{self.name}"


def available(root: Path = _ROOT) -> list[Migration]:
    """All migrations of this version, services in order, numbers ascending."""
    found = []
    for service in SERVICES:
        for path in sorted((root / service / "migrations").glob("*.sql")):
            number, phase = path.stem.split("_")[:2]
            if phase not in ("pre", "post") or not number.isdecimal():
                raise MigrationError(f"{path}: a migration is named NNNN_pre_what.sql or NNNN_post_what.sql")
            found.append(Migration(service, int(number), phase, path.name, path.read_text(encoding="utf-8")))
    return found


async def pending(dsn: str, migrations: Sequence[Migration], phase: str | None = None) -> list[Migration]:
    """What is not applied yet. Raises MigrationError when an applied file has changed since."""
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        return await _pending(connection, migrations, phase)
    finally:
        await connection.close()


async def migrate(dsn: str, migrations: Sequence[Migration] | None = None, phase: str | None = None) -> list[Migration]:
    """Applies what is pending (`phase`: only `pre` or `post`) and returns it. Safe to run many times at once."""
    migrations = available() if migrations is None else migrations
    connection = await asyncpg.connect(dsn, timeout=10, server_settings={"lock_timeout": "10s"})
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", _LOCK, timeout=120)
        await connection.execute(_TABLE)
        await _create_roles(connection)
        todo = await _pending(connection, migrations, phase)
        for migration in todo:
            await _apply(connection, migration)
        return todo
    finally:
        await connection.close()


async def wait_until_applied(dsn: str, seconds: float, phase: str | None = "pre") -> list[Migration]:
    """Polls until nothing is pending; returns what still is when `seconds` are over. Needs no rights to change."""
    deadline = monotonic() + seconds
    while True:
        try:
            todo = await pending(dsn, available(), phase)
        except (OSError, TimeoutError, asyncpg.PostgresError):
            if monotonic() >= deadline:
                raise
            todo = None
        if todo == [] or (todo is not None and monotonic() >= deadline):
            return todo
        await asyncio.sleep(0.5)


async def _pending(
    connection: "asyncpg.Connection[asyncpg.Record]", migrations: Sequence[Migration], phase: str | None
) -> list[Migration]:
    if not await connection.fetchval("SELECT to_regclass('public.carteiro_migrations') IS NOT NULL"):
        applied = {}
    else:
        rows = await connection.fetch("SELECT service, number, sha256 FROM public.carteiro_migrations")
        applied = {(row["service"], row["number"]): row["sha256"] for row in rows}
    for migration in migrations:
        known = applied.get((migration.service, migration.number))
        if known not in (None, migration.sha256):
            raise MigrationError(f"{migration} was changed after it was applied; add a new migration instead")
    return [m for m in migrations if (m.service, m.number) not in applied and phase in (None, m.phase)]


async def _create_roles(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """A role for each service, without log-in; the log-ins of its processes are made members of it."""
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _ROLE_LOCK)
        for service in SERVICES:
            role = f"carteiro_{service}"
            if not await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", role):
                await connection.execute(f"CREATE ROLE {role} NOLOGIN")
        await connection.execute(
            "GRANT SELECT ON public.carteiro_migrations TO " + ", ".join(f"carteiro_{service}" for service in SERVICES)
        )


async def _apply(connection: "asyncpg.Connection[asyncpg.Record]", migration: Migration) -> None:
    note = (
        "INSERT INTO public.carteiro_migrations (service, number, phase, name, sha256) VALUES ($1, $2, $3, $4, $5)",
        migration.service,
        migration.number,
        migration.phase,
        migration.name,
        migration.sha256,
    )
    try:
        if migration.in_transaction:
            async with connection.transaction():
                await connection.execute(migration.sql, timeout=600)
                await connection.execute(*note)
        else:
            await connection.execute(migration.sql, timeout=3600)
            await connection.execute(*note)
    except asyncpg.PostgresError as error:
        raise MigrationError(f"{migration} failed: {error}") from error
