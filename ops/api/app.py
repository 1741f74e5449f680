"""The process of the HTTP API. It needs PostgreSQL alone: tickets can be read while Kafka is away."""

import asyncio

from litestar import Litestar

from services.ticketing.api.app import application
from services.ticketing.api.serving import listening
from services.ticketing.api.serving import serve as serve_http
from services.ticketing.search_index import SearchIndex
from shared.originals import open_originals
from shared.process import Misconfigured, Process


def described() -> Litestar:
    """The application without servers, for its OpenAPI document."""
    return application()


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
    process.health.alive["search index"] = lambda: index.last_progress
    indexing = asyncio.create_task(index.run(), name="search-index")
    try:
        app = application(
            pool=pool, originals=originals, desk=desk, requests_per_minute=settings.api_requests_per_minute
        )
        await serve_http(app, bound, process.stop)
    finally:
        indexing.cancel()
        await asyncio.gather(indexing, return_exceptions=True)
        pool.terminate()
