"""What goes wrong is found with `carteiro status` and mended with what its runbook says, by the commands themselves."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from shared.kafka.groups import group_states
from shared.kafka.producer import Outgoing, Producer
from shared.topics import RECEIVED
from tests.e2e.installation import REPO, SERVICES, Installation
from tests.e2e.mails import customers

RUNBOOKS = Path(REPO) / "docs" / "runbooks"

pytestmark = pytest.mark.timeout(240)


async def carteiro(made: Installation, *words: str) -> subprocess.CompletedProcess[str]:
    """The command as an operator calls it."""
    command = [sys.executable, "-m", "ops.cli", *words]
    return await asyncio.to_thread(
        subprocess.run, command, env=made.environment(), cwd=REPO, capture_output=True, text=True, timeout=60
    )


async def rows(made: Installation, *words: str) -> list[dict[str, Any]]:
    said = await carteiro(made, *words, "--json")
    return [json.loads(line) for line in said.stdout.splitlines()]


def problem_with(made: Installation, about: str, word: str) -> Callable[[], Awaitable[bool]]:
    """Does `carteiro status` name it, with a runbook that is there, and end with 1?"""

    async def named() -> bool:
        said = await carteiro(made, "status")
        found = [line for line in said.stdout.splitlines() if about in line and word in line]
        if not found:
            return False
        assert said.returncode == 1, said.stderr
        return any((RUNBOOKS.parents[1] / line.strip()).is_file() for line in said.stdout.splitlines())

    return named


def all_is_well(made: Installation) -> Callable[[], Awaitable[bool]]:
    async def well() -> bool:
        said = await carteiro(made, "status")
        return said.returncode == 0 and "all is well" in said.stdout

    return well


async def nobody_reads(made: Installation, group: str) -> bool:
    states = await group_states(made.servers.kafka, made.prefix)
    return [state.members for state in states if state.group == group] == [0]


async def test_a_broken_password_is_found_and_mended(installation: Installation) -> None:
    made = installation
    (made.folder / "secrets" / "caixa_imap").write_text("not the password")
    made.start("all")
    await made.until(problem_with(made, "account caixa", "log"), "status names the account")
    (listed,) = await rows(made, "account", "list")
    assert listed["state"] == "auth_failed"
    assert "CarteiroAccountNotPolled" in (await carteiro(made, "status")).stdout

    # the runbook: the right password into the secret, then a restart so that nobody waits for the next attempt
    (made.folder / "secrets" / "caixa_imap").write_text(made.support)
    made.stop("all")
    made.start("all")
    await made.until(all_is_well(made), "status says that all is well")
    (mail,) = customers(1, made.support, made.domain)
    await made.watching()
    await made.deliver_all([mail])
    await made.settled(1, 1)


async def test_a_poison_mail_is_found_and_discarded(installation: Installation) -> None:
    made = installation
    producer = Producer(made.servers.kafka, made.prefix, client_id="test")
    try:
        await producer.send_all([Outgoing(RECEIVED, b"key", b"\xff\x00 no mail", [("x", b"y")])])
    finally:
        await producer.close()
    made.start("all")
    await made.until(problem_with(made, "dead letters of mail.received.v1", "malformed"), "status names the poison")
    await made.watching()

    (letter,) = await rows(made, "deadletters", "list")
    assert letter["state"] == "open"
    assert "no mail" in (await carteiro(made, "deadletters", "show", letter["id"])).stdout

    # the runbook: of no use, so it is discarded, with the reason
    done = await carteiro(made, "deadletters", "discard", letter["id"], "--why", "not a mail")
    assert done.returncode == 0, done.stderr
    await made.until(all_is_well(made), "status says that all is well")
    assert await rows(made, "deadletters", "list") == []
    (kept,) = await rows(made, "deadletters", "list", "--all")
    assert (kept["state"], kept["why"]) == ("discarded", "not a mail")


async def test_a_stopped_mailer_is_found_and_started_again(installation: Installation) -> None:
    made = installation
    made.start(*SERVICES)
    await made.watching()
    await made.until(all_is_well(made), "everything runs")
    made.stop("mailer")
    mails = customers(3, made.support, made.domain)
    await made.deliver_all(mails)
    await made.until(lambda: nobody_reads(made, "carteiro-mailer-events"), "the stopped mailer's membership ends")
    await made.until(problem_with(made, "carteiro-mailer-events", "nobody reads, 3 records"), "status names the mailer")
    (group,) = [row for row in await rows(made, "status") if row.get("group") == "carteiro-mailer-events"]
    assert (group["service"], group["readers"], group["unread"]) == ("mailer", 0, 3)
    assert group["oldest"] is not None

    # the runbook: start it again; what waited is sent
    made.start("mailer")
    await made.settled(3, 3)
    await made.until(all_is_well(made), "status says that all is well")
    (number,) = [row["number"] for row in await rows(made, "ticket", "list", "--limit", "1")]
    (shown,) = await rows(made, "ticket", "show", number)
    assert len(shown["conversation"]) == 1
    assert "sent" in {delivery["state"] for delivery in shown["deliveries"]}
