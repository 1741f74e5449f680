"""What is asked of token endpoints, and what their answers mean."""

import json
from base64 import urlsafe_b64decode
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15

from shared.desk.oauth import OAuth2
from shared.oauth.grants import GrantRefused, Purpose, Request, TokenUnavailable, answer, request

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
MICROSOFT = {"provider": "microsoft", "tenant": "empresa.test", "client_id": "app"}
GOOGLE = {"provider": "google", "client_id": "app"}
ASKED = Request("https://login.test/token", {}, ("client-canary", "refresh-canary"))


def asked(desk: dict[str, Any], newest: str = "", purpose: Purpose = "imap", **secrets: str) -> Request:
    oauth2 = OAuth2.model_validate(desk | {field: {"secret": field} for field in secrets})
    return request(oauth2, "caixa@empresa.test", purpose, secrets=secrets, refresh_token=newest, moment=NOW)


def test_microsoft_client_credentials() -> None:
    found = asked(MICROSOFT, client_secret="s")
    assert found.url == "https://login.microsoftonline.com/empresa.test/oauth2/v2.0/token"
    assert found.form == {
        "grant_type": "client_credentials",
        "scope": "https://outlook.office365.com/.default",
        "client_id": "app",
        "client_secret": "s",
    }


@pytest.mark.parametrize(
    ("purpose", "permission"),
    [("imap", "IMAP.AccessAsUser.All"), ("pop3", "POP.AccessAsUser.All"), ("smtp", "SMTP.Send")],
)
def test_microsoft_refresh_token_with_the_scope_of_the_protocol(purpose: Purpose, permission: str) -> None:
    found = asked(MICROSOFT, "newest", purpose, client_secret="s", refresh_token="given")
    assert found.form == {
        "grant_type": "refresh_token",
        "refresh_token": "newest",
        "scope": f"https://outlook.office.com/{permission} offline_access",
        "client_id": "app",
        "client_secret": "s",
    }
    assert set(found.secrets) == {"newest", "s"}


def test_an_application_without_a_client_secret_sends_none() -> None:
    assert "client_secret" not in asked(MICROSOFT, "r", refresh_token="r").form


def test_google_refresh_token() -> None:
    found = asked(GOOGLE, "r", client_secret="s", refresh_token="r")
    assert found.url == "https://oauth2.googleapis.com/token"
    expected = {"grant_type": "refresh_token", "refresh_token": "r", "client_id": "app", "client_secret": "s"}
    assert found.form == expected


def test_google_service_account_signs_for_the_mailbox() -> None:
    private = rsa.generate_private_key(65537, 2048)
    key = {"client_email": "robot@project.test", "private_key_id": "k1", "private_key": pem(private)}
    found = asked({"provider": "google"}, service_account=json.dumps(key))
    assert found.form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    head, claims, signature = found.form["assertion"].split(".")
    assert json.loads(decoded(head)) == {"alg": "RS256", "typ": "JWT", "kid": "k1"}
    assert json.loads(decoded(claims)) == {
        "iss": "robot@project.test",
        "sub": "caixa@empresa.test",
        "scope": "https://mail.google.com/",
        "aud": "https://oauth2.googleapis.com/token",
        "iat": int(NOW.timestamp()),
        "exp": int(NOW.timestamp()) + 3600,
    }
    private.public_key().verify(decoded(signature), f"{head}.{claims}".encode(), PKCS1v15(), hashes.SHA256())


@pytest.mark.parametrize(
    "key",
    ["no JSON", "[]", '{"client_email": "x"}', '{"private_key": "canary", "client_email": "x"}', "elliptic"],
)
def test_what_is_no_key_of_a_service_account_is_told_and_not_shown(key: str) -> None:
    if key == "elliptic":
        key = json.dumps({"client_email": "x", "private_key": pem(ec.generate_private_key(ec.SECP256R1()))})
    with pytest.raises(GrantRefused, match="service_account") as told:
        asked({"provider": "google"}, service_account=key)
    assert "canary" not in str(told.value)


def test_a_token_endpoint_of_another_cloud() -> None:
    assert (
        asked(MICROSOFT | {"token_url": "https://login.cloud.test/t"}, client_secret="s").url
        == "https://login.cloud.test/t"
    )


# --- answers


@pytest.mark.parametrize(
    ("said", "lifetime", "rotated"),
    [
        ({"access_token": "a", "expires_in": 3599}, 3599.0, ""),
        ({"access_token": "a", "expires_in": "3599"}, 3599.0, ""),
        ({"access_token": "a"}, 600.0, ""),
        ({"access_token": "a", "expires_in": "soon"}, 600.0, ""),
        ({"access_token": "a", "expires_in": -5}, 0.0, ""),
        ({"access_token": "a", "expires_in": 60, "refresh_token": "new"}, 60.0, "new"),
        ({"access_token": "a", "expires_in": 60, "refresh_token": ""}, 60.0, ""),
    ],
)
def test_a_token_and_how_long_it_lives(said: dict[str, Any], lifetime: float, rotated: str) -> None:
    assert answer(ASKED, 200, json.dumps(said).encode()) == ("a", lifetime, rotated, None)


def test_when_the_refresh_token_ends() -> None:
    said = {"access_token": "a", "refresh_token_expires_in": 604799}
    assert answer(ASKED, 200, json.dumps(said).encode()).refresh_lifetime == 604799.0


@pytest.mark.parametrize(
    ("status", "body", "raised"),
    [
        (400, b'{"error": "invalid_grant", "error_description": "revoked"}', GrantRefused),
        (401, b'{"error": "invalid_client"}', GrantRefused),
        (403, b'{"error": "access_denied"}', GrantRefused),
        (404, b"<html>", GrantRefused),
        (400, b'{"error": "temporarily_unavailable"}', TokenUnavailable),
        (408, b"", TokenUnavailable),
        (429, b'{"error": "invalid_request"}', TokenUnavailable),
        (500, b"", TokenUnavailable),
        (503, b"<html>", TokenUnavailable),
        (302, b"", TokenUnavailable),
        (200, b"<html>", TokenUnavailable),
        (200, b"[]", TokenUnavailable),
        (200, b'{"access_token": ""}', TokenUnavailable),
        (200, b'{"access_token": "two words"}', TokenUnavailable),
        (200, b'{"access_token": "a\\u0001auth=x"}', TokenUnavailable),
        (200, b"\xff", TokenUnavailable),
    ],
)
def test_what_passes_and_what_needs_somebody(status: int, body: bytes, raised: type[Exception]) -> None:
    with pytest.raises(raised):
        answer(ASKED, status, body)


def test_what_the_provider_says_is_shown_without_our_secrets() -> None:
    with pytest.raises(GrantRefused, match="400 invalid_grant AADSTS70008: expired"):
        answer(ASKED, 400, b'{"error": "invalid_grant", "error_description": "AADSTS70008: expired\\r\\nTrace"}')
    with pytest.raises(GrantRefused) as told:
        answer(ASKED, 400, b'{"error": "invalid_grant", "error_description": "refresh-canary is revoked"}')
    assert "canary" not in str(told.value)


def pem(key: Any) -> str:
    form = serialization.PrivateFormat.PKCS8
    raw: bytes = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    return raw.decode()


def decoded(part: str) -> bytes:
    return urlsafe_b64decode(part + "=" * (-len(part) % 4))
