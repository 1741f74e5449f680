"""How a service starts and what its probes say: with everything there, and with a server that stays away."""

import asyncio
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

from ops.stack.settings import free_ports
from tests.e2e.installation import REPO, SERVICES, Installation

NOWHERE = {
    "kafka": {"CARTEIRO_KAFKA": "127.0.0.1:9"},
    "postgres": {"CARTEIRO_POSTGRES": "postgresql://carteiro:hush-hush@127.0.0.1:9/carteiro"},
}


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode()
    except OSError as error:
        return 0, str(error)


async def test_every_service_is_alive_ready_and_measured(installation: Installation) -> None:
    installation.start(*SERVICES)
    for name in SERVICES:
        port = installation.ports[name]

        async def ready(port: int = port) -> bool:
            return (await asyncio.to_thread(get, port, "/readyz"))[0] == 200

        await installation.until(ready, f"{name} ready", 60)
        assert (await asyncio.to_thread(get, port, "/livez"))[0] == 200
        status, page = await asyncio.to_thread(get, port, "/metrics")
        assert status == 200
        assert "carteiro_build_info{" in page
        assert "carteiro_desk_info{" in page
    assert installation.stop() == dict.fromkeys(SERVICES, 0)


@pytest.mark.parametrize(
    ("service", "away"),
    [
        ("fetcher", "kafka"),
        ("fetcher", "postgres"),
        ("dispatcher", "kafka"),
        ("ticketing", "postgres"),
        ("mailer", "kafka"),
        ("mailer", "postgres"),
    ],
)
async def test_a_server_that_stays_away_ends_the_start_with_69_and_one_sentence(
    installation: Installation, service: str, away: str
) -> None:
    environment = installation.environment(free_ports(1)[0]) | NOWHERE[away] | {"CARTEIRO_START_SECONDS": "2"}
    ended = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "ops.cli", "run", service],
        env=environment,
        cwd=REPO,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 69
    (sentence,) = [line for line in ended.stderr.splitlines() if not line.startswith("{")]
    assert "127.0.0.1:9" in sentence
    assert "hush-hush" not in ended.stderr


async def test_ticketing_starts_and_answers_while_kafka_is_away(installation: Installation) -> None:
    port = free_ports(1)[0]
    process = subprocess.Popen(
        [sys.executable, "-m", "ops.cli", "run", "ticketing"],
        env=installation.environment(port) | NOWHERE["kafka"] | {"CARTEIRO_START_SECONDS": "2"},
        cwd=REPO,
        stderr=subprocess.DEVNULL,
    )
    try:

        async def ready() -> bool:
            assert process.poll() is None, f"ended with {process.returncode}"
            return (await asyncio.to_thread(get, port, "/readyz"))[0] == 200

        await installation.until(ready, "ticketing ready without Kafka", 60)
    finally:
        process.terminate()
        assert process.wait(60) == 0
