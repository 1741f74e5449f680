"""Three fetcher processes share mailboxes on Dovecot, and one after the other is killed, or stopped beyond its lease.

CARTEIRO_TEST_STORM=1 is the long form: 20 accounts of 500 mails that come within two minutes, a process every 5 s.
"""

import asyncio
import contextlib
import itertools
import signal
import sys
from asyncio.subprocess import Process

import pytest

from tests.integration.fetcher.conftest import OnDovecot
from tests.integration.fetcher.test_process import running
from tests.integration.fetcher.world import mail, until
from tests.servers import Given

LONG = Given().storm
EVERY = 5.0 if LONG else 1.0
FETCHERS = 3


class Storm:
    """Keeps three processes and disturbs one after the other."""

    def __init__(self, world: OnDovecot, disturb: signal.Signals) -> None:
        self.world, self.disturb = world, disturb
        self.disturbed = 0
        self.over = asyncio.Event()

    async def place(self, turn: int) -> None:
        """One of the processes; a killed one has a successor."""
        wait = EVERY * (1 + turn)
        while not self.over.is_set():
            async with running(self.world, heard=False) as (process, _):
                await until(lambda: self._holds(process), 90)
                await self._pause(wait)
                wait = EVERY * FETCHERS
                if self.over.is_set():
                    return
                await self._strike(process)

    async def _holds(self, process: Process) -> bool:
        """Has it a lease? Without one there is nothing to take from it."""
        if self.over.is_set():
            return True
        row = await self.world.row(
            "SELECT count(*) AS held FROM fetcher.leases WHERE holder LIKE $1 AND expires_at > clock_timestamp()",
            f"%-{process.pid}-%",
        )
        return bool(row["held"])

    async def _strike(self, process: Process) -> None:
        self.disturbed += 1
        process.send_signal(self.disturb)
        if not LONG:  # its leases have run out: 20 s, not waited for
            await self.world.execute(
                "UPDATE fetcher.leases SET expires_at = clock_timestamp() WHERE holder LIKE $1", f"%-{process.pid}-%"
            )
        if self.disturb is signal.SIGSTOP:
            await self._pause(25 if LONG else 2)
            process.send_signal(signal.SIGCONT)
            await self._pause(EVERY)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.over.wait()


@pytest.mark.kills
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("account_type", "disturb", "accounts", "mails"),
    [
        pytest.param("imaps", signal.SIGKILL, 20, 500, id="IMAP killed"),
        pytest.param("pop3s", signal.SIGKILL, 2, 1000, id="POP3 killed"),
        pytest.param("imaps", signal.SIGSTOP, 20, 500, id="IMAP stopped beyond its lease"),
    ],
)
async def test_nothing_is_lost_and_every_mailbox_ends_empty(
    on_dovecot: OnDovecot, account_type: str, disturb: signal.Signals, accounts: int, mails: int
) -> None:
    world, server = on_dovecot, on_dovecot.dovecot
    assert server is not None
    if not LONG:
        accounts, mails = min(accounts, 4), 50
    boxes = [f"box{number}-{world.user}" for number in range(accounts)]
    world.use(account_type, after="delete", interval="10s")
    one = (world.folder / "desk.yaml").read_text().removeprefix("accounts:\n")
    for box in boxes:
        server.make_mailbox(box, world.user)
        server.put(box, [])
    named = (
        one.replace("caixa", box.partition("-")[0]).replace(f"user: {world.user}", f"user: {box}") for box in boxes
    )
    (world.folder / "desk.yaml").write_text("accounts:\n" + "".join(named))

    storm = Storm(world, disturb)
    places = [asyncio.create_task(storm.place(turn)) for turn in range(FETCHERS)]
    try:
        numbers, rounds = itertools.count(), 100 if LONG else 10
        for _ in range(rounds):
            for box in boxes:
                server.put(box, [mail(next(numbers)) for _ in range(mails // rounds)])
            await asyncio.sleep(120 / rounds if LONG else 0.5)  # mail arrives while fetchers fall
        await until(lambda: storm.disturbed >= FETCHERS and not any(map(server.left, boxes)), 300)
    finally:
        storm.over.set()
        ended = await asyncio.gather(*places, return_exceptions=True)
    assert [failure for failure in ended if failure is not None] == []
    records = await world.received(accounts * mails)
    keys = {record.transport_key for record in records}
    assert len(keys) == len({record.raw for record in records}) == accounts * mails
    print(  # noqa: T201  # what a long run reports
        f"{accounts * mails} mails, {len(records) - len(keys)} came twice to Kafka, {storm.disturbed} disturbed",
        file=sys.stderr,
    )
