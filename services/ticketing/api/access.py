"""Who asks, and whether he may: authentication, scopes, queues, the rate.

A token limited to queues learns nothing of the others, not even that a ticket exists: what is not there and what is
not his are one answer to him.
"""

from collections.abc import Callable
from typing import Any

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.exceptions import NotAuthorizedException, NotFoundException, PermissionDeniedException
from litestar.handlers import BaseRouteHandler
from litestar.middleware import AbstractAuthenticationMiddleware, AuthenticationResult
from litestar.middleware.rate_limit import RateLimitConfig

from services.ticketing.api import token_store
from services.ticketing.api.tokens import Scope, Token, digest

Asked = Request[Token, None, State]
Connected = ASGIConnection[Any, Token, None, State]
Guard = Callable[[Connected, BaseRouteHandler], None]

OPEN = "^/schema"


class Authentication(AbstractAuthenticationMiddleware):
    """`request.user` is the token. Raises NotAuthorizedException."""

    async def authenticate_request(self, connection: ASGIConnection[Any, Any, Any, Any]) -> AuthenticationResult:
        scheme, _, secret = connection.headers.get("authorization", "").partition(" ")
        sought = digest(secret.strip()) if scheme.lower() == "bearer" else None
        token = await token_store.find(connection.app.state.pool, sought) if sought else None
        if token is None:
            raise NotAuthorizedException(
                "a valid token is needed: Authorization: Bearer …", headers={"WWW-Authenticate": "Bearer"}
            )
        return AuthenticationResult(user=token, auth=None)


def needs(scope: Scope) -> Guard:
    def guard(connection: Connected, _: BaseRouteHandler) -> None:
        if not connection.user.may(scope):
            raise PermissionDeniedException(f"the token has not the scope {scope.value}")

    return guard


def whole_installation(connection: Connected, _: BaseRouteHandler) -> None:
    """Raises PermissionDeniedException for a token that is limited to queues."""
    if connection.user.queues is not None:
        raise PermissionDeniedException("the token is limited to queues")


def reached(token: Token, row: dict[str, Any] | None, what: str) -> dict[str, Any]:
    """The row, where this token may see it. Raises PermissionDeniedException, NotFoundException."""
    if row is not None and token.reaches(row["queue"]):
        return row
    if token.queues is not None:
        raise PermissionDeniedException(f"the token does not reach such {what}")
    raise NotFoundException(f"there is no such {what}")


def queues_of(token: Token, wanted: list[str] | None) -> list[str] | None:
    """The queues that a list shows; None: all. Raises PermissionDeniedException for one that the token lacks."""
    if wanted is None:
        return None if token.queues is None else sorted(token.queues)
    if not all(map(token.reaches, wanted)):
        raise PermissionDeniedException("the token does not reach this queue")
    return wanted


def rate_limit(requests_per_minute: int) -> RateLimitConfig:
    """Of each token, and process."""

    def identifier(request: Asked) -> str:
        return str(request.user.id)

    return RateLimitConfig(("minute", requests_per_minute), exclude=OPEN, identifier_for_request=identifier)
