"""Runners beside each other and beside other people's transactions: they wait as long as told, and nothing half done
is taken for done."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable

import asyncpg
import pytest

from shared import migrations as migrating
from shared.clock import monotonic
from shared.migrations import Migration, MigrationBusy, MigrationError, migrate, standing
from tests.servers import OwnServers, with_database

Session = asyncpg.Connection

TABLE = Migration(
    "ticketing", 1, "pre", "0001_pre_t.sql", "CREATE SCHEMA ticketing; CREATE TABLE ticketing.t (id int, name text);"
)
COLUMN = Migration("ticketing", 2, "pre", "0002_pre_column.sql", "ALTER TABLE ticketing.t ADD COLUMN more text")
INDEXES = Migration(
    "ticketing",
    3,
    "pre",
    "0003_pre_indexes.sql",
    "-- no-transaction\n"
    "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS t_id ON ticketing.t (id);\n\n"
    "-- for the search by name\n"
    "CREATE INDEX CONCURRENTLY IF NOT EXISTS t_name ON ticketing.t (name);\n",
)


@pytest.fixture
async def other(empty: str) -> AsyncIterator["Session[asyncpg.Record]"]:
    """Somebody else's session."""
    connection = await asyncpg.connect(empty)
    yield connection
    await connection.close()


async def indexes(session: "Session[asyncpg.Record]") -> dict[str, bool]:
    rows = await session.fetch(
        "SELECT indexrelid::regclass::text AS name, indisvalid FROM pg_index i JOIN pg_class c"
        " ON c.oid = i.indexrelid WHERE relnamespace = 'ticketing'::regnamespace"
    )
    return {row["name"]: row["indisvalid"] for row in rows}


BOTH = {"ticketing.t_id": True, "ticketing.t_name": True}


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        while not await condition():
            await asyncio.sleep(0.02)


def waits(session: "Session[asyncpg.Record]", what: str) -> Callable[[], Awaitable[bool]]:
    """Whether a session of the database is at a statement that contains `what` and waits for a lock."""

    async def asked() -> bool:
        found = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        return bool(await session.fetchval(found + " AND query LIKE $1", f"%{what}%"))

    return asked


async def test_a_second_runner_waits_as_long_as_it_is_told(
    empty: str, other: "Session[asyncpg.Record]", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrating, "_LOCK_TIMEOUT", "100ms")
    await other.execute("SELECT pg_advisory_lock($1)", migrating._LOCK)
    second = asyncio.create_task(migrate(empty, [TABLE], wait_seconds=60))
    done, _ = await asyncio.wait([second], timeout=1.5)
    assert not done, "it gave up, or did not look"
    await other.execute("SELECT pg_advisory_unlock($1)", migrating._LOCK)
    assert await second == [TABLE]


async def test_a_runner_that_is_not_told_to_wait_says_why_it_gives_up(
    empty: str, other: "Session[asyncpg.Record]"
) -> None:
    await other.execute("SELECT pg_advisory_lock($1)", migrating._LOCK)
    with pytest.raises(MigrationBusy, match="another `carteiro migrate`"):
        await migrate(empty, [TABLE], wait_seconds=0.2)


async def test_three_runners_at_once_build_indexes_concurrently(empty: str, other: "Session[asyncpg.Record]") -> None:
    """A runner that waited inside the server would hold a snapshot, which the index waits for."""
    runs = await asyncio.gather(*(migrate(empty, [TABLE, INDEXES], wait_seconds=60) for _ in range(3)))
    assert sorted(map(len, runs)) == [0, 0, 2]
    assert await indexes(other) == BOTH


async def test_an_index_waits_for_a_long_transaction_beside_it(empty: str, other: "Session[asyncpg.Record]") -> None:
    await migrate(empty, [TABLE])
    watcher = await asyncpg.connect(empty)
    long = other.transaction()
    await long.start()
    await other.execute("INSERT INTO ticketing.t VALUES (1, 'one')")
    runner = asyncio.create_task(migrate(empty, [TABLE, INDEXES], wait_seconds=60))
    await until(waits(watcher, "CREATE UNIQUE INDEX"))
    begun = (
        "SELECT query_start FROM pg_stat_activity WHERE query LIKE '%CREATE UNIQUE INDEX%' AND pid <> pg_backend_pid()"
    )
    first, started = await watcher.fetchval(begun), monotonic()
    while monotonic() - started < 2.5:  # longer than a lock is waited for elsewhere
        assert not runner.done()
        assert await watcher.fetchval(begun) == first, "each attempt scans the table anew"
        await asyncio.sleep(0.1)
    await long.commit()
    assert await runner == [INDEXES]
    assert await indexes(other) == BOTH
    await watcher.close()


async def test_an_index_that_a_long_transaction_prevented_is_not_taken_for_done(
    empty: str, other: "Session[asyncpg.Record]"
) -> None:
    await migrate(empty, [TABLE])
    long = other.transaction()
    await long.start()
    await other.execute("INSERT INTO ticketing.t VALUES (1, 'one')")
    with pytest.raises(MigrationBusy, match=r"0003_pre_indexes\.sql.*lock"):
        await migrate(empty, [TABLE, INDEXES], wait_seconds=0.5)
    await long.commit()
    assert (await standing(empty, [TABLE, INDEXES])).lacks == [INDEXES]
    assert await migrate(empty, [TABLE, INDEXES]) == [INDEXES]
    assert await indexes(other) == BOTH


async def test_an_index_that_failed_is_dropped_at_once_and_built_again_later(
    empty: str, other: "Session[asyncpg.Record]"
) -> None:
    await migrate(empty, [TABLE])
    await other.execute("INSERT INTO ticketing.t VALUES (1, 'one'), (1, 'twice')")
    with pytest.raises(MigrationError, match="could not create unique index"):
        await migrate(empty, [TABLE, INDEXES])
    assert await indexes(other) == {}, "an invalid index costs every write and serves no read"
    await other.execute("DELETE FROM ticketing.t WHERE name = 'twice'")
    assert await migrate(empty, [TABLE, INDEXES]) == [INDEXES]
    assert await indexes(other) == BOTH


async def test_an_invalid_index_that_a_dead_runner_left_is_built_again(
    empty: str, other: "Session[asyncpg.Record]"
) -> None:
    await migrate(empty, [TABLE])
    await other.execute("INSERT INTO ticketing.t VALUES (1, 'one'), (1, 'twice')")
    with pytest.raises(asyncpg.UniqueViolationError):
        await other.execute("CREATE UNIQUE INDEX CONCURRENTLY t_id ON ticketing.t (id)")
    await other.execute("DELETE FROM ticketing.t WHERE name = 'twice'")
    assert await indexes(other) == {"ticketing.t_id": False}
    await migrate(empty, [TABLE, INDEXES])
    assert await indexes(other) == BOTH


async def test_a_table_in_use_is_asked_for_again_and_others_get_through(
    empty: str, other: "Session[asyncpg.Record]", monkeypatch: pytest.MonkeyPatch
) -> None:
    """A statement that waits for a table holds up everybody who comes behind it."""
    monkeypatch.setattr(migrating, "_LOCK_TIMEOUT", "300ms")
    await migrate(empty, [TABLE])
    third = await asyncpg.connect(empty)
    reading = other.transaction()
    await reading.start()
    await other.fetch("SELECT * FROM ticketing.t")
    runner = asyncio.create_task(migrate(empty, [TABLE, COLUMN], wait_seconds=60))
    await until(waits(third, "ADD COLUMN"))
    started = monotonic()
    while monotonic() - started < 1.5:
        await third.fetch("SELECT * FROM ticketing.t", timeout=5)
        assert not runner.done()
        await asyncio.sleep(0.02)
    await reading.rollback()
    assert await runner == [COLUMN]
    await third.close()


async def test_a_table_that_stays_in_use_ends_the_runner_with_a_sentence(
    empty: str, other: "Session[asyncpg.Record]"
) -> None:
    await migrate(empty, [TABLE])
    reading = other.transaction()
    await reading.start()
    await other.fetch("SELECT * FROM ticketing.t")
    with pytest.raises(MigrationBusy, match=r"ticketing/0002_pre_column\.sql: another transaction holds"):
        await migrate(empty, [TABLE, COLUMN], wait_seconds=0.1)
    await reading.rollback()


async def test_an_applied_file_that_changed_stops_the_runner(empty: str) -> None:
    await migrate(empty, [TABLE])
    changed = Migration(TABLE.service, TABLE.number, TABLE.phase, TABLE.name, TABLE.sql + " -- better")
    with pytest.raises(MigrationError, match=r"ticketing/0001_pre_t\.sql was changed after it was applied"):
        await migrate(empty, [changed, COLUMN])
    assert (await standing(empty, [TABLE, COLUMN])).lacks == [COLUMN]


async def test_a_migration_that_fails_leaves_nothing_of_itself(empty: str, other: "Session[asyncpg.Record]") -> None:
    broken = Migration("ticketing", 2, "pre", "0002_pre_b.sql", "CREATE TABLE ticketing.b (); SELECT 1/0;")
    with pytest.raises(MigrationError, match=r"0002_pre_b\.sql failed: division by zero"):
        await migrate(empty, [TABLE, broken])
    assert await other.fetchval("SELECT to_regclass('ticketing.b')") is None
    assert (await standing(empty, [TABLE, broken])).lacks == [broken]


async def test_the_roles_are_made_once_by_runners_of_several_databases(
    own_servers: Callable[..., Awaitable[OwnServers]],
) -> None:
    """Roles belong to the whole server, and no lock reaches from one database to another."""
    postgres = (await own_servers("postgres")).servers.postgres
    first = await asyncpg.connect(postgres)
    name = f"carteiro_second_{secrets.token_hex(4)}"
    await first.execute(f"CREATE DATABASE {name}")
    making = first.transaction()
    await making.start()
    await first.execute("CREATE ROLE carteiro_fetcher NOLOGIN")
    second = asyncio.create_task(migrate(with_database(postgres, name), [TABLE], wait_seconds=30))
    watcher = await asyncpg.connect(with_database(postgres, name))
    await until(waits(watcher, "CREATE ROLE"))
    await making.commit()
    assert await second == [TABLE]
    await watcher.close()
    await first.close()
