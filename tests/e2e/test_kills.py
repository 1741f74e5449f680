"""kill -9 of each part in the middle of the run: the same numbers, and no answer twice but the ones in flight."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path

import asyncpg
import pytest

from ops.stack.postgres import find_binaries
from shared.migrations import migrate
from tests.e2e.installation import SERVICES, Installation, copies
from tests.e2e.mails import automatic, customers
from tests.servers import OwnServers, with_database

PEOPLE, MACHINES = 200, 20
CONNECTIONS = 8  # the mailer's workers: one mail each may be between the 250 and its record

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


async def in_the_middle(made: Installation, kill: Callable[[], Awaitable[None]]) -> list[str]:
    """The 200-mail run, fed in slices, each as soon as the one before has become tickets. `kill` strikes right
    behind a slice while earlier answers are on their way out, and the rest is fed while the victim is down."""
    people = customers(PEOPLE, made.support, made.domain)
    mails = people + automatic(MACHINES, made.support, made.domain)
    made.start(*SERVICES)
    await made.watching()
    slices = [mails[n : n + 44] for n in range(0, len(mails), 44)]
    for n, part in enumerate(slices[:2]):
        await made.deliver_all(part)
        await made.until(partial(_at_least_one_ticket, made, 44 * n), "the slice's first ticket")
    await made.deliver_all(slices[2])
    await made.until(partial(_one_sent, made), "the first answer")
    assert await made.tickets() < len(mails)
    await asyncio.gather(kill(), made.deliver_all([mail for part in slices[3:] for mail in part]))
    return [mail.sender for mail in people]


async def _at_least_one_ticket(made: Installation, more_than: int) -> bool:
    return await made.tickets() > more_than


async def _one_sent(made: Installation) -> bool:
    return await made.count("SELECT count(*) FROM mailer.outbound WHERE state = 'sent'") >= 1


@pytest.mark.parametrize("victim", SERVICES)
async def test_a_killed_service_loses_nothing(made: Installation, victim: str) -> None:
    async def kill() -> None:
        made.kill(victim)
        made.start(victim)

    senders = await in_the_middle(made, kill)
    await assert_nothing_is_lost_or_doubled(made, senders, CONNECTIONS if victim == "mailer" else 0)


@pytest.mark.parametrize("victim", ["kafka", "postgres"])
async def test_a_killed_server_loses_nothing(made: Installation, private: OwnServers, victim: str) -> None:
    async def kill() -> None:
        await private.kill(victim)
        await private.restart(victim)

    senders = await in_the_middle(made, kill)
    # a send confirmed while PostgreSQL was away cannot be recorded: it goes out again with the same bytes
    await assert_nothing_is_lost_or_doubled(made, senders, CONNECTIONS if victim == "postgres" else 0)


@pytest.mark.parametrize("what", ["everything", "ticketing alone"])
async def test_a_database_restored_from_an_older_copy_gets_back_what_it_lost(
    made: Installation, private: OwnServers, what: str
) -> None:
    """Kafka goes on, the database goes back: the missing mails come again. Where the mailer still knows what it
    has sent, nobody gets a second answer."""
    people = customers(PEOPLE, made.support, made.domain)
    made.start(*SERVICES)
    await made.watching()
    await made.deliver_all(people[:80])
    await made.settled(80, 80)
    made.stop()
    older = await dumped(made.dsn, [] if what == "everything" else ["--schema=ticketing"])
    made.start(*SERVICES)
    await made.deliver_all(people[80:])
    await made.settled(PEOPLE, PEOPLE)
    made.stop()

    await restored(private, made.dsn, older, what)
    assert await made.tickets() == 80
    made.start(*SERVICES)
    await made.settled(PEOPLE, PEOPLE)
    assert await made.tickets() == PEOPLE
    ids = await made.rows("SELECT message_id FROM ticketing.articles")
    assert sorted(row["message_id"] for row in ids) == sorted(mail.message_id for mail in people), "lost or doubled"
    if what == "ticketing alone":
        answers = made.answers([mail.sender for mail in people])
        assert {address: len(mails) for address, mails in answers.items()} == dict.fromkeys(answers, 1)


async def dumped(dsn: str, options: list[str]) -> bytes:
    """A copy as a DBA makes it."""
    return await program("pg_dump", "--no-owner", *options, f"--dbname={dsn}")


async def restored(private: OwnServers, dsn: str, older: bytes, what: str) -> None:
    everything = what == "everything"
    admin = await asyncpg.connect(private.servers.postgres if everything else dsn)
    if everything:
        await admin.execute("DROP DATABASE killed WITH (FORCE)")
        await admin.execute("CREATE DATABASE killed")
    else:
        await admin.execute("DROP SCHEMA ticketing CASCADE")
    await admin.close()
    await program("psql", "--quiet", "--set=ON_ERROR_STOP=1", f"--dbname={dsn}", given=older)


async def program(name: str, *arguments: str, given: bytes = b"") -> bytes:
    process = await asyncio.create_subprocess_exec(
        find_binaries(None) / name, *arguments, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    answer, _ = await process.communicate(given)
    assert process.returncode == 0, name
    return answer
