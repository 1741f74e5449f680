import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trustme

from services.fetcher.imap.client import Mailbox
from services.fetcher.imap.connect import Security, connect
from services.fetcher.imap.wire import Limits
from shared.kafka.admin import apply_topics
from tests.integration.fetcher.world import World
from tests.servers import Servers

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
            deadline=deadline,
            limits=limits,
        )

    return run


@pytest.fixture
async def world(servers: Servers, database: str, prefix: str, mailbox: Callable[[str], Any], tmp_path: Path) -> World:
    await apply_topics(servers.kafka, prefix, 1)
    return World(servers, database, prefix, tmp_path, mailbox("suporte").address)
