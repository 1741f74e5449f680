"""The process for large mail: a job that takes too much is ended, the next one is served, nobody is left behind."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator
from itertools import repeat

import psutil
import pytest

from services.dispatcher.worker import ALLOWANCE_SECONDS, LEAST_CPU_SECONDS, Allowance, JobFailed, Killed, Worker
from shared.clock import monotonic


@pytest.fixture
async def worker() -> AsyncIterator[Worker]:
    built = Worker()
    yield built
    await built.close()


async def test_a_job_gives_its_bytes_and_the_process_is_kept(worker: Worker) -> None:
    assert await worker.run(bytes, 3) == b"\0\0\0"
    first = worker.pid
    assert await worker.run(bytes.upper, b"x" * 2_000_000) == b"X" * 2_000_000
    assert worker.pid == first


async def test_what_burns_the_processor_is_ended_and_the_next_job_served(worker: Worker) -> None:
    await worker.run(bytes, 1)
    first = worker.pid
    with pytest.raises(Killed, match="cpu"):
        await worker.run(sum, repeat(1))
    assert await worker.run(bytes, 1) == b"\0"
    assert worker.pid == first, "what is killed is a fork: the next mail waits for no start of Python"


class ThreeSeconds:
    """A job of three seconds of CPU, made of what the other process knows as well."""

    def __reduce__(self) -> tuple[object, ...]:
        clock = "__import__('time').process_time"
        return eval, (f"lambda t={clock}: next(b'' for began in [t()] for _ in iter(int, 1) if t() - began > 3.1)",)

    def __call__(self) -> bytes:
        raise NotImplementedError


async def test_each_job_has_the_whole_budget(worker: Worker) -> None:
    for _ in range(2):
        assert await worker.run(ThreeSeconds()) == b""


async def test_what_only_waits_is_ended_by_the_clock() -> None:
    worker = Worker(idle_seconds=0.5)
    with pytest.raises(Killed, match="time"):
        await worker.run(time.sleep, 60)  # type: ignore[arg-type]  # a job that never gives bytes
    assert worker.pid is None
    await worker.close()


async def until(condition: object, *, seconds: float = 30) -> None:
    deadline = monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert monotonic() < deadline
        await asyncio.sleep(0.05)


def fork_of(worker: Worker) -> psutil.Process | None:
    with contextlib.suppress(psutil.NoSuchProcess):
        return next(iter(psutil.Process(worker.pid).children()), None)
    return None


async def test_a_machine_that_stands_still_takes_no_time_of_the_job() -> None:
    """A live migration, or a node without a processor to spare: all of it stops, and goes on."""
    worker = Worker(idle_seconds=1.0)
    await worker.run(bytes, 1)
    job = asyncio.create_task(worker.run(ThreeSeconds()))
    await until(lambda: fork_of(worker))
    assert worker.pid is not None
    os.killpg(worker.pid, signal.SIGSTOP)
    began = monotonic()
    await until(lambda: monotonic() - began > 3)
    assert not job.done()
    os.killpg(worker.pid, signal.SIGCONT)
    assert await job == b""
    await worker.close()


async def test_a_service_that_stood_still_itself_blames_nobody() -> None:
    worker = Worker(idle_seconds=1.0)
    await worker.run(bytes, 1)
    job = asyncio.create_task(worker.run(WaitsTwoSeconds()))
    await until(lambda: fork_of(worker))
    time.sleep(3)  # noqa: ASYNC251  # the loop is held, as by a paused machine
    assert await job == b""
    await worker.close()


class WaitsTwoSeconds(ThreeSeconds):
    def __reduce__(self) -> tuple[object, ...]:
        return eval, ("lambda: __import__('time').sleep(2) or b''",)


def test_an_allowance_shrinks_with_what_is_taken_and_comes_back() -> None:
    allowance = Allowance(at=100.0)
    granted = []
    for _ in range(60):
        granted.append(allowance.grant(100.0))
        allowance.take(granted[-1])
    assert granted[0] == 5.0
    assert granted[-1] == LEAST_CPU_SECONDS
    assert sum(granted) < 45, "sixty bombs end within a minute"
    assert allowance.grant(100.0 + 60) == pytest.approx(3.0)
    assert allowance.grant(100.0 + 600) == 5.0
    assert allowance.left == ALLOWANCE_SECONDS


async def test_what_eats_memory_is_ended(worker: Worker) -> None:
    with pytest.raises(Killed, match="memory"):
        await worker.run(bytes, 1 << 30)
    assert await worker.run(bytes, 1) == b"\0"


async def test_a_process_that_dies_twice_of_one_job_blames_the_job(worker: Worker) -> None:
    with pytest.raises(Killed, match="crash"):
        await worker.run(os._exit, 3)


async def test_a_process_somebody_else_killed_is_no_verdict(worker: Worker) -> None:
    await worker.run(bytes, 1)
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGKILL)
    assert await worker.run(bytes, 2) == b"\0\0"


async def test_a_fault_is_told_by_its_type_alone(worker: Worker) -> None:
    with pytest.raises(JobFailed, match=r"^ValueError$"):
        await worker.run(bytes.fromhex, "secret")


async def test_jobs_wait_for_each_other(worker: Worker) -> None:
    results = await asyncio.gather(*(worker.run(bytes, n) for n in range(20)))
    assert [len(result) for result in results] == list(range(20))


async def test_a_cancelled_job_takes_its_process_with_it(worker: Worker) -> None:
    await worker.run(bytes, 1)
    pid = worker.pid
    task = asyncio.create_task(worker.run(time.sleep, 60))  # type: ignore[arg-type]  # never gives bytes
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await worker.run(bytes, 1) == b"\0"
    assert worker.pid != pid or pid is None


async def test_closing_leaves_no_process(worker: Worker) -> None:
    await worker.run(bytes, 1)
    pid = worker.pid
    assert pid is not None
    assert "CARTEIRO" not in "".join(psutil.Process(pid).environ()), (
        "a process that reads strangers' mail has no secrets"
    )
    await worker.close()
    assert not psutil.pid_exists(pid)
