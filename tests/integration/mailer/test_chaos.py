"""A relay that refuses, hangs, cuts and takes without saying so, and a mailer that is killed again and again.

CARTEIRO_TEST_MAILS says how many mails (400); from 10,000 on the mailer is killed every five seconds.
"""

import asyncio
import logging
import random
from dataclasses import replace

import pytest

from services.mailer.transports.smtp import SmtpServer
from shared.clock import monotonic
from tests.integration.mailer.conftest import Make
from tests.integration.mailer.scripted_smtp import CUT, SILENT, Dialog, scripted
from tests.integration.mailer.world import World, queue, until
from tests.servers import Given

log = logging.getLogger(__name__)

MAILS, CONNECTIONS = Given().mails, 4
SHARES = 6  # of the mails; the mailer is killed behind each but the last two
KILL_SECONDS = 5.0
SHORT = MAILS < 10_000

pytestmark = pytest.mark.timeout(300 + MAILS // 10)


def impatient(server: SmtpServer) -> SmtpServer:
    return replace(server, reply_seconds=2.0, dot_seconds=20.0)


class Relay:
    """`lost`: mails that it took and did not answer for."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.lost = 0

    def envelope(self, _: Dialog) -> str | None:
        return SILENT if self._hangs() else self._one_of(0.02, "451 4.7.1 greylisted", CUT)

    def mail(self, _: Dialog) -> str | None:
        return self._one_of(0.01, "421 4.3.2 closing", "550 5.7.1 not permitted to relay")

    def dot(self, _: Dialog) -> str | None:
        said = self._one_of(0.02, CUT, "451 4.3.0 queue file write error", "554 5.2.252 SendAsDenied")
        self.lost += said == CUT
        return said

    def _hangs(self) -> bool:
        return self._random.random() < 0.002

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
        kills = 0
        while kills < SHARES - 2 if SHORT else not await all_sent(found):
            began, wanted = monotonic(), MAILS * (kills + 1) // SHARES
            async with found.running(server=impatient) as task:

                def now(began: float = began, wanted: int = wanted) -> bool:
                    return len(script.mails) >= wanted if SHORT else monotonic() >= began + KILL_SECONDS

                await until(now, 90)
                task.cancel()
                await asyncio.wait([task])
            kills += 1
        async with found.running(server=impatient):
            await until(lambda: all_sent(found), 120)
    taken: dict[str, list[bytes]] = {to: [] for to in people}
    for to, raw in script.mails:
        taken[to].append(raw)
    copies = list(taken.values())
    assert all(len(each) >= 1 for each in copies), "every mail was accepted"
    assert all(len(set(each)) == 1 for each in copies), "a repeat has the same bytes"
    repeats = sum(len(each) - 1 for each in copies)
    log.info("%d mails, %d kills, %d replies lost, %d repeats", MAILS, kills, relay.lost, repeats)
    assert repeats <= relay.lost + kills * CONNECTIONS
