"""A process that large mail is read in: killed when it takes too long or too much, so that the next mail goes on.

One process, started with the first large mail and kept. It inherits no environment, ends when its parent is gone
(end of file on its input), and holds 512 MiB of data and 5 s of CPU a job at most, both by the kernel; wall time
is the net behind them. A job is a function and its arguments, the result bytes.
"""

import asyncio
import os
import pickle
import resource
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from shared.failures import Transient

CPU_SECONDS = 5
WALL_SECONDS = 20.0
MEMORY_BYTES = 512 * 1024 * 1024
_START_SECONDS = 30.0
_RESULT, _FAILED, _MEMORY = b"R", b"F", b"M"
_READY = b"+"


class Killed(Exception):
    """The job was ended: `cpu`, `time`, `memory`, or `crash` (twice: the first may have been somebody else's)."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class JobFailed(Exception):
    """The function raised; the message is the exception's type, never its text."""


class WorkerUnavailable(Transient):
    """The process could not be started."""


class Worker:
    """Runs one job at a time."""

    def __init__(self, *, wall_seconds: float = WALL_SECONDS) -> None:
        self._wall_seconds = wall_seconds
        self._process: Process | None = None
        self._one = asyncio.Lock()

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
        try:
            async with asyncio.timeout(self._wall_seconds):
                status, result = await _exchange(process, job)
        except TimeoutError as error:
            await self._end()
            raise Killed("time") from error
        except (EOFError, OSError) as error:
            code = await self._end()
            if code == -signal.SIGXCPU:
                raise Killed("cpu") from error
            raise _Ended from error
        except BaseException:
            await self._end()  # cancelled: its answer would be taken for the next job's
            raise
        if status == _MEMORY:
            await self._end()
            raise Killed("memory")
        if status == _FAILED:
            raise JobFailed(result.decode("ascii", "replace"))
        return result

    async def _started(self) -> Process:
        if self._process is not None and self._process.returncode is not None:
            await self._end()
        if self._process is None:
            try:
                self._process = await asyncio.create_subprocess_exec(
                    sys.executable, "-m", "services.dispatcher.worker", stdin=PIPE, stdout=PIPE, env={}
                )
                async with asyncio.timeout(_START_SECONDS):
                    await _reader(self._process).readexactly(1)
            except (EOFError, OSError) as error:
                await self._end()
                raise WorkerUnavailable(f"the process for large mail does not start: {type(error).__name__}") from error
            except BaseException:
                await self._end()
                raise
        return self._process

    async def _end(self) -> int | None:
        """Exit status of the process that was ended, negative for a signal."""
        process, self._process = self._process, None
        if process is None:
            return None
        with suppress(ProcessLookupError):
            if not _reader(process).at_eof():  # else it has died already, and its status says of what
                process.kill()
        if process.stdin is not None:
            process.stdin.close()
        return await process.wait()


class _Ended(Exception):
    """The process is gone in the middle of a job."""


async def _exchange(process: Process, job: bytes) -> tuple[bytes, bytes]:
    assert process.stdin is not None
    process.stdin.write(len(job).to_bytes(8, "big"))
    process.stdin.write(job)
    await process.stdin.drain()
    reader = _reader(process)
    status = await reader.readexactly(1)
    size = int.from_bytes(await reader.readexactly(8), "big")
    return status, await reader.readexactly(size)


def _reader(process: Process) -> asyncio.StreamReader:
    assert process.stdout is not None
    return process.stdout


# --- in the process itself ------------------------------------------------------------------------------------------


def main() -> None:
    """Serves jobs from standard input until its end."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # Ctrl-C reaches the whole group: the parent drains first
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints is no answer
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(ValueError, OSError):  # a platform without this limit keeps the other two
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    answers.write(_READY)
    answers.flush()
    while head := sys.stdin.buffer.read(8):
        status, result = _answer(sys.stdin.buffer.read(int.from_bytes(head, "big")))
        answers.write(status + len(result).to_bytes(8, "big"))
        answers.write(result)
        answers.flush()


def _answer(job: bytes) -> tuple[bytes, bytes]:
    try:
        function, arguments = pickle.loads(job)  # noqa: S301  # from our parent
        used = resource.getrusage(resource.RUSAGE_SELF)
        limit = int(used.ru_utime + used.ru_stime) + 1 + CPU_SECONDS
        resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))
        return _RESULT, function(*arguments)
    except MemoryError:
        return _MEMORY, b""
    except Exception as error:  # noqa: BLE001  # said by its type; the parent decides
        return _FAILED, type(error).__name__.encode("ascii", "replace")


if __name__ == "__main__":
    main()
