"""The transport `sendmail` with a program that ends as a test says, and with Postfix's own where it is installed."""

import asyncio
from pathlib import Path

import pytest

from services.mailer.states import Result
from services.mailer.transports.faults import AccountFault, Expired
from services.mailer.transports.sendmail import STATUS, SendmailTransport
from shared.clock import boottime
from tests.integration.mailer.conftest import Make
from tests.integration.mailer.world import is_state, queue, until

RAW = b"Subject: x\r\n\r\n.\r\n.. and more\r\n"


def program(path: Path, body: str) -> str:
    """A sendmail that notes its words and its mail, and then does what `body` says."""
    made = path / "sendmail"
    made.write_text(f'#!/bin/sh\necho "$@" >> {path}/words\ncat >> {path}/mail\n{body}\n')
    made.chmod(0o755)
    return str(made)


async def deliver(command: str, sender: str = "", end_seconds: float = 20) -> tuple[Result, int, str]:
    transport = SendmailTransport(command, end_seconds=end_seconds)
    return await transport.deliver(sender, "a@kunde.example", RAW, boottime() + 60)


@pytest.mark.parametrize("sender", ["", "suporte@empresa.example"])
async def test_the_program_gets_the_envelope_and_the_mail_with_lf(tmp_path: Path, sender: str) -> None:
    assert (await deliver(program(tmp_path, "exit 0"), sender))[0] is Result.ACCEPTED
    assert (tmp_path / "words").read_text() == f"-i -f {sender or '<>'} -- a@kunde.example\n"
    assert (tmp_path / "mail").read_bytes() == RAW.replace(b"\r\n", b"\n")


@pytest.mark.parametrize("status", [0, 75, 67, 68, 65])
async def test_a_status_about_the_mail_is_its_outcome(tmp_path: Path, status: int) -> None:
    wanted = {0: Result.ACCEPTED, 75: Result.POSTPONED, 67: Result.REFUSED, 68: Result.REFUSED, 65: Result.REFUSED}
    assert (await deliver(program(tmp_path, f"exit {status}")))[0] is wanted[status]


@pytest.mark.parametrize("status", [*sorted(set(STATUS) - {0, 65, 67, 68, 75}), 3])
async def test_every_other_status_is_the_accounts_fault(tmp_path: Path, status: int) -> None:
    with pytest.raises(AccountFault):
        await deliver(program(tmp_path, f"exit {status}"))


async def test_a_program_that_is_not_there_is_the_accounts_fault(tmp_path: Path) -> None:
    with pytest.raises(AccountFault, match="program_missing"):
        await deliver(str(tmp_path / "none"))


async def test_a_program_that_hangs_or_is_killed_may_have_the_mail(tmp_path: Path) -> None:
    assert await deliver(program(tmp_path, "exec sleep 60"), end_seconds=0.5) == (Result.UNKNOWN, 0, "timeout")
    assert await deliver(program(tmp_path, "kill -9 $$")) == (Result.UNKNOWN, 0, "killed")


async def test_a_program_that_reads_nothing_is_judged_by_its_status(tmp_path: Path) -> None:
    made = tmp_path / "deaf"
    made.write_text("#!/bin/sh\nexit 75\n")
    made.chmod(0o755)
    transport = SendmailTransport(str(made))
    outcome = await transport.deliver("", "a@kunde.example", b"x" * 2_000_000, boottime() + 60)
    assert outcome.result is Result.POSTPONED


async def test_a_claim_that_ended_meanwhile_hands_nothing_over(tmp_path: Path) -> None:
    moments = iter([0.0, 500.0])
    transport = SendmailTransport(program(tmp_path, f"touch {tmp_path}/done"), clock=lambda: next(moments))
    with pytest.raises(Expired):
        await transport.deliver("", "a@kunde.example", RAW, 400.0)
    await asyncio.sleep(0)
    assert not (tmp_path / "done").exists()


async def test_mail_leaves_by_the_program_that_the_desk_names(world: Make, tmp_path: Path) -> None:
    command = program(tmp_path, "exit 0")
    found = await world({"padrao": {"type": "sendmail", "command": command, "default": True}})
    async with found.running():
        await queue(found, "a@kunde.example")
        await until(lambda: is_state(found, "a@kunde.example", "sent"))
    assert "-- a@kunde.example" in (tmp_path / "words").read_text()
