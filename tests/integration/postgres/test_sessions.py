"""A service's sessions on a real server: its own role, no endless waits, and a start that looks at the schema."""

import asyncio
import logging
from collections.abc import AsyncIterator

import asyncpg
import pytest

from shared.clock import monotonic
from shared.migrations import MigrationError
from shared.postgres import Pool, PostgresUnreachable, create_pool, create_pool_within, transaction
from shared.process import Misconfigured, Process
from shared.settings import Settings
from tests.servers import Servers


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    made = await create_pool(database, "ticketing")
    yield made
    made.terminate()


def process(dsn: str, seconds: float = 0.5) -> Process:
    return Process("ticketing", Settings.model_validate({"postgres": dsn, "start_seconds": seconds}))


async def test_a_lock_is_waited_for_two_seconds(pool: Pool) -> None:
    async with pool.acquire() as holder, holder.transaction():
        await holder.execute("LOCK TABLE ticketing.tickets")
        started = monotonic()
        with pytest.raises(asyncpg.LockNotAvailableError):
            await pool.fetch("SELECT FROM ticketing.tickets", timeout=10)
        assert 1.5 < monotonic() - started < 8


async def test_a_transaction_that_is_left_alone_ends(pool: Pool) -> None:
    """Its locks would hold up everybody for as long as its process hangs."""
    async with pool.acquire() as idle:
        await idle.execute("BEGIN; LOCK TABLE ticketing.tickets")
        started = monotonic()
        async with asyncio.timeout(20):
            while True:
                try:
                    await pool.fetch("SELECT FROM ticketing.tickets")
                except asyncpg.LockNotAvailableError:
                    continue
                break
        assert 3 < monotonic() - started < 15
        with pytest.raises((asyncpg.IdleInTransactionSessionTimeoutError, asyncpg.InterfaceError)):
            await idle.execute("SELECT 1")


async def test_a_session_whose_host_died_silently_ends_in_half_a_minute(pool: Pool) -> None:
    """Its locks would live on for the two hours that an operating system keeps such a connection."""
    asked = "SELECT sum(setting::int) FROM pg_settings WHERE name IN ('tcp_keepalives_idle', 'tcp_keepalives_interval')"
    assert await pool.fetchval(asked) == 15
    assert await pool.fetchval("SHOW tcp_keepalives_count") == "4"


async def test_a_session_given_back_is_asked_nothing(pool: Pool, database: str) -> None:
    """Two round trips a transaction would be three."""
    async with transaction(pool) as connection:
        pid = await connection.fetchval("SELECT pg_backend_pid()")
    other = await asyncpg.connect(database)
    last = await other.fetchval("SELECT query FROM pg_stat_activity WHERE pid = $1", pid)
    await other.close()
    assert last == "COMMIT;"


async def test_a_session_given_back_inside_a_transaction_begins_anew(pool: Pool) -> None:
    async with pool.acquire() as connection:
        await connection.execute("BEGIN; SET LOCAL lock_timeout = '9s'")
    assert await pool.fetchval("SHOW lock_timeout") == "2s"


async def test_a_session_has_the_rights_of_its_service_alone(pool: Pool) -> None:
    assert await pool.fetchval("SELECT current_user") == "carteiro_ticketing"
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await pool.fetch("SELECT * FROM mailer.inbox")


async def test_a_missing_schema_ends_the_start_with_what_to_do(servers: Servers, empty: str) -> None:
    with pytest.raises(Misconfigured, match=r"lacks fetcher/0001.*: run `carteiro migrate`"):
        await process(empty).database("ticketing")


async def test_a_database_of_a_newer_version_is_worked_on_with_a_word(
    database: str, caplog: pytest.LogCaptureFixture
) -> None:
    await _note(database, 9001, "pre")
    with caplog.at_level(logging.WARNING):
        pool = await process(database).database("ticketing")
    pool.terminate()
    [said] = [record for record in caplog.records if getattr(record, "fields", {}).get("action") == "schema_newer"]
    assert getattr(said, "fields")["migrations"] == ["ticketing/9001_pre_x.sql"]  # noqa: B009


async def test_a_database_that_lost_what_this_version_needs_ends_the_start(database: str) -> None:
    await _note(database, 9001, "post")
    with pytest.raises(MigrationError, match="newer version"):
        await process(database).database("ticketing")


async def _note(dsn: str, number: int, phase: str) -> None:
    """A newer version was here."""
    connection = await asyncpg.connect(dsn)
    await connection.execute(
        "INSERT INTO carteiro_migrations (service, number, phase, name, sha256) VALUES ('ticketing', $1, $2, $3, '')",
        number,
        phase,
        f"{number}_{phase}_x.sql",
    )
    await connection.close()


async def test_a_server_that_stays_away_is_asked_until_the_time_is_over() -> None:
    started = monotonic()
    with pytest.raises(
        PostgresUnreachable, match=r"127\.0\.0\.1:9/carteiro could not be reached within 1 s"
    ) as refused:
        await create_pool_within("postgresql://carteiro:hush@127.0.0.1:9/carteiro", "ticketing", 1)
    assert monotonic() - started >= 1
    assert "hush" not in str(refused.value)


async def test_a_wrong_log_in_is_said_at_once(servers: Servers) -> None:
    wrong = servers.postgres.rpartition("/")[0] + "/no_such_database"
    started = monotonic()
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        await create_pool_within(wrong, "ticketing", 30)
    assert monotonic() - started < 15
