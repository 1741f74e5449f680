"""A process that dear mail is read in: a job that takes too long or too much is ended, and the next mail goes on.

One process (`worker_process.py`), started with the first dear mail and kept; it inherits no environment. A job is a
function and its arguments, the result bytes. It may hold 512 MiB of data and take 5 s of CPU, both held by the
kernel. Jobs share an allowance of CPU: where mail after mail takes all it may, each gets less, so a flood of bombs
does not stop the mail behind it.
"""

import asyncio
import os
import pickle
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from services.dispatcher.worker_process import ANSWER, CPU, CRASH, FAILED, JOB, MEMORY
from shared.clock import monotonic
from shared.failures import Transient

CPU_SECONDS = 5.0
LEAST_CPU_SECONDS = 0.25
ALLOWANCE_SECONDS = 20.0
IDLE_SECONDS = 20.0
_REFILL = 0.2  # seconds of allowance that come back each second
_TICK = 0.5
_START_SECONDS = 30.0
_KILLED = {CPU: "cpu", MEMORY: "memory"}


class Killed(Exception):
    """The job was ended: `cpu`, `time`, `memory`, or `crash` (twice: the first may have been somebody else's)."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class JobFailed(Exception):
    """The function raised; the message is the exception's type, never its text."""


class WorkerUnavailable(Transient):
    """The process could not be started."""


@dataclass
class Allowance:
    """How much CPU jobs may take: a quarter of what is left, at most 5 s. What a job took is gone, and comes back
    at a fifth of a second each second. Times are monotonic seconds."""

    left: float = ALLOWANCE_SECONDS
    at: float = 0.0

    def grant(self, moment: float) -> float:
        self.left = min(ALLOWANCE_SECONDS, self.left + (moment - self.at) * _REFILL)
        self.at = moment
        return max(LEAST_CPU_SECONDS, min(CPU_SECONDS, self.left / 4))

    def take(self, seconds: float) -> None:
        self.left = max(0.0, self.left - seconds)


@dataclass
class Worker:
    """Runs one job at a time. `idle_seconds`: how long a job may wait for something, which reading a mail never
    does; time in which the machine gives it no processor, or all of us stand still, is not counted."""

    idle_seconds: float = IDLE_SECONDS
    allowance: Allowance = field(default_factory=Allowance)
    _process: Process | None = None
    _one: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def pid(self) -> int | None:
        """Of the process, while there is one."""
        return self._process.pid if self._process else None

    async def run(self, function: Callable[..., bytes], *arguments: Any) -> bytes:
        """The function's result. Raises Killed, JobFailed, or WorkerUnavailable."""
        job = pickle.dumps((function, arguments))
        async with self._one:
            with suppress(_Ended):
                return await self._attempt(job)
            try:
                return await self._attempt(job)
            except _Ended as error:
                raise Killed("crash") from error

    async def close(self) -> None:
        """Ends the process and waits for it: no zombie is left."""
        await self._end()

    async def _attempt(self, job: bytes) -> bytes:
        process = await self._started()
        seconds = self.allowance.grant(monotonic())
        try:
            status, took, result = await self._exchange(process, JOB.pack(len(job), seconds) + job)
        except (EOFError, OSError) as error:
            await self._end()
            raise _Ended from error
        except BaseException:
            await self._end()  # cancelled, or out of time: its answer would be taken for the next job's
            raise
        self.allowance.take(took)
        if status == CRASH:
            raise _Ended
        if status in _KILLED:
            raise Killed(_KILLED[status])
        if status == FAILED:
            raise JobFailed(result.decode("ascii", "replace"))
        return result

    async def _exchange(self, process: Process, job: bytes) -> tuple[bytes, float, bytes]:
        """Status, seconds of CPU, and the result. Raises Killed where the job only waits."""
        answering = asyncio.create_task(_answered(process, job))
        idle = 0.0
        try:
            while True:
                before = monotonic()
                done, _ = await asyncio.wait({answering}, timeout=_TICK)
                if done:
                    return answering.result()
                if monotonic() - before < 2 * _TICK and _waits(process.pid):
                    idle += _TICK
                if idle >= self.idle_seconds:
                    raise Killed("time")
        finally:
            answering.cancel()
            with suppress(asyncio.CancelledError, EOFError, OSError):
                await answering

    async def _started(self) -> Process:
        if self._process is not None and self._process.returncode is not None:
            await self._end()
        if self._process is None:
            try:
                self._process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    *("-m", "services.dispatcher.worker_process"),
                    stdin=PIPE,
                    stdout=PIPE,
                    env={},
                    start_new_session=True,  # the fork that does a job is ended with it
                )
                async with asyncio.timeout(_START_SECONDS):
                    await _frame(self._process)
            except (EOFError, OSError) as error:
                await self._end()
                raise WorkerUnavailable(f"the process for dear mail does not start: {type(error).__name__}") from error
            except BaseException:
                await self._end()
                raise
        return self._process

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        if process.stdin is not None:
            process.stdin.close()
        await process.wait()


class _Ended(Exception):
    """The process is gone in the middle of a job."""


async def _answered(process: Process, job: bytes) -> tuple[bytes, float, bytes]:
    assert process.stdin is not None
    process.stdin.write(job)
    await process.stdin.drain()
    return await _frame(process)


async def _frame(process: Process) -> tuple[bytes, float, bytes]:
    assert process.stdout is not None
    status, took, size = ANSWER.unpack(await process.stdout.readexactly(ANSWER.size))
    return status, took, await process.stdout.readexactly(size)


def _waits(pid: int) -> bool:
    """Whether the forks of this process wait for something (Linux; elsewhere every job counts as one that does).

    One that could run, is stopped (`T`) or waits for the disk (`D`) is held up by the machine.
    """
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
        states = [Path(f"/proc/{child}/stat").read_text("utf-8", "replace").rpartition(")")[2][1] for child in children]
    except OSError:
        return not Path("/proc/self").exists()
    return bool(states) and all(state == "S" for state in states)
