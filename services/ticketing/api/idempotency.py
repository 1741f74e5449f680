"""`Idempotency-Key`: a POST that comes twice is done once, and answered the same.

The key belongs to the token, for a day. Only what was answered is remembered: what ended with 5xx or 429 may be asked
again under its key, and so may a request whose handler died, after two minutes.
"""

import hashlib
from typing import Any

from litestar import Request
from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from services.ticketing.api import token_store
from services.ticketing.api.problems import problem

HEADER = "idempotency-key"
_LONGEST = 200
_AGAIN = frozenset({429})
_KEPT = frozenset({"content-type", "etag", "location"})


class Idempotency(ASGIMiddleware):
    scopes = (ScopeType.HTTP,)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        request: Request[Any, Any, Any] = Request(scope, receive, send)
        key = request.headers.get(HEADER)
        if key is None or request.method != "POST":
            await next_app(scope, receive, send)
            return
        if not 0 < len(key) <= _LONGEST or not key.isascii() or not key.isprintable():
            raise problem(400, f"Idempotency-Key: 1 to {_LONGEST} printable characters")
        pool, token = scope["litestar_app"].state.pool, request.user.id
        fingerprint = _fingerprint(request, await request.body())
        before = await token_store.claim(pool, token, key, fingerprint)
        if before is not None:
            await _answer_again(before, fingerprint, send)
            return
        answer = _Answer(send)
        try:
            await next_app(scope, receive, answer.passed_on)
        finally:
            if answer.complete and answer.status < 500 and answer.status not in _AGAIN:
                await token_store.answered(
                    pool, token, key, status=answer.status, headers=answer.kept, body=bytes(answer.body)
                )
            else:
                await token_store.free(pool, token, key)


class _Answer:
    """What the handler answers, on its way."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 500
        self.kept: list[tuple[str, str]] = []
        self.body = bytearray()
        self.complete = False

    async def passed_on(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            found = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in message["headers"]]
            self.kept = [(name, value) for name, value in found if name in _KEPT]
        elif message["type"] == "http.response.body":
            self.body += message["body"]
            self.complete = not message["more_body"]
        await self._send(message)


async def _answer_again(before: token_store.Before, fingerprint: bytes, send: Send) -> None:
    """Raises the problem where there is no answer to give."""
    if before.fingerprint != fingerprint:
        raise problem(422, "Idempotency-Key: another request came under this key")
    if before.status is None:
        raise problem(409, "the request under this key is being handled", {"Retry-After": "2"})
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in before.headers]
    headers += [(b"idempotent-replayed", b"true"), (b"content-length", str(len(before.body)).encode())]
    await send({"type": "http.response.start", "status": before.status, "headers": headers})
    await send({"type": "http.response.body", "body": before.body, "more_body": False})


def _fingerprint(request: Request[Any, Any, Any], body: bytes) -> bytes:
    asked = f"{request.method} {request.url.path}?{request.url.query}\0{request.headers.get('if-match', '')}\0"
    return hashlib.sha256(asked.encode() + body).digest()
