"""What the machine gives while something is measured: CPU and memory of processes, and how slow the processor is.

Virtual cores are shared: the same work costs up to twice the CPU time when neighbours are busy. A short loop of fixed
work runs beside each measurement; its median over its best is the machine's slowness, by which figures of different
hours can be compared.
"""

import asyncio
import contextlib
import statistics
import time
import zlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

import psutil

_DATA = bytes(range(256)) * 64
_EVERY = 0.25


def calibrated() -> float:
    """CPU seconds of one round of fixed work: compression and plain Python, about a millisecond."""
    began = time.thread_time()
    zlib.compress(_DATA, 6)
    total = 0
    for n in range(8000):
        total += n * n
    return time.thread_time() - began


def best(rounds: int = 400) -> float:
    """The quickest of many rounds."""
    return min(calibrated() for _ in range(rounds))


@dataclass
class Watched:
    """CPU seconds of each process since the start, peaks of resident memory in MB, rounds of the loop beside."""

    cpu: dict[str, float] = field(default_factory=dict)
    memory: dict[str, float] = field(default_factory=dict)
    rounds: list[float] = field(default_factory=list)

    def slowness(self, quickest: float) -> float:
        return statistics.median(self.rounds) / quickest if self.rounds else 1.0


@contextlib.asynccontextmanager
async def watching(processes: Mapping[str, psutil.Process]) -> AsyncIterator[Watched]:
    """Fills in what it yields until the block ends."""
    watched = Watched()
    before = {name: spent(process) for name, process in processes.items()}

    async def look() -> None:
        while True:
            watched.rounds.append(calibrated())
            for name, process in processes.items():
                watched.memory[name] = max(watched.memory.get(name, 0.0), resident(process))
            await asyncio.sleep(_EVERY)

    looking = asyncio.create_task(look())
    try:
        yield watched
    finally:
        looking.cancel()
        watched.cpu = {name: spent(process) - before[name] for name, process in processes.items()}


def spent(process: psutil.Process) -> float:
    """CPU seconds so far, of children that ended too."""
    times = process.cpu_times()
    total = float(times.user + times.system + times.children_user + times.children_system)
    return total + sum(sum(child.cpu_times()[:2]) for child in process.children(recursive=True))


def resident(process: psutil.Process) -> float:
    """MB of the process itself and of its children."""
    with contextlib.suppress(psutil.NoSuchProcess):
        family = [process, *process.children(recursive=True)]
        return float(sum(each.memory_info().rss for each in family) / 1e6)
    return 0.0
