"""A relay that refuses, cuts and takes without saying so, and a mailer that is killed again and again."""

import asyncio
import random

from tests.integration.mailer.conftest import Make
from tests.integration.mailer.scripted_smtp import CUT, Dialog, scripted
from tests.integration.mailer.world import World, queue, until

MAILS, KILLS, CONNECTIONS = 400, 4, 4


class Relay:
    """`lost`: mails that it took and did not answer for."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.lost = 0

    def envelope(self, _: Dialog) -> str | None:
        return self._one_of(0.02, "451 4.7.1 greylisted", CUT)

    def mail(self, _: Dialog) -> str | None:
        return self._one_of(0.01, "421 4.3.2 closing", "550 5.7.1 not permitted to relay")

    def dot(self, _: Dialog) -> str | None:
        said = self._one_of(0.02, CUT, "451 4.3.0 queue file write error", "554 5.2.252 SendAsDenied")
        self.lost += said == CUT
        return said

    def _one_of(self, chance: float, *words: str) -> str | None:
        return self._random.choice(words) if self._random.random() < chance else None


async def all_sent(world: World) -> bool:
    return not await world.pool.fetchval("SELECT count(*) FROM mailer.outbound WHERE state <> 'sent'")


async def test_every_mail_is_accepted_and_a_kill_repeats_one_for_each_connection_at_most(world: Make) -> None:
    relay = Relay(20261125)
    async with scripted(says={"RCPT": relay.envelope, "MAIL": relay.mail, ".": relay.dot}) as script:
        outbound = {"type": "smtp", "host": "127.0.0.1", "port": script.port, "connections": CONNECTIONS}
        found = await world({"padrao": {**outbound, "default": True}})
        people = [f"k{n}@kunde.example" for n in range(MAILS)]
        for first in range(0, MAILS, 100):
            await queue(found, *people[first : first + 100], first=first + 1)
        for kill in range(1, KILLS + 1):
            async with found.running() as task:
                wanted = MAILS * kill // (KILLS + 2)
                await until(lambda wanted=wanted: len(script.mails) >= wanted, 90)
                task.cancel()
                await asyncio.wait([task])
        async with found.running():
            await until(lambda: all_sent(found), 120)
    copies = [script.of(to) for to in people]
    assert all(len(each) >= 1 for each in copies), "every mail was accepted"
    assert all(len(set(each)) == 1 for each in copies), "a repeat has the same bytes"
    repeats = sum(len(each) - 1 for each in copies)
    assert repeats <= relay.lost + KILLS * CONNECTIONS
