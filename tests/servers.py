"""The servers of the tests: started at most once a run, only when a test asks, shared by all workers.

The process that pytest was called in owns them. It answers on a loopback port; every worker (and that process
itself) asks there. They run on free ports below a temporary folder, in a thread's own event loop, and are gone
when the run ends, by kill -9 too (ops/stack/guard.py). Servers named in the environment are used instead:
CARTEIRO_TEST_KAFKA (host:port), CARTEIRO_TEST_POSTGRES (DSN of an administrator), CARTEIRO_TEST_MAIL (JSON: host,
smtp, smtps, imap, imaps, pop3, pop3s, api), CARTEIRO_TEST_CA_FILE. What has no address is a container where a Docker
engine answers, and a process of the local stack elsewhere; CARTEIRO_REQUIRE_DOCKER=1 demands the engine.
"""

import asyncio
import contextlib
import json
import secrets
import shutil
import socket
import socketserver
import tempfile
import threading
from collections.abc import Coroutine
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from ops.stack.failures import Misconfigured, StackError
from ops.stack.greenmail import Mail
from ops.stack.servers import ALL, Wanted, serve
from ops.stack.servers import Servers as Stack
from ops.stack.settings import StackSettings
from ops.stack.supervisor import Supervisor
from shared.migrations import migrate

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Servers:
    """`kafka` is host:port; `postgres` the DSN of an administrator; `ca_file` verifies the mail server."""

    kafka: str
    postgres: str
    mail: Mail
    ca_file: Path


class NotRun(Exception):
    """This machine cannot run the servers; the text says why."""


class Given(BaseSettings):
    """What the environment of the test run names."""

    model_config = SettingsConfigDict(env_prefix="CARTEIRO_TEST_", frozen=True, extra="ignore")

    kafka: str | None = None
    postgres: str | None = None
    mail: Mail | None = None
    ca_file: Path | None = None
    failovers: int = 1
    interleavings: int = 40
    tickets: int = 20_000
    storm: bool = False
    mails: int = 400
    ci: bool = Field(default=False, validation_alias="CI")
    docker_host: str = Field(default="unix:///var/run/docker.sock", validation_alias="DOCKER_HOST")
    require_docker: bool = Field(default=False, validation_alias="CARTEIRO_REQUIRE_DOCKER")


class Background:
    """An event loop in a thread: servers outlive the loop of any one test."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="test servers", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    async def arun(self, work: Coroutine[Any, Any, T]) -> T:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self.loop))

    def close(self) -> None:
        self.run(self.loop.shutdown_default_executor())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


class Started(Protocol):
    """One started set of servers: `postgres`, `kafka`, `greenmail`, as far as they were wanted."""

    stack: Stack

    async def kill(self, name: str) -> None: ...
    async def stop(self, name: str) -> None: ...
    async def restart(self, name: str) -> None: ...
    async def close(self) -> None: ...


class Processes:
    """Servers of the local stack, with their folder."""

    def __init__(self, supervisor: Supervisor, stack: Stack, exits: contextlib.AsyncExitStack) -> None:
        self.stack, self._exits = stack, exits
        self.kill, self.stop, self.restart = supervisor.kill, supervisor.stop, supervisor.restart

    async def close(self) -> None:
        await self._exits.aclose()


def engine_answers() -> bool:
    """Does a Docker engine listen where Docker's own programs would look for one?"""
    scheme, _, address = Given().docker_host.partition("://")
    try:
        if scheme == "unix":
            with socket.socket(socket.AF_UNIX) as there:
                there.connect(address)
        else:
            host, _, port = address.partition("/")[0].rpartition(":")
            socket.create_connection((host, int(port)), timeout=5).close()
    except (OSError, ValueError):
        return False
    return True


async def start(*, wanted: Wanted = ALL, kafka: str | None = None, postgres: str | None = None) -> Started:
    """On free ports; a port lost to another program between asking and binding is worth one more try.

    Raises RuntimeError where an engine is demanded and none answers.
    """
    if engine_answers():
        from tests import container_servers

        return await container_servers.start(wanted, kafka, postgres)
    if Given().require_docker:
        raise RuntimeError("CARTEIRO_REQUIRE_DOCKER is set, and no Docker engine answers")
    try:
        return await _start(wanted, kafka, postgres)
    except Misconfigured:
        raise
    except StackError:
        return await _start(wanted, kafka, postgres)


async def _start(wanted: Wanted, kafka: str | None, postgres: str | None) -> Started:
    folder = Path(tempfile.mkdtemp(prefix="carteiro-test-"))
    settings = StackSettings.model_validate(
        {"data": folder, "short_lived": True, "CARTEIRO_KAFKA": kafka, "CARTEIRO_POSTGRES": postgres}
    ).with_free_ports()
    async with contextlib.AsyncExitStack() as exits:
        exits.callback(shutil.rmtree, folder, ignore_errors=True)
        supervisor, stack = await exits.enter_async_context(serve(settings, _quiet, wanted=wanted))
        return Processes(supervisor, stack, exits.pop_all())


def _quiet(what: str, seconds: float) -> None:
    """Progress is for people."""


class Owner:
    """Starts the shared servers and the template database when first asked, for whoever asks."""

    def __init__(self) -> None:
        self._given = Given()
        self._lock = threading.Lock()
        self._background: Background | None = None
        self._started: Started | None = None
        self._answers: dict[str, dict[str, Any]] = {}
        self._template: str | None = None
        owner = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                what = self.rfile.readline().decode().strip()
                self.wfile.write(json.dumps(owner.answer(what)).encode() + b"\n")

        self._listener = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._listener.daemon_threads = True
        self.port = int(self._listener.server_address[1])
        self._thread = threading.Thread(target=self._listener.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def answer(self, what: str) -> dict[str, Any]:
        """`servers` or `template`; a failure is remembered, not tried again by every test."""
        with self._lock:
            return self._remembered(what)

    def _remembered(self, what: str) -> dict[str, Any]:
        if what not in self._answers:
            try:
                self._answers[what] = self._servers() if what == "servers" else self._make_template()
            except Misconfigured as error:
                self._answers[what] = {"not_run": str(error)}
            except Exception as error:  # noqa: BLE001  # it is raised again in the test that asked
                self._answers[what] = {"error": f"{type(error).__name__}: {error}"}
        return self._answers[what]

    def close(self) -> None:
        self._listener.shutdown()
        self._listener.server_close()
        self._thread.join()
        if self._background is None:
            return
        if self._template is not None and self._given.postgres:
            self._background.run(_execute(self._given.postgres, f"DROP DATABASE IF EXISTS {self._template}"))
        if self._started is not None:
            self._background.run(self._started.close())
        self._background.close()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        self._background = self._background or Background()
        return self._background.run(work)

    def _servers(self) -> dict[str, Any]:
        """What the environment does not name is started."""
        given = self._given
        wanted = ALL if given.mail is None else ALL - {"greenmail"}
        if given.kafka and given.postgres and given.mail:
            stack = Stack(given.kafka, given.postgres, given.mail, given.ca_file or Path())
        else:
            self._started = self._run(start(wanted=wanted, kafka=given.kafka, postgres=given.postgres))
            stack = self._started.stack
        mail = given.mail or stack.mail
        assert mail is not None
        ca_file = given.ca_file or stack.ca_file
        return {"kafka": stack.kafka, "postgres": stack.postgres, "mail": asdict(mail), "ca_file": str(ca_file)}

    def _make_template(self) -> dict[str, Any]:
        """A database with every migration applied, copied for each test."""
        servers = self._remembered("servers")
        if "postgres" not in servers:
            return servers
        self._template = f"carteiro_template_{secrets.token_hex(4)}"
        self._run(_execute(servers["postgres"], f"CREATE DATABASE {self._template}"))
        self._run(migrate(with_database(servers["postgres"], self._template)))
        return {"template": self._template}


def ask(port: int, what: str) -> dict[str, Any]:
    """The owner's answer. NotRun: the machine cannot; RuntimeError: it should and did not."""
    with socket.create_connection(("127.0.0.1", port)) as connection, connection.makefile("rwb") as stream:
        stream.write(f"{what}\n".encode())
        stream.flush()
        answer = cast("dict[str, Any]", json.loads(stream.readline()))
    if "not_run" in answer:
        raise NotRun(answer["not_run"])
    if "error" in answer:
        raise RuntimeError(answer["error"])
    return answer


def ask_servers(port: int) -> Servers:
    answer = ask(port, "servers")
    return Servers(answer["kafka"], answer["postgres"], Mail(**answer["mail"]), Path(answer["ca_file"]))


class OwnServers:
    """Servers of one test, to be killed: `postgres`, `kafka`, `greenmail`. What was not named when they were
    started is the shared one, stands in `servers` as well and cannot be killed."""

    def __init__(self, background: Background, started: Started, servers: Servers) -> None:
        self._background, self._started, self.servers = background, started, servers

    @classmethod
    async def start(cls, background: Background, wanted: Wanted, shared: Servers | None) -> "OwnServers":
        """`shared` gives the addresses of what is not wanted; the tests' loop goes on meanwhile."""
        kafka = None if shared is None or "kafka" in wanted else shared.kafka
        postgres = None if shared is None or "postgres" in wanted else shared.postgres
        try:
            started = await background.arun(start(wanted=wanted, kafka=kafka, postgres=postgres))
        except Misconfigured as error:
            pytest.skip(str(error))
        stack, mail, ca_file = started.stack, started.stack.mail, started.stack.ca_file
        if mail is None and shared is not None:
            mail, ca_file = shared.mail, shared.ca_file
        assert mail is not None
        return cls(background, started, Servers(stack.kafka, stack.postgres, mail, ca_file))

    async def kill(self, name: str) -> None:
        """kill -9, and gone when this returns."""
        await self._background.arun(self._started.kill(name))

    async def stop(self, name: str) -> None:
        """As an administrator would; gone when this returns."""
        await self._background.arun(self._started.stop(name))

    async def restart(self, name: str) -> None:
        """The same data and ports; answers when this returns."""
        await self._background.arun(self._started.restart(name))

    async def close(self) -> None:
        await self._started.close()


def with_database(dsn: str, name: str) -> str:
    """The same server and user, another database."""
    return urlunsplit(urlsplit(dsn)._replace(path=f"/{name}"))


async def _execute(dsn: str, statement: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
