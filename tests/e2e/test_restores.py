"""A backup is restored under running services, and the same one again: what was lost comes again each time."""

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from ops.stack.supervisor import Supervisor
from shared.migrations import migrate
from tests.e2e.installation import SERVICES, Installation
from tests.e2e.mails import Sent, customers
from tests.e2e.replicas import Replicated
from tests.e2e.test_failover import assert_nothing_is_lost_or_mixed_up, caught_up
from tests.e2e.test_kills import dumped, program
from tests.servers import Servers, with_database

EACH = 60

pytestmark = [pytest.mark.kills, pytest.mark.timeout(400)]


@pytest.fixture
async def administrator(tmp_path: Path) -> AsyncIterator[str]:
    """The DSN of a PostgreSQL of this test alone."""
    async with Supervisor(tmp_path / "server") as supervisor:
        yield await Replicated(supervisor, tmp_path / "server").start()


@pytest.fixture
async def made(servers: Servers, administrator: str, prefix: str, tmp_path: Path) -> AsyncIterator[Installation]:
    await execute(administrator, "CREATE DATABASE live")
    dsn = with_database(administrator, "live")
    await migrate(dsn)
    built = await Installation.prepare(servers, prefix, dsn, tmp_path)
    yield built
    built.stop()


async def test_the_same_backup_restored_twice_under_running_services_loses_nothing(
    made: Installation, administrator: str
) -> None:
    made.start(*SERVICES)
    await made.watching()
    sent = await delivered(made, "a")
    backup = await dumped(made.dsn, [])
    sent += await delivered(made, "b")
    await restore(administrator, backup)
    await caught_up(made, len(sent))
    sent += await delivered(made, "c")
    await restore(administrator, backup)
    await caught_up(made, len(sent))
    await assert_nothing_is_lost_or_mixed_up(made, sent, {mail.message_id: mail.sender for mail in sent})


async def delivered(made: Installation, mark: str) -> list[Sent]:
    """Mails of other people each time, settled and answered."""
    mails = [mail.named(mark) for mail in customers(EACH, made.support, made.domain, mark)]
    before = await made.count("SELECT count(*) FROM ticketing.articles")
    await made.deliver_all(mails)
    await caught_up(made, before + EACH)
    return mails


async def restore(administrator: str, backup: bytes) -> None:
    """Beside the live database, whose place it then takes: nobody sees half of it."""
    await execute(administrator, "CREATE DATABASE restored")
    dsn = with_database(administrator, "restored")
    await program("psql", "--quiet", "--set=ON_ERROR_STOP=1", f"--dbname={dsn}", given=backup)
    await execute(administrator, "DROP DATABASE live WITH (FORCE)")
    await execute(administrator, "ALTER DATABASE restored RENAME TO live")


async def execute(dsn: str, statement: str) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute(statement)
    await connection.close()
