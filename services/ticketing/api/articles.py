"""One article: its fields, its HTML for a browser, its bytes, and why it was handled as it was.

Bytes of strangers are handed out as files: with `attachment`, with `nosniff`, under a type that no browser runs.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated
from urllib.parse import quote

from litestar import Controller, Response, get
from litestar.datastructures import State
from litestar.exceptions import NotFoundException
from litestar.openapi import ResponseSpec
from litestar.params import PathParameter
from litestar.response import Stream

from services.ticketing.api import cleaning, reading
from services.ticketing.api.access import Asked, needs, reached
from services.ticketing.api.problems import may_answer
from services.ticketing.api.shapes import Article, Decision, shaped
from services.ticketing.api.tokens import Scope
from shared.mime import parse

ArticleId = Annotated[int, PathParameter(ge=1, le=2**63 - 1)]
Position = Annotated[int, PathParameter(ge=0, lt=100_000)]
PLAIN_TYPES = frozenset({"image/gif", "image/jpeg", "image/png", "image/webp", "application/pdf", "text/plain"})
_CHUNK = 64 * 1024
# scripts cannot run, nothing loads but the mail's own pictures, and links open elsewhere
_POLICY = "default-src 'none'; img-src 'self'; style-src 'unsafe-inline'; sandbox allow-popups; frame-ancestors 'self'"
_BYTES = ResponseSpec(bytes, description="The bytes", media_type="*/*", generate_examples=False)
_PAGE = ResponseSpec(str, description="HTML without scripts", media_type="text/html", generate_examples=False)


class Articles(Controller):
    path = "/v1/articles"
    tags = ["articles"]
    guards = [needs(Scope.READ)]

    @get("/{article_id:int}", operation_id="getArticle", summary="One mail or note", responses=may_answer(404))
    async def get_article(self, request: Asked, state: State, article_id: ArticleId) -> Article:
        return shaped(reached(request.user, await reading.article(state.pool, article_id), "article"), Article)

    @get("/{article_id:int}/html", operation_id="getHtml", summary="Its HTML, cleaned",
         responses={200: _PAGE, **may_answer(404)})  # fmt: skip
    async def get_html(self, request: Asked, state: State, article_id: ArticleId) -> Response[str]:
        """Scripts, forms, frames and everything that lies elsewhere are taken out; pictures of the mail itself are
        addresses of attachments here. Of a mail without HTML its text."""
        row = reached(request.user, await reading.body(state.pool, article_id), "article")
        parts = await reading.content_ids(state.pool, article_id)
        images = {name: f"/v1/articles/{article_id}/attachments/{position}" for name, position in parts.items()}
        cleaned = await asyncio.to_thread(cleaning.clean, row["html"], images) if row["html"] else None
        return Response(
            cleaned if cleaned is not None else cleaning.as_page(row["text"]),
            media_type="text/html",
            headers={"Content-Security-Policy": _POLICY},
        )

    @get("/{article_id:int}/original", operation_id="getOriginal", summary="The raw mail",
         responses={200: _BYTES, **may_answer(404)})  # fmt: skip
    async def get_original(self, request: Asked, state: State, article_id: ArticleId) -> Stream:
        raw = await _original(request, state, article_id)
        return _file(raw, f"{article_id}.eml", "application/octet-stream")

    @get("/{article_id:int}/attachments/{position:int}", operation_id="getAttachment", summary="An attachment's bytes",
         responses={200: _BYTES, **may_answer(404)})  # fmt: skip
    async def get_attachment(self, request: Asked, state: State, article_id: ArticleId, position: Position) -> Stream:
        """Its type is the mail's where a browser does nothing with it, else `application/octet-stream`."""
        raw = await _original(request, state, article_id)
        named = await reading.part(state.pool, article_id, position)
        content = await asyncio.to_thread(_content, raw, position)
        if named is None or content is None:
            raise NotFoundException("the mail has no such attachment")
        kind = named["content_type"].lower()
        return _file(content, named["filename"], kind if kind in PLAIN_TYPES else "application/octet-stream")

    @get("/{article_id:int}/decision", operation_id="getDecision", summary="Why it was handled as it was",
         responses=may_answer(404))  # fmt: skip
    async def get_decision(self, request: Asked, state: State, article_id: ArticleId) -> Decision:
        reached(request.user, await reading.article(state.pool, article_id), "article")
        found = await reading.decision(state.pool, article_id)
        if found is None:
            raise NotFoundException("no decision is kept of it")
        return shaped(found, Decision)


async def _original(request: Asked, state: State, article_id: int) -> bytes:
    """Raises OriginalMissing, NotFoundException."""
    row = reached(request.user, await reading.body(state.pool, article_id), "article")
    if not row["original"]:
        raise NotFoundException("no original is kept of it")
    async with state.in_memory:  # few at once: a mail may have 50 MB
        return bytes(await state.originals.get(row["original"]))


def _content(raw: bytes, position: int) -> bytes | None:
    parts = parse(raw).attachments
    return parts[position].content if position < len(parts) else None


def _file(content: bytes, filename: str, media_type: str) -> Stream:
    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(content), _CHUNK):
            yield content[start : start + _CHUNK]

    headers = {"Content-Disposition": disposition(filename), "Content-Length": str(len(content))}
    return Stream(chunks(), media_type=media_type, headers=headers)


def disposition(filename: str) -> str:
    """RFC 6266 with RFC 8187: a file, never shown in place; its name in ASCII, and as it is."""
    plain = "".join(c if 32 <= ord(c) < 127 and c not in '"\\/:%' else "_" for c in filename)[:150]
    exact = quote(filename[:150], safe="")
    return f"attachment; filename=\"{plain or 'file'}\"; filename*=UTF-8''{exact or 'file'}"
