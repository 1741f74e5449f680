from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.e2e.installation import Installation
from tests.servers import Servers


@pytest.fixture
async def installation(servers: Servers, prefix: str, database: str, tmp_path: Path) -> AsyncIterator[Installation]:
    """Prepared, nothing started; whatever the test started is stopped."""
    built = await Installation.prepare(servers, prefix, database, tmp_path)
    yield built
    built.stop()
