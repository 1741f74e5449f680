"""`carteiro run fetcher` as a process: probes, signals, exit status."""

import asyncio
import json
import os
import signal
import socket
import sys
import urllib.request
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.integration.fetcher.world import World, mail, until

RUN = "import sys; from services.fetcher.app import run; sys.exit(run())"


@asynccontextmanager
async def running(world: World, *, heard: bool = True, **settings: str) -> AsyncIterator[tuple[Process, str]]:
    """The process and the address of its probes; killed on leaving if it still runs. `heard`: what it says is read."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        http = f"127.0.0.1:{free.getsockname()[1]}"
    environment = {
        **os.environ,  # noqa: TID251  # handed on whole
        "CARTEIRO_KAFKA": world.at.kafka,
        "CARTEIRO_KAFKA_REPLICAS": "1",
        "CARTEIRO_POSTGRES": world.dsn,
        "CARTEIRO_OBJECTS": f"file://{world.folder}/objects",
        "CARTEIRO_DESK": str(world.folder / "desk.yaml"),
        "CARTEIRO_SECRETS": str(world.secrets),
        "CARTEIRO_PREFIX": world.prefix,
        "CARTEIRO_HTTP": http,
        "CARTEIRO_CA_FILE": str(world.at.ca_file),
        **settings,
    }
    said = PIPE if heard else DEVNULL
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", RUN, env=environment, stdout=said, stderr=said)
    try:
        yield process, f"http://{http}"
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


def fetched(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""


async def answers(url: str) -> str:
    return await asyncio.to_thread(fetched, url)


async def test_a_running_fetcher_is_ready_counts_and_ends_with_0_on_sigterm(world: World) -> None:
    await world.deliver(mail(1), mail(2))
    async with running(world) as (process, url):
        assert len(await world.received(2)) == 2
        assert await until(lambda: answers(f"{url}/readyz"))
        assert await until(lambda: answers(f"{url}/livez"))

        async def counted() -> bool:
            return 'carteiro_account_fetch_total{account="caixa",result="success"} 1.0' in await answers(
                f"{url}/metrics"
            )

        await until(counted)
        page = await answers(f"{url}/metrics")
        assert 'carteiro_messages_fetched_total{protocol="imap"} 2.0' in page
        assert 'carteiro_account_oldest_unfetched_timestamp_seconds{account="caixa"} 0.0' in page
        assert "carteiro_accounts_configured 1.0" in page
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(15):
            out, errors = await process.communicate()
        assert process.returncode == 0
    assert out == b""
    for line in errors.decode().splitlines():
        logged = json.loads(line)
        assert logged["service"] == "fetcher"
        assert world.user not in line
    lease = await world.row("SELECT expires_at <= clock_timestamp() AS free FROM fetcher.leases")
    assert lease == {"free": True}


async def test_without_kafka_at_the_start_it_ends_with_69_and_one_sentence(world: World) -> None:
    async with running(world, CARTEIRO_KAFKA="127.0.0.1:1", CARTEIRO_START_SECONDS="1") as (process, _):
        async with asyncio.timeout(40):
            _, errors = await process.communicate()
        assert process.returncode == 69
        (sentence,) = [line for line in errors.decode().splitlines() if not line.startswith("{")]
        assert "127.0.0.1:1" in sentence


async def test_without_postgres_at_the_start_it_ends_with_69_and_one_sentence(world: World) -> None:
    dsn = "postgresql://someone:canary-password@127.0.0.1:1/carteiro"
    async with running(world, CARTEIRO_POSTGRES=dsn, CARTEIRO_START_SECONDS="1") as (process, _):
        async with asyncio.timeout(40):
            _, errors = await process.communicate()
        assert process.returncode == 69
        assert "canary-password" not in errors.decode()


async def test_a_ca_file_that_is_none_ends_with_78(world: World) -> None:
    async with running(world, CARTEIRO_CA_FILE=str(world.folder / "desk.yaml")) as (process, _):
        async with asyncio.timeout(40):
            _, errors = await process.communicate()
        assert process.returncode == 78
        assert "CARTEIRO_CA_FILE" in errors.decode()


async def test_after_kill_9_the_next_one_goes_on_where_it_ended(world: World) -> None:
    await world.deliver(*(mail(number) for number in range(10)))
    async with running(world) as (process, _):
        await world.received(10)
        process.kill()
        await process.communicate()
    await world.execute("UPDATE fetcher.leases SET expires_at = clock_timestamp()")  # 20 s, not waited for
    await world.deliver(mail(10))
    async with running(world):

        async def all_there() -> bool:  # what was confirmed and not recorded comes twice
            return len({m.transport_key for m in await world.received(11)}) == 11

        await until(all_there)
