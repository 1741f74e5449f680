"""What goes wrong: its alert fires (a real Prometheus, on the real services), the first command of the alert's runbook
shows the cause, and what the runbook says mends it."""

import asyncio
import base64
import json
import os
import re
import sys
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import psutil
import pytest
from click.testing import CliRunner, Result

from ops.cli import carteiro as command_line
from shared.kafka.groups import group_states
from shared.kafka.producer import Outgoing, Producer
from shared.topics import BY_NAME, RECEIVED
from tests.e2e import prometheus as debian
from tests.e2e import runbook
from tests.e2e.installation import SERVICES, Installation
from tests.e2e.mails import Sent, customers, plain
from tests.e2e.prometheus import Prometheus

FAULTY = """\
from services.dispatcher import handlers

sound = handlers.dispatch


def faulty(mail, reference, setting):
    if b"poison" in mail.raw:
        raise ValueError("this version has a fault")
    return sound(mail, reference, setting)


handlers.dispatch = faulty

from ops.cli import main

main()
"""

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def program() -> str:
    found = debian.found()
    if found is None:
        pytest.skip("no prometheus: tools/debian.sh prometheus=prometheus unpacks Debian's")
    return found


@pytest.fixture
def scraped(program: str, installation: Installation) -> Iterator[Callable[[], Prometheus]]:
    """Call it once the services are started."""
    open_: list[Any] = []

    def begin() -> Prometheus:
        context = debian.scraping(
            program, installation.ports, installation.folder, debian.faster(debian.RULES.read_text(encoding="utf-8"))
        )
        open_.append(context)
        return context.__enter__()

    yield begin
    for context in open_:
        context.__exit__(None, None, None)


async def carteiro(made: Installation, *words: str) -> Result:
    """The command in this process: a status that is asked again and again would start a Python each time. The commands
    of the runbooks are processes of their own."""
    return await asyncio.to_thread(CliRunner().invoke, command_line, list(words), env=made.environment())


async def rows(made: Installation, *words: str) -> list[dict[str, Any]]:
    said = await carteiro(made, *words, "--json")
    return [json.loads(line) for line in said.stdout.splitlines()]


async def first_command(made: Installation, alert: str) -> str:
    """What the first command of the alert's runbook says."""
    said = await runbook.run(made, runbook.commands(alert)[0])
    return said.stdout


def says(made: Installation, alert: str, *words: str) -> Callable[[], Awaitable[bool]]:
    async def said() -> bool:
        text = await first_command(made, alert)
        return all(word in text for word in words)

    return said


def all_is_well(made: Installation) -> Callable[[], Awaitable[bool]]:
    async def well() -> bool:
        said = await carteiro(made, "status")
        return said.exit_code == 0 and "all is well" in said.stdout

    return well


async def nobody_reads(made: Installation, group: str) -> bool:
    states = await group_states(made.servers.kafka, made.prefix)
    return [state.members for state in states if state.group == group] == [0]


async def test_a_broken_password(installation: Installation, scraped: Callable[[], Prometheus]) -> None:
    made, alert = installation, "CarteiroAccountAuthFailing"
    (made.folder / "secrets" / "caixa_imap").write_text("not the password")
    made.start("all")
    seen = scraped()
    await made.until(seen.fires(alert), alert)
    assert seen.firing()[alert][0]["account"] == "caixa"
    await made.until(says(made, alert, "caixa", "auth_failed", "log-in"), "the cause")
    status = await carteiro(made, "status")
    assert (status.exit_code, "account caixa: fails" in status.stdout) == (1, True)
    assert "check user and password" in status.stdout

    await runbook.run(made, runbook.command(alert, "kubectl -n carteiro edit"))
    assert runbook.asked(made) == ["-n carteiro edit secret carteiro-credentials"]
    (made.folder / "secrets" / "caixa_imap").write_text(made.support)
    await made.until(all_is_well(made), "status says that all is well")
    await made.until(lambda: alert not in seen.firing(), "the alert ends")
    (mail,) = customers(1, made.support, made.domain)
    await made.deliver_all([mail])
    await made.settled(1, 1)


async def test_a_poison_mail(installation: Installation, scraped: Callable[[], Prometheus]) -> None:
    """One that a fault of this version cannot decide is replayed once the next version runs, and becomes a ticket;
    bytes that are no mail are discarded. Everything is accounted for, and found."""
    made, alert = installation, "CarteiroDeadLettersPresent"
    (made.folder / "faulty.py").write_text(FAULTY)
    sound, made.command = made.command, (sys.executable, str(made.folder / "faulty.py"))
    made.start("all")
    seen = scraped()
    await made.watching()
    good = plain(f"ana@{made.domain}", made.support, f"<good@{made.domain}>", "Pergunta")
    poison = plain(f"rui@{made.domain}", made.support, f"<poison@{made.domain}>", "poison")
    await made.deliver_all([good, poison])
    await garbage(made)

    await made.until(seen.fires(alert), alert)
    await made.until(says(made, alert, "undecided", "malformed"), "both are listed")
    letters = {letter["reason"]: letter for letter in await rows(made, "deadletters", "list")}
    undecided, malformed = letters["undecided"]["id"], letters["malformed"]["id"]
    shown = await runbook.run(made, runbook.command(alert, "carteiro deadletters show", _17=undecided))
    assert "ValueError" in shown.stdout
    assert poison.message_id in shown.stdout
    await made.settled(1, 1)
    await everything_is_accounted_for(made, seen)

    made.stop("all")  # the roll-out of a version without the fault
    made.command = sound
    made.start("all")
    replayed = await runbook.run(made, runbook.command(alert, "carteiro deadletters replay", _17=undecided))
    assert replayed.returncode == 0, replayed.stderr
    discarded = await runbook.run(made, runbook.command(alert, "carteiro deadletters discard", _18=malformed))
    assert discarded.returncode == 0, discarded.stderr
    await made.settled(2, 1)
    await made.until(all_is_well(made), "status says that all is well")
    kept = {letter["id"]: letter for letter in await rows(made, "deadletters", "list", "--all")}
    assert (kept[undecided]["state"], kept[malformed]["state"]) == ("replayed", "discarded")
    assert kept[malformed]["why"] == "not a mail"
    await traced(made, poison, undecided)
    await audited(made, good)


async def garbage(made: Installation) -> None:
    producer = Producer(made.servers.kafka, made.prefix, client_id="test")
    try:
        await producer.send_all([Outgoing(RECEIVED, b"key", b"\xff\x00 no mail", [("x", b"y")])])
    finally:
        await producer.close()


async def everything_is_accounted_for(made: Installation, seen: Prometheus) -> None:
    def accounts() -> dict[str, float]:
        found = seen.value("carteiro_consumer_unaccounted_records")
        return {dict(labels)["topic"]: value for labels, value in found.items()}

    await made.until(lambda: set(accounts()) == set(BY_NAME), "every topic is read")
    assert set(accounts().values()) == {0.0}


async def traced(made: Installation, mail: Sent, letter: str) -> None:
    """By its Message-ID, its ticket's number, its transport key, its event, and the Message-ID of the answer."""
    found = await rows(made, "trace", mail.message_id)
    steps = [row["step"] for row in found[:-1]]
    assert steps[0] == "arrived"
    assert {"fetched", "dead_letter", "delivery"} <= set(steps)
    assert [step for step in steps if step in ("dispatched", "settled", "event")] == ["dispatched", "settled", "event"]
    assert found[-1]["now"].startswith("done: ticket_created, ticket 20"), found[-1]
    (aside,) = [row for row in found if row.get("step") == "dead_letter"]
    assert aside["what"].startswith(f"{letter}: undecided (mail.received.v1, partition ")
    assert "replayed by " in aside["what"]

    number = re.findall(r"ticket (\d+)", found[-1]["now"])[0]
    event = next(row["what"].partition(":")[0] for row in found if row.get("step") == "event")
    ((answer,),) = await made.rows(
        "SELECT message_id FROM mailer.outbound WHERE event_id = $1 AND kind = 'notification' LIMIT 1", event
    )
    for name in (f"Ticket#{number}", found[0]["mail"], event, answer):
        assert (await rows(made, "trace", name))[-1] == found[-1], name
    page = await carteiro(made, "trace", mail.message_id)
    assert (page.exit_code, "now: done" in page.stdout) == (0, True)
    nothing = await carteiro(made, "trace", "<nobody@nowhere.example>")
    assert (nothing.exit_code, nothing.stdout) == (1, "")
    assert "nothing is known of <nobody@nowhere.example>" in nothing.stderr


async def audited(made: Installation, mail: Sent) -> None:
    said = await carteiro(made, "audit", "--since", "1h")
    assert (said.exit_code, "every offset that was passed has its outcome" in said.stdout) == (0, True), said.stdout
    outcomes: dict[str, dict[str, int]] = {}
    for row in await rows(made, "audit"):
        for word, number in row["outcomes"].items():
            outcomes.setdefault(row["topic"], {}).setdefault(word, 0)
            outcomes[row["topic"]][word] += number
    assert outcomes["mail.received.v1"] == {"ticket_created": 3, "dead_lettered": 1}  # the replayed one came twice
    assert outcomes["mail.dispatched.v1"] == {"ticket_created": 2}
    assert outcomes["ticket.events.v1"] == {"claimed": 2}
    assert outcomes["deadletters.v1"] == {"kept": 2}

    # a claim that is not there: as if the offset had passed the record
    gone = (
        "DELETE FROM ticketing.inbox WHERE message_id_hash = (SELECT message_id_hash FROM ticketing.articles"
        " WHERE message_id = $1) RETURNING encode(transport_key, 'hex')"
    )
    ((key,),) = await made.rows(gone, mail.message_id)
    told = await runbook.run(made, runbook.commands("CarteiroRecordsUnaccounted")[0])
    assert told.returncode == 1
    named = [line for line in told.stdout.splitlines() if line.endswith(key)]
    assert [line.split(",")[0].strip() for line in named] == ["mail.dispatched.v1", "mail.received.v1"]


async def test_a_stopped_mailer(installation: Installation, scraped: Callable[[], Prometheus]) -> None:
    made, alert = installation, "CarteiroMetricsAbsent"
    made.start(*SERVICES)
    seen = scraped()
    await made.watching()
    await made.until(all_is_well(made), "everything runs")
    assert alert not in seen.firing()
    made.stop("mailer")
    mails = customers(3, made.support, made.domain)
    await made.deliver_all(mails)
    await made.until(seen.fires(alert), alert)
    await made.until(lambda: nobody_reads(made, "carteiro-mailer-events"), "the stopped mailer's membership ends")
    await made.until(
        says(made, alert, "group carteiro-mailer-events: nobody reads, 3 records", "is mailer running"), ""
    )
    rows_ = await rows(made, "status")
    (group,) = [row for row in rows_ if row.get("group") == "carteiro-mailer-events"]
    assert (group["service"], group["readers"], group["unread"]) == ("mailer", 0, 3)
    (stage,) = [row for row in rows_ if row.get("stage") == "compose"]
    assert (stage["waiting"], stage["age"] > 0) == (3, True)

    await runbook.run(made, runbook.command(alert, "kubectl -n carteiro scale"))
    assert runbook.asked(made) == ["-n carteiro scale statefulset/mailer --replicas=2"]
    made.start("mailer")  # what waited is sent
    await made.settled(3, 3)
    await made.until(all_is_well(made), "status says that all is well")
    (number,) = [row["number"] for row in await rows(made, "ticket", "list", "--limit", "1")]
    (shown,) = await rows(made, "ticket", "show", number)
    assert len(shown["conversation"]) == 1
    assert "sent" in {delivery["state"] for delivery in shown["deliveries"]}


@pytest.mark.skipif(not hasattr(psutil.Process, "rlimit"), reason="the store is filled by a limit that Linux has")
async def test_a_full_object_store(installation: Installation, scraped: Callable[[], Prometheus]) -> None:
    """Full for what is larger than a hundred kilobytes: the dispatcher may not make larger files."""
    made, alert = installation, "CarteiroPartitionWaits"
    made.start(*SERVICES)
    seen = scraped()
    await made.watching()
    dispatcher = psutil.Process(made.processes["dispatcher"].pid)
    dispatcher.rlimit(psutil.RLIMIT_FSIZE, (100_000, psutil.RLIM_INFINITY))
    noise = base64.encodebytes(os.urandom(165_000)).decode().replace("\n", "\r\n")
    mail = plain(f"ana@{made.domain}", made.support, f"<large@{made.domain}>", "Pergunta", text=noise)
    await made.deliver_all([mail])
    await made.until(seen.fires(alert), alert)
    assert seen.firing()[alert][0]["topic"] == RECEIVED
    assert "object store" in await first_command(made, alert)
    (*_, now) = await rows(made, "trace", mail.message_id)
    assert now["now"] == "waits on mail.received.v1 for the dispatcher: see `carteiro status`"

    dispatcher.rlimit(psutil.RLIMIT_FSIZE, (psutil.RLIM_INFINITY, psutil.RLIM_INFINITY))  # somebody makes room
    await made.settled(1, 1)
    await made.until(lambda: alert not in seen.firing(), "the alert ends")
    await made.until(all_is_well(made), "status says that all is well")
