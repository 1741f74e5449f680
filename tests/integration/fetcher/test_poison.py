"""Mails that cannot be fetched and connections that die at the wrong moment: scripted mailboxes, real Kafka."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import pytest

from services.fetcher import faults
from services.fetcher.session import Pace
from shared.kafka.admin import apply_topics
from tests.integration.fetcher.conftest import Connect
from tests.integration.fetcher.dialogue import Server, scripted
from tests.integration.fetcher.looks import leased, look
from tests.integration.fetcher.scripted_mailbox import ScriptedMailbox, members
from tests.integration.fetcher.world import World, mail, until
from tests.servers import OwnServers

ATTEMPTS = 5


async def test_a_mail_without_a_body_is_tried_five_times_then_a_dead_letter_and_no_other_suffers(
    world: World, log_in: Connect
) -> None:
    box = ScriptedMailbox({1: mail(1), 2: None, 3: mail(3)})
    async with scripted(box) as server, leased(world) as (around, lease):
        for _ in range(ATTEMPTS):
            await look(around, lease, log_in, server.port)
            await world.execute("UPDATE fetcher.failed SET retry_at = clock_timestamp()")
        await look(around, lease, log_in, server.port)
        tries = len(box.fetched)
        await look(around, lease, log_in, server.port)
        assert len(box.fetched) == tries  # it is final
    assert sorted(m.uid for m in await world.received(2)) == ["1", "3"]
    (letter,) = await world.dead_letters(1)
    assert dict(letter.headers)["uid"] == b"2"
    assert (letter.service, letter.reason, letter.origin_offset) == ("fetcher", "unfetchable", -1)
    assert await world.row("SELECT cursor_uid FROM fetcher.folders") == {"cursor_uid": 3}
    assert all("2" not in uids for uids in box.stored)


async def test_a_mail_that_takes_the_connection_with_it_is_no_dead_letter_and_comes_alone_and_last(
    world: World, log_in: Connect
) -> None:
    box = ScriptedMailbox({1: mail(1), 2: None, 3: mail(3)}, cuts=True)
    async with scripted(box) as server, leased(world) as (around, lease):
        for _ in range(ATTEMPTS + 2):
            with pytest.raises(faults.ConnectFailed):
                await look(around, lease, log_in, server.port)
            await world.execute("UPDATE fetcher.failed SET retry_at = clock_timestamp()")
        assert box.fetched[:5] == ["1:3", "1", "2", "3", "2"]
        box.bodies[2] = mail(2)  # it was the network after all
        await look(around, lease, log_in, server.port)
    assert sorted(m.uid for m in await world.received(3)) == ["1", "2", "3"]
    assert await world.row("SELECT count(*) AS left FROM fetcher.failed") == {"left": 0}


async def test_a_failed_mail_is_not_tried_before_its_time(world: World, log_in: Connect) -> None:
    box = ScriptedMailbox({1: None})
    async with scripted(box) as server, leased(world) as (around, lease):
        for _ in range(3):
            await look(around, lease, log_in, server.port)
    assert box.fetched == ["1"]


@pytest.mark.parametrize("announced", [0, 4000, 10], ids=["zero", "too many", "too few"])
async def test_a_wrong_size_is_the_servers_defect_and_the_mail_is_taken(
    world: World, log_in: Connect, announced: int
) -> None:
    class Miscounts(ScriptedMailbox):
        async def _answer(self, server: Server, command: str) -> None:
            if "RFC822.SIZE" in command:
                await server.answers(f"* 1 FETCH (UID 1 RFC822.SIZE {announced} FLAGS ())")
            else:
                await super()._answer(server, command)

    body = mail(1) + b"x" * 200_000 if announced == 10 else mail(1)
    async with scripted(Miscounts({1: body})) as server, leased(world) as (around, lease):
        for _ in range(2):  # one far larger than announced is first taken for a lie
            with contextlib.suppress(faults.TooLarge):
                await look(around, lease, log_in, server.port)
            await world.execute("UPDATE fetcher.failed SET retry_at = clock_timestamp()")
    (taken,) = await world.received(1)
    assert taken.size == len(body)


async def test_a_substitute_of_exchange_is_an_attempt_and_no_mail(world: World, log_in: Connect) -> None:
    substitute = (
        b"From: Microsoft Exchange Server\r\nSubject: Retrieval using the IMAP4 protocol failed for the following\r\n"
        b" message: 2\r\n\r\nThe server couldn't retrieve the following message:\r\n"
    )
    box = ScriptedMailbox({1: mail(1), 2: substitute})
    async with scripted(box) as server, leased(world) as (around, lease):
        await look(around, lease, log_in, server.port)
    assert await world.row("SELECT uid, attempts FROM fetcher.failed") == {"uid": 2, "attempts": 1}
    assert len(await world.received(1)) == 1
    assert box.stored == ["1"]


async def test_a_size_listing_that_takes_too_long_is_halved_not_repeated(world: World, log_in: Connect) -> None:
    class Slow(ScriptedMailbox):
        """Lists no more than three sizes before the deadline."""

        async def _answer(self, server: Server, command: str) -> None:
            if "RFC822.SIZE" in command and len(members(command.split()[2], list(self.bodies))) > 3:
                await server.hangs()
            else:
                await super()._answer(server, command)

    box = Slow({uid: mail(uid) for uid in range(1, 11)})
    pace = Pace()
    async with scripted(box) as server, leased(world) as (around, lease):
        for _ in range(2):
            with pytest.raises(faults.TimedOut):
                await look(around, lease, log_in, server.port, pace)
        await look(around, lease, log_in, server.port, pace)
    assert len(await world.received(10)) == 10


async def test_a_connection_lost_at_the_store_flags_later_and_repeats_nothing(world: World, log_in: Connect) -> None:
    box = ScriptedMailbox({1: mail(1), 2: mail(2)})
    box.loses_store = True
    async with scripted(box) as server, leased(world) as (around, lease):
        with pytest.raises(faults.ConnectFailed):
            await look(around, lease, log_in, server.port)
        assert box.stored == []
        await look(around, lease, log_in, server.port)
        assert box.stored == ["1:2"]
    assert len(await world.received(2)) == 2
    assert len(box.fetched) == 1


async def test_while_kafka_is_away_nothing_is_flagged_and_nothing_lost(world: World) -> None:
    await world.deliver(mail(1))
    async with world.fetcher(kafka="127.0.0.1:1"):

        async def held_back() -> bool:
            return (await world.status()).get("error") == "held_back"

        await until(held_back)
    assert all("\\Seen" not in flags for flags in (await world.flags()).values())
    async with world.fetcher(holder="two"):
        assert len(await world.received(1)) == 1


@pytest.mark.kills
async def test_when_kafka_comes_back_the_waiting_mail_is_taken_without_being_asked(
    world: World, own_servers: Callable[..., Awaitable[OwnServers]]
) -> None:
    own = await own_servers("kafka")
    await apply_topics(own.servers.kafka, world.prefix, 1)
    moved = World(own.servers, world.dsn, world.prefix, world.folder / "own", world.user)
    async with moved.fetcher():
        await moved.deliver(mail(1))
        assert len(await moved.received(1)) == 1
        await own.kill("kafka")
        await moved.deliver(mail(2))

        async def held_back() -> bool:
            return (await moved.status()).get("error") == "held_back"

        await until(held_back)
        await own.restart("kafka")
        received = await moved.received(2)
    assert len({m.transport_key for m in received}) == 2


async def test_large_mails_of_all_accounts_share_one_budget(world: World, log_in: Connect) -> None:
    box = ScriptedMailbox({1: b"Subject: large\r\n\r\n" + b"x" * 200_000})
    async with scripted(box) as server, leased(world) as (around, lease):
        async with around.rim.budget.hold(48 * 1024 * 1024):
            waiting = asyncio.create_task(look(around, lease, log_in, server.port))
            done, _ = await asyncio.wait([waiting], timeout=1.0)
            assert not done
            assert box.fetched == []
        await waiting
    assert box.fetched == ["1"]
