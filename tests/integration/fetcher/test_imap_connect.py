"""Greeting, TLS and log-in against scripted servers: what a server may do wrong before it has let us in."""

import asyncio
import base64
import ssl

import pytest

from services.fetcher import faults
from services.fetcher.protocol import Security
from tests.integration.fetcher.conftest import Connect
from tests.integration.fetcher.dialogue import CAPABILITIES, Script, Server, scripted


async def hang_up(server: Server) -> None:
    pass


async def say_nothing(server: Server) -> None:
    await server.hangs()


async def say_bye(server: Server) -> None:
    await server.says("* BYE Too many simultaneous connections")
    await server.hangs()


async def speak_smtp(server: Server) -> None:
    await server.says("220 mail.example ESMTP")
    await server.hangs()


@pytest.mark.parametrize(
    ("script", "fault"),
    [
        (hang_up, faults.ConnectFailed),
        (say_nothing, faults.TimedOut),
        (say_bye, faults.Busy),
        (speak_smtp, faults.ProtocolFault),
    ],
)
async def test_a_server_that_does_not_greet_is_told_apart(
    log_in: Connect, script: Script, fault: type[faults.Fault]
) -> None:
    async with scripted(script) as server:
        with pytest.raises(fault):
            await log_in(server.port, deadline=0.5)


async def test_a_connection_closed_before_the_greeting_is_noticed_at_once(log_in: Connect) -> None:
    async with scripted(hang_up) as server, asyncio.timeout(1.0):
        with pytest.raises(faults.ConnectFailed):
            await log_in(server.port, deadline=30.0)


async def test_nobody_listening_is_connect_failed(log_in: Connect) -> None:
    async with scripted(hang_up) as server:
        port = server.port
    with pytest.raises(faults.ConnectFailed):
        await log_in(port)


async def test_greeting_and_log_in_share_one_deadline(log_in: Connect) -> None:
    async def dawdle(server: Server) -> None:
        await asyncio.sleep(0.3)
        await server.greets()
        await server.hears("LOGIN")
        await server.hangs()

    async with scripted(dawdle) as server:
        began = asyncio.get_running_loop().time()
        with pytest.raises(faults.TimedOut):
            await log_in(server.port, deadline=0.5)
        assert asyncio.get_running_loop().time() - began < 0.7


async def test_capabilities_are_asked_again_after_the_log_in(log_in: Connect) -> None:
    async def grow(server: Server) -> None:
        await server.greets("IMAP4rev1")
        await server.hears("LOGIN")
        await server.answers(tagged="OK [CAPABILITY IMAP4rev1 MOVE] in")
        await server.tells_capabilities("IMAP4rev1 IDLE UIDPLUS")
        await server.hangs()

    async with scripted(grow) as server:
        mailbox = await log_in(server.port)
        assert mailbox.capabilities == {"IMAP4REV1", "IDLE", "UIDPLUS"}


async def test_name_and_password_are_quoted(log_in: Connect) -> None:
    async def listen(server: Server) -> None:
        await server.greets()
        assert await server.hears("LOGIN") == '"jane doe" "a\\"b\\\\c"'
        await server.answers()
        await server.tells_capabilities()
        await server.hangs()

    async with scripted(listen) as server:
        await log_in(server.port, user="jane doe", password='a"b\\c')


@pytest.mark.parametrize("password", ["geheim\r\nX LOGOUT", "ge\nheim", "ge\0heim"])
async def test_a_line_end_in_a_password_never_becomes_a_second_command(log_in: Connect, password: str) -> None:
    async def listen(server: Server) -> None:
        await server.greets()
        await server.hears_nothing_more()

    async with scripted(listen) as server:
        with pytest.raises(faults.ProtocolFault) as raised:
            await log_in(server.port, password=password)
        assert "geheim" not in str(raised.value)


@pytest.mark.parametrize("at_once", [True, False], ids=["with SASL-IR", "without SASL-IR"])
async def test_a_password_beyond_ascii_goes_by_authenticate_plain(log_in: Connect, at_once: bool) -> None:
    token = base64.b64encode("\0jané\0schlüssel".encode()).decode()
    capabilities = "IMAP4rev1 AUTH=PLAIN" + (" SASL-IR" if at_once else "")

    async def listen(server: Server) -> None:
        await server.greets(capabilities)
        said = await server.hears("AUTHENTICATE PLAIN")
        if not at_once:
            await server.says("+ ")
            said = await server.hears_line()
        assert said == token
        await server.answers()
        await server.tells_capabilities()
        await server.hangs()

    async with scripted(listen) as server:
        await log_in(server.port, user="jané", password="schlüssel")


async def test_a_challenge_beyond_plain_is_cancelled_and_the_refusal_taken(log_in: Connect) -> None:
    async def challenge(server: Server) -> None:
        await server.greets("IMAP4rev1 AUTH=PLAIN SASL-IR LOGINDISABLED")
        await server.hears("AUTHENTICATE PLAIN")
        await server.says("+ ZXJyb3I=")
        assert await server.hears_line() == "*"
        await server.answers(tagged="NO [AUTHENTICATIONFAILED] no")
        await server.hangs()

    async with scripted(challenge) as server:
        with pytest.raises(faults.AuthFailed):
            await log_in(server.port)


async def test_without_a_fitting_log_in_nothing_is_sent(log_in: Connect) -> None:
    async def listen(server: Server) -> None:
        await server.greets("IMAP4rev1 LOGINDISABLED")
        await server.hears_nothing_more()

    async with scripted(listen) as server:
        with pytest.raises(faults.AuthFailed):
            await log_in(server.port)


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        ("NO [AUTHENTICATIONFAILED] wrong", faults.AuthFailed),
        ("NO login failed", faults.AuthFailed),
        ("NO [LIMIT] Too many connections from this account", faults.Busy),
        ("NO [INUSE] mailbox locked", faults.Busy),
        ("NO [UNAVAILABLE] user database is down", faults.Busy),
        ("NO [THROTTLED] slow down", faults.Throttled),
    ],
)
async def test_a_refused_log_in_says_of_what_kind(log_in: Connect, answer: str, fault: type[faults.Fault]) -> None:
    async def refuse(server: Server) -> None:
        await server.greets()
        await server.hears("LOGIN")
        await server.answers(tagged=answer)
        await server.hangs()

    async with scripted(refuse) as server:
        with pytest.raises(fault):
            await log_in(server.port)


async def test_a_server_that_repeats_the_password_does_not_get_it_into_the_status(log_in: Connect) -> None:
    async def repeat(server: Server) -> None:
        await server.greets()
        await server.hears("LOGIN")
        await server.answers(tagged="NO wrong password canary-4711")
        await server.hangs()

    async with scripted(repeat) as server:
        with pytest.raises(faults.AuthFailed) as raised:
            await log_in(server.port, password="canary-4711")
        assert "canary-4711" not in str(raised.value)


# --- TLS


async def test_imaps_with_a_known_issuer_and_the_right_name_works(
    log_in: Connect, server_tls: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    async def serve(server: Server) -> None:
        await server.lets_in()
        await server.hangs()

    async with scripted(serve, tls=server_tls) as server:
        mailbox = await log_in(server.port, Security.tls, trusting, host="localhost")
        assert "IDLE" in mailbox.capabilities


async def test_an_unknown_issuer_is_refused(log_in: Connect, server_tls: ssl.SSLContext) -> None:
    async with scripted(say_nothing, tls=server_tls) as server:
        with pytest.raises(faults.TlsFailed, match="certificate"):
            await log_in(server.port, Security.tls, ssl.create_default_context(), host="localhost")


async def test_a_certificate_for_another_host_is_refused(
    log_in: Connect, server_tls: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    async with scripted(say_nothing, tls=server_tls) as server:
        with pytest.raises(faults.TlsFailed, match="certificate"):
            await log_in(server.port, Security.tls, trusting, host="127.0.0.1")


async def test_imaps_to_a_port_without_tls_is_tls_failed(log_in: Connect, trusting: ssl.SSLContext) -> None:
    async with scripted(speak_smtp) as server:
        with pytest.raises(faults.TlsFailed):
            await log_in(server.port, Security.tls, trusting, host="localhost")


async def test_starttls_hides_the_log_in_and_forgets_what_was_offered_before(
    log_in: Connect, server_tls: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    async def serve(server: Server) -> None:
        await server.greets("IMAP4rev1 STARTTLS LOGINDISABLED")
        await server.hears("STARTTLS")
        await server.answers()
        await server.starts_tls(server_tls)
        await server.tells_capabilities("IMAP4rev1")
        await server.hears("LOGIN")
        await server.answers()
        await server.tells_capabilities("IMAP4rev1 IDLE")
        await server.opens(uidnext=12)
        await server.hangs()

    async with scripted(serve) as server:
        mailbox = await log_in(server.port, Security.starttls, trusting, host="localhost")
        assert (await mailbox.open("INBOX")).uidnext == 12


@pytest.mark.parametrize("trusted", [False, True], ids=["unknown issuer", "other host"])
async def test_starttls_verifies_the_certificate(
    log_in: Connect, server_tls: ssl.SSLContext, trusting: ssl.SSLContext, trusted: bool
) -> None:
    async def serve(server: Server) -> None:
        await server.greets("IMAP4rev1 STARTTLS")
        await server.hears("STARTTLS")
        await server.answers()
        await server.starts_tls(server_tls)
        await server.hears_nothing_more()

    context, host = (trusting, "127.0.0.1") if trusted else (ssl.create_default_context(), "localhost")
    async with scripted(serve) as server:
        with pytest.raises(faults.TlsFailed, match="certificate"):
            await log_in(server.port, Security.starttls, context, host=host)


async def test_a_stripped_starttls_is_refused_before_the_password_is_sent(
    log_in: Connect, trusting: ssl.SSLContext
) -> None:
    async def strip(server: Server) -> None:
        await server.greets(CAPABILITIES)
        await server.hears_nothing_more()

    async with scripted(strip) as server:
        with pytest.raises(faults.TlsFailed, match="STARTTLS"):
            await log_in(server.port, Security.starttls, trusting, host="localhost")


async def test_a_refused_starttls_is_not_gone_around(log_in: Connect, trusting: ssl.SSLContext) -> None:
    async def refuse(server: Server) -> None:
        await server.greets("IMAP4rev1 STARTTLS")
        await server.hears("STARTTLS")
        await server.answers(tagged="NO not today")
        await server.hears_nothing_more()

    async with scripted(refuse) as server:
        with pytest.raises(faults.TlsFailed):
            await log_in(server.port, Security.starttls, trusting, host="localhost")


async def test_preauth_is_refused_where_starttls_is_demanded(log_in: Connect, trusting: ssl.SSLContext) -> None:
    async def pretend(server: Server) -> None:
        await server.says("* PREAUTH you are in already")
        await server.hears_nothing_more()

    async with scripted(pretend) as server:
        with pytest.raises(faults.TlsFailed, match="PREAUTH"):
            await log_in(server.port, Security.starttls, trusting, host="localhost")


@pytest.mark.parametrize("together", [True, False], ids=["in one packet", "a moment later"])
async def test_bytes_behind_the_ok_to_starttls_are_an_attack(
    log_in: Connect, server_tls: ssl.SSLContext, trusting: ssl.SSLContext, together: bool
) -> None:
    async def inject(server: Server) -> None:
        await server.greets("IMAP4rev1 STARTTLS")
        await server.hears("STARTTLS")
        ok = f"{server.tag} OK begin\r\n".encode()
        injected = b"* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n"
        if together:
            await server.sends(ok + injected)
        else:
            await server.sends(ok)
            await server.sends(injected)
        await server.hangs()

    async with scripted(inject) as server:
        with pytest.raises(faults.TlsFailed):
            await log_in(server.port, Security.starttls, trusting, host="localhost")


async def test_we_say_who_we_are_where_the_server_asks(log_in: Connect) -> None:
    async def serve(server: Server) -> None:
        await server.lets_in("IMAP4rev1 ID")
        assert "Carteiro" in await server.hears("ID")
        await server.answers("* ID NIL", tagged="NO whoever you are")
        await server.opens(uidnext=12)
        await server.hangs()

    async with scripted(serve) as server:
        mailbox = await log_in(server.port)
        assert (await mailbox.open("INBOX")).uidnext == 12
