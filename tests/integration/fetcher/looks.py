"""Single looks into a scripted mailbox, with a lease, on real Kafka and PostgreSQL."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from services.fetcher.reading import Looked, Reader
from services.fetcher.session import Pace, Session
from services.fetcher.store import Lease
from services.fetcher.watch import Surroundings
from shared.desk.model import Account
from tests.integration.fetcher.conftest import Connect
from tests.integration.fetcher.world import World

ACCOUNT = Account.model_validate(
    {"type": "imap", "host": "127.0.0.1", "user": "u", "password": {"secret": "imap"}, "queue": "Raw"}
)


async def look(
    around: Surroundings, lease: Lease, log_in: Connect, port: int, pace: Pace | None = None, **changes: object
) -> Looked:
    account = ACCOUNT.model_copy(update=changes)
    mailbox = await log_in(port)
    try:
        return await Reader(Session(around.rim, lease, account, mailbox, account.folder, pace or Pace()), "all").look()
    finally:
        await mailbox.close()


@asynccontextmanager
async def leased(world: World) -> AsyncIterator[tuple[Surroundings, Lease]]:
    async with world.parts() as around:
        (lease,) = await around.rim.store.acquire(["caixa"], "one", timedelta(minutes=5))
        yield around, lease
