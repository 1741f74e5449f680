"""The way into a maildrop: connection, greeting, TLS and log-in, all under one deadline."""

import asyncio
import ssl
from base64 import b64encode

from services.fetcher import faults
from services.fetcher.dialing import as_fault, dial
from services.fetcher.pop3.client import Mailbox, Numbering
from services.fetcher.pop3.wire import Limits, Wire
from services.fetcher.protocol import Security
from shared.oauth.sasl import Sasl
from shared.oauth.sasl import bearer as bearer_of
from shared.redaction import Redaction

_CAPABILITIES_AT_MOST = 64 * 1024


async def connect(
    host: str,
    port: int,
    security: Security,
    context: ssl.SSLContext,
    *,
    user: str,
    password: str,
    bearer: bool = False,
    numbering: Numbering,
    deadline: float = 30.0,
    limits: Limits | None = None,
) -> Mailbox:
    """A maildrop, logged in, within `deadline` seconds; else a `faults.Fault` and nothing left open.

    `context` must verify certificates. STLS is demanded, not tried: a server that does not offer it is refused
    before anything is sent in the clear. With `bearer`, `password` is an access token.
    """
    wire = Wire(limits or Limits(), Redaction([password]))
    try:
        async with asyncio.timeout(deadline):
            await dial(lambda: wire, host, port, context if security is Security.tls else None)
            await wire.greeting()
            offered = await ask_capabilities(wire)
            if security is Security.starttls:
                if "STLS" not in offered:
                    raise faults.TlsFailed(f"{host} does not offer STLS; nothing was sent in the clear")
                await wire.start_tls(context, host)
                offered = await ask_capabilities(wire)
            if bearer:
                mechanisms = offered.get("SASL", "").split()
                await _show(wire, bearer_of(mechanisms, user, password, host, port))
            else:
                await _log_in(wire, offered, user, password)
            return Mailbox(wire, frozenset(await ask_capabilities(wire)), numbering)
    except BaseException as error:
        fault = as_fault(error, f"{host}:{port}", in_handshake=wire.deaf)
        wire.fail(fault or faults.ConnectFailed("connecting was given up"))
        if fault is None or fault is error:
            raise
        raise fault from error


async def ask_capabilities(wire: Wire) -> dict[str, str]:
    """CAPA (RFC 2449): name and arguments; empty for a server that does not know it."""
    try:
        answer = await wire.read("CAPA", "CAPA", expected=0, at_most=_CAPABILITIES_AT_MOST)
    except faults.Refused:
        return {}
    lines = (line.decode("ascii", "replace").upper().partition(" ") for line in answer.splitlines() if line.strip())
    return {name: arguments for name, _, arguments in lines}


async def _show(wire: Wire, said: Sasl | None) -> None:
    if said is None:
        raise faults.AuthFailed("the server takes no access token: it offers neither SASL XOAUTH2 nor OAUTHBEARER")
    await wire.authenticate(*said)


async def _log_in(wire: Wire, offered: dict[str, str], user: str, password: str) -> None:
    """USER and PASS; AUTH PLAIN (RFC 4616) where these are not offered or cannot carry the characters."""
    plain = "PLAIN" in offered.get("SASL", "").split()
    if user.isascii() and password.isascii() and not (plain and "USER" not in offered):
        await wire.ask(f"USER {user}", "log-in refused", otherwise=faults.AuthFailed)
        await wire.ask(f"PASS {password}", "log-in refused", otherwise=faults.AuthFailed)
    elif plain:
        await wire.authenticate("PLAIN", b64encode(f"\0{user}\0{password}".encode()), b"*")
    else:
        raise faults.AuthFailed("the server offers no log-in that fits: SASL PLAIN is missing")
