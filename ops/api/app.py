"""The process of the HTTP API. It needs PostgreSQL alone: tickets can be read and changed while Kafka is away."""

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any

from litestar import Litestar

from ops.api.deliveries import Deliveries, TicketDeliveries
from ops.api.installation import Installation
from ops.api.letters import Letters
from ops.explain import keys_of
from services.ticketing.api import token_store
from services.ticketing.api.app import application
from services.ticketing.api.serving import listening
from services.ticketing.api.serving import serve as serve_http
from services.ticketing.api.stream import Events
from services.ticketing.search_index import SearchIndex
from shared.kafka.producer import Producer
from shared.originals import open_originals
from shared.postgres import UNAVAILABLE, Pool
from shared.process import Misconfigured, Process

ROUTES = (TicketDeliveries, Letters, Deliveries, Installation)
_FORGET_SECONDS = 3600.0


def described() -> Litestar:
    """The application without servers, for its OpenAPI document."""
    return application(routes=ROUTES)


async def serve(process: Process) -> None:
    """Runs until `process.stop`. Raises Misconfigured, PostgresUnreachable."""
    settings = process.settings
    desk = process.desk()
    try:
        originals = open_originals(settings.objects)
    except ValueError as error:
        raise Misconfigured(f"CARTEIRO_OBJECTS: {error}") from error
    # as the operator: its log-in is a member of every service's role. A plan that fits every search fits none
    pool = await process.database("ticketing", size=10, role=False, plan_cache_mode="force_custom_plan")
    try:
        bound = listening(settings.api_http)
    except (OSError, ValueError) as error:
        raise Misconfigured(f"cannot listen on CARTEIRO_API_HTTP={settings.api_http}: {error}") from error
    index = SearchIndex(pool, lambda: desk.current.desk.language)
    events = Events(settings.kafka, settings.prefix, process.stop)
    process.health.alive["search index"] = lambda: index.last_progress
    process.health.alive["event streams"] = lambda: events.last_progress
    producer = Producer(settings.kafka, settings.prefix, client_id=f"{settings.prefix}carteiro-api", send_seconds=5)
    side = [_beside(process, work) for work in (index.run(), events.run(), _forgetting(pool))]
    try:
        app = application(
            routes=ROUTES,
            requests_per_minute=settings.api_requests_per_minute,
            pool=pool,
            originals=originals,
            desk=desk,
            settings=settings,
            producer=producer,
            events=events,
            signing_keys=keys_of(settings),
        )
        await serve_http(app, bound, process.stop)
    finally:
        for task in side:
            task.cancel()
        await asyncio.gather(*side, return_exceptions=True)
        await producer.close()
        pool.terminate()


def _beside(process: Process, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """One that dies of something unforeseen ends the process: half an API would look alive."""

    def done(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            process.fatal(error)

    task = asyncio.create_task(work)
    task.add_done_callback(done)
    return task


async def _forgetting(pool: Pool) -> None:
    """Answers kept for requests that come twice."""
    while True:
        with contextlib.suppress(*UNAVAILABLE):  # an hour later, then
            await token_store.forget(pool)
        await asyncio.sleep(_FORGET_SECONDS)
