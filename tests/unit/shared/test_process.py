"""How a process ends: the status that belongs to what happened, and one sentence on stderr."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from shared.failures import Transient
from shared.kafka.admin import KafkaUnreachable
from shared.kafka.consumer import CommitsRefused
from shared.migrations import MigrationBusy, MigrationError
from shared.postgres import PostgresUnreachable
from shared.process import Misconfigured, Process, run

ROOT = Path(__file__).resolve().parents[3]
ENDS = [
    (KafkaUnreachable("no broker at a:1"), 69, "no broker at a:1\n"),
    (PostgresUnreachable("no server at b:1"), 69, "no server at b:1\n"),
    (CommitsRefused("three commits were refused"), 75, "three commits were refused\n"),
    (Transient("the store is away"), 75, "the store is away\n"),
    (MigrationBusy("another runner"), 75, "another runner\n"),
    (Misconfigured("the desk is wrong"), 78, "the desk is wrong\n"),
    (MigrationError("the database is newer"), 78, "the database is newer\n"),
    (RuntimeError("secret value"), 1, "unexpected RuntimeError: see the log\n"),
]


@pytest.fixture(autouse=True)
def own_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CARTEIRO_HTTP", "127.0.0.1:0")


def said(capfd: pytest.CaptureFixture[str]) -> str:
    """What is for people: the log is JSON."""
    return "".join(line for line in capfd.readouterr().err.splitlines(keepends=True) if not line.startswith("{"))


@pytest.mark.enable_socket
@pytest.mark.parametrize(("error", "status", "sentence"), ENDS, ids=lambda value: type(value).__name__)
def test_what_ends_a_service_ends_the_process_with_its_status(
    error: Exception, status: int, sentence: str, capfd: pytest.CaptureFixture[str]
) -> None:
    async def serve(process: Process) -> None:
        raise error

    assert run({"mailer": serve}) == status
    assert said(capfd) == sentence


@pytest.mark.enable_socket
def test_the_first_failure_of_several_services_decides_and_all_are_stopped(capfd: pytest.CaptureFixture[str]) -> None:
    stopped = []

    async def fails(process: Process) -> None:
        raise Misconfigured("the desk is wrong")

    async def follows(process: Process) -> None:
        async with asyncio.timeout(10):
            while not process.health.stopping:
                await asyncio.sleep(0)
        stopped.append(process.stop.is_set())
        raise Transient("cut short")

    assert run({"fetcher": fails, "mailer": follows}) == 78
    assert stopped == [True]
    assert said(capfd) == "the desk is wrong\n"


@pytest.mark.enable_socket
def test_a_port_that_cannot_be_had_is_named(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("CARTEIRO_HTTP", "127.0.0.1:x")

    async def serve(process: Process) -> None:
        pytest.fail("it began")

    assert run({"mailer": serve}) == 78
    assert said(capfd).startswith("cannot listen on CARTEIRO_HTTP=127.0.0.1:x")


HANGS = """
import asyncio
from shared import process
process.STOP_SECONDS = 0.2
async def serve(own):
    own.stop.set()
    await asyncio.Event().wait()
raise SystemExit(process.run({"mailer": serve}))
"""
SIGNALLED = """
import os
from shared import process
async def serve(own):
    os.kill(os.getpid(), NUMBER)
    await own.stop.wait()
    print("drained")
raise SystemExit(process.run({"mailer": serve}))
"""


def ended(code: str) -> subprocess.CompletedProcess[str]:
    environment = {"CARTEIRO_HTTP": "127.0.0.1:0", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=50, check=False)


def test_a_library_that_hangs_does_not_keep_the_process() -> None:
    hung = ended(HANGS)
    assert hung.returncode == 75
    assert '"drain_exceeded"' in hung.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_a_clean_end_after_the_drain(number: signal.Signals) -> None:
    stopped = ended(SIGNALLED.replace("NUMBER", str(int(number))))
    assert (stopped.returncode, stopped.stdout) == (0, "drained\n")
