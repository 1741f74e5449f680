"""The stack as a process: killed without warning, started twice, on taken ports, as `python -m ops.stack`."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import psutil
import pytest

from ops.stack.failures import StackError
from ops.stack.servers import Wanted, serve
from ops.stack.settings import HOST, StackSettings
from ops.stack.supervisor import Service, Supervisor
from shared.clock import monotonic
from shared.kafka.admin import apply_topics, differences
from shared.topics import TOPICS

SERVERS = """\
import asyncio, sys
from ops.stack.servers import serve
from ops.stack.settings import StackSettings

async def main():
    settings = StackSettings.model_validate_json(sys.argv[1])
    async with serve(settings, lambda *_: None, wanted=frozenset({"postgres", "kafka"})) as (supervisor, servers):
        print(servers.postgres, *supervisor.running.values(), flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""
FAST: Wanted = frozenset({"postgres"})


def on(data: Path) -> StackSettings:
    return StackSettings(data=data, short_lived=True).with_free_ports()


def quiet(what: str, seconds: float) -> None:
    pass


async def always() -> bool:
    return True


async def gone(pids: list[int], seconds: float) -> float:
    """Seconds until none of them runs; a zombie no longer does."""
    began = monotonic()
    while any(running(pid) for pid in pids):
        assert monotonic() - began < seconds, f"still running: {[pid for pid in pids if running(pid)]}"
        await asyncio.sleep(0.05)
    return monotonic() - began


def running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@contextlib.asynccontextmanager
async def child(*argv: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *argv, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, cwd=Path(__file__).parents[3]
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.mark.kills
async def test_kill_9_of_the_supervisor_leaves_no_server_and_the_next_start_has_the_data(tmp_path: Path) -> None:
    settings = on(tmp_path)
    async with child(sys.executable, "-c", SERVERS, settings.model_dump_json(exclude_none=True)) as process:
        assert process.stdout is not None
        dsn, *words = (await process.stdout.readline()).decode().split()
        pids = [int(word) for word in words]
        assert len(pids) == 2
        database = await asyncpg.connect(dsn)
        await database.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        await apply_topics(f"{HOST}:{settings.kafka_port}", "", 1)
        process.send_signal(signal.SIGKILL)
        await process.wait()
        database.terminate()
        # the same ports and folder at once: the start waits until the guard has ended the servers
        async with serve(settings, quiet, wanted=frozenset({"postgres", "kafka"})) as (supervisor, servers):
            assert not any(running(pid) for pid in pids)
            again = list(supervisor.running.values())
            database = await asyncpg.connect(servers.postgres)
            assert await database.fetchval("SELECT answer FROM kept") == 42
            await database.close()
            assert await differences(servers.kafka, "", 1, [topic.name for topic in TOPICS]) == []
    assert len(again) == 2
    assert not any(running(pid) for pid in again)


async def test_a_second_stack_on_the_same_data_is_refused_in_a_sentence(tmp_path: Path) -> None:
    async with serve(on(tmp_path), quiet, wanted=FAST):
        with pytest.raises(StackError, match="A stack is running on"):
            async with serve(on(tmp_path), quiet, wanted=FAST):
                pass


async def test_a_taken_port_is_named_with_the_setting_that_changes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ops.stack.servers.PORT_SECONDS", 0.3)
    settings = on(tmp_path)
    said = f"Port {settings.postgres_port} .* CARTEIRO_STACK_POSTGRES_PORT"
    with socket.create_server((HOST, settings.postgres_port)), pytest.raises(StackError, match=said):
        async with serve(settings, quiet, wanted=FAST):
            pass


async def test_a_server_whose_address_is_known_is_not_started(tmp_path: Path) -> None:
    known = StackSettings.model_validate(
        {"data": tmp_path, "CARTEIRO_KAFKA": "broker:1", "CARTEIRO_POSTGRES": "postgresql://elsewhere/x"}
    ).with_free_ports()
    async with serve(known, quiet, wanted=frozenset({"postgres", "kafka"})) as (supervisor, servers):
        assert supervisor.running == {}
        assert (servers.kafka, servers.postgres) == ("broker:1", "postgresql://elsewhere/x")


async def test_a_process_that_ends_while_it_starts_is_shown_with_the_end_of_its_log(tmp_path: Path) -> None:
    async def never() -> bool:
        return False

    async with Supervisor(tmp_path) as supervisor:
        broken = Service("broken", [sys.executable, "-c", "print('no such table'); raise SystemExit(69)"], never)
        with pytest.raises(StackError, match=r"(?s)broken ended with status 69.*no such table") as ended:
            await supervisor.start(broken)
    assert ended.value.status == 69


async def test_a_server_that_dies_later_ends_the_stack_and_a_service_comes_back(tmp_path: Path) -> None:
    sleeper = [sys.executable, "-c", "import time; time.sleep(600)"]
    async with Supervisor(tmp_path) as supervisor:
        await supervisor.start(Service("fetcher", sleeper, always, restart=True))
        await supervisor.start(Service("postgres", sleeper, always))
        first = supervisor.running["fetcher"]
        os.kill(first, signal.SIGKILL)
        async with asyncio.timeout(20):
            while supervisor.running["fetcher"] == first:
                await asyncio.sleep(0.05)
        os.kill(supervisor.running["postgres"], signal.SIGKILL)
        async with asyncio.timeout(10):
            assert "postgres ended with status -9" in str(await supervisor.failed())
        left = list(supervisor.running.values())
    await gone(left, 5)


async def test_a_process_deaf_to_its_signal_is_killed_after_its_grace(tmp_path: Path) -> None:
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"

    async def said() -> bool:
        return "deaf\n" in (tmp_path / "log" / "deaf.log").read_text()

    async with Supervisor(tmp_path) as supervisor:
        await supervisor.start(Service("deaf", [sys.executable, "-c", deaf], said, grace=0.3))
        pid = supervisor.running["deaf"]
    assert not running(pid)
