import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.containers.image import IMAGE, Contained
from tests.servers import Given, Servers, engine_answers


@pytest.fixture(scope="session")
def image() -> str:
    """The built image; without an engine these tests are listed as not run."""
    if not engine_answers():
        if Given().require_docker:
            pytest.fail("CARTEIRO_REQUIRE_DOCKER is set, and no Docker engine answers")
        pytest.skip("no Docker engine answers")
    if subprocess.run(["docker", "image", "inspect", IMAGE], check=False, capture_output=True).returncode:
        pytest.fail(f"there is no image {IMAGE}: make image")
    return IMAGE


@pytest.fixture
async def contained(
    image: str, servers: Servers, prefix: str, database: str, tmp_path: Path
) -> AsyncIterator[Contained]:
    """Prepared, nothing started; whatever the test started is stopped."""
    built = await Contained.prepare(servers, prefix, database, tmp_path)
    yield built
    built.stop()
