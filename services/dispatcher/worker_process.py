"""The process that dear mail is read in: `python -m services.dispatcher.worker_process`.

It reads nothing itself: each job is done by a fork of it, so a job that is killed costs a fork and no new start of
Python. Standard input brings jobs (`JOB`, then the pickled function and its arguments), standard output takes
answers (`ANSWER`, then the bytes). It holds no secret, and ends when its parent is gone (end of file on its input).
"""

import contextlib
import importlib
import os
import pickle
import resource
import signal
import struct
import sys
from typing import BinaryIO

JOB = struct.Struct(">Qd")
"""Length of the job in bytes, and the seconds of CPU it may take."""
ANSWER = struct.Struct(">cdQ")
"""A status, the seconds of CPU that the job took, and the length of what follows."""
READY, RESULT, FAILED, MEMORY, CPU, CRASH = b"+", b"R", b"F", b"M", b"C", b"X"
MEMORY_BYTES = 512 * 1024 * 1024
_LEFT_ALONE = 600  # seconds after which a fork whose parent cannot end it ends by itself


def main() -> None:
    """Serves jobs until the end of standard input."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # Ctrl-C reaches everybody: the parent drains first
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints is no answer
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    importlib.import_module("services.dispatcher.decide")  # once here, not in every fork
    _write(answers, READY, 0.0, b"")
    while head := sys.stdin.buffer.read(JOB.size):
        size, seconds = JOB.unpack(head)
        _serve(sys.stdin.buffer.read(size), seconds, answers)


def _serve(job: bytes, seconds: float, answers: BinaryIO) -> None:
    """The answer passes through here: of a fork that dies while it writes, nothing is taken for an answer."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _do(job, seconds, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read()
    _, status, used = os.wait4(child, 0)
    code, took = os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime
    if code == 0 and answer:
        _write(answers, answer[:1], took, answer[1:])
    else:
        _write(answers, CPU if -code in (signal.SIGPROF, signal.SIGXCPU) else CRASH, took, b"")


def _write(answers: BinaryIO, status: bytes, took: float, content: bytes) -> None:
    answers.write(ANSWER.pack(status, took, len(content)) + content)
    answers.flush()


def _do(job: bytes, seconds: float, writing: int) -> None:
    """In the fork: never returns. The kernel ends it at its limits."""
    signal.alarm(_LEFT_ALONE)
    with contextlib.suppress(ValueError, OSError):  # a platform without this limit keeps the others
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds) + 2, int(seconds) + 3))
    signal.setitimer(signal.ITIMER_PROF, seconds)
    answer = _answer(job)
    signal.setitimer(signal.ITIMER_PROF, 0)
    with os.fdopen(writing, "wb") as pipe:
        pipe.write(answer)
    os._exit(0)


def _answer(job: bytes) -> bytes:
    try:
        function, arguments = pickle.loads(job)  # noqa: S301  # from our parent
        return RESULT + bytes(function(*arguments))
    except MemoryError:
        return MEMORY
    except Exception as error:  # noqa: BLE001  # said by its type; the parent decides
        return FAILED + type(error).__name__.encode("ascii", "replace")


if __name__ == "__main__":
    main()
