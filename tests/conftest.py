"""What every test may ask for; nothing is started before one does (tests/servers.py).

A test that cannot run on this machine is listed as not run, and with CI=true that is a failure.
"""

import asyncio
import json
import secrets
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import asyncpg
import pytest

from ops.stack.servers import ALL
from tests.servers import (
    Background,
    Given,
    NotRun,
    Owner,
    OwnServers,
    Servers,
    ask,
    ask_servers,
    with_database,
)

OWNER = pytest.StashKey[Owner]()
INPUT = "carteiro_servers"
Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


@dataclass(frozen=True, slots=True)
class Mailbox:
    """An account that exists; its password is its address."""

    address: str
    password: str


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        config.stash[OWNER] = Owner()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """xdist: each worker learns where the owner answers."""
    node.workerinput[INPUT] = node.config.stash[OWNER].port


def pytest_unconfigure(config: pytest.Config) -> None:
    if OWNER in config.stash:
        config.stash[OWNER].close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return _complained((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return _complained((yield))


def _complained(report: Report) -> Report:
    """With CI=true what could not run is a failure; an expected failure (xfail) has run."""
    if report.skipped and Given().ci and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome, report.longrepr = "failed", f"not run, and CI=true: {reason}"
    return report


@pytest.fixture(scope="session")
def owner_port(request: pytest.FixtureRequest) -> int:
    """Where the owner of the shared servers answers."""
    config = request.config
    if OWNER in config.stash:
        return config.stash[OWNER].port
    return int(getattr(config, "workerinput")[INPUT])  # noqa: B009  # xdist adds it, types do not know


@pytest.fixture(scope="session")
def servers(owner_port: int) -> Servers:
    """PostgreSQL, Kafka and a mail server, shared by the whole run."""
    try:
        return ask_servers(owner_port)
    except NotRun as reason:
        pytest.skip(str(reason))


@pytest.fixture
def prefix() -> str:
    """Stands before every topic, group and instance id of one test."""
    return f"t{secrets.token_hex(4)}-"


@pytest.fixture
async def database(servers: Servers, owner_port: int) -> AsyncIterator[str]:
    """The DSN of a fresh database with every migration applied; dropped afterwards, open sessions or not."""
    template = await asyncio.to_thread(ask, owner_port, "template")
    name = f"carteiro_test_{secrets.token_hex(6)}"
    admin = await asyncpg.connect(servers.postgres)
    try:
        await admin.execute(f"CREATE DATABASE {name} TEMPLATE {template['template']}")
        yield with_database(servers.postgres, name)
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await admin.close()


@pytest.fixture
async def empty(servers: Servers) -> AsyncIterator[str]:
    """The DSN of a database nobody has touched."""
    name = f"carteiro_empty_{secrets.token_hex(6)}"
    admin = await asyncpg.connect(servers.postgres)
    try:
        await admin.execute(f"CREATE DATABASE {name}")
        yield with_database(servers.postgres, name)
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await admin.close()


@pytest.fixture
def mailbox(servers: Servers) -> Callable[[str], Mailbox]:
    """`mailbox("ana")`: a new, empty account `ana-xxxxxxxx@demo.test`."""

    def make(name: str) -> Mailbox:
        address = f"{name}-{secrets.token_hex(4)}@demo.test"
        body = json.dumps({"login": address, "email": address, "password": address}).encode()
        url = f"http://{servers.mail.host}:{servers.mail.api}/api/user"
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            answer.read()
        return Mailbox(address, address)

    return make


@pytest.fixture
def own_servers(request: pytest.FixtureRequest) -> Iterator[Callable[..., Awaitable[OwnServers]]]:
    """`own = await own_servers("kafka")` starts a private Kafka beside the shared rest; without names all three
    are private. For tests that kill; everything is stopped afterwards."""
    background = Background()
    made: list[OwnServers] = []

    async def make(*names: str) -> OwnServers:
        wanted = frozenset(name for name in ALL if not names or name in names)
        shared: Servers | None = request.getfixturevalue("servers") if wanted != ALL else None
        own = await OwnServers.start(background, wanted, shared)
        made.append(own)
        return own

    try:
        yield make
    finally:
        for own in made:
            background.run(own.close())
        background.close()
