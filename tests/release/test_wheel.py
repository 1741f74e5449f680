"""The wheel without a checkout: what somebody has who installs it."""

import asyncio
import subprocess
from importlib.metadata import version
from pathlib import Path

from ops.stack.settings import inherited
from tests.e2e.installation import Installation
from tests.e2e.mails import customers
from tests.servers import Servers

MAILS = 5


async def test_it_migrates_and_runs_all_four_services(
    alone: Path, servers: Servers, prefix: str, tmp_path: Path, empty_database: str
) -> None:
    made = await Installation.prepare(servers, prefix, empty_database, tmp_path)
    made.command = [str(alone / "bin" / "carteiro")]
    migrated = await asyncio.to_thread(carteiro, alone, tmp_path, "migrate", **made.environment())
    assert migrated.returncode == 0, migrated.stderr
    assert "applied ticketing/0001" in migrated.stdout
    try:
        made.start("all")
        await made.watching()
        await made.deliver_all(customers(MAILS, made.support, made.domain))
        await made.settled(MAILS, MAILS)
        ready = {"CARTEIRO_HTTP": f"127.0.0.1:{made.ports['all']}"}
        assert (await asyncio.to_thread(carteiro, alone, tmp_path, "healthcheck", **ready)).returncode == 0
        assert made.stop() == {"all": 0}
        asked = await asyncio.to_thread(carteiro, alone, tmp_path, "healthcheck", **ready)
        assert (asked.returncode, asked.stderr[:15]) == (1, "nothing answers")
    finally:
        made.stop()


def test_it_says_its_version_and_what_the_local_stack_would_need(alone: Path, tmp_path: Path) -> None:
    assert carteiro(alone, tmp_path, "--version").stdout == f"carteiro, version {version('carteiro')}\n"
    told = carteiro(alone, tmp_path, "up")
    assert (told.returncode, told.stdout) == (78, "")
    assert "pip install 'carteiro[local]'" in told.stderr


def carteiro(venv: Path, folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [venv / "bin" / "carteiro", *arguments],
        cwd=folder,  # not the checkout
        env={**inherited(), **environment},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
