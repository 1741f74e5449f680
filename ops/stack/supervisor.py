"""Starts processes, waits until each answers, stops services before servers, leaves none behind.

Each child leads a session of its own (Ctrl-C reaches us alone, and a signal to its group reaches what it
forked), writes to a log file opened by us (an unread pipe would stop it) and is known to the guard, which
ends it if we die. No pid is ever read from a file: only children we hold are signalled.
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from ops.stack import guard
from ops.stack.failures import Misconfigured, StackError, Unreachable
from ops.stack.settings import inherited
from shared.clock import monotonic

POLL = 0.05
MAX_BACKOFF = 30.0


@dataclass(frozen=True, slots=True)
class Service:
    """One process. `ready` is asked until it says True, for at most `limit` seconds; after the signal `stop`
    it has `grace` seconds. `restart`: its death is not the stack's, it comes back with back-off."""

    name: str
    argv: Sequence[str]
    ready: Callable[[], Awaitable[bool]]
    stop: signal.Signals = signal.SIGTERM
    grace: float = 15
    limit: float = 60
    environment: Mapping[str, str] = field(default_factory=dict)
    restart: bool = False


@dataclass(slots=True)
class Child:
    service: Service
    process: asyncio.subprocess.Process
    watch: asyncio.Task[None] | None = None
    wanted: bool = True  # False as soon as we end it ourselves


class Supervisor:
    """`async with Supervisor(data) as supervisor:` everything started inside is gone afterwards."""

    def __init__(self, data: Path, *, lock: IO[bytes] | None = None) -> None:
        self._logs = data / "log"
        self._lock = lock
        self._children: dict[str, Child] = {}
        self._services: dict[str, Service] = {}
        self._guard: asyncio.subprocess.Process | None = None
        self._failure: asyncio.Future[StackError] = asyncio.get_running_loop().create_future()

    async def __aenter__(self) -> Self:
        self._logs.mkdir(parents=True, exist_ok=True)
        self._guard = await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",
            "-S",
            guard.__file__,
            stdin=asyncio.subprocess.PIPE,
            start_new_session=True,
            pass_fds=() if self._lock is None else (self._lock.fileno(),),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        services = [name for name, child in self._children.items() if child.service.restart]
        await asyncio.gather(*(self.stop(name) for name in services))  # they drain while the servers still answer
        await asyncio.gather(*(self.stop(name) for name in list(self._children)))
        if self._guard is not None and self._guard.stdin is not None:
            self._guard.stdin.close()
            await self._guard.wait()

    @property
    def running(self) -> dict[str, int]:
        """Names and process ids, in the order of their start."""
        return {name: child.process.pid for name, child in self._children.items()}

    async def start(self, service: Service) -> None:
        """Return when it answers. StackError with the end of its log: it ended, or was silent for `limit`."""
        child = Child(service, await self._spawn(service))
        self._children[service.name] = child
        self._services[service.name] = service
        await self._until_ready(service, child.process)
        child.watch = asyncio.create_task(self._watch(child), name=f"watch {service.name}")

    async def stop(self, name: str) -> None:
        await self._end(name, None)

    async def kill(self, name: str) -> None:
        """kill -9 of its whole group, as a crash would look like; `restart` brings it back."""
        await self._end(name, signal.SIGKILL)

    async def restart(self, name: str) -> None:
        """Start anew what ran under this name, on the same data and ports."""
        await self.stop(name)
        await self.start(self._services[name])

    async def failed(self) -> StackError:
        """Wait until a process that is not restarted ends by itself."""
        return await asyncio.shield(self._failure)

    async def run(self, name: str, argv: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        """A command that ends by itself; StackError with the end of its log when its status is not 0."""
        service = Service(name, argv, _at_once, environment=environment or {})
        process = await self._spawn(service)
        try:
            status = await process.wait()
        except asyncio.CancelledError:
            _signal(process, signal.SIGKILL)
            await process.wait()
            raise
        finally:
            self._tell(f"- {process.pid}")
        if status != 0:
            raise self._ended(name, status)

    def log_path(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    def log_end(self, name: str, lines: int = 15) -> str:
        """The last lines of its log, with the file's name."""
        path = self.log_path(name)
        text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
        return "\n".join([f"the end of {path}:", *text.splitlines()[-lines:]])

    def _ended(self, name: str, status: int) -> StackError:
        kind = {69: Unreachable, 78: Misconfigured}.get(status, StackError)
        return kind(f"{name} ended with status {status}; {self.log_end(name)}")

    async def _spawn(self, service: Service) -> asyncio.subprocess.Process:
        with self.log_path(service.name).open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *service.argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**inherited(), **service.environment},
                start_new_session=True,
            )
        self._tell(f"+ {service.name} {process.pid} {int(service.stop)}")
        return process

    def _tell(self, line: str) -> None:
        if self._guard is not None and self._guard.stdin is not None:
            self._guard.stdin.write(f"{line}\n".encode())

    async def _until_ready(self, service: Service, process: asyncio.subprocess.Process) -> None:
        deadline = monotonic() + service.limit
        while not await _answers(service):
            if process.returncode is not None:
                raise self._ended(service.name, process.returncode)
            if monotonic() > deadline:
                raise StackError(
                    f"{service.name} does not answer after {service.limit:.0f} s.\n{self.log_end(service.name)}"
                )
            await asyncio.sleep(POLL)

    async def _watch(self, child: Child) -> None:
        """Its end: ours, the stack's, or one more try after a growing pause."""
        pause, service = 1.0, child.service
        while True:
            began = monotonic()
            status = await child.process.wait()
            self._tell(f"- {child.process.pid}")
            if not child.wanted:
                return
            if not service.restart:
                if not self._failure.done():
                    self._failure.set_result(self._ended(service.name, status))
                return
            pause = 1.0 if monotonic() - began > MAX_BACKOFF else min(pause * 2, MAX_BACKOFF)
            await asyncio.sleep(pause)
            child.process = await self._spawn(service)

    async def _end(self, name: str, number: signal.Signals | None) -> None:
        child = self._children.pop(name, None)
        if child is None:
            return
        child.wanted = False
        if child.watch is not None:  # first, or it would start the next one
            child.watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await child.watch
        process = child.process
        _signal(process, number or child.service.stop)
        try:
            async with asyncio.timeout(child.service.grace):
                await process.wait()
        except TimeoutError:
            _signal(process, signal.SIGKILL)
            await process.wait()
        self._tell(f"- {process.pid}")


async def _at_once() -> bool:
    return True


async def _answers(service: Service) -> bool:
    """A refused connection and a broken greeting are the same thing: not yet."""
    try:
        async with asyncio.timeout(5):
            return await service.ready()
    except (OSError, TimeoutError, EOFError, ValueError):
        return False


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    if process.returncode is None:  # a reaped pid may be somebody else's by now
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
