import contextlib
import dataclasses
import secrets
import ssl
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from ops.stack import certificates
from ops.stack.supervisor import Supervisor
from services.fetcher.imap.client import Mailbox
from services.fetcher.imap.connect import connect
from services.fetcher.imap.wire import Limits
from services.fetcher.protocol import Security
from shared.kafka.admin import apply_topics
from tests.dovecot import Dovecot, not_run
from tests.integration.fetcher.world import World
from tests.servers import Background, Servers

QUICK = Limits(command=1.0, silence=0.4, bytes_per_second=65_536)

Connect = Callable[..., Awaitable[Mailbox]]


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    """A server context with a certificate for `localhost` only."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    return context


@pytest.fixture
def other_authority(authority: trustme.CA, tmp_path: Path) -> Path:
    """A CA file that did not sign the mail server's certificate."""
    authority.cert_pem.write_to_path(str(tmp_path / "other-ca.pem"))
    return tmp_path / "other-ca.pem"


@pytest.fixture
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture
def log_in() -> Connect:
    """Connects to a scripted server with short limits, so that a test of a deadline takes a second."""

    async def run(
        port: int,
        security: Security = Security.plain,
        context: ssl.SSLContext | None = None,
        *,
        host: str = "127.0.0.1",
        user: str = "suporte@demo.test",
        password: str = "geheim",
        bearer: bool = False,
        deadline: float = 2.0,
        limits: Limits = QUICK,
    ) -> Mailbox:
        return await connect(
            host,
            port,
            security,
            context or ssl.create_default_context(),
            user=user,
            password=password,
            bearer=bearer,
            deadline=deadline,
            limits=limits,
        )

    return run


@pytest.fixture
async def world(servers: Servers, database: str, prefix: str, mailbox: Callable[[str], Any], tmp_path: Path) -> World:
    await apply_topics(servers.kafka, prefix, 1)
    return World(servers, database, prefix, tmp_path, mailbox("suporte").address)


@dataclasses.dataclass(frozen=True)
class RunningDovecot:
    server: Dovecot
    ca_file: Path


@pytest.fixture(scope="session")
def dovecot() -> Iterator[RunningDovecot]:
    """Shared by the tests of one worker; each makes its own accounts."""
    if reason := not_run():
        pytest.skip(reason)
    background = Background()
    exits = contextlib.AsyncExitStack()

    async def start(folder: Path) -> RunningDovecot:
        folder.chmod(0o755)
        made = certificates.ensure(folder / "tls")
        supervisor = await exits.enter_async_context(Supervisor(folder))
        return RunningDovecot(await Dovecot.start(supervisor, folder / "d", made), made.ca)

    with tempfile.TemporaryDirectory(prefix="dc") as name:
        try:
            yield background.run(start(Path(name)))
        finally:
            background.run(exits.aclose())
            background.close()


@dataclasses.dataclass
class OnDovecot(World):
    """The same with a mailbox on Dovecot."""

    dovecot: Dovecot | None = None

    def use(self, account_type: str, **account: object) -> None:
        """Reads the mailbox as an account of this type."""
        assert self.dovecot is not None
        secured = account_type in {"imaps", "pop3s"}
        port = getattr(self.dovecot, account_type[:4] + ("s" if secured else ""))
        self.account = {"type": account_type, "host": "localhost", "port": port, **account}
        self.write_desk()

    def put(self, *mails: bytes, folder: str = "INBOX") -> None:
        assert self.dovecot is not None
        self.dovecot.put(self.user, mails, folder)

    def left(self, folder: str = "INBOX") -> int:
        assert self.dovecot is not None
        return self.dovecot.left(self.user, folder)

    def maildir_names(self) -> list[str]:
        """Names of the mails' files; the flags stand behind `:2,`."""
        assert self.dovecot is not None
        box = self.dovecot.maildir(self.user)
        return [path.name for place in ("cur", "new") for path in (box / place).iterdir()]


@pytest.fixture
async def on_dovecot(
    servers: Servers, database: str, prefix: str, dovecot: RunningDovecot, tmp_path: Path
) -> OnDovecot:
    await apply_topics(servers.kafka, prefix, 1)
    address = f"suporte-{secrets.token_hex(4)}@demo.test"
    dovecot.server.make_mailbox(address)
    at = dataclasses.replace(servers, ca_file=dovecot.ca_file)
    return OnDovecot(at, database, prefix, tmp_path, address, dovecot=dovecot.server)
