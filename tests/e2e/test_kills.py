"""kill -9 of each part in the middle of the run: the same numbers, and no answer twice but the ones in flight."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import asyncpg
import pytest

from shared.migrations import migrate
from tests.e2e.installation import SERVICES, Installation, copies
from tests.e2e.mails import automatic, customers
from tests.servers import OwnServers, with_database

PEOPLE, MACHINES = 200, 20
CONNECTIONS = 4  # the mailer's workers: one mail each may be between the 250 and its record

pytestmark = [pytest.mark.kills, pytest.mark.timeout(400)]


@pytest.fixture
async def private(own_servers: Callable[..., Awaitable[OwnServers]]) -> OwnServers:
    """Kafka and PostgreSQL of this test alone: they are killed."""
    return await own_servers()


@pytest.fixture
async def made(private: OwnServers, prefix: str, tmp_path: Path) -> AsyncIterator[Installation]:
    admin = await asyncpg.connect(private.servers.postgres)
    await admin.execute("CREATE DATABASE killed")
    await admin.close()
    dsn = with_database(private.servers.postgres, "killed")
    await migrate(dsn)
    built = await Installation.prepare(private.servers, prefix, dsn, tmp_path)
    yield built
    built.stop()


async def assert_nothing_is_lost_or_doubled(made: Installation, senders: list[str], most_repeats: int) -> None:
    await made.settled(PEOPLE + MACHINES, PEOPLE)
    assert await made.tickets() == PEOPLE + MACHINES
    assert await made.count("SELECT count(*) FROM ticketing.articles") == PEOPLE + MACHINES
    assert await made.count("SELECT count(*) FROM ticketing.dead_letters") == 0
    answers = made.answers(senders)
    by_customer = {address: {str(m["Message-ID"]) for m in mails} for address, mails in answers.items()}
    assert {address: len(ids) for address, ids in by_customer.items()} == dict.fromkeys(senders, 1)
    assert sum(copies(answers).values()) - PEOPLE <= most_repeats
    for mails in answers.values():
        bodies = {mail.as_bytes().split(b"Message-ID:", 1)[1] for mail in mails}
        assert len(bodies) == 1, "a repeat differs from the first"


async def run_half(made: Installation) -> list[str]:
    """The 200-mail run, until about a third of the answers are out."""
    people = customers(PEOPLE, made.support, made.domain)
    made.start(*SERVICES)
    await made.watching()
    await made.deliver_all(people + automatic(MACHINES, made.support, made.domain))
    sent = "SELECT count(*) FROM mailer.outbound WHERE state = 'sent'"

    async def some_sent() -> bool:
        return await made.count(sent) >= 1

    await made.until(some_sent, "the first answers")
    return [mail.sender for mail in people]


@pytest.mark.parametrize("victim", SERVICES)
async def test_a_killed_service_loses_nothing(made: Installation, victim: str) -> None:
    senders = await run_half(made)
    made.kill(victim)
    made.start(victim)
    await assert_nothing_is_lost_or_doubled(made, senders, CONNECTIONS if victim == "mailer" else 0)


@pytest.mark.parametrize("victim", ["kafka", "postgres"])
async def test_a_killed_server_loses_nothing(made: Installation, private: OwnServers, victim: str) -> None:
    senders = await run_half(made)
    await private.kill(victim)
    await private.restart(victim)
    # a send confirmed while PostgreSQL was away cannot be recorded: it goes out again with the same bytes
    await assert_nothing_is_lost_or_doubled(made, senders, CONNECTIONS if victim == "postgres" else 0)
