"""`interval`: the rhythm without IDLE, and how a new one is taken over."""

import asyncio

from tests.integration.fetcher.dialogue import scripted
from tests.integration.fetcher.scripted_mailbox import ScriptedMailbox
from tests.integration.fetcher.world import World, mail, until


async def test_without_idle_the_mailbox_is_looked_at_every_interval(world: World) -> None:
    box = ScriptedMailbox({1: mail(1)})
    async with scripted(box) as server:
        world.write_desk(type="imap", host="127.0.0.1", port=server.port, interval="10s", idle=False)
        async with world.fetcher():
            await until(lambda: len(box.times("SELECT")) >= 2, seconds=40)
    first, second = box.times("SELECT")[:2]
    assert 9.9 < second - first < 20


async def test_another_interval_is_taken_over_while_running(world: World) -> None:
    box = ScriptedMailbox({1: mail(1)})
    async with scripted(box) as server:
        world.write_desk(type="imap", host="127.0.0.1", port=server.port, interval="1d", idle=False)
        async with world.fetcher() as fetcher:
            await until(lambda: box.times("SELECT"))
            await asyncio.sleep(1)
            assert len(box.times("SELECT")) == 1
            world.write_desk(type="imap", host="127.0.0.1", port=server.port, interval="10s", idle=False)
            await fetcher.desk.check()
            await until(lambda: len(box.times("SELECT")) >= 3, seconds=40)
