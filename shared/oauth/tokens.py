"""Access tokens of one account: asked for early, one request at a time, a rotated refresh token kept before it is used.

What a token endpoint does not give just now is asked for again by whoever needs it, with his own back-off: nothing
here runs by itself, so a refusal leads to no storm.
"""

import asyncio
import hashlib
import json
import random
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from datetime import timedelta
from http.client import HTTPException
from pathlib import Path
from typing import Protocol
from urllib.parse import urlencode

from prometheus_client import Gauge

from shared import metrics
from shared.clock import boottime, monotonic, now
from shared.desk.oauth import OAuth2
from shared.desk.secret_files import OAUTH_KEYS, SecretError, read_secret
from shared.failures import Transient
from shared.message_ids import load_keys
from shared.oauth.grants import Answer, GrantRefused, Purpose, Request, TokenUnavailable, answer, request
from shared.oauth.sealing import seal, unseal

_SILENCE = 10.0
_AT_MOST = 20.0
_ANSWER_AT_MOST = 256 * 1024
_RENEWED_FROM, _RENEWED_TO = 0.75, 0.9  # of its lifetime: accounts that began together do not return as a herd


class Vault(Protocol):
    """Where rotated refresh tokens are kept, sealed. Every call raises a Transient when the database does not serve."""

    def turn(self, name: str) -> AbstractAsyncContextManager[None]:
        """Holds back whoever else wants to renew this account's token, in every process."""

    async def load(self, name: str) -> bytes | None: ...

    async def save(self, name: str, sealed: bytes) -> None: ...


class Tokens:
    """`user` of an account with `oauth2`; `name` is the account's in the desk."""

    def __init__(
        self,
        name: str,
        oauth2: OAuth2,
        user: str,
        purpose: Purpose,
        *,
        secrets: Path,
        vault: Vault,
        trust: ssl.SSLContext,
        clock: Callable[[], float] = boottime,
    ) -> None:
        self._name = name
        self._oauth2 = oauth2
        self._user = user
        self._purpose = purpose
        self._secrets = secrets
        self._vault = vault
        self._trust = trust
        self._clock = clock
        self._turn = asyncio.Lock()
        self._token = ""
        self._renew_at = self._ends_at = 0.0
        self._unsaved: bytes | None = None

    async def token(self) -> str:
        """One that is valid now. Raises GrantRefused, SecretError, TokenUnavailable or what the vault raises; but while
        the one in hand is valid, a renewal that fails is only told (`carteiro_oauth_grant_refused`)."""
        async with self._turn:
            if self._clock() >= self._renew_at:
                renewal = asyncio.ensure_future(self._renew())
                try:
                    await asyncio.shield(renewal)
                except asyncio.CancelledError:
                    # a refresh token that was rotated and not kept would be lost with its answer
                    await asyncio.wait({renewal}, timeout=_AT_MOST)
                    raise
                except (GrantRefused, SecretError, Transient):
                    if not self._token or self._clock() >= self._ends_at:
                        raise
            return self._token

    def refused(self) -> None:
        """The mail server would not have the token: the next is a new one."""
        self._token, self._renew_at = "", 0.0

    def fingerprint(self) -> str:
        """Changes with the secrets. Raises SecretError."""
        return hashlib.sha256(json.dumps(self._read_secrets()).encode()).hexdigest()

    def forget(self) -> None:
        """The account is another's now, and so are its metrics."""
        for gauge in (metrics.oauth_token_expires, metrics.oauth_refresh_token_expires, metrics.oauth_refused):
            with suppress(KeyError):
                gauge.remove(self._name, self._purpose)

    # --- renewing

    async def _renew(self) -> None:
        try:
            got = await (self._with_refresh_token() if self._oauth2.refresh_token else self._ask(""))
        except (GrantRefused, SecretError):
            metrics.oauth_refused.labels(self._name, self._purpose).set(1)
            raise
        metrics.oauth_refused.labels(self._name, self._purpose).set(0)
        asked_at = self._clock()
        self._token, self._ends_at = got.access_token, asked_at + got.lifetime
        part = random.uniform(_RENEWED_FROM, _RENEWED_TO)  # noqa: S311  # jitter
        self._renew_at = asked_at + got.lifetime * part
        self._tell(metrics.oauth_token_expires, got.lifetime)
        if got.refresh_lifetime:
            self._tell(metrics.oauth_refresh_token_expires, got.refresh_lifetime)

    def _tell(self, gauge: Gauge, lifetime: float) -> None:
        gauge.labels(self._name, self._purpose).set((now() + timedelta(seconds=lifetime)).timestamp())

    async def _with_refresh_token(self) -> Answer:
        keys = self._keys()
        given = self._read_secrets()["refresh_token"]
        async with self._vault.turn(self._name):
            if self._unsaved is not None:
                await self._vault.save(self._name, self._unsaved)
                self._unsaved = None
            newest = _newest(await self._vault.load(self._name), self._name, keys, given)
            got = await self._ask(newest)
            if got.refresh_token not in {"", newest}:
                kept = {"given": _hash(given), "refresh_token": got.refresh_token}
                self._unsaved = seal(json.dumps(kept), self._name, keys)
                await self._vault.save(self._name, self._unsaved)
                self._unsaved = None
            return got

    async def _ask(self, refresh_token: str) -> Answer:
        secrets = self._read_secrets()
        asked = request(
            self._oauth2, self._user, self._purpose, secrets=secrets, refresh_token=refresh_token, moment=now()
        )
        try:
            async with asyncio.timeout(_AT_MOST):
                status, body = await asyncio.to_thread(_post, asked, self._trust)
        except (OSError, HTTPException) as error:
            raise TokenUnavailable(f"the token endpoint {asked.url} cannot be reached ({_reason(error)})") from error
        return answer(asked, status, body)

    def _read_secrets(self) -> Mapping[str, str]:
        named = self._oauth2.secrets
        return {field: read_secret(self._secrets, name.secret).get_secret_value() for field, name in named.items()}

    def _keys(self) -> list[bytes]:
        try:
            return load_keys(read_secret(self._secrets, OAUTH_KEYS).get_secret_value())
        except ValueError as error:
            raise SecretError(f"secret {OAUTH_KEYS}: {error}; one key a line, the newest first") from None


def trust(ca_file: Path | None) -> ssl.SSLContext:
    """Token endpoints are public ones: an authority of one's own stands beside the system's, not in its place."""
    context = ssl.create_default_context()
    if ca_file:
        context.load_verify_locations(ca_file)
    return context


def _newest(kept: bytes | None, name: str, keys: list[bytes], given: str) -> str:
    """What the provider put last in the place of the refresh token that the desk names; another given later counts."""
    text = unseal(kept, name, keys) if kept else None
    if text is not None:
        remembered = json.loads(text)
        if remembered["given"] == _hash(given):
            return str(remembered["refresh_token"])
    return given


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Secrets go to the endpoint that the desk means, nowhere else."""

    def redirect_request(self, *_: object, **__: object) -> None:
        return None


def _post(asked: Request, context: ssl.SSLContext) -> tuple[int, bytes]:
    """Status and body; in a thread. OSError: not reached; HTTPException: no HTTP."""
    opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context), _NoRedirect)
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
    form = urllib.request.Request(asked.url, urlencode(asked.form).encode(), headers)  # noqa: S310  # the desk takes https alone
    ends = monotonic() + _AT_MOST
    try:
        response = opener.open(form, timeout=_SILENCE)
    except urllib.error.HTTPError as error:
        response = error
    with response:
        body = b""
        while (piece := response.read1(65_536)) and len(body) < _ANSWER_AT_MOST and monotonic() < ends:
            body += piece
        return response.status, body


def _reason(error: BaseException) -> str:
    inner = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(inner, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {inner.verify_message}"
    if isinstance(inner, TimeoutError):
        return "no answer in time"
    return (inner.strerror if isinstance(inner, OSError) else None) or type(inner).__name__
