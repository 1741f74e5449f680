"""The API as it runs, on a port of its own, and tokens for it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from services.ticketing.api import token_store
from services.ticketing.api.app import application
from services.ticketing.api.serving import listening, serve
from services.ticketing.api.tokens import digest, new_secret
from shared.desk.watch import DeskWatch
from shared.originals import Originals, open_originals
from shared.postgres import Pool
from tests.integration.ticketing.situations import desk_file


@dataclass
class Api:
    url: str
    pool: Pool
    originals: Originals
    folder: Path
    clients: list[httpx.AsyncClient] = field(default_factory=list)

    async def token(self, *scopes: str, queues: Sequence[str] | None = None, agent: str = "") -> str:
        secret = new_secret()
        found = digest(secret)
        assert found
        async with self.pool.acquire() as connection:
            await token_store.create(
                connection, found, name="test", scopes=scopes, queues=queues, agent=agent, created_by="test",
                expires_at=None,
            )  # fmt: skip
        return secret

    async def client(self, *scopes: str, queues: Sequence[str] | None = None, agent: str = "") -> httpx.AsyncClient:
        """Asks under a token of these scopes; without scopes under none."""
        headers = {}
        if scopes:
            headers = {"Authorization": f"Bearer {await self.token(*scopes, queues=queues, agent=agent)}"}
        self.clients.append(httpx.AsyncClient(base_url=self.url, headers=headers, timeout=30))
        return self.clients[-1]


@contextlib.asynccontextmanager
async def running(pool: Pool, folder: Path, **changes: Any) -> AsyncIterator[Api]:
    originals = open_originals((folder / "objects").as_uri())
    app = application(pool=pool, originals=originals, desk=DeskWatch(desk_file(folder)), **changes)
    bound = listening("127.0.0.1:0")
    stop = asyncio.Event()
    serving = asyncio.create_task(serve(app, bound, stop))
    api = Api(f"http://127.0.0.1:{bound.getsockname()[1]}", pool, originals, folder)
    try:
        yield api
    finally:
        for client in api.clients:
            await client.aclose()
        stop.set()
        await serving
