from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shared.postgres import Pool, create_pool
from tests.integration.api.serving import Api, running
from tests.integration.ticketing.situations import settling


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    """Sessions with every right, as the API has them."""
    made = await create_pool(database, "ticketing", role=False, size=10)
    await settling(made)
    yield made
    made.terminate()


@pytest.fixture
async def api(pool: Pool, tmp_path: Path) -> AsyncIterator[Api]:
    async with running(pool, tmp_path) as made:
        yield made
