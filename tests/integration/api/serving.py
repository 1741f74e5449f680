"""The API as it runs, on a port of its own, and tokens for it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from pydantic import SecretStr

from ops.api.app import ROUTES
from services.ticketing.api import token_store
from services.ticketing.api.app import application
from services.ticketing.api.serving import listening, serve
from services.ticketing.api.stream import Events
from services.ticketing.api.tokens import digest, new_secret
from shared.desk.watch import DeskWatch
from shared.kafka.producer import Producer
from shared.originals import Originals, open_originals
from shared.postgres import Pool
from shared.settings import Settings
from tests.integration.ticketing.situations import desk_file

NOWHERE = "127.0.0.1:1"
AGENTS = """\
agents:
  ana:   {name: Ana Lima, email: ana@empresa.example}
  bruno: {name: Bruno Reis, email: bruno@empresa.example}
"""


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
async def running(
    pool: Pool, folder: Path, kafka: str = NOWHERE, prefix: str = "", dsn: str = "", **changes: Any
) -> AsyncIterator[Api]:
    """Without `kafka` it is away."""
    database = SecretStr(dsn or "postgresql://127.0.0.1:1/nowhere")
    settings = Settings(kafka=kafka, prefix=prefix, desk=desk_file(folder), secrets=folder, postgres=database)
    settings.desk.write_text(settings.desk.read_text() + AGENTS)
    stop = asyncio.Event()
    shared: dict[str, Any] = {
        "originals": open_originals((folder / "objects").as_uri()),
        "desk": DeskWatch(settings.desk),
        "settings": settings,
        "producer": Producer(kafka, prefix, client_id="test", send_seconds=2 if kafka == NOWHERE else 30),
        "events": Events(kafka, prefix, stop),
        "signing_keys": [],
    }
    app = application(routes=ROUTES, pool=pool, **shared, **changes)
    bound = listening("127.0.0.1:0")
    reading = asyncio.create_task(shared["events"].run())
    serving = asyncio.create_task(serve(app, bound, stop))
    api = Api(f"http://127.0.0.1:{bound.getsockname()[1]}", pool, shared["originals"], folder)
    try:
        yield api
    finally:
        for client in api.clients:
            await client.aclose()
        stop.set()
        await serving
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        await shared["producer"].close()
