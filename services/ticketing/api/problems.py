"""What goes wrong, as problem details (RFC 9457): what it was and what to do, never a value of the database."""

import logging
from collections.abc import Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Any

import asyncpg
import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException
from litestar.openapi import ResponseSpec
from litestar.plugins.problem_details import ProblemDetailsConfig, ProblemDetailsException, ProblemDetailsPlugin

from shared.failures import Transient, describe
from shared.logs import fields
from shared.postgres import UNAVAILABLE

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"


class Problem(msgspec.Struct, omit_defaults=True):
    """RFC 9457. `errors`: of a request that does not fit, one entry for each mistake."""

    status: int
    title: str
    detail: str = ""
    errors: list[dict[str, Any]] = []


def problem(status: int, detail: str, headers: Mapping[str, str] | None = None) -> ProblemDetailsException:
    return ProblemDetailsException(
        detail=detail, status_code=status, title=HTTPStatus(status).phrase, headers=dict(headers or {})
    )


def may_answer(*statuses: int) -> dict[int, ResponseSpec]:
    """For the OpenAPI document: the statuses of an operation that are problems, beside those of every one."""
    return {
        status: ResponseSpec(
            Problem, description=HTTPStatus(status).phrase, media_type=MEDIA_TYPE, generate_examples=False
        )
        for status in sorted({400, 401, 403, 404, 429, 503, *statuses})
    }


def moment(text: str, name: str) -> datetime:
    """An aware time from RFC 3339. Raises ProblemDetailsException."""
    try:
        found = msgspec.convert(text, datetime)
    except msgspec.ValidationError:
        found = None
    if found is None or found.tzinfo is None:
        raise problem(400, f"{name}: a time with its zone is expected, such as 2026-11-24T12:30:00Z")
    return found


def plugin() -> ProblemDetailsPlugin:
    return ProblemDetailsPlugin(
        ProblemDetailsConfig(
            exception_to_problem_detail_map={
                HTTPException: _http,
                asyncpg.DataError: _data,
                Transient: _away,
                **dict.fromkeys(UNAVAILABLE, _away),
            }
        )
    )


def unforeseen(_: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """A mistake of ours: the log has it, the client learns that much."""
    log.error("unexpected", exc_info=error, extra=fields(action="api_error", cause=describe(error)))
    shown = Problem(500, HTTPStatus(500).phrase, "a mistake of the server's; its log says more")
    return Response(shown, status_code=500, media_type=MEDIA_TYPE)


def _http(error: HTTPException) -> ProblemDetailsException:
    found = problem(error.status_code, error.detail, error.headers)
    if isinstance(error.extra, list):
        found.extra = {"errors": error.extra}
    return found


def _data(_: Exception) -> ProblemDetailsException:
    return problem(400, "a value holds what no field can: a NUL character, or a number beyond 64 bits")


def _away(error: Exception) -> ProblemDetailsException:
    if isinstance(error, asyncpg.QueryCanceledError):
        return problem(503, "it takes too long: ask for less", {"Retry-After": "1"})
    log.warning("cannot answer", extra=fields(action="api_unavailable", cause=describe(error)))
    return problem(503, "the database or the object store does not serve at the moment", {"Retry-After": "5"})
