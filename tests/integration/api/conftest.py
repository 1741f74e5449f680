from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shared.kafka.admin import apply_topics
from shared.postgres import Pool, create_pool
from tests.integration.api.serving import Api, running
from tests.integration.ticketing.situations import settling
from tests.servers import Servers


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    """Sessions with every right, as the API has them."""
    made = await create_pool(database, "ticketing", role=False, size=10)
    await settling(made)
    yield made
    made.terminate()


@pytest.fixture
async def api(pool: Pool, database: str, tmp_path: Path) -> AsyncIterator[Api]:
    """While Kafka is away."""
    async with running(pool, tmp_path, dsn=database) as made:
        yield made


@pytest.fixture
async def whole(servers: Servers, prefix: str, pool: Pool, database: str, tmp_path: Path) -> AsyncIterator[Api]:
    """With Kafka."""
    await apply_topics(servers.kafka, prefix, 1)
    async with running(pool, tmp_path, servers.kafka, prefix, database) as made:
        yield made
