from collections.abc import AsyncIterator

import pytest

from shared.kafka.admin import apply_topics
from shared.postgres import Pool, create_pool
from tests.integration.kafka.installation import Installation
from tests.servers import Servers


@pytest.fixture
async def installation(servers: Servers, prefix: str) -> AsyncIterator[Installation]:
    await apply_topics(servers.kafka, prefix, 1)
    built = Installation(servers.kafka, prefix)
    yield built
    await built.producer.close()


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    made = await create_pool(database, "mailer")
    yield made
    made.terminate()
