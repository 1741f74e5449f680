"""The Litestar application: what every route shares. Routes of the installation as a whole are given by who runs it."""

import asyncio
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from litestar import Litestar
from litestar.datastructures import State
from litestar.middleware import DefineMiddleware
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from litestar.types import ControllerRouterHandler

from services.ticketing.api import problems
from services.ticketing.api.access import OPEN, Authentication, rate_limit
from services.ticketing.api.articles import Articles
from services.ticketing.api.changes import Changes
from services.ticketing.api.idempotency import Idempotency
from services.ticketing.api.streaming import Streaming
from services.ticketing.api.tickets import Tickets

REQUESTS_PER_MINUTE = 600
_LARGEST_BODY = 1024 * 1024
_AT_ONCE = 2  # originals that are held in memory


def application(
    *, routes: Sequence[ControllerRouterHandler] = (), requests_per_minute: int = REQUESTS_PER_MINUTE, **shared: Any
) -> Litestar:
    """`shared`: what handlers find: `pool`, `originals`, `desk`, `events`, and what further routes need."""
    return Litestar(
        route_handlers=[Tickets, Articles, Changes, Streaming, *routes],
        state=State({**shared, "in_memory": asyncio.Semaphore(_AT_ONCE)}),
        middleware=[
            # OPTIONS too: whoever shows no token learns nothing, and the rate is that of a token
            DefineMiddleware(Authentication, exclude=OPEN, exclude_http_methods=[]),
            rate_limit(requests_per_minute).middleware,
            Idempotency(),
        ],
        plugins=[problems.plugin()],
        exception_handlers={Exception: problems.unforeseen},
        openapi_config=document(),
        request_max_body_size=_LARGEST_BODY,
        logging_config=None,
        response_headers={
            "Cache-Control": "no-store",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        },
    )


def document() -> OpenAPIConfig:
    return OpenAPIConfig(
        title="Carteiro",
        version=version("carteiro"),
        description="Tickets, mails and the installation. docs/api.md shows each operation.",
        path="/schema",
        render_plugins=[JsonRenderPlugin()],
        components=Components(security_schemes={"token": SecurityScheme(type="http", scheme="bearer")}),
        security=[{"token": []}],
        use_handler_docstrings=True,
    )
