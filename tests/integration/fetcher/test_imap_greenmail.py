"""The typed client on a real server, GreenMail: what the scripts promise holds where nothing is scripted."""

import asyncio

import pytest

from services.fetcher import faults
from services.fetcher.dialing import Trust
from services.fetcher.protocol import Security
from tests.integration.fetcher.conftest import Connect
from tests.integration.fetcher.world import World, mail, until

LIMIT = 1024 * 1024


async def test_mails_come_as_they_were_sent(world: World) -> None:
    await world.deliver(mail(1), mail(2))
    async with world.mailbox() as mailbox:
        state = await mailbox.open("INBOX", read_only=True)
        assert (state.exists, state.uidnext) == (2, 3)
        listed = await mailbox.sizes(await mailbox.search(1, None))
        fetched = await mailbox.fetch(listed, LIMIT)
        assert [f.uid for f in fetched] == [1, 2]
        assert [b"Frage %d\r\n" % f.uid in (f.body or b"") for f in fetched] == [True, True]
        assert [len(f.body or b"") for f in fetched] == [m.size for m in listed]
        assert all(m.internaldate for m in listed)
        assert all("\\Seen" not in m.flags for m in await mailbox.sizes([1, 2]))


async def test_the_header_block_alone(world: World) -> None:
    await world.deliver(mail(1, "body\r\n" * 1000))
    async with world.mailbox() as mailbox:
        (listed,) = await mailbox.sizes([1])
        header = await mailbox.headers(listed)
        assert header.body is not None
        assert b"Subject: Frage 1" in header.body
        assert b"body" not in header.body


async def test_a_search_beyond_the_end_is_empty(world: World) -> None:
    await world.deliver(mail(1))
    async with world.mailbox() as mailbox:
        assert await mailbox.search(2, None) == []
        assert await mailbox.search(1, 1) == [1]


async def test_idle_is_woken_by_a_delivery(world: World) -> None:
    async with world.mailbox() as mailbox:
        waiting = asyncio.create_task(mailbox.idle(60))
        await world.deliver(mail(1))
        async with asyncio.timeout(5):
            await waiting
        assert await mailbox.search(1, None) == [1]


async def test_flagging_moving_and_removing_touch_only_the_uids_named(world: World) -> None:
    await world.deliver(*(mail(number) for number in range(1, 5)))
    async with world.mailbox() as mailbox:
        await mailbox.run("CREATE", "done")
        await mailbox.open("INBOX")
        await mailbox.flag([1], "\\Seen")
        await mailbox.flag([4], "\\Deleted")  # somebody else's business
        await mailbox.move([2], "done")
        await mailbox.remove([3])
        assert {m.uid: "\\Seen" in m.flags for m in await mailbox.sizes([1, 2, 3, 4])} == {1: True, 4: False}
        with pytest.raises(faults.Refused):
            await mailbox.move([1], "nowhere")
        assert await mailbox.search(1, None) == [1, 4]


async def test_a_wrong_password_and_a_wrong_issuer_are_told_apart(world: World, log_in: Connect) -> None:
    at = world.at.mail
    trusting = Trust.load(world.at.ca_file).verifying
    with pytest.raises(faults.AuthFailed):
        await log_in(at.imaps, Security.tls, trusting, host=at.host, user=world.user, password="no", deadline=10)
    with pytest.raises(faults.TlsFailed, match="certificate"):
        await log_in(at.imaps, Security.tls, host=at.host, user=world.user, password=world.user, deadline=10)


async def test_starttls_where_the_server_has_none_sends_nothing(world: World, log_in: Connect) -> None:
    trusting = Trust.load(world.at.ca_file).verifying
    with pytest.raises(faults.TlsFailed, match="STARTTLS"):
        await log_in(world.at.mail.imap, Security.starttls, trusting, host=world.at.mail.host, deadline=10)


async def test_a_deleted_mail_leaves_a_gap_and_the_uids_stay(world: World) -> None:
    await world.deliver(mail(1), mail(2))
    async with world.mailbox() as mailbox:
        await mailbox.open("INBOX")
        await mailbox.remove([1])
        await world.deliver(mail(3))

        async def both() -> bool:
            await mailbox.open("INBOX")
            return await mailbox.search(1, None) == [2, 3]

        assert await until(both, seconds=5)
