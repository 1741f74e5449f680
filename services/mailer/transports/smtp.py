"""SMTP (RFC 5321): one connection, used again; what each failure says about the mail, or about the account.

Only a server's reply decides (`replies`). Where the connection ends without one, the place it ended in does: before
the final dot the server cannot have taken the mail, behind it nobody knows.
"""

import asyncio
import contextlib
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import aiosmtplib
from aiosmtplib import (
    SMTPAuthenticationError,
    SMTPConnectResponseError,
    SMTPConnectTimeoutError,
    SMTPException,
    SMTPHeloError,
    SMTPNotSupported,
    SMTPResponseException,
    SMTPTimeoutError,
)

from services.mailer.states import Outcome, Result
from services.mailer.transports.dialogue import Dialogue, Ended, Reply, stuffed
from services.mailer.transports.faults import AccountFault, Busy, Expired
from services.mailer.transports.replies import Blame, Stage, judge
from shared.clock import boottime
from shared.desk.model import Outbound
from shared.desk.secret_files import SecretError, read_secret

_START_INPUT = 354
_SERVICE_CLOSING = 421
_SAFE = re.compile("[!-;=?-~]*")  # printable ASCII without blanks and angle brackets: nothing to inject with
_STAGES = (Stage.MAIL, Stage.RCPT, Stage.DATA)
_AT_ONCE = 64 * 1024


@dataclass(frozen=True)
class SmtpServer:
    """Where and how. `connect_seconds` for each step until the log-in, `reply_seconds` for the envelope (RFC 5321
    section 4.5.3.2 grants five minutes), `dot_seconds` for the reply to the whole mail (there ten: a server that is
    left sooner may deliver a copy for each try)."""

    outbound: Outbound
    secrets: Path
    context: ssl.SSLContext
    helo: str
    connect_seconds: float = 60.0
    reply_seconds: float = 300.0
    dot_seconds: float = 600.0
    mails_per_connection: int = 100


class SmtpTransport:
    def __init__(self, server: SmtpServer, clock: Callable[[], float] = boottime) -> None:
        self._server = server
        self._clock = clock
        self._dialogue: Dialogue | None = None
        self._pipelining = False
        self._sizes = False
        self._used = 0

    async def deliver(self, sender: str, recipient: str, raw: bytes, dot_before: float) -> Outcome:
        """One try; what concerns the mail is an outcome. `dot_before`, of the clock that runs through pauses: later
        the claim could end before the server has answered. Raises AccountFault, Busy, Expired."""
        if not _SAFE.fullmatch(sender) or not _SAFE.fullmatch(recipient):
            return Outcome(Result.REFUSED, word="address")
        body = stuffed(raw)
        self._in_time(dot_before)
        dialogue = await self._begin(sender, recipient, len(raw))
        if isinstance(dialogue, Outcome):
            return dialogue
        outcome = await self._hand_over(dialogue, body, dot_before)
        self._used += 1
        if self._used >= self._server.mails_per_connection:
            await self.close()
        return outcome

    async def close(self) -> None:
        dialogue, self._dialogue = self._dialogue, None
        if dialogue is not None:
            with contextlib.suppress(Ended, TimeoutError):
                async with asyncio.timeout(5):
                    await dialogue.command(b"QUIT\r\n")
            dialogue.abort()

    # --- the envelope ---------------------------------------------------------------------------------------------

    async def _begin(self, sender: str, recipient: str, size: int) -> Dialogue | Outcome:
        """The connection on which the server waits for the mail, or the refusal."""
        used = self._dialogue is not None and self._dialogue.quiet
        if not used:
            self._drop()
            self._dialogue = await self._open()
        dialogue = self._connected()
        announced = f" SIZE={size}" if self._sizes else ""
        commands = [
            f"MAIL FROM:<{sender}>{announced}\r\n".encode("ascii"),
            f"RCPT TO:<{recipient}>\r\n".encode("ascii"),
            b"DATA\r\n",
        ]
        replies: list[Reply] = []
        try:
            async with asyncio.timeout(self._server.reply_seconds):
                await self._envelope(dialogue, commands, replies)
        except (Ended, TimeoutError) as error:
            self._drop()
            if used and not replies and isinstance(error, Ended):
                return await self._begin(sender, recipient, size)  # it was idle for too long: no fault
            if all(_good(at, reply) for at, reply in enumerate(replies)):
                return _silence(error, _STAGES[min(len(replies), 2)])
        except BaseException:
            self._drop()  # cancelled in the middle of a dialogue: it cannot go on
            raise
        if used and replies[0].code == _SERVICE_CLOSING:
            self._drop()  # the same, said politely
            return await self._begin(sender, recipient, size)
        refused = next((at for at, reply in enumerate(replies) if not _good(at, reply)), None)
        if refused is None:
            return dialogue
        await self._clear(dialogue, replies)
        return _refusal(_STAGES[refused], replies[refused])

    async def _envelope(self, dialogue: Dialogue, commands: list[bytes], replies: list[Reply]) -> None:
        """As `Dialogue.group`, into `replies`, so that what came before a silence is known."""
        if self._pipelining:
            dialogue.write(b"".join(commands))
        for at, command in enumerate(commands):
            if not self._pipelining:
                dialogue.write(command)
            replies.append(await dialogue.reply())
            if not self._pipelining and not _good(at, replies[-1]):
                return

    async def _clear(self, dialogue: Dialogue, replies: list[Reply]) -> None:
        """After a refusal the connection stays, with an empty envelope; after 421 it is over."""
        if any(reply.code == _SERVICE_CLOSING for reply in replies):
            self._drop()
            return
        try:
            async with asyncio.timeout(10):
                if replies[-1].code == _START_INPUT:  # it wants the mail though nobody is to have it (RFC 2920 3.1)
                    await dialogue.command(b".\r\n")
                if not (await dialogue.command(b"RSET\r\n")).positive:
                    self._drop()
        except (Ended, TimeoutError):
            self._drop()
        except BaseException:
            self._drop()
            raise

    # --- the mail -------------------------------------------------------------------------------------------------

    async def _hand_over(self, dialogue: Dialogue, body: bytes, dot_before: float) -> Outcome:
        dotted = False
        try:
            async with asyncio.timeout(self._server.reply_seconds):
                if len(body) > _AT_ONCE:
                    dialogue.write(body)
                    await dialogue.drain()
                    body = b""
            self._in_time(dot_before)
            dotted = True
            dialogue.write(body + b".\r\n")
            async with asyncio.timeout(self._server.dot_seconds):
                reply = await dialogue.reply()
        except (Ended, TimeoutError) as error:
            self._drop()
            return _silence(error, Stage.DOT if dotted else Stage.DATA)
        except BaseException:
            self._drop()  # without the dot the server throws away what it has (RFC 5321 section 4.1.1.4)
            raise
        if reply.positive:
            return Outcome(Result.ACCEPTED, reply.code)
        if reply.code == _SERVICE_CLOSING or reply.code < 400:
            self._drop()
        return _refusal(Stage.DOT, reply)

    def _in_time(self, dot_before: float) -> None:
        if self._clock() > dot_before:
            raise Expired

    # --- the connection -------------------------------------------------------------------------------------------

    async def _open(self) -> Dialogue:
        server = self._server
        client = aiosmtplib.SMTP(
            hostname=server.outbound.host,
            port=server.outbound.port,
            local_hostname=server.helo,
            timeout=server.connect_seconds,
            use_tls=server.outbound.type == "smtps",
            start_tls=False,  # below, so that a server without it is told apart
            tls_context=server.context,
        )
        stage = Stage.GREETING
        try:
            await client.connect()
            stage = Stage.EHLO
            await _hello(client)
            if server.outbound.type == "smtptls":
                await _secure(client)
            stage = Stage.AUTH
            await self._login(client)
        except BaseException as error:
            client.close()
            if isinstance(error, SMTPException | OSError | TimeoutError | SecretError | ValueError):
                raise _account_fault(error, stage) from error
            raise
        if not isinstance(client.transport, asyncio.Transport):
            raise AccountFault("disconnected")
        self._used = 0
        self._pipelining = client.supports_extension("pipelining")
        self._sizes = client.supports_extension("size")
        return Dialogue(client.transport)

    async def _login(self, client: aiosmtplib.SMTP) -> None:
        """PLAIN where it is offered: the library's own log-in tries a wrong password with every mechanism in turn,
        and each counts towards a lock-out."""
        outbound = self._server.outbound
        if not outbound.user or not outbound.password:
            return
        password = read_secret(self._server.secrets, outbound.password.secret).get_secret_value()
        if "plain" in client.server_auth_methods:
            await client.auth_plain(outbound.user, password)
        else:
            await client.login(outbound.user, password)

    def _connected(self) -> Dialogue:
        if self._dialogue is None:
            raise AccountFault("disconnected")
        return self._dialogue

    def _drop(self) -> None:
        dialogue, self._dialogue = self._dialogue, None
        if dialogue is not None:
            dialogue.abort()


async def _hello(client: aiosmtplib.SMTP) -> None:
    try:
        await client.ehlo()
    except SMTPHeloError as error:
        if error.code not in (500, 502):  # RFC 5321 section 3.2: an old server, which knows HELO
            raise
        await client.helo()


async def _secure(client: aiosmtplib.SMTP) -> None:
    if not client.supports_extension("starttls"):
        raise AccountFault("starttls_not_offered")
    await client.starttls()
    await client.ehlo()  # what was offered in the clear may have been anybody's (RFC 3207 section 4.2)


def _good(at: int, reply: Reply) -> bool:
    return reply.code == _START_INPUT if _STAGES[at] is Stage.DATA else reply.positive


def _refusal(stage: Stage, reply: Reply) -> Outcome:
    """Raises AccountFault or Busy where the mail is not to blame."""
    blame, word = judge(stage, reply.code, reply.text)
    named = stage is not Stage.MAIL
    if blame is Blame.BUSY:
        raise Busy(word, named=named, code=reply.code)
    if blame is not Blame.OWN:
        raise AccountFault(word, slow=blame is Blame.SLOW, named=named, code=reply.code)
    # a server that answers neither 2xx, 4xx nor 5xx is not understood, so it is asked again
    return Outcome(Result.REFUSED if reply.code >= 500 else Result.POSTPONED, reply.code, word)


def _silence(error: BaseException, stage: Stage) -> Outcome:
    """At MAIL nobody had been named yet, so it is no recipient's fault. Raises AccountFault."""
    word = "timeout" if isinstance(error, TimeoutError) else "disconnected"
    if stage is Stage.MAIL:
        raise AccountFault(word)
    return Outcome(Result.UNKNOWN if stage is Stage.DOT else Result.POSTPONED, word=word)


def _account_fault(error: BaseException, stage: Stage) -> AccountFault:
    match error:
        case SecretError():
            return AccountFault("secret")
        case SMTPNotSupported():
            return AccountFault("login_not_offered")
        case SMTPConnectTimeoutError() | SMTPTimeoutError() | TimeoutError():
            return AccountFault("timeout")
        case _ if isinstance(error, ssl.SSLError) or isinstance(error.__cause__, ssl.SSLError):
            return AccountFault("tls")
        case SMTPConnectResponseError() | SMTPHeloError() | SMTPAuthenticationError() | SMTPResponseException():
            blame, word = judge(stage, error.code, error.message)
            if blame is Blame.BUSY:
                return Busy(word, code=error.code)
            return AccountFault(word, slow=blame is Blame.SLOW, code=error.code)
        case _:
            return AccountFault("connect" if stage is Stage.GREETING else "disconnected")
