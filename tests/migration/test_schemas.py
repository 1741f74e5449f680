"""The migrations on a real server: they sum up, they can be run again, and each role reaches its own schema only."""

import asyncio
from collections.abc import AsyncIterator
from itertools import permutations

import asyncpg
import pytest

from shared.migrations import SERVICES, available, migrate, standing


@pytest.fixture
async def administrator(database: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()


async def test_several_runners_at_once_apply_each_migration_once(empty: str) -> None:
    runs = await asyncio.gather(*(migrate(empty) for _ in range(3)))
    assert sorted(map(len, runs)) == [0, 0, len(available())]
    assert (await standing(empty)).lacks == []


async def test_pre_alone_leaves_what_belongs_to_post(empty: str) -> None:
    await migrate(empty, phase="pre")
    assert {migration.phase for migration in (await standing(empty)).lacks} <= {"post"}


async def _tables(administrator: "asyncpg.Connection[asyncpg.Record]", schema: str) -> list[str]:
    rows = await administrator.fetch("SELECT tablename FROM pg_tables WHERE schemaname = $1", schema)
    return [f"{schema}.{row['tablename']}" for row in rows]


@pytest.mark.parametrize("service", SERVICES)
async def test_a_role_reads_and_writes_its_own_tables(
    administrator: "asyncpg.Connection[asyncpg.Record]", service: str
) -> None:
    tables = await _tables(administrator, service)
    assert tables
    await administrator.execute(f"SET ROLE carteiro_{service}")
    for table in tables:
        await administrator.fetch(f"SELECT * FROM {table} LIMIT 1")
        await administrator.execute(f"DELETE FROM {table} WHERE false")
        await administrator.execute(f"INSERT INTO {table} OVERRIDING SYSTEM VALUE SELECT * FROM {table} WHERE false")


@pytest.mark.parametrize(("service", "other"), list(permutations(SERVICES, 2)))
async def test_a_role_reaches_no_other_services_tables(
    administrator: "asyncpg.Connection[asyncpg.Record]", service: str, other: str
) -> None:
    tables = await _tables(administrator, other)
    await administrator.execute(f"SET ROLE carteiro_{service}")
    for table in tables:
        for statement in (f"SELECT * FROM {table} LIMIT 1", f"DELETE FROM {table} WHERE false"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await administrator.execute(statement)


@pytest.mark.parametrize(
    ("reader", "view"),
    [("mailer", "ticketing.mail_facts_v1"), ("mailer", "ticketing.absences_v1"), ("ticketing", "mailer.deliveries_v1")],
)
async def test_a_published_view_is_read_and_not_written(
    administrator: "asyncpg.Connection[asyncpg.Record]", reader: str, view: str
) -> None:
    await administrator.execute(f"SET ROLE carteiro_{reader}")
    await administrator.fetch(f"SELECT * FROM {view} LIMIT 1")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await administrator.execute(f"DELETE FROM {view}")


@pytest.mark.parametrize("service", SERVICES)
async def test_a_role_cannot_change_the_schema(
    administrator: "asyncpg.Connection[asyncpg.Record]", service: str
) -> None:
    tables = await _tables(administrator, service)
    await administrator.execute(f"SET ROLE carteiro_{service}")
    for statement in (f"DROP TABLE {tables[0]}", f"CREATE TABLE {service}.mine ()", "CREATE SCHEMA mine"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await administrator.execute(statement)
