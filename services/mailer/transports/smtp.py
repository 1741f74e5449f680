"""SMTP (RFC 5321): one connection, used again; what each failure says about the mail, or about the account.

Only a server's reply decides. Where the connection ends without one, the command it ended in does: before DATA the
server cannot have taken the mail, behind it nobody knows.
"""

import asyncio
import contextlib
import ssl
from dataclasses import dataclass
from pathlib import Path

import aiosmtplib
from aiosmtplib import (
    SMTPAuthenticationError,
    SMTPException,
    SMTPRecipientRefused,
    SMTPResponseException,
    SMTPSenderRefused,
    SMTPServerDisconnected,
    SMTPTimeoutError,
)

from services.mailer.states import Outcome, Result
from services.mailer.transports.faults import AccountFault
from shared.desk.model import Outbound
from shared.desk.secret_files import SecretError, read_secret

_TOO_LARGE = 552  # at MAIL, to the announced size: the mail's fault, not the account's
_SERVICE_CLOSING = 421
_BAD_SEQUENCE = 503


@dataclass(frozen=True)
class SmtpServer:
    """Where and how. `reply_seconds` is waited for each reply; a whole delivery takes at most `delivery_seconds`,
    or a server that sends a byte a minute would hold a worker for ever."""

    outbound: Outbound
    secrets: Path
    context: ssl.SSLContext
    reply_seconds: float = 60.0
    delivery_seconds: float = 300.0
    mails_per_connection: int = 100


class SmtpTransport:
    def __init__(self, server: SmtpServer) -> None:
        self._server = server
        self._client: aiosmtplib.SMTP | None = None
        self._used = 0
        self._in_data = False

    async def deliver(self, sender: str, recipient: str, raw: bytes) -> Outcome:
        """One try; 4xx and 5xx are outcomes. Raises AccountFault when connection, log-in or sender is refused."""
        self._in_data = False
        try:
            async with asyncio.timeout(self._server.delivery_seconds):
                await self._envelope(sender, recipient, len(raw))
                self._in_data = True
                reply = await self._connected().data(raw)
        except ValueError:  # the library finds the address unsafe; nothing was sent
            return Outcome(Result.REFUSED, word="address")
        except SMTPResponseException as error:
            await self._reset(error.code)
            if _sender_refused(error):
                raise AccountFault("sender_refused") from error
            outcome = _reply(error)
        except (SMTPException, OSError, TimeoutError) as error:
            self._drop()
            outcome = _silence(error, in_data=self._in_data)
        except BaseException:
            self._drop()  # cancelled or broken in the middle of a dialogue: it cannot go on
            raise
        else:
            outcome = Outcome(Result.ACCEPTED, reply.code)
        self._used += 1
        if self._used >= self._server.mails_per_connection:
            await self.close()
        return outcome

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(SMTPException, OSError, TimeoutError):
                await client.quit(timeout=5)
            client.close()

    async def _envelope(self, sender: str, recipient: str, size: int) -> None:
        if self._client is not None:
            try:
                await _mail(self._client, sender, size)
            except (SMTPServerDisconnected, SMTPSenderRefused) as error:
                if isinstance(error, SMTPSenderRefused) and error.code != _SERVICE_CLOSING:
                    raise
                self._drop()  # it was idle for too long: no fault, once more on a new connection
        if self._client is None:
            self._client = await self._open()
            await _mail(self._client, sender, size)
        await self._client.rcpt(recipient, encoding="ascii")

    async def _open(self) -> aiosmtplib.SMTP:
        outbound = self._server.outbound
        client = aiosmtplib.SMTP(
            hostname=outbound.host,
            port=outbound.port,
            timeout=self._server.reply_seconds,
            use_tls=outbound.type == "smtps",
            start_tls=outbound.type == "smtptls",  # True demands it; the default would go on in the clear
            tls_context=self._server.context,
        )
        try:
            await client.connect()
            if outbound.user and outbound.password:
                password = read_secret(self._server.secrets, outbound.password.secret)
                await _login(client, outbound.user, password.get_secret_value())
        except BaseException as error:
            client.close()
            if isinstance(error, SMTPException | OSError | TimeoutError | SecretError | ValueError):
                raise _account_fault(error) from error
            raise
        self._used = 0
        return client

    def _connected(self) -> aiosmtplib.SMTP:
        if self._client is None:
            raise SMTPServerDisconnected("not connected")
        return self._client

    async def _reset(self, code: int) -> None:
        """After a refusal the connection stays, with an empty envelope; after 421 it is over."""
        if code == _SERVICE_CLOSING or self._client is None:
            self._drop()
            return
        try:
            await self._client.rset(timeout=10)
        except (SMTPException, OSError, TimeoutError):
            self._drop()

    def _drop(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()


async def _mail(client: aiosmtplib.SMTP, sender: str, size: int) -> None:
    options = [f"size={size}"] if client.supports_extension("size") else []
    await client.mail(sender, options=options, encoding="ascii")


def _sender_refused(error: SMTPResponseException) -> bool:
    """The sender is the account's matter. Some servers refuse it only at RCPT: by its enhanced code (RFC 3463: 5.1.7,
    5.1.8), or by 503, because they take a null one for none."""
    if isinstance(error, SMTPSenderRefused):
        return error.code >= 500 and error.code != _TOO_LARGE
    return error.code == _BAD_SEQUENCE or error.message.startswith(("5.1.7 ", "5.1.8 "))


async def _login(client: aiosmtplib.SMTP, user: str, password: str) -> None:
    """PLAIN where it is offered: the library's own log-in tries a wrong password with every mechanism in turn, and
    each counts towards a lock-out."""
    await client.ehlo()
    if "plain" in client.server_auth_methods:
        await client.auth_plain(user, password)
    else:
        await client.login(user, password)


def _reply(error: SMTPResponseException) -> Outcome:
    match error:
        case SMTPSenderRefused():
            word = "sender"
        case SMTPRecipientRefused():
            word = "recipient"
        case _:
            word = "data"
    # a server that answers neither 2xx, 4xx nor 5xx is not understood, so it is asked again
    return Outcome(Result.REFUSED if 500 <= error.code < 600 else Result.POSTPONED, error.code, word)


def _silence(error: BaseException, *, in_data: bool) -> Outcome:
    timeout = isinstance(error, SMTPTimeoutError | TimeoutError)
    return Outcome(Result.UNKNOWN if in_data else Result.POSTPONED, word="timeout" if timeout else "disconnected")


def _account_fault(error: BaseException) -> AccountFault:
    match error:
        case SecretError():
            return AccountFault("secret")
        case SMTPAuthenticationError() if error.code >= 500:
            return AccountFault("login", login=True)
        case ssl.SSLError() | ssl.CertificateError():
            return AccountFault("tls")
        case _ if isinstance(error.__cause__, ssl.SSLError):
            return AccountFault("tls")
        case aiosmtplib.SMTPNotSupported():
            return AccountFault("not_offered")  # STARTTLS, or any way to log in
        case SMTPResponseException():
            return AccountFault("busy")
        case _:
            return AccountFault("connect")
