"""compose.yaml as a newcomer uses it: everything up and healthy, then one mail through."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from ops.stack.settings import free_ports, inherited
from tests import container_servers

ROOT = Path(__file__).resolve().parents[2]
PROJECT = f"carteiro-test-{os.getpid()}"
PORTS = [f"{name}_PORT" for name in ("POSTGRES", "SMTP", "IMAP", "FETCHER", "DISPATCHER", "TICKETING", "MAILER")]


def compose(*arguments: str, ports: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = ["docker", "compose", "-p", PROJECT, *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=inherited() | ports, check=False, capture_output=True, text=True, timeout=170
    )


@pytest.fixture
def ports() -> Iterator[dict[str, str]]:
    """Ports that nobody else has; whatever was started is gone afterwards."""
    chosen = dict(zip(PORTS, map(str, free_ports(len(PORTS))), strict=True))
    yield chosen
    compose("down", "-v", "--timeout", "30", ports=chosen)


def test_everything_comes_up_healthy_and_a_mail_goes_through(image: str, ports: dict[str, str]) -> None:
    up = compose("up", "-d", "--wait", ports=ports)
    assert up.returncode == 0, up.stderr[-3000:]
    demo = compose("run", "--rm", "demo", ports=ports)
    assert demo.returncode == 0, demo.stdout + demo.stderr
    for step in ("mail received", "ticket number: 2", "answer delivered", "agent notified: bruno@demo.test"):
        assert step in demo.stdout


def test_the_servers_are_those_of_the_tests() -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]
    images = {service["image"].removeprefix("${IMAGES:-}") for service in services.values()}
    known = {container_servers.KAFKA, container_servers.POSTGRES, container_servers.GREENMAIL}
    assert images == known | {"${CARTEIRO_IMAGE:-carteiro:dev}"}
