from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shared.kafka.admin import apply_topics
from shared.postgres import Pool, create_pool
from tests.integration.ops.operating import Operator
from tests.integration.ticketing.situations import settling
from tests.servers import Servers


@pytest.fixture
async def operator(servers: Servers, prefix: str, database: str, tmp_path: Path) -> Operator:
    """Topics and tables are there and empty."""
    await apply_topics(servers.kafka, prefix, 1)
    return Operator(servers.kafka, database, prefix, tmp_path)


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    """Sessions with the rights of ticketing, of which a batch may settle."""
    made = await create_pool(database, "ticketing")
    await settling(made)
    yield made
    made.terminate()


@pytest.fixture
async def anything(database: str) -> AsyncIterator[Pool]:
    """Sessions with every right, to make situations."""
    made = await create_pool(database, "ticketing", role=False)
    yield made
    made.terminate()
