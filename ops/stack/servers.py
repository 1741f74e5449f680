"""The three servers together: locks, files, PostgreSQL ∥ Kafka ∥ GreenMail, addresses."""

import asyncio
import contextlib
import fcntl
import shutil
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from ops.stack import certificates, greenmail, jars, kafka, postgres
from ops.stack.failures import StackError
from ops.stack.settings import HOST, StackSettings
from ops.stack.supervisor import Supervisor
from shared.clock import monotonic

Wanted = frozenset[Literal["postgres", "kafka", "greenmail"]]
ALL: Wanted = frozenset({"postgres", "kafka", "greenmail"})
Report = Callable[[str, float], None]  # what was done, seconds
PORT_SECONDS = 20.0  # a predecessor may just be going
NEEDED = 500 * 1024 * 1024  # bytes free below the data folder before anything is started


@dataclass(frozen=True, slots=True)
class Servers:
    """`kafka` is host:port, `postgres` the DSN of an administrator; empty or None: neither known nor wanted."""

    kafka: str
    postgres: str
    mail: greenmail.Mail | None
    ca_file: Path


@contextlib.asynccontextmanager
async def serve(
    settings: StackSettings,
    report: Report,
    *,
    wanted: Wanted = ALL,
    users: Mapping[str, str] | None = None,
) -> AsyncIterator[tuple[Supervisor, Servers]]:
    """All up inside, none left outside. Servers whose address the settings name are used as they are."""
    data = settings.data.absolute()
    data.mkdir(parents=True, exist_ok=True)
    _enough_room(data)
    with _only_one(data), (data / "guard.lock").open("ab") as lock:
        await _children_gone(lock)
        shutil.rmtree(data / "log", ignore_errors=True)
        archives = await _archives(settings, report)
        await _ports_free(settings, wanted)
        async with Supervisor(data, lock=lock) as supervisor:
            yield supervisor, await start_all(supervisor, settings, report, archives, wanted=wanted, users=users or {})


async def start_all(
    supervisor: Supervisor,
    settings: StackSettings,
    report: Report,
    archives: list[jars.Jar],
    *,
    wanted: Wanted,
    users: Mapping[str, str],
) -> Servers:
    """Side by side; the first that fails ends the wait for the others."""
    folder = settings.jars
    issued = certificates.ensure(settings.data.absolute() / "certs")

    async def start_postgres() -> str:
        if settings.postgres or "postgres" not in wanted:
            return settings.postgres or ""
        began = monotonic()
        dsn = await postgres.start(supervisor, settings)
        report(f"PostgreSQL on {HOST}:{settings.postgres_port}", monotonic() - began)
        return dsn

    async def start_kafka() -> str:
        if settings.kafka or "kafka" not in wanted:
            return settings.kafka or ""
        began = monotonic()
        address = await kafka.start(supervisor, settings, jars.class_path(archives, "kafka", folder))
        report(f"Kafka on {address}", monotonic() - began)
        return address

    async def start_mail() -> greenmail.Mail | None:
        if "greenmail" not in wanted:
            return None
        began = monotonic()
        path = jars.class_path(archives, "greenmail", folder)
        started = await greenmail.start(supervisor, settings, path, issued, users)
        report(f"GreenMail on {HOST}:{started.smtp} (SMTP), {started.imap} (IMAP)", monotonic() - began)
        return started

    try:
        async with asyncio.TaskGroup() as group:
            broker = group.create_task(start_kafka())
            database = group.create_task(start_postgres())
            mailboxes = group.create_task(start_mail())
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from failed
    return Servers(broker.result(), database.result(), mailboxes.result(), issued.ca)


async def _archives(settings: StackSettings, report: Report) -> list[jars.Jar]:
    locked = jars.read_lock(jars.LOCK.read_text(encoding="ascii"))
    absent = jars.missing(locked, settings.jars)
    if absent:
        began = monotonic()
        await asyncio.to_thread(jars.fetch, absent, settings.jars, settings.maven)
        megabytes = sum(jar.size for jar in absent) / 1e6
        report(f"{len(absent)} Java archives, {megabytes:.0f} MB, fetched and checked", monotonic() - began)
    return locked


def _enough_room(data: Path) -> None:
    free = shutil.disk_usage(data).free
    if free < NEEDED:
        raise StackError(
            f"Only {free // 1024**2} MB are free below {data}: free {NEEDED // 1024**2} MB, or set "
            "CARTEIRO_STACK_DATA to a folder with more room."
        )


@contextlib.contextmanager
def _only_one(data: Path) -> Iterator[None]:
    """A lock on a file held open is never stale, whatever ended its holder."""
    with (data / "stack.lock").open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StackError(
                f"A stack is running on {data} already: its addresses stand in {data / 'stack.env'}; "
                "end it with Ctrl-C in its terminal, or set CARTEIRO_STACK_DATA to another folder."
            ) from error
        yield


async def _children_gone(file: IO[bytes]) -> None:
    """The guard of a killed predecessor holds this lock until its servers are down."""
    deadline = monotonic() + 25
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if monotonic() > deadline:
                raise StackError(f"The servers of the last stack are still going down ({file.name}).") from error
            await asyncio.sleep(0.1)
        else:
            return


async def _ports_free(settings: StackSettings, wanted: Wanted) -> None:
    """Waits PORT_SECONDS, then says which port and which setting."""
    needed = [name for name in type(settings).model_fields if name.endswith("_port")]
    if settings.postgres or "postgres" not in wanted:
        needed.remove("postgres_port")
    if settings.kafka or "kafka" not in wanted:
        needed = [name for name in needed if name not in {"kafka_port", "controller_port"}]
    if "greenmail" not in wanted:
        needed = [name for name in needed if not name.startswith(("smtp", "imap", "pop3", "mail_"))]
    deadline = monotonic() + PORT_SECONDS
    while taken := [name for name in needed if _taken(getattr(settings, name))]:
        if monotonic() > deadline:
            port = getattr(settings, taken[0])
            raise StackError(
                f"Port {port} on {HOST} is taken by another program: end it (`lsof -i :{port}` names it), or set "
                f"CARTEIRO_STACK_{taken[0].upper()} to a free port."
            )
        await asyncio.sleep(0.25)


def _taken(port: int) -> bool:
    try:
        socket.create_server((HOST, port)).close()
    except OSError:
        return True
    return False
