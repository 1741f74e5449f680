"""The way into a mailbox: connection, greeting, TLS and log-in, all under one deadline."""

import asyncio
import ssl
from base64 import b64encode

from aioimaplib.aioimaplib import AUTH, NONAUTH, quoted

from services.fetcher import faults
from services.fetcher.dialing import as_fault, dial
from services.fetcher.imap.client import Mailbox
from services.fetcher.imap.wire import Exchange, Limits, Wire
from services.fetcher.protocol import Security
from shared.oauth.sasl import Sasl
from shared.oauth.sasl import bearer as bearer_of
from shared.redaction import Redaction


async def connect(
    host: str,
    port: int,
    security: Security,
    context: ssl.SSLContext,
    *,
    user: str,
    password: str,
    bearer: bool = False,
    deadline: float = 30.0,
    limits: Limits | None = None,
) -> Mailbox:
    """A mailbox, logged in, within `deadline` seconds; else a `faults.Fault` and nothing left open.

    `context` must verify certificates. STARTTLS is demanded, not tried: a server that does not offer it,
    or that greets with PREAUTH (RFC 3501 §7.1.4), is refused before anything is sent in the clear. With `bearer`,
    `password` is an access token.
    """
    wire = Wire(limits or Limits(), Redaction([password]))
    try:
        async with asyncio.timeout(deadline):
            await dial(lambda: wire, host, port, context if security is Security.tls else None)
            mailbox = Mailbox(wire)
            await _greet(wire, host, security, deadline)
            await ask_capabilities(wire, mailbox)
            if security is Security.starttls:
                await _secure(wire, mailbox, host, context)
            if wire.state != AUTH:
                answer = (
                    await _show(wire, mailbox, bearer_of(_mechanisms(wire), user, password, host, port))
                    if bearer
                    else await _log_in(wire, mailbox, user, password)
                )
                if answer.status != "OK":
                    raise faults.of_refusal(answer.text, faults.AuthFailed, "log-in refused", wire.secrets)
                wire.state = AUTH
                await ask_capabilities(wire, mailbox)
            if "ID" in wire.capabilities:
                # RFC 2971; some servers refuse SELECT to whom they do not know. What they answer means nothing to us
                await mailbox.run("ID", '("name" "Carteiro")')
            return mailbox
    except BaseException as error:
        fault = as_fault(error, f"{host}:{port}", in_handshake=wire.deaf)
        wire.fail(fault or faults.ConnectFailed("connecting was given up"))
        if fault is None or fault is error:
            raise
        raise fault from error


async def _greet(wire: Wire, host: str, security: Security, deadline: float) -> None:
    await wire.until(lambda: wire.greeting, deadline)
    greeting = wire.greeting.upper()
    if greeting.startswith(b"* OK"):
        wire.state = NONAUTH
    elif greeting.startswith(b"* PREAUTH") and security is not Security.starttls:
        wire.state = AUTH
    elif greeting.startswith(b"* PREAUTH"):
        raise faults.TlsFailed(f"{host} greets with PREAUTH where STARTTLS is demanded")
    elif greeting.startswith(b"* BYE"):
        raise faults.of_refusal(wire.greeting[5:], faults.ConnectFailed, "refused at once", wire.secrets)
    else:
        raise faults.ProtocolFault(f"{host} does not greet as an IMAP server")


async def ask_capabilities(wire: Wire, mailbox: Mailbox) -> None:
    """What the server offers now; it differs before and after TLS and log-in."""
    exchange = (await mailbox.run("CAPABILITY")).require_ok("CAPABILITY")
    lines = [r.text.split()[2:] for r in exchange.untagged if r.text.upper().startswith(b"* CAPABILITY ")]
    wire.capabilities = {word.decode("ascii", "replace").upper() for line in lines for word in line}


async def _secure(wire: Wire, mailbox: Mailbox, host: str, context: ssl.SSLContext) -> None:
    if "STARTTLS" not in wire.capabilities:
        raise faults.TlsFailed(f"{host} does not offer STARTTLS; nothing was sent in the clear")
    await wire.start_tls(context, host)
    await ask_capabilities(wire, mailbox)


def _mechanisms(wire: Wire) -> set[str]:
    return {name.removeprefix("AUTH=") for name in wire.capabilities if name.startswith("AUTH=")}


async def _show(wire: Wire, mailbox: Mailbox, said: Sasl | None) -> Exchange:
    """AUTHENTICATE with an access token. What the server challenges it with is the reason of its refusal."""
    if said is None:
        raise faults.AuthFailed("the server takes no access token: it offers neither AUTH=XOAUTH2 nor AUTH=OAUTHBEARER")
    answer = await _authenticate(wire, mailbox, said.mechanism, said.initial, said.end)
    if len(answer.challenges) > ("SASL-IR" not in wire.capabilities):
        answer.text += b" " + faults.decoded(answer.challenges[-1])
    return answer


async def _log_in(wire: Wire, mailbox: Mailbox, user: str, password: str) -> Exchange:
    """LOGIN; AUTHENTICATE PLAIN (RFC 4616) where LOGIN is forbidden or cannot carry the characters."""
    if user.isascii() and password.isascii() and "LOGINDISABLED" not in wire.capabilities:
        return await mailbox.run("LOGIN", quoted(user), quoted(password))
    if "AUTH=PLAIN" not in wire.capabilities:
        raise faults.AuthFailed("the server offers no log-in that fits: AUTH=PLAIN is missing")
    # a second challenge is none of PLAIN's: cancel it, and take the tagged answer
    return await _authenticate(wire, mailbox, "PLAIN", b64encode(f"\0{user}\0{password}".encode()), b"*")


async def _authenticate(wire: Wire, mailbox: Mailbox, mechanism: str, initial: bytes, end: bytes) -> Exchange:
    if "SASL-IR" in wire.capabilities:
        return await mailbox.run("AUTHENTICATE", mechanism, initial.decode(), replies=(end,))
    return await mailbox.run("AUTHENTICATE", mechanism, replies=(initial, end))
