import secrets
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from tests.servers import Servers, with_database

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the wheel and the locked packages, nothing else (tools/alone.sh)."""
    folder = tmp_path_factory.mktemp("alone")
    done = subprocess.run([ROOT / "tools" / "alone.sh", folder], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / "venv"


@pytest.fixture
async def empty_database(servers: Servers) -> AsyncIterator[str]:
    """The DSN of a database without a schema."""
    name = f"carteiro_release_{secrets.token_hex(4)}"
    administrator = await asyncpg.connect(servers.postgres)
    try:
        await administrator.execute(f"CREATE DATABASE {name}")
        yield with_database(servers.postgres, name)
        await administrator.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await administrator.close()
