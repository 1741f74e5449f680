"""The servers of the tests as containers: the public images, by the names and tags that compose.yaml has too.

An engine that can pull nothing has images of the same contract under a prefix (tools/images.sh), which testcontainers
puts in front: TESTCONTAINERS_HUB_IMAGE_NAME_PREFIX. Ports are chosen here and not by the engine: a container that is
killed and started again keeps its address.
"""

import asyncio
import contextlib
import secrets
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncpg
import docker.errors
from testcontainers.core.container import DockerContainer

from ops.stack import certificates, greenmail, kafka, postgres, ready
from ops.stack.servers import Servers as Stack
from ops.stack.servers import Wanted
from ops.stack.settings import HOST, StackSettings, free_ports
from shared.clock import monotonic

KAFKA = "apache/kafka:4.3.0"
POSTGRES = "postgres:15"
GREENMAIL = "greenmail/standalone:2.1.13"
_SECONDS = 120.0
_MAIL = {"smtp": 3025, "smtps": 3465, "imap": 3143, "imaps": 3993, "pop3": 3110, "pop3s": 3995, "api": 8080}
Ready = Callable[[], Awaitable[bool]]


class Containers:
    """Started servers by name; `stack` has their addresses."""

    def __init__(self, stack: Stack, running: dict[str, tuple[DockerContainer, Ready]]) -> None:
        self.stack, self._running = stack, running

    async def kill(self, name: str) -> None:
        """kill -9, and gone when this returns."""
        await self._end(name, "SIGKILL")

    async def stop(self, name: str) -> None:
        await self._end(name, "")

    async def restart(self, name: str) -> None:
        """The same data and ports; answers when this returns."""
        await self._end(name, "")
        container, answers = self._running[name]
        await asyncio.to_thread(container.get_wrapped_container().start)
        await _until(name, container, answers)

    async def close(self) -> None:
        for container, _ in self._running.values():
            await asyncio.to_thread(container.stop)

    async def _end(self, name: str, signal: str) -> None:
        inside = self._running[name][0].get_wrapped_container()

        def end() -> None:
            if signal:
                inside.kill(signal)
            else:
                inside.stop(timeout=20)
            inside.wait(timeout=30)

        with contextlib.suppress(docker.errors.APIError):  # it has ended already
            await asyncio.to_thread(end)


async def start(wanted: Wanted, broker: str | None, database: str | None) -> Containers:
    """What is wanted and has no address yet, side by side. RuntimeError with the end of a log."""
    folder = Path(tempfile.mkdtemp(prefix="carteiro-test-"))
    issued = certificates.ensure(folder / "certs")
    running: dict[str, tuple[DockerContainer, Ready]] = {}
    mail: greenmail.Mail | None = None
    if "kafka" in wanted and not broker:
        broker, running["kafka"] = _kafka()
    if "postgres" in wanted and not database:
        database, running["postgres"] = _postgres()
    if "greenmail" in wanted:
        mail, running["greenmail"] = _greenmail(issued.keystore.read_bytes())
    containers = Containers(Stack(broker or "", database or "", mail, issued.ca), running)
    try:
        async with asyncio.TaskGroup() as group:
            for name, (container, answers) in running.items():
                group.create_task(_started(name, container, answers))
    except BaseException:
        await containers.close()
        raise
    return containers


async def _started(name: str, container: DockerContainer, answers: Ready) -> None:
    await asyncio.to_thread(container.start)
    await _until(name, container, answers)


async def _until(name: str, container: DockerContainer, answers: Ready) -> None:
    deadline = monotonic() + _SECONDS
    while True:
        with contextlib.suppress(OSError, TimeoutError, EOFError, ValueError, asyncpg.PostgresError):
            async with asyncio.timeout(5):
                if await answers():
                    return
        if monotonic() > deadline:
            out, err = container.get_logs()
            raise RuntimeError(f"{name} does not answer after {_SECONDS:.0f} s:\n{(out + err).decode()[-2000:]}")
        await asyncio.sleep(0.05)


def _kafka() -> tuple[str, tuple[DockerContainer, Ready]]:
    (port,) = free_ports(1)
    settings = StackSettings.model_validate({"short_lived": True})
    lines = kafka.properties(settings, Path("/var/lib/kafka/data")).splitlines()
    chosen = dict(line.split("=", 1) for line in lines) | {
        "controller.quorum.voters": "1@localhost:9093",
        "listeners": "PLAINTEXT://:9092,CONTROLLER://:9093,BROKER://:9094",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{port},BROKER://localhost:9094",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,BROKER:PLAINTEXT",
        "inter.broker.listener.name": "BROKER",
    }
    container = DockerContainer(KAFKA).with_bind_ports(9092, port)
    container.with_envs(**{f"KAFKA_{name.replace('.', '_').upper()}": value for name, value in chosen.items()})
    return f"{HOST}:{port}", (container, lambda: ready.kafka(port))


def _postgres() -> tuple[str, tuple[DockerContainer, Ready]]:
    (port,) = free_ports(1)
    password = secrets.token_hex(8)
    container = DockerContainer(POSTGRES).with_bind_ports(5432, port)
    container.with_envs(POSTGRES_USER=postgres.OWNER, POSTGRES_PASSWORD=password, POSTGRES_DB=postgres.OWNER)
    options = {"max_connections": str(postgres.MAX_CONNECTIONS), "fsync": "off"}
    container.with_command(["postgres", *(part for pair in options.items() for part in ("-c", "=".join(pair)))])
    dsn = f"postgresql://{postgres.OWNER}:{password}@{HOST}:{port}/{postgres.OWNER}"

    async def answers() -> bool:
        connection = await asyncpg.connect(dsn)
        await connection.close()
        return True

    return dsn, (container, answers)


def _greenmail(keystore: bytes) -> tuple[greenmail.Mail, tuple[DockerContainer, Ready]]:
    mail = greenmail.Mail(HOST, **dict(zip(_MAIL, free_ports(len(_MAIL)), strict=True)))
    container = DockerContainer(GREENMAIL)
    for name, inside in _MAIL.items():
        container.with_bind_ports(inside, getattr(mail, name))
    container.with_copy_into_container(keystore, "/tmp/server.p12")
    options = {
        "setup.test.all": "",
        "hostname": "0.0.0.0",
        "startup.timeout": "30000",
        "users.login": "email",
        "tls.keystore.file": "/tmp/server.p12",
        "tls.keystore.password": certificates.KEYSTORE_PASSWORD,
    }
    container.with_env("GREENMAIL_OPTS", " ".join(f"-Dgreenmail.{name}={value}" for name, value in options.items()))
    container.with_env("JAVA_OPTS", "-Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1")

    async def answers() -> bool:
        return (
            await ready.greets(mail.smtp, b"220")
            and await ready.greets(mail.imap, b"* OK")
            and await ready.greets(mail.pop3, b"+OK")
            and await ready.http(mail.api, "/api/service/readiness")
        )

    return mail, (container, answers)
