"""What an SMTP server's words and silences do to mails and to the account, against a scripted server."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest

from services.mailer.queue_store import CLAIM, DOT_WITHIN
from services.mailer.sending import Sending
from services.mailer.states import Result
from services.mailer.transports.choice import smtp_server
from services.mailer.transports.faults import Expired
from services.mailer.transports.smtp import SmtpServer, SmtpTransport
from shared.clock import boottime
from shared.desk.model import Outbound
from tests.integration.mailer.conftest import Make
from tests.integration.mailer.scripted_smtp import CUT, SILENT, Dialog, Script, scripted
from tests.integration.mailer.world import World, is_state, queue, until

RAW = b"Subject: x\r\n\r\n.a dot\r\n"


@pytest.fixture
async def script() -> AsyncIterator[Script]:
    async with scripted() as made:
        yield made


def smtp(script: Script, **more: object) -> dict[str, object]:
    return {"padrao": {"type": "smtp", "host": "127.0.0.1", "port": script.port, "default": True, **more}}


async def all_sent(world: World) -> bool:
    return set((await world.states()).values()) == {"sent"}


@pytest.mark.parametrize(
    ("verb", "reply"),
    [
        (".", "554 5.2.252 SendAsDenied"),
        (".", "550 5.7.60 Client does not have permissions to send as this sender"),
        (".", "550 5.4.5 Daily user sending limit exceeded"),
        (".", "550 5.1.90 daily limit for message recipients"),
        (".", "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException"),
        ("RCPT", "554 5.7.1 <x>: Relay access denied"),
        ("RCPT", "553 5.7.1 <x>: Sender address rejected: not owned by user y"),
        ("RCPT", "554 5.7.1 Service unavailable; Client host [127.0.0.1] blocked using bl.example"),
        ("RCPT", "530 5.7.0 Authentication required"),
        ("RCPT", "553 5.1.8 domain of sender does not exist"),
        ("MAIL", "550 5.7.1 no"),
        ("MAIL", SILENT),
        ("EHLO", "501 5.5.4 bad name"),
        ("EHLO", "421 4.7.0 bad name"),
        ("CONNECT", "554 go away"),
    ],
)
@pytest.mark.parametrize("pipelining", [True, False])
async def test_a_refusal_that_concerns_the_account_burns_no_mail(
    world: Make, script: Script, verb: str, reply: str, *, pipelining: bool
) -> None:
    script.offers = ("PIPELINING",) if pipelining else ()
    script.says[verb] = reply
    found = await world(smtp(script))
    async with found.running(server=Quick):
        people = [f"k{n}@kunde.example" for n in range(6)]
        await queue(found, *people)
        await until(lambda: found.faults() >= 3)
        rows = await found.pool.fetch("SELECT state, attempts FROM mailer.outbound")
        assert {row["state"] for row in rows} <= {"queued", "sending"}
        assert max(row["attempts"] for row in rows) <= 1
        del script.says[verb]
        await until(lambda: all_sent(found))
    assert sorted(to for to, _ in script.mails) == sorted(people)


def Quick(server: SmtpServer) -> SmtpServer:  # noqa: N802  # a server that is not waited for
    return replace(server, connect_seconds=2.0, reply_seconds=0.3)


async def test_a_mail_that_alone_meets_the_accounts_fault_is_deferred_and_holds_up_nobody(
    world: Make, script: Script
) -> None:
    script.says["."] = lambda dialog: "550 5.4.5 Daily limit" if dialog.recipient.startswith("bad") else None
    found = await world(smtp(script))
    async with found.running():
        await queue(found, "bad@kunde.example", *[f"k{n}@kunde.example" for n in range(20)])
        await until(lambda: deferred_for(found, "bad@kunde.example", "quota"))
        await until(lambda: len(script.mails) == 20)


async def deferred_for(found: World, recipient: str, word: str) -> bool:
    """Before that its lane may have given it back untried."""
    row = await found.row(recipient)
    return (row["state"], row["smtp_class"]) == ("deferred", word)


async def test_another_2xx_after_the_dot_is_acceptance(world: Make, script: Script) -> None:
    script.says["."] = "251 2.0.0 will forward"
    found = await world(smtp(script))
    async with found.running():
        await queue(found, "a@kunde.example")
        await until(lambda: is_state(found, "a@kunde.example", "sent"))
    assert len(script.mails) == 1


def server(script: Script, **changes: object) -> SmtpServer:
    outbound = Outbound(type="smtp", host="127.0.0.1", port=script.port)
    return replace(smtp_server(outbound, None, None, "mail.empresa.example"), **changes)  # type: ignore[arg-type]


async def deliver(made: SmtpServer, recipient: str = "a@kunde.example") -> tuple[Result, int, str]:
    transport = SmtpTransport(made)
    try:
        return await transport.deliver("", recipient, RAW, boottime() + 300)
    finally:
        await transport.close()


async def test_the_reply_to_the_dot_is_waited_for_ten_minutes_and_the_envelope_five(script: Script) -> None:
    made = server(script)
    assert (made.reply_seconds, made.dot_seconds) == (300, 600)
    assert CLAIM.total_seconds() >= DOT_WITHIN.total_seconds() + made.dot_seconds, "nobody else has the mail meanwhile"
    script.says["."] = SILENT
    async with asyncio.timeout(10):
        assert await deliver(server(script, reply_seconds=60, dot_seconds=0.2)) == (Result.UNKNOWN, 0, "timeout")


@pytest.mark.parametrize(
    ("verb", "how", "result", "word"),
    [
        ("RCPT", SILENT, Result.POSTPONED, "timeout"),
        ("RCPT", CUT, Result.POSTPONED, "disconnected"),
        ("DATA", SILENT, Result.POSTPONED, "timeout"),
        ("DATA", CUT, Result.POSTPONED, "disconnected"),
        (".", SILENT, Result.UNKNOWN, "timeout"),
        (".", CUT, Result.UNKNOWN, "disconnected"),
        (".", "what", Result.UNKNOWN, "disconnected"),
        ("RCPT", "what", Result.POSTPONED, "disconnected"),
    ],
)
@pytest.mark.parametrize("pipelining", [True, False])
async def test_a_silence_is_judged_by_where_it_fell(
    script: Script, verb: str, how: str, result: Result, word: str, *, pipelining: bool
) -> None:
    script.offers = ("PIPELINING",) if pipelining else ()
    script.says[verb] = how
    silent = how == SILENT  # only then is a short wait part of the case
    made = server(script, reply_seconds=1.5 if silent and verb != "." else 60, dot_seconds=0.2 if silent else 60)
    assert await deliver(made) == (result, 0, word)


async def test_mail_recipient_and_data_leave_in_one_write_where_that_is_offered(script: Script) -> None:
    await deliver(server(script))
    assert [w for w in script.writes if b"RCPT" in w] == [
        b"MAIL FROM:<> SIZE=%d\r\nRCPT TO:<a@kunde.example>\r\nDATA\r\n" % len(RAW)
    ]
    script.offers = ()
    script.writes.clear()
    await deliver(server(script))
    assert b"RCPT TO:<a@kunde.example>\r\n" in script.writes
    assert script.of("a@kunde.example") == [RAW, RAW], "dots doubled on the way, and back"


@pytest.mark.parametrize("pipelining", [True, False])
async def test_after_a_refused_recipient_the_connection_serves_the_next(script: Script, *, pipelining: bool) -> None:
    script.offers = ("PIPELINING",) if pipelining else ()
    script.says["RCPT"] = lambda dialog: "550 5.1.1 no" if dialog.recipient.startswith("no") else None
    transport = SmtpTransport(server(script))
    assert await transport.deliver("", "no@kunde.example", RAW, boottime() + 300) == (Result.REFUSED, 550, "recipient")
    assert (await transport.deliver("", "a@kunde.example", RAW, boottime() + 300)).result is Result.ACCEPTED
    await transport.close()
    [dialog] = script.dialogs
    assert dialog.verbs.count("RSET") == 1
    assert [to for to, _ in script.mails if to.startswith("a")] == ["a@kunde.example"]


async def test_a_connection_that_the_server_ended_between_mails_is_no_fault(script: Script) -> None:
    transport = SmtpTransport(server(script))
    for said in (None, CUT, "421 4.4.2 timeout"):
        script.says["MAIL"] = _once(said)
        assert (await transport.deliver("", "a@kunde.example", RAW, boottime() + 300)).result is Result.ACCEPTED
    await transport.close()
    assert len(script.dialogs) == 3


def _once(said: str | None) -> Callable[[Dialog], str | None]:
    left = [said]
    return lambda _: left.pop() if left else None


async def test_a_connection_carries_a_hundred_mails_at_most(script: Script) -> None:
    assert server(script).mails_per_connection == 100
    transport = SmtpTransport(server(script, mails_per_connection=3))
    for _ in range(7):
        await transport.deliver("", "a@kunde.example", RAW, boottime() + 300)
    await transport.close()
    assert [dialog.verbs.count(".") for dialog in script.dialogs] == [3, 3, 1]


async def test_a_claim_that_ended_hands_nothing_over(script: Script) -> None:
    moment = 100.0
    transport = SmtpTransport(server(script), clock=lambda: moment)

    def pause(_: Dialog) -> None:
        nonlocal moment
        moment = 500.0  # the process or the machine slept while the server wrote its 354

    script.says["DATA"] = pause
    with pytest.raises(Expired):
        await transport.deliver("", "a@kunde.example", RAW, 400.0)
    await transport.close()
    assert not script.ended
    with pytest.raises(Expired):
        await transport.deliver("", "a@kunde.example", RAW, 400.0)
    assert len(script.dialogs) == 1, "nothing is begun either"


async def test_ehlo_says_a_full_name(world: Make, script: Script) -> None:
    found = await world(smtp(script, helo="mail.empresa.example"))
    async with found.running():
        await queue(found, "a@kunde.example")
        await until(lambda: is_state(found, "a@kunde.example", "sent"))
    assert {dialog.helo for dialog in script.dialogs} == {"mail.empresa.example"}


async def test_ehlo_says_the_senders_domain_where_the_host_has_no_full_name(
    world: Make, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.node", lambda: "mailer-0")
    found = await world(smtp(script))
    async with found.running():
        await queue(found, "a@kunde.example")
        await until(lambda: is_state(found, "a@kunde.example", "sent"))
    assert {dialog.helo for dialog in script.dialogs} == {"empresa.example"}


async def test_the_envelope_is_decided_when_the_mail_is_sent(world: Make, script: Script) -> None:
    script.says["MAIL"] = lambda dialog: None if dialog.sender else "550 5.1.7 null sender refused"
    found = await world(smtp(script))
    async with found.running():
        await queue(found, "a@kunde.example")
        await until(lambda: found.faults() >= 2)
        found.rewrite(smtp(script, null_sender=False))
        await found.desk.check()
        await until(lambda: is_state(found, "a@kunde.example", "sent"))
    assert {dialog.sender for dialog in script.dialogs if "." in dialog.verbs} == {"suporte@empresa.example"}


async def test_a_server_that_allows_three_connections_gets_three_by_itself(world: Make, script: Script) -> None:
    script.says["CONNECT"] = lambda _: "421 4.7.0 too many connections" if script.open_now > 3 else None
    found = await world(smtp(script, connections=8))
    async with found.running():
        await queue(found, *[f"k{n}@kunde.example" for n in range(100)])
        await until(lambda: len(script.mails) == 100)
        assert found.lane().throttle.allowed <= 3
        rows = await found.pool.fetch("SELECT DISTINCT attempts FROM mailer.outbound")
    assert [row["attempts"] for row in rows] == [1], "none was deferred"


async def test_432_lowers_the_connections(world: Make, script: Script) -> None:
    script.says["."] = lambda _: "432 4.3.2 sender thread limit exceeded" if script.open_now > 2 else None
    found = await world(smtp(script, connections=8))
    async with found.running():
        await queue(found, *[f"k{n}@kunde.example" for n in range(60)])
        await until(lambda: all_sent(found))
        assert found.lane().throttle.allowed <= 2


async def test_no_more_connections_than_the_desk_says(world: Make, script: Script) -> None:
    script.delay = 0.01
    found = await world(smtp(script, connections=2))
    async with found.running():
        await queue(found, *[f"k{n}@kunde.example" for n in range(20)])
        await until(lambda: len(script.mails) == 20)
    assert script.most_open == 2


async def test_a_worker_that_dies_ends_the_sending(
    world: Make, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(SmtpTransport, "deliver", broken)
    found = await world(smtp(script))
    await queue(found, "a@kunde.example")
    found.sending = Sending(found.store, found.desk, found.settings, found.pace)
    async with asyncio.timeout(20):
        with pytest.raises(ZeroDivisionError):
            await found.sending.run(asyncio.Event())


async def test_starttls_that_is_not_offered_is_named(world: Make, script: Script) -> None:
    found = await world(smtp(script, type="smtptls"))
    async with found.running():
        await queue(found, "a@kunde.example")
        await until(lambda: found.faults() >= 1)
        assert found.lane().fault == "starttls_not_offered"
    assert script.tried("MAIL") == 0, "never in the clear"
