"""`carteiro account test NAME`: an account tried step by step, in plain words. Nothing is changed on the server:
folders are opened with EXAMINE, mail is neither read nor marked, and no mail is sent."""

import asyncio
import contextlib
import shutil
import socket
import ssl
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import aiosmtplib

from ops.advice import advice
from ops.show import lines, say
from services.fetcher import faults
from services.fetcher.credentials import Credential, Credentials
from services.fetcher.dialing import Trust
from services.fetcher.entrance import enter
from services.fetcher.pop3.client import Drop
from services.fetcher.pop3.client import Mailbox as Pop3Mailbox
from services.fetcher.protocol import Mailbox
from shared import oauth
from shared.clock import now
from shared.desk.findings import DeskError
from shared.desk.load import load_desk
from shared.desk.model import Account, Outbound
from shared.desk.secret_files import SecretError, read_secret
from shared.failures import Transient
from shared.oauth import PostgresVault
from shared.postgres import UNAVAILABLE, create_pool
from shared.process import Misconfigured
from shared.redaction import Redaction
from shared.settings import Settings

COLUMNS = ("step", "result", "found")
_AT_MOST = 30.0


class Step(NamedTuple):
    """`result`: ok, note or failed."""

    step: str
    result: str
    found: str


class _Failed(Exception):
    """The step that ends the trial."""

    def __init__(self, step: str, found: str) -> None:
        super().__init__(found)
        self.step = Step(step, "failed", found)


class _Unremembered:
    """A numbering for one session."""

    async def number(self, listing: Sequence[tuple[str, int]]) -> Drop:
        return Drop(1, len(listing) + 1, range(1, len(listing) + 1), {})

    async def keep_hashes(self, hashes: Mapping[int, str]) -> None: ...

    async def forget(self, uids: Collection[int]) -> None: ...


async def test_account(name: str, *, as_json: bool) -> int:
    """0 when every step went well, 1 when one failed. Raises Misconfigured."""
    settings = Settings()
    try:
        desk = load_desk(settings.desk).desk
    except DeskError as error:
        raise Misconfigured(str(error)) from error
    if name in desk.accounts:
        trial = _incoming(name, desk.accounts[name], settings)
    elif name in desk.outbound:
        trial = _outgoing(desk.outbound[name], settings)
    else:
        raise Misconfigured(f"{settings.desk} names no account {name}")
    steps: list[Step] = []
    try:
        async for step in trial:
            steps.append(step)  # noqa: PERF401  # those before the one that fails are shown
    except _Failed as failed:
        steps.append(failed.step)
    rows = [step._asdict() for step in steps]
    say(lines(rows, COLUMNS, as_json=True, empty="") if as_json else "\n".join(_for_people(step) for step in steps))
    return 1 if any(step.result == "failed" for step in steps) else 0


def _for_people(step: Step) -> str:
    return f"{step.result:7} {step.step:13} {step.found}"


async def _incoming(name: str, account: Account, settings: Settings) -> AsyncIterator[Step]:
    named = [account.password] if account.password else list(account.oauth2.secrets.values() if account.oauth2 else ())
    contents = [_secret(settings, secret.secret) for secret in named]
    yield Step("secret", "ok", f"{', '.join(secret.secret for secret in named)} is there")
    if account.oauth2:
        credential = await _access_token(name, account, settings)
        yield Step("token", "ok", "the provider gave out an access token")
    else:
        credential = Credential(contents[0])
    async for step in _reach(account.host, account.port):
        yield step
    try:
        mailbox = await enter(account, credential, Trust.load(settings.ca_file), _Unremembered())
    except faults.Fault as fault:
        step_name = {"tls_failed": "TLS", "auth_failed": "log in", "busy": "log in", "mailbox_refused": "log in"}.get(
            fault.result, "greeting"
        )
        raise _Failed(step_name, f"{fault}; {advice(fault.result, name)}") from fault
    try:
        yield _tls(mailbox.peer_certificate())
        yield Step("log in", "ok", f"as {account.user}")
        yield _capabilities(account, mailbox)
        async for step in _folders(account, mailbox):
            yield step
    except faults.Fault as fault:
        step_name = "log in" if fault.result == "mailbox_refused" else "folders"
        raise _Failed(step_name, f"{fault}; {advice(fault.result, name)}") from fault
    finally:
        await mailbox.close()


def _secret(settings: Settings, name: str) -> str:
    try:
        return read_secret(settings.secrets, name).get_secret_value()
    except SecretError as error:
        raise _Failed("secret", str(error)) from error


async def _access_token(name: str, account: Account, settings: Settings) -> Credential:
    """A rotated refresh token is found in the database, and kept there as the fetcher keeps it."""
    try:
        pool = await create_pool(settings.dsn, "fetcher", size=1)
    except UNAVAILABLE as error:
        raise _Failed("token", f"PostgreSQL, which keeps tokens, is away ({type(error).__name__})") from error
    credentials = Credentials(settings.secrets, PostgresVault(pool, "fetcher"), oauth.trust(settings.ca_file))
    try:
        return await credentials.of(name, account).credential()
    except faults.Fault as fault:
        raise _Failed("token", f"{fault}; {advice(fault.result, name)}") from fault
    except Transient as error:
        raise _Failed("token", str(error)) from error
    finally:
        await pool.close()


async def _reach(host: str, port: int) -> AsyncIterator[Step]:
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise _Failed("resolve", f"{host} has no address ({error.strerror}): check `host`") from error
    addresses = ", ".join(dict.fromkeys(str(entry[4][0]) for entry in found))
    yield Step("resolve", "ok", f"{host} is {addresses}")
    try:
        async with asyncio.timeout(_AT_MOST):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError) as error:
        reason = "no answer" if isinstance(error, TimeoutError) else getattr(error, "strerror", None) or "refused"
        raise _Failed("connect", f"port {port}: {reason}; check `port` and the firewall") from error
    writer.close()
    with contextlib.suppress(OSError, ssl.SSLError):
        await writer.wait_closed()
    yield Step("connect", "ok", f"port {port} answers")


def _tls(certificate: Mapping[str, Any] | None) -> Step:
    if certificate is None:
        return Step("TLS", "note", "none: the password and every mail travel in the clear; choose a type with TLS")
    if not certificate:
        return Step("TLS", "note", "encrypted, but `tls_verify: false`: nobody knows with whom")
    names = ", ".join(value for kind, value in certificate.get("subjectAltName", ()) if kind in {"DNS", "IP Address"})
    days = int((ssl.cert_time_to_seconds(certificate["notAfter"]) - now().timestamp()) // 86400)
    issuer = ", ".join(
        value for part in certificate.get("issuer", ()) for key, value in part if key == "organizationName"
    )
    result = "ok" if days > 14 else "note"
    return Step("TLS", result, f"certificate for {names}, {days} days left{f', by {issuer}' if issuer else ''}")


def _capabilities(account: Account, mailbox: Mailbox) -> Step:
    if isinstance(mailbox, Pop3Mailbox):
        return Step("capabilities", "ok", f"POP3; looked at every {int(account.interval.total_seconds())} s")
    said = ["new mail is told at once (IDLE)" if mailbox.can_idle else "no IDLE: looked at every `interval`"]
    offered: frozenset[str] = getattr(mailbox, "capabilities", frozenset())
    removes = account.after in {"move", "delete"}
    if removes and "UIDPLUS" not in offered and not (account.after == "move" and mailbox.moves_at_once):
        return Step(
            "capabilities", "failed", f"no UIDPLUS: mail cannot be removed by UID, choose `after: seen`; {said[0]}"
        )
    return Step("capabilities", "ok", said[0])


async def _folders(account: Account, mailbox: Mailbox) -> AsyncIterator[Step]:
    for folder in (*account.watched, *([account.move_to] if account.move_to else ())):
        try:
            state = await mailbox.open(folder, read_only=True)
        except faults.Refused as refusal:
            yield Step("folder", "failed", f"{folder} cannot be opened: {refusal}; check its name and your rights")
            continue
        yield Step("folder", "ok", f"{folder} holds {state.exists} mails")
    if isinstance(mailbox, Pop3Mailbox) and not mailbox.has_names:
        yield Step("UIDL", "note", "the server has none: nothing is deleted, as with `after: keep`")


async def _outgoing(outbound: Outbound, settings: Settings) -> AsyncIterator[Step]:
    if outbound.type == "none":
        yield Step("transport", "ok", "none: mail is composed and recorded, and delivered to nobody")
        return
    if outbound.type == "sendmail":
        program = shutil.which("sendmail", path="/usr/sbin:/usr/lib:/usr/bin")
        if program is None:
            raise _Failed("transport", "no sendmail on this machine")
        yield Step("transport", "ok", f"sendmail is {program}")
        return
    password = ""
    if outbound.password:
        password = _secret(settings, outbound.password.secret)
        yield Step("secret", "ok", f"{outbound.password.secret} is there")
    host = outbound.host or ""
    async for step in _reach(host, outbound.port):
        yield step
    trust = Trust.load(settings.ca_file)
    context = trust.verifying if outbound.tls_verify else trust.unverified
    client = aiosmtplib.SMTP(
        hostname=host,
        port=outbound.port,
        use_tls=outbound.type == "smtps",
        start_tls=outbound.type == "smtptls",
        tls_context=context if outbound.type != "smtp" else None,
        timeout=_AT_MOST,
    )
    words = Redaction([password] if password else [])
    try:
        try:
            await client.connect()
        except (aiosmtplib.SMTPException, OSError) as error:
            raise _Failed("TLS" if outbound.type != "smtp" else "greeting", words.text(str(error))) from error
        connection = client.get_transport_info("ssl_object")
        yield _tls(connection.getpeercert() if connection else None)
        if outbound.user:
            try:
                await client.login(outbound.user, password)
            except aiosmtplib.SMTPException as error:
                found = f"{words.text(str(error))}; {advice('auth_failed', outbound.user)}"
                raise _Failed("log in", found) from error
            yield Step("log in", "ok", f"as {outbound.user}")
        await client.ehlo()
        size = client.esmtp_extensions.get("size", "")
        yield Step(
            "capabilities",
            "ok",
            f"takes mails of up to {int(size) // 2**20} MiB" if size.isdigit() and int(size) else "no limit named",
        )
    finally:
        client.close()
