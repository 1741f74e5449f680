"""What is asked of a token endpoint and what its answer means (RFC 6749, RFC 7523). Pure: the time is an argument."""

import json
import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from shared.desk.oauth import OAuth2
from shared.failures import Transient
from shared.redaction import Redaction

Purpose = Literal["imap", "pop3", "smtp"]

_MICROSOFT = "https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token"
_GOOGLE = "https://oauth2.googleapis.com/token"
_ITSELF = "https://outlook.office365.com/.default"  # client credentials: the permission's name is no scope
_DELEGATED = {
    "imap": "https://outlook.office.com/IMAP.AccessAsUser.All offline_access",
    "pop3": "https://outlook.office.com/POP.AccessAsUser.All offline_access",
    "smtp": "https://outlook.office.com/SMTP.Send offline_access",
}
_MAIL = "https://mail.google.com/"
_JWT_LIVES = 3600  # seconds; Google takes no more
_UNNAMED_LIFETIME = 600.0
_PASSES = {"temporarily_unavailable", "server_error", "slow_down"}
_TOKEN = re.compile(r"[!-~]{1,16384}")
_QUOTED_AT_MOST = 300


class GrantRefused(Exception):
    """The provider gives out no token until somebody changes something: consent, client secret, key, rights.

    One sentence for an administrator; it quotes the provider, never a secret.
    """


class TokenUnavailable(Transient):
    """The token endpoint cannot be reached, or does not serve just now."""


@dataclass(frozen=True, slots=True)
class Request:
    """A form to be posted, and the secrets in it that no answer may repeat."""

    url: str
    form: Mapping[str, str]
    secrets: tuple[str, ...]


class Answer(NamedTuple):
    """Lifetimes in seconds from the answer on. `refresh_token`: in the place of the one that was sent; may be empty."""

    access_token: str
    lifetime: float
    refresh_token: str
    refresh_lifetime: float | None


def request(
    oauth2: OAuth2,
    user: str,
    purpose: Purpose,
    *,
    secrets: Mapping[str, str],
    refresh_token: str,
    moment: datetime,
) -> Request:
    """`secrets`: contents by field of the desk's `oauth2`; `refresh_token`: the newest, empty where none is used.
    Raises GrantRefused for a service account's key that cannot be used."""
    client = {"client_id": oauth2.client_id or ""}
    if "client_secret" in secrets:
        client["client_secret"] = secrets["client_secret"]
    if oauth2.provider == "google":
        url = oauth2.token_url or _GOOGLE
        if "service_account" in secrets:
            form = {
                "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
                "assertion": _assertion(secrets["service_account"], user, url, moment),
            }
            return Request(url, form, (form["assertion"],))
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token, **client}
    else:
        url = oauth2.token_url or _MICROSOFT.format(tenant=oauth2.tenant)
        if refresh_token:
            form = {
                "grant_type": "refresh_token",
                "refresh_token": refresh_token,
                "scope": _DELEGATED[purpose],
                **client,
            }
        else:
            form = {"grant_type": "client_credentials", "scope": _ITSELF, **client}
    sent = (form.get("refresh_token", ""), form.get("client_secret", ""))
    return Request(url, form, tuple(filter(None, sent)))


def answer(asked: Request, status: int, body: bytes) -> Answer:
    """Raises GrantRefused, or TokenUnavailable for what may pass by itself."""
    try:
        said = json.loads(body)
    except ValueError:
        said = {}
    if not isinstance(said, dict):
        said = {}
    if status == 200 and _TOKEN.fullmatch(str(said.get("access_token", ""))):
        rotated = str(said.get("refresh_token") or "")
        refresh_lifetime = _seconds(said.get("refresh_token_expires_in"))
        lifetime = _seconds(said.get("expires_in"))
        return Answer(
            said["access_token"],
            _UNNAMED_LIFETIME if lifetime is None else lifetime,
            rotated if _TOKEN.fullmatch(rotated) else "",
            refresh_lifetime,
        )
    error = str(said.get("error") or "")
    words = f"{status} {error} {said.get('error_description') or ''}".strip()
    shown = "".join(c if c.isprintable() else " " for c in words)[:_QUOTED_AT_MOST]
    text = f"the token endpoint {asked.url} answers {Redaction(asked.secrets).text(shown)!r}"
    if status in (408, 429) or not 400 <= status < 500 or error in _PASSES:
        raise TokenUnavailable(text)
    raise GrantRefused(text)


def _seconds(value: Any) -> float | None:
    """Some endpoints write numbers as texts."""
    try:
        return max(0.0, float(value))
    except (TypeError, ValueError):
        return None


def _assertion(key_file: str, user: str, audience: str, moment: datetime) -> str:
    """A JWT that a service account signs to act for `user` (RFC 7523, RS256)."""
    try:
        key = json.loads(key_file)
        private = load_pem_private_key(key["private_key"].encode(), password=None)
        issuer, key_id = key["client_email"], key.get("private_key_id")
    except (ValueError, KeyError, TypeError, AttributeError, UnsupportedAlgorithm):
        raise GrantRefused("the secret of service_account is not the JSON key that Google gave out") from None
    if not isinstance(private, RSAPrivateKey):
        raise GrantRefused("the key of service_account is no RSA key")
    issued = int(moment.timestamp())
    head = {"alg": "RS256", "typ": "JWT"} | ({"kid": key_id} if key_id else {})
    claims = {
        "iss": issuer,
        "sub": user,
        "scope": _MAIL,
        "aud": audience,
        "iat": issued,
        "exp": issued + _JWT_LIVES,
    }
    signed = ".".join(_base64(json.dumps(part, separators=(",", ":")).encode()) for part in (head, claims))
    return f"{signed}.{_base64(private.sign(signed.encode(), PKCS1v15(), hashes.SHA256()))}"


def _base64(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
