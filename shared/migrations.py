"""Schema changes: plain SQL, `services/<service>/migrations/NNNN_{pre,post}_what.sql`, applied once, in order.

`pre` runs before the new code, `post` after the old code is gone. A file changed after it was applied is an error,
not a warning. Any number of runners may start at once: one works, the others wait.

`-- no-transaction` on the first line is for `CREATE INDEX CONCURRENTLY IF NOT EXISTS`: its statements run one by one,
each ends with `;` at the end of a line, and each bears to be run again. An index that such a file left invalid is
dropped and built again.
"""

import asyncio
import contextlib
import hashlib
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg

from shared.clock import monotonic
from shared.failures import Transient

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]

SERVICES = ("fetcher", "ticketing", "mailer")
WAIT_SECONDS = 10.0
_ROOT = Path(__file__).resolve().parent.parent / "services"
_LOCK = 0x43617274  # "Cart": one runner at a time per database
_PAUSE_SECONDS = 0.3
_STATEMENT_SECONDS = 3600.0
_LOCK_TIMEOUT = "2s"  # whoever comes behind a statement that waits for a lock waits as well: short, and again later
_TABLE = """
CREATE TABLE IF NOT EXISTS public.carteiro_migrations (
    service text NOT NULL, number int NOT NULL, phase text NOT NULL, name text NOT NULL, sha256 text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp(), PRIMARY KEY (service, number))
"""
_STATEMENT_END = re.compile(r";[ \t]*$", re.MULTILINE)
_COMMENT = re.compile(r"^\s*--.*$", re.MULTILINE)
_BUILDS = re.compile(r"\bCREATE\s+(?:UNIQUE\s+)?INDEX\s+CONCURRENTLY\s+(?!IF\s+NOT\s+EXISTS\b)", re.IGNORECASE)


class MigrationError(Exception):
    """A migration cannot be applied as it is, or this version does not fit the database: the message says which and
    why. Status 78."""


class MigrationBusy(Transient):
    """Another runner or transaction was in the way for as long as one was told to wait. Status 75."""


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

    @property
    def statements(self) -> list[str]:
        """Of a file without a transaction: several in one call would be one transaction again."""
        return [part for part in _STATEMENT_END.split(self.sql) if _COMMENT.sub("", part).strip()]

    def __str__(self) -> str:
        return f"{self.service}/{self.name}"


@dataclass(frozen=True)
class Applied:
    """A row of `carteiro_migrations`."""

    service: str
    number: int
    phase: str
    name: str
    sha256: str

    def __str__(self) -> str:
        return f"{self.service}/{self.name}"


@dataclass(frozen=True)
class Standing:
    """This version's migrations against a database: what it lacks, and what a newer version has done to it."""

    lacks: list[Migration]
    newer: list[Applied]

    def pending(self, phase: str | None) -> list[Migration]:
        return [migration for migration in self.lacks if phase in (None, migration.phase)]


def available(root: Path = _ROOT) -> list[Migration]:
    """All migrations of this version, services in order, numbers ascending. Raises MigrationError."""
    found: list[Migration] = []
    for service in SERVICES:
        for path in sorted((root / service / "migrations").glob("*.sql")):
            number, _, rest = path.stem.partition("_")
            phase = rest.partition("_")[0]
            if phase not in ("pre", "post") or not number.isdecimal():
                raise MigrationError(f"{path}: a migration is named NNNN_pre_what.sql or NNNN_post_what.sql")
            migration = Migration(service, int(number), phase, path.name, path.read_text(encoding="utf-8"))
            if _BUILDS.search(_COMMENT.sub("", migration.sql)):  # built, and the runner died before its note
                raise MigrationError(f"{migration}: CREATE INDEX CONCURRENTLY needs IF NOT EXISTS, it may run twice")
            if any((each.service, each.number) == (service, migration.number) for each in found):
                raise MigrationError(f"{migration}: another migration of the service has this number")
            found.append(migration)
    return found


def compared(migrations: Sequence[Migration], applied: Sequence[Applied]) -> Standing:
    """Both ways. Raises MigrationError when an applied file has changed since, or when a newer version's `post` has
    taken away what this version needs; a newer `pre` is the ordinary state of a roll-out and of a way back."""
    known = {(row.service, row.number): row for row in applied}
    own = {(migration.service, migration.number) for migration in migrations}
    for migration in migrations:
        row = known.get((migration.service, migration.number))
        if row is not None and row.sha256 != migration.sha256:
            raise MigrationError(f"{migration} was changed after it was applied; add a new migration instead")
    newer = [row for row in applied if (row.service, row.number) not in own]
    if after := [str(row) for row in newer if row.phase == "post"]:
        raise MigrationError(
            f"the database is of a newer version ({', '.join(after)} was applied): this version cannot work on it"
        )
    return Standing([m for m in migrations if (m.service, m.number) not in known], newer)


async def standing(dsn: str, migrations: Sequence[Migration] | None = None) -> Standing:
    """Needs no rights to change. Raises MigrationError, or what asyncpg does when the server is away."""
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        return await standing_on(connection, available() if migrations is None else migrations)
    finally:
        await connection.close()


async def wait_until_applied(dsn: str, seconds: float, phase: str | None = "pre") -> Standing:
    """Polls until nothing of `phase` is pending; returns what is found then, or when `seconds` are over."""
    deadline = monotonic() + seconds
    while True:
        try:
            found = await standing(dsn)
        except (OSError, TimeoutError, asyncpg.PostgresError):
            if monotonic() >= deadline:
                raise
        else:
            if not found.pending(phase) or monotonic() >= deadline:
                return found
        await asyncio.sleep(_PAUSE_SECONDS)


async def migrate(
    dsn: str,
    migrations: Sequence[Migration] | None = None,
    phase: str | None = None,
    wait_seconds: float = WAIT_SECONDS,
) -> list[Migration]:
    """Applies what is pending (`phase`: only `pre` or `post`) and returns it.

    Safe to run many times at once. `wait_seconds` is for other runners and for locks that others hold, not for the
    work itself. Raises MigrationBusy, MigrationError.
    """
    deadline = monotonic() + wait_seconds
    connection = await asyncpg.connect(dsn, timeout=10, server_settings={"lock_timeout": _LOCK_TIMEOUT})
    try:
        await _alone(connection, deadline)
        await _patient(lambda: _prepare(connection), "the migrations' table and roles", deadline)
        migrations = available() if migrations is None else migrations
        todo = (await standing_on(connection, migrations)).pending(phase)
        for migration in todo:
            await _apply(connection, migration, deadline)
        return todo
    finally:
        await connection.close()


async def standing_on(
    connection: "Connection | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]", migrations: Sequence[Migration]
) -> Standing:
    """As `standing`, on a connection that is open."""
    if not await connection.fetchval("SELECT to_regclass('public.carteiro_migrations') IS NOT NULL"):
        return compared(migrations, [])
    rows = await connection.fetch(
        "SELECT service, number, phase, name, sha256 FROM public.carteiro_migrations ORDER BY service, number"
    )
    return compared(migrations, [Applied(**row) for row in rows])


async def _alone(connection: "Connection", deadline: float) -> None:
    """Asks again and again: a session that waits inside the server holds a snapshot, and the index that the runner at
    work builds would wait for it, each for the other."""
    while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", _LOCK):
        if monotonic() >= deadline:
            raise MigrationBusy("another `carteiro migrate` is at work on this database: try again later, or --wait")
        await asyncio.sleep(_PAUSE_SECONDS)


async def _patient(attempt: Callable[[], Awaitable[None]], what: str, deadline: float) -> None:
    """Until the locks it needs are given. Each try is short, so that others get through in between."""
    while True:
        try:
            return await attempt()
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError) as error:
            if monotonic() >= deadline:
                raise MigrationBusy(
                    f"{what}: another transaction holds a lock that is needed (pg_stat_activity shows the oldest): "
                    "try again later, or --wait"
                ) from error
        except TimeoutError as error:
            raise MigrationError(f"{what}: a statement took more than {_STATEMENT_SECONDS:.0f} s") from error
        await asyncio.sleep(_PAUSE_SECONDS)


async def _prepare(connection: "Connection") -> None:
    """A role for each service, without log-in; the log-ins of its processes are made members of it."""
    await connection.execute(_TABLE)
    roles = [f"carteiro_{service}" for service in SERVICES]
    for role in roles:
        if not await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", role):
            # roles belong to the whole server: a runner of another database may have made it meanwhile
            with contextlib.suppress(asyncpg.DuplicateObjectError, asyncpg.UniqueViolationError):
                await connection.execute(f"CREATE ROLE {role} NOLOGIN")
    await connection.execute(f"GRANT SELECT ON public.carteiro_migrations TO {', '.join(roles)}")


async def _apply(connection: "Connection", migration: Migration, deadline: float) -> None:
    async def attempt() -> None:
        if migration.in_transaction:
            async with connection.transaction():
                await connection.execute(migration.sql, timeout=_STATEMENT_SECONDS)
                await _note(connection, migration)
        else:
            await _statement_by_statement(connection, migration, deadline)
            await _note(connection, migration)

    try:
        await _patient(attempt, str(migration), deadline)
    except asyncpg.PostgresError as error:
        raise MigrationError(f"{migration} failed: {error}") from error


async def _note(connection: "Connection", migration: Migration) -> None:
    await connection.execute(
        "INSERT INTO public.carteiro_migrations (service, number, phase, name, sha256) VALUES ($1, $2, $3, $4, $5)",
        migration.service,
        migration.number,
        migration.phase,
        migration.name,
        migration.sha256,
    )


async def _statement_by_statement(connection: "Connection", migration: Migration, deadline: float) -> None:
    """An index waits for every older transaction: it is given all the time there is, because an attempt that ends
    early leaves an invalid index and begins anew. What is left invalid goes, before and after."""
    await _drop_invalid(connection, migration)
    try:
        for statement in migration.statements:
            patience = max(2.0, deadline - monotonic())
            await connection.execute(f"SET lock_timeout = '{patience * 1000:.0f}ms'")
            await connection.execute(statement, timeout=_STATEMENT_SECONDS)
    except (asyncpg.PostgresError, TimeoutError):
        await connection.execute("RESET lock_timeout")
        with contextlib.suppress(asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
            await _drop_invalid(connection, migration)
        raise
    await connection.execute("RESET lock_timeout")


async def _drop_invalid(connection: "Connection", migration: Migration) -> None:
    """The indexes named in the file that a broken-off build has left: IF NOT EXISTS would take them for done."""
    rows = await connection.fetch(
        "SELECT c.relname, format('%I.%I', n.nspname, c.relname) AS quoted FROM pg_index i"
        " JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE NOT i.indisvalid AND n.nspname = $1",
        migration.service,
    )
    for row in rows:
        if re.search(rf"\b{re.escape(row['relname'])}\b", migration.sql):
            await connection.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {row['quoted']}")
