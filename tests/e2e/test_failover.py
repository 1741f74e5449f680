"""PostgreSQL fails over under load to a replica that lags; the services run on and reconnect to the same address.

CARTEIRO_TEST_FAILOVERS says how often in a row (1).
"""

import asyncio
import email
import logging
import re
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from email.header import decode_header, make_header
from pathlib import Path

import asyncpg
import pytest

from ops.stack.supervisor import Supervisor
from shared.migrations import migrate
from tests.e2e.installation import SERVICES, Installation
from tests.e2e.mails import Sent, customers, plain, reply
from tests.e2e.replicas import Replicated
from tests.servers import Given, Servers, with_database

log = logging.getLogger(__name__)

TIMES = Given().failovers
PEOPLE, FOLLOW_UPS, REPLIES = 240, 70, 40

pytestmark = [pytest.mark.kills, pytest.mark.timeout(300 + 200 * TIMES)]


@pytest.fixture
async def database_pair(tmp_path: Path) -> AsyncIterator[Replicated]:
    async with Supervisor(tmp_path / "pair") as supervisor:
        pair = Replicated(supervisor, tmp_path / "pair")
        await pair.start()
        yield pair


@pytest.fixture
async def made(servers: Servers, database_pair: Replicated, prefix: str, tmp_path: Path) -> AsyncIterator[Installation]:
    dsn = with_database(database_pair.dsn, "carteiro")
    await migrate(dsn)
    built = await Installation.prepare(servers, prefix, dsn, tmp_path)
    yield built
    built.stop()


async def test_a_failover_to_a_replica_that_lags_loses_nothing_and_mixes_nothing_up(
    made: Installation, database_pair: Replicated
) -> None:
    made.start(*SERVICES)
    await made.watching()
    sent: list[Sent] = []
    owners: dict[str, str] = {}  # mail -> the customer whose ticket it belongs to
    for n in range(TIMES):
        await database_pair.replicate()
        mails, whose = await one_failover(made, database_pair, f"f{n}-")
        sent += mails
        owners |= whose
        await caught_up(made, len(sent))
    await assert_nothing_is_lost_or_mixed_up(made, sent, owners)


async def one_failover(made: Installation, pair: Replicated, mark: str) -> tuple[list[Sent], dict[str, str]]:
    """About 350 mails: first mails, follow-ups to some of them, replies to answers that came before."""
    people = [mail.named(mark) for mail in customers(PEOPLE, made.support, made.domain, mark)]
    follow_ups = [
        plain(mail.sender, made.support, f"<{mark}again{n}@{made.domain}>", "Re: mais", headers=in_reply_to(mail))
        for n, mail in enumerate(people[:FOLLOW_UPS])
    ]
    owners = {mail.message_id: mail.sender for mail in [*people, *follow_ups]}
    before = await made.tickets()
    await made.deliver_all(people[:80])
    await patient(made, lambda: at_least(made, before + 50), "tickets before the replica is cut off")
    await pair.cut()
    await made.deliver_all([*people[80:160], *follow_ups])
    await patient(made, lambda: at_least(made, before + 130), "tickets that the replica does not know")
    answered = [(mail, raw) for mail in people[:140] for raw in made.inbox(mail.sender)[:1]]
    replies = [
        reply(mail.sender, made.support, f"<{mark}reply{n}@{made.domain}>", "Re: obrigado", id_of(raw), "in_reply_to")
        for n, (mail, raw) in enumerate(answered[-REPLIES:])
    ]
    assert replies, "no answer came before the failover"
    owners |= {mail.message_id: mail.sender for mail in replies}
    await asyncio.gather(pair.fail_over(), made.deliver_all([*people[160:], *replies]))
    return [*people, *follow_ups, *replies], owners


def in_reply_to(mail: Sent) -> str:
    return f"In-Reply-To: {mail.message_id}"


def id_of(raw: bytes) -> str:
    return str(email.message_from_bytes(raw)["Message-ID"])


async def at_least(made: Installation, tickets: int) -> bool:
    return await made.tickets() >= tickets


async def patient(made: Installation, condition: Callable[[], Awaitable[bool]], what: str) -> None:
    """A server that is away does not fulfil the condition."""

    async def met() -> bool:
        with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return await condition()
        return False

    await made.until(met, what, 180)


async def caught_up(made: Installation, mails: int) -> None:
    """Every mail is an article, every event published, every answer sent."""

    query = """
        SELECT (SELECT count(*) FROM ticketing.articles) >= $1 AND (SELECT count(*) FROM mailer.inbox) >= $1
           AND NOT EXISTS (SELECT FROM ticketing.outbox) AND NOT EXISTS (SELECT FROM ticketing.kept)
           AND NOT EXISTS (SELECT FROM mailer.outbound WHERE state IN ('queued', 'sending', 'deferred', 'unknown'))
    """

    async def done() -> bool:
        ((all_done,),) = await made.rows(query, mails)
        return bool(all_done)

    await patient(made, done, f"{mails} articles, and all that follows of them")


async def assert_nothing_is_lost_or_mixed_up(made: Installation, sent: list[Sent], owners: dict[str, str]) -> None:
    rows = await made.rows(
        "SELECT a.message_id, t.number FROM ticketing.articles a JOIN ticketing.tickets t ON t.id = a.ticket_id"
    )
    assert sorted(row["message_id"] for row in rows) == sorted(mail.message_id for mail in sent), "lost or doubled"
    in_ticket: dict[str, set[str]] = defaultdict(set)
    number_of: dict[str, str] = {}
    for row in rows:
        in_ticket[row["number"]].add(owners[row["message_id"]])
        number_of.setdefault(owners[row["message_id"]], row["number"])
    mixed = {number: people for number, people in in_ticket.items() if len(people) > 1}
    assert not mixed, "a ticket of two customers"
    split = await made.rows(
        "SELECT a.from_address FROM ticketing.articles a GROUP BY 1 HAVING count(DISTINCT ticket_id) > 1"
    )
    assert [row["from_address"] for row in split] == [], "a conversation in two tickets"

    bytes_of: dict[str, tuple[str, bytes]] = {}
    repeats = 0
    for customer, number in number_of.items():
        ids = set()
        for raw in made.inbox(customer):
            message = email.message_from_bytes(raw)
            body = raw[raw.index(b"Date: ") :]
            known = bytes_of.setdefault(str(message["Message-ID"]), (customer, body))
            assert known == (customer, body), "one Message-ID, two mails"
            repeats += str(message["Message-ID"]) in ids
            ids.add(str(message["Message-ID"]))
            assert re.findall(r"Ticket#(\d+)", str(make_header(decode_header(str(message["Subject"]))))) == [number]
        assert ids, f"{customer} got no answer"
    log.info("%d mails, %d customers, %d answers repeated", len(sent), len(number_of), repeats)
