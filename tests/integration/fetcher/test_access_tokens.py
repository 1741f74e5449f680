"""Log-in with an access token: what is said to the server, and what its refusals mean."""

import asyncio
import json
import secrets
from base64 import b64decode, b64encode
from collections.abc import Iterator

import pytest

from services.fetcher import faults
from shared import metrics
from tests.integration.fetcher.conftest import Connect
from tests.integration.fetcher.dialogue import CAPABILITIES, Server, scripted
from tests.integration.fetcher.test_commands import carteiro
from tests.integration.fetcher.test_pop3 import enter
from tests.integration.fetcher.world import World, mail, until
from tests.token_endpoint import TokenEndpoint, token, token_endpoint

XOAUTH2 = "IMAP4rev1 SASL-IR AUTH=PLAIN AUTH=XOAUTH2"
SAID = b64encode(b"user=suporte@demo.test\x01auth=Bearer canary\x01\x01").decode()
REASON = b64encode(b'{"status":"401","schemes":"bearer"}').decode()
LONG = "t" * 2000


async def log_in_with(connect: Connect, port: int, text: str = "canary") -> None:
    await connect(port, user="suporte@demo.test", password=text, bearer=True)


async def test_xoauth2_in_one_line(log_in: Connect) -> None:
    async def serve(server: Server) -> None:
        await server.greets(XOAUTH2)
        assert await server.hears("AUTHENTICATE XOAUTH2") == SAID
        await server.answers()
        await server.tells_capabilities()
        await server.hangs()

    async with scripted(serve) as server:
        await log_in_with(log_in, server.port)


async def test_xoauth2_behind_the_servers_question(log_in: Connect) -> None:
    async def serve(server: Server) -> None:
        await server.greets("IMAP4rev1 AUTH=XOAUTH2")
        assert await server.hears("AUTHENTICATE XOAUTH2") == ""
        await server.says("+ ")
        assert await server.hears_line() == SAID
        await server.answers()
        await server.tells_capabilities()
        await server.hangs()

    async with scripted(serve) as server:
        await log_in_with(log_in, server.port)


@pytest.mark.parametrize("at_once", [True, False])
async def test_a_challenge_is_the_reason_of_the_refusal_and_is_answered(log_in: Connect, at_once: bool) -> None:
    async def refuse(server: Server) -> None:
        await server.greets(XOAUTH2 if at_once else "IMAP4rev1 AUTH=XOAUTH2")
        await server.hears("AUTHENTICATE XOAUTH2")
        if not at_once:
            await server.says("+ ")
            await server.hears_line()
        await server.says(f"+ {REASON}")
        assert await server.hears_line() == ""
        await server.answers(tagged="NO AUTHENTICATE failed.")
        await server.hangs()

    async with scripted(refuse) as server:
        with pytest.raises(faults.AuthFailed, match=r"AUTHENTICATE failed\. .*401"):
            await log_in_with(log_in, server.port)


async def test_oauthbearer_where_there_is_no_xoauth2(log_in: Connect) -> None:
    async def refuse(server: Server) -> None:
        await server.greets("IMAP4rev1 SASL-IR AUTH=OAUTHBEARER")
        said = b64decode(await server.hears("AUTHENTICATE OAUTHBEARER"))
        assert said.startswith(b"n,a=suporte@demo.test,\x01host=127.0.0.1\x01port=")
        await server.says(f"+ {REASON}")
        assert b64decode(await server.hears_line()) == b"\x01"
        await server.answers(tagged="NO no")
        await server.hangs()

    async with scripted(refuse) as server:
        with pytest.raises(faults.AuthFailed, match="401"):
            await log_in_with(log_in, server.port)


async def test_a_token_is_never_sent_as_a_password(log_in: Connect) -> None:
    async def serve(server: Server) -> None:
        await server.greets(CAPABILITIES)
        await server.hears_nothing_more()

    async with scripted(serve) as server:
        with pytest.raises(faults.AuthFailed, match="takes no access token"):
            await log_in_with(log_in, server.port)


async def test_a_token_that_the_server_repeats_is_not_quoted(log_in: Connect) -> None:
    async def repeat(server: Server) -> None:
        await server.greets(XOAUTH2)
        said = await server.hears("AUTHENTICATE XOAUTH2")
        await server.answers(tagged=f"NO not with {said}")
        await server.hangs()

    async with scripted(repeat) as server:
        with pytest.raises(faults.AuthFailed, match="withheld") as told:
            await log_in_with(log_in, server.port)
        assert SAID[30:] not in str(told.value)


async def test_authenticated_but_not_connected_is_told_as_the_wrong_mailbox(log_in: Connect) -> None:
    async def exchange(server: Server) -> None:
        await server.greets(XOAUTH2)
        await server.hears("AUTHENTICATE XOAUTH2")
        await server.answers(tagged="OK AUTHENTICATE completed.")
        await server.tells_capabilities()
        await server.hears("SELECT")
        await server.answers(tagged="BAD User is authenticated but not connected.")
        await server.hangs()

    async with scripted(exchange) as server:
        mailbox = await log_in(server.port, user="suporte@demo.test", password="canary", bearer=True)
        with pytest.raises(faults.MailboxRefused, match="to no mailbox"):
            await mailbox.open("INBOX")


# --- POP3


@pytest.mark.parametrize("text", ["canary", LONG], ids=["short", "long"])
async def test_pop3_sends_a_long_token_behind_the_servers_question(text: str) -> None:
    said = b64encode(f"user=u\x01auth=Bearer {text}\x01\x01".encode()).decode()

    async def serve(server: Server) -> None:
        await server.says("+OK ready")
        assert await server.hears_line() == "CAPA"
        await server.says("+OK", "USER", "SASL PLAIN XOAUTH2", ".")
        line = await server.hears_line()
        if text == LONG:
            assert line == "AUTH XOAUTH2"
            await server.says("+")
            assert await server.hears_line() == said
        else:
            assert line == f"AUTH XOAUTH2 {said}"
        await server.says("+OK in")
        assert await server.hears_line() == "CAPA"
        await server.says("+OK", ".")
        await server.hangs()

    async with scripted(serve) as server:
        await enter(server.port, password=text, bearer=True)


@pytest.mark.parametrize("offered", ["SASL XOAUTH2", "SASL PLAIN"])
async def test_pop3_refusals(offered: str) -> None:
    async def refuse(server: Server) -> None:
        await server.says("+OK ready")
        await server.hears_line()
        await server.says("+OK", "USER", offered, ".")
        if offered == "SASL PLAIN":
            await server.hears_nothing_more()
            return
        await server.hears_line()
        await server.says(f"+ {REASON}")
        assert await server.hears_line() == ""
        await server.says("-ERR no")
        await server.hangs()

    async with scripted(refuse) as server:
        with pytest.raises(faults.AuthFailed, match="401" if "XOAUTH2" in offered else "no access token"):
            await enter(server.port, password="canary", bearer=True)


# --- the whole way: a token endpoint, a mail server that takes tokens, Kafka, PostgreSQL


@pytest.fixture
def endpoint() -> Iterator[TokenEndpoint]:
    with token_endpoint() as running:
        yield running


def use(world: World, endpoint: TokenEndpoint, *, refresh: bool = False, **account: object) -> None:
    (world.secrets / "client").write_text("client-canary")
    (world.secrets / "refresh").write_text("refresh-canary")
    (world.secrets / "oauth_keys").write_text(secrets.token_hex(32))
    token_of = "refresh_token: {secret: refresh}, " if refresh else ""
    world.account = {
        "oauth2": f"{{provider: microsoft, tenant: t, client_id: app, client_secret: {{secret: client}}, {token_of}"
        f"token_url: '{endpoint.url}'}}",
        **account,
    }
    world.write_desk()


async def _error_is(world: World, error: str) -> bool:
    return (await world.status()).get("error") == error


def failing() -> set[str]:
    return {labels[1] for labels in metrics.account_failing._metrics if labels[0] == "caixa"}


async def test_mail_is_fetched_with_an_access_token(world: World, endpoint: TokenEndpoint) -> None:
    use(world, endpoint, refresh=True)
    endpoint.answers = [(200, token(world.user, refresh_token="rotated-canary"))]  # GreenMail's tokens are passwords
    await world.deliver(mail(1))
    async with world.fetcher():
        assert len(await world.received(1)) == 1
    kept = await world.row("SELECT sealed FROM fetcher.refresh_tokens WHERE account = 'caixa'")
    assert b"canary" not in kept["sealed"]


async def test_a_withdrawn_consent_is_told_at_once_and_a_new_one_tried_soon(
    world: World, endpoint: TokenEndpoint
) -> None:
    use(world, endpoint, refresh=True)
    endpoint.answers = [(400, {"error": "invalid_grant", "error_description": "AADSTS50173: withdrawn"})]
    await world.deliver(mail(1))
    async with world.fetcher():
        await until(lambda: _error_is(world, "grant_refused"))
        assert "AADSTS50173" in (await world.status())["error_text"]
        assert failing() == {"grant_refused"}

        async def waits() -> bool:
            return len(endpoint.forms) >= 3

        await until(waits)
        endpoint.answers = [(200, token(world.user))]
        (world.secrets / "refresh").write_text("consented anew")
        assert len(await world.received(1)) == 1
        await until(lambda: _error_is(world, ""))
        assert failing() == set()
    assert "canary" not in json.dumps([form["refresh_token"] for form in endpoint.forms[3:]])


async def test_an_endpoint_that_is_away_is_no_refusal(world: World, endpoint: TokenEndpoint) -> None:
    use(world, endpoint)
    endpoint.answers = [(503, b""), (503, b""), (200, token(world.user))]
    await world.deliver(mail(1))
    async with world.fetcher():
        await until(lambda: _error_is(world, "token_unavailable"))
        assert len(await world.received(1)) == 1


async def test_a_token_that_ends_in_the_middle_of_a_connection_is_replaced(
    world: World, endpoint: TokenEndpoint
) -> None:
    endpoint.answers = [(200, token("first", 2.0)), (200, token("second"))]

    async def ends(server: Server) -> None:
        await server.greets(XOAUTH2 + " IDLE")
        said = b64decode(await server.hears("AUTHENTICATE XOAUTH2"))
        assert b"Bearer first\x01" in said
        await server.answers()
        await server.tells_capabilities("IMAP4rev1 IDLE")
        await server.opens(exists=0, uidnext=1)
        await server.hears("UID SEARCH")
        await server.answers("* SEARCH")
        await server.hears("IDLE")
        await server.says("+ idling")
        await asyncio.sleep(2.1)  # the life of the first token, by the clock of both ends
        await server.says("* BYE Session invalidated - AccessTokenExpired")

    async def goes_on(server: Server) -> None:
        await server.greets(XOAUTH2)
        assert b"Bearer second\x01" in b64decode(await server.hears("AUTHENTICATE XOAUTH2"))
        again.set()
        await server.hangs()

    again = asyncio.Event()
    async with scripted(ends, goes_on) as server:
        use(world, endpoint, type="imap", host="127.0.0.1", port=server.port)
        async with world.fetcher(), asyncio.timeout(30):
            await again.wait()


async def test_a_token_that_the_server_refuses_is_not_shown_again(world: World, endpoint: TokenEndpoint) -> None:
    endpoint.answers = [(200, token("first")), (200, token("second"))]
    shown: list[bytes] = []
    thrice = asyncio.Event()

    async def refuse(server: Server) -> None:
        await server.greets(XOAUTH2)
        shown.append(b64decode(await server.hears("AUTHENTICATE XOAUTH2")))
        if len(shown) == 3:
            thrice.set()
        await server.answers(tagged="NO AUTHENTICATE failed.")
        await server.hangs()

    async with scripted(refuse) as server:
        use(world, endpoint, type="imap", host="127.0.0.1", port=server.port)
        async with world.fetcher():
            async with asyncio.timeout(30):
                await thrice.wait()
    assert [b"first" in each for each in shown] == [True, False, False]


# --- carteiro account test


async def test_account_test_names_the_token_as_a_step(world: World, endpoint: TokenEndpoint) -> None:
    use(world, endpoint, refresh=True)
    endpoint.answers = [(200, token(world.user, refresh_token="rotated"))]
    ended = await carteiro(world, "account", "test", "caixa", "--json")
    steps = [json.loads(line) for line in ended.stdout.splitlines()]
    assert [(step["step"], step["result"]) for step in steps[:2]] == [("secret", "ok"), ("token", "ok")], steps
    assert (ended.returncode, steps[-1]["step"]) == (0, "folder"), steps
    assert await world.row("SELECT count(*) AS kept FROM fetcher.refresh_tokens WHERE sealed IS NOT NULL") == {
        "kept": 1
    }


async def test_account_test_tells_a_refused_grant_with_what_to_do(world: World, endpoint: TokenEndpoint) -> None:
    use(world, endpoint)
    endpoint.answers = [
        (401, {"error": "invalid_client", "error_description": "AADSTS7000222: the secret has expired"})
    ]
    ended = await carteiro(world, "account", "test", "caixa")
    assert ended.returncode == 1
    last = ended.stdout.decode().splitlines()[-1]
    assert last.startswith("failed  token")
    assert "AADSTS7000222" in last
    assert "renew" in last
    assert b"canary" not in ended.stdout + ended.stderr


async def test_account_test_tells_the_wrong_mailbox(world: World, endpoint: TokenEndpoint) -> None:
    async def exchange(server: Server) -> None:
        await server.greets(XOAUTH2)
        await server.hears("AUTHENTICATE XOAUTH2")
        await server.answers()
        await server.tells_capabilities()
        await server.hears("EXAMINE")
        await server.answers(tagged="BAD User is authenticated but not connected.")
        await server.hangs()

    async def touched(server: Server) -> None:
        await server.hangs()

    async with scripted(touched, exchange) as server:
        use(world, endpoint, type="imap", host="127.0.0.1", port=server.port)
        ended = await carteiro(world, "account", "test", "caixa")
    assert ended.returncode == 1
    assert "Add-MailboxPermission" in ended.stdout.decode().splitlines()[-1]
