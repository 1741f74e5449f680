"""Access tokens from a real token endpoint on loopback."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

from shared import metrics
from shared.desk.oauth import OAuth2
from shared.desk.secret_files import SecretError
from shared.failures import Transient
from shared.oauth import GrantRefused, Tokens, TokenUnavailable, trust
from tests.token_endpoint import TokenEndpoint, token, token_endpoint

GONE = (400, {"error": "invalid_grant", "error_description": "the consent was withdrawn"})


class Shelf:
    """A vault in memory that can be away."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.away = False
        self.forms_when_saved: list[int] = []
        self.endpoint: TokenEndpoint | None = None
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def turn(self, name: str) -> AsyncIterator[None]:
        async with self._turn:
            yield

    async def load(self, name: str) -> bytes | None:
        return self.kept.get(name)

    async def save(self, name: str, sealed: bytes) -> None:
        if self.away:
            raise Transient("away")
        assert self.endpoint is not None
        self.forms_when_saved.append(len(self.endpoint.forms))
        self.kept[name] = sealed


class Clock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


class Made:
    def __init__(self, endpoint: TokenEndpoint, folder: Path) -> None:
        self.endpoint, self.folder = endpoint, folder
        self.shelf, self.clock = Shelf(), Clock()
        self.shelf.endpoint = endpoint
        for name, text in (("oauth_keys", "k" * 64), ("client", "client-canary"), ("refresh", "given")):
            self.secret(name, text)

    def secret(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    def tokens(self, *, refresh: bool = True, ca_file: Path | None = None, **desk: Any) -> Tokens:
        fields: dict[str, Any] = {"provider": "microsoft", "tenant": "t", "client_id": "app"}
        fields |= {"client_secret": {"secret": "client"}, "token_url": self.endpoint.url}
        fields |= {"refresh_token": {"secret": "refresh"}} if refresh else {}
        return Tokens(
            "caixa",
            OAuth2.model_validate(fields | desk),
            "caixa@empresa.test",
            "imap",
            secrets=self.folder,
            vault=self.shelf,
            trust=trust(ca_file),
            clock=self.clock,
        )

    def sent(self) -> list[str]:
        return [form.get("refresh_token", "") for form in self.endpoint.forms]


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Made]:
    with token_endpoint() as endpoint:
        yield Made(endpoint, tmp_path)


def gauge(which: Any) -> float:
    return float(which.labels("caixa", "imap")._value.get())


async def test_a_token_is_used_until_it_is_time_for_the_next(made: Made) -> None:
    tokens = made.tokens(refresh=False)
    made.endpoint.answers = [(200, token("first")), (200, token("second"))]
    assert [await tokens.token(), await tokens.token()] == ["first", "first"]
    made.clock.seconds += 3600 * 0.75 - 1
    assert await tokens.token() == "first"
    made.clock.seconds += 3600 * 0.15 + 2  # early: a tenth of its lifetime is left
    assert await tokens.token() == "second"
    assert [form["grant_type"] for form in made.endpoint.forms] == ["client_credentials"] * 2


async def test_accounts_that_began_together_do_not_renew_together(made: Made) -> None:
    due = set()
    for _ in range(8):
        tokens = made.tokens(refresh=False)
        await tokens.token()
        due.add(tokens._renew_at)
    assert len(due) > 1


async def test_one_renewal_at_a_time_serves_everybody(made: Made) -> None:
    made.endpoint.answers = [(200, token("first", refresh_token="second"))]
    made.endpoint.go_on.clear()
    tokens = made.tokens()
    asking = [asyncio.create_task(tokens.token()) for _ in range(20)]
    while not made.endpoint.forms:
        await asyncio.sleep(0.01)
    made.endpoint.go_on.set()
    assert set(await asyncio.gather(*asking)) == {"first"}
    assert len(made.endpoint.forms) == 1


async def test_two_processes_do_not_use_one_refresh_token_twice(made: Made) -> None:
    made.endpoint.answers = [(200, token("a", refresh_token="second")), (200, token("b", refresh_token="third"))]
    await asyncio.gather(made.tokens().token(), made.tokens().token())
    assert made.sent() == ["given", "second"]
    assert made.endpoint.most_at_once == 1


async def test_a_rotated_refresh_token_is_kept_before_it_is_used_and_over_a_restart(made: Made) -> None:
    made.endpoint.answers = [(200, token("a", refresh_token="second")), (200, token("b", refresh_token="third"))]
    await made.tokens().token()
    assert made.shelf.forms_when_saved == [1]
    assert b"second" not in made.shelf.kept["caixa"]
    await made.tokens().token()  # another process
    await made.tokens().token()
    assert made.sent() == ["given", "second", "third"]


async def test_a_rotated_refresh_token_that_cannot_be_kept_is_not_used_and_not_lost(made: Made) -> None:
    made.endpoint.answers = [(200, token("a", refresh_token="second")), (200, token("b"))]
    made.shelf.away = True
    tokens = made.tokens()
    for _ in range(2):
        with pytest.raises(Transient, match="away"):
            await tokens.token()
    assert made.sent() == ["given"]
    made.shelf.away = False
    assert await tokens.token() == "b"
    assert made.sent() == ["given", "second"]


async def test_a_stop_in_the_middle_of_a_renewal_keeps_what_was_rotated(made: Made) -> None:
    made.endpoint.answers = [(200, token("a", refresh_token="second"))]
    made.endpoint.go_on.clear()
    asking = asyncio.create_task(made.tokens().token())
    while not made.endpoint.forms:
        await asyncio.sleep(0.01)
    asking.cancel()
    await asyncio.sleep(0)
    made.endpoint.go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert "caixa" in made.shelf.kept


async def test_another_refresh_token_in_the_secrets_counts_at_once(made: Made) -> None:
    made.endpoint.answers = [(200, token("a", refresh_token="second")), GONE, (200, token("b"))]
    await made.tokens().token()
    tokens = made.tokens()
    with pytest.raises(GrantRefused):
        await tokens.token()
    before = tokens.fingerprint()
    made.secret("refresh", "given anew")
    assert tokens.fingerprint() != before
    assert await tokens.token() == "b"
    assert made.sent() == ["given", "second", "given anew"]


async def test_keys_that_were_lost_lead_back_to_the_given_refresh_token(made: Made) -> None:
    made.endpoint.answers = [(200, token("a", refresh_token="second"))]
    await made.tokens().token()
    made.secret("oauth_keys", "another key of enough length")
    await made.tokens().token()
    assert made.sent() == ["given", "given"]


async def test_a_refused_grant_is_told_and_ends_with_the_next_token(made: Made) -> None:
    made.endpoint.answers = [GONE, (200, token("a"))]
    tokens = made.tokens(refresh=False)
    with pytest.raises(GrantRefused, match="the consent was withdrawn"):
        await tokens.token()
    assert gauge(metrics.oauth_refused) == 1
    await tokens.token()
    assert gauge(metrics.oauth_refused) == 0
    assert gauge(metrics.oauth_token_expires) > 0
    tokens.forget()
    assert ("caixa", "imap") not in metrics.oauth_refused._metrics


@pytest.mark.parametrize("fault", [GONE, (503, b"")])
async def test_a_renewal_that_fails_leaves_the_token_that_is_still_valid(made: Made, fault: tuple[int, Any]) -> None:
    made.endpoint.answers = [(200, token("a")), fault]
    tokens = made.tokens(refresh=False)
    await tokens.token()
    made.clock.seconds += 3500
    assert await tokens.token() == "a"
    assert gauge(metrics.oauth_refused) == (fault is GONE)
    made.clock.seconds += 101
    with pytest.raises((GrantRefused, TokenUnavailable)):
        await tokens.token()


async def test_a_token_that_the_mail_server_refused_is_not_shown_again(made: Made) -> None:
    made.endpoint.answers = [(200, token("a")), (200, token("b"))]
    tokens = made.tokens(refresh=False)
    await tokens.token()
    tokens.refused()
    assert await tokens.token() == "b"


async def test_nobody_is_led_elsewhere_with_our_secrets(made: Made) -> None:
    with token_endpoint() as elsewhere:
        made.endpoint.answers = [(302, b"")]
        made.endpoint.headers = {"Location": elsewhere.url}
        with pytest.raises(TokenUnavailable, match="302"):
            await made.tokens(refresh=False).token()
        assert elsewhere.forms == []


async def test_an_endpoint_that_is_not_there(made: Made) -> None:
    made.endpoint.close()
    with pytest.raises(TokenUnavailable, match="cannot be reached"):
        await made.tokens(refresh=False).token()
    with pytest.raises(SecretError, match="gone"):
        await made.tokens(refresh=False, client_secret={"secret": "gone"}).token()
    assert gauge(metrics.oauth_refused) == 1


async def test_the_endpoints_certificate_is_verified(tmp_path: Path) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with token_endpoint(context) as endpoint:
        made = Made(endpoint, tmp_path)
        with pytest.raises(TokenUnavailable, match="certificate is not accepted"):
            await made.tokens(refresh=False).token()
        assert endpoint.forms == []
        assert await made.tokens(refresh=False, ca_file=tmp_path / "ca.pem").token() == "first"


def test_an_authority_of_ones_own_stands_beside_the_systems(tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with_own, without = trust(tmp_path / "ca.pem"), trust(None)
    assert with_own.cert_store_stats()["x509_ca"] == without.cert_store_stats()["x509_ca"] + 1
