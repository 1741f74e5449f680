from collections.abc import AsyncIterator

import pytest

from shared.postgres import Pool, create_pool


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    """Sessions with the rights of the service's role alone."""
    made = await create_pool(database, "ticketing")
    yield made
    made.terminate()
