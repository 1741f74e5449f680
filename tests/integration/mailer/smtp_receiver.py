"""An SMTP server that does what the recipient's local part says, beside a real one, for what no real one does on
demand:

`reject-550@` refused, `defer-2@` refused twice and then taken, `data-554@` refused after DATA, `hang@` no answer to
RCPT, `drop@` taken and the answer lost (the first time), `bye@` 421; anything else is taken.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

PASSWORD = b"right"


@dataclass
class Receiver:
    """`mails`: recipient and bytes of each mail that was answered with 250, or would have been."""

    port: int = 0
    mails: list[tuple[str, bytes]] = field(default_factory=list)
    tried: Counter[str] = field(default_factory=Counter)
    null_sender_is_none: bool = False
    logins: int = 0
    connections: int = 0
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    def of(self, recipient: str) -> list[bytes]:
        return [raw for to, raw in self.mails if to == recipient]

    async def handle_EHLO(  # noqa: N802  # aiosmtpd's name
        self, server: SMTP, session: Session, _envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        self.connections += 1
        session.host_name = hostname
        return responses

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        self.tried[address] += 1
        local = address.partition("@")[0]
        if local.startswith("reject-550"):
            return "550 5.1.1 no such user"
        if local.startswith("defer-2") and self.tried[address] <= 2:
            return "451 4.7.1 later"
        if self.null_sender_is_none and envelope.mail_from in ("", "<>", None):
            return "503 MAIL must come before RCPT"
        if local.startswith("bye"):
            return "421 4.3.2 closing"
        if local.startswith("hang"):
            await asyncio.Event().wait()
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        [recipient] = envelope.rcpt_tos
        local = recipient.partition("@")[0]
        if local.startswith("data-554"):
            return "554 5.7.1 refused"
        assert isinstance(envelope.content, bytes)
        self.mails.append((recipient, envelope.content))
        self.arrived.set()
        if local.startswith("drop") and self.tried[recipient] == 1:
            _cut(server)
        return "250 OK"

    def authenticate(
        self, _server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, data: object
    ) -> AuthResult:
        self.logins += 1
        good = isinstance(data, LoginPassword) and data.password == PASSWORD
        # handled=False: with the default the refusal is never sent and the client waits
        return AuthResult(success=True) if good else AuthResult(success=False, handled=False)


def _cut(server: SMTP) -> None:
    if isinstance(server.transport, asyncio.WriteTransport):
        server.transport.abort()


@contextlib.asynccontextmanager
async def receiving(port: int = 0, *, login: bool = False) -> AsyncIterator[Receiver]:
    """Listens on a loopback port until left; connections are cut then, as by a crash."""
    receiver = Receiver()
    open_: list[SMTP] = []

    def session() -> SMTP:
        made = SMTP(
            receiver,
            hostname="receiver.test",
            authenticator=receiver.authenticate if login else None,
            auth_require_tls=False,
        )
        open_.append(made)
        return made

    server = await asyncio.get_running_loop().create_server(session, "127.0.0.1", port)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
        for each in open_:
            _cut(each)
        await server.wait_closed()
