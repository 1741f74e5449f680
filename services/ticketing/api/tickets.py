"""Tickets: lists, one, its articles and its history."""

from typing import Annotated, Any

from litestar import Controller, Response, get
from litestar.datastructures import State
from litestar.exceptions import HTTPException
from litestar.openapi.spec.enums import OpenAPIFormat
from litestar.params import PathParameter, QueryParameter

from services.ticketing import queries
from services.ticketing.api import reading
from services.ticketing.api.access import Asked, needs, queues_of, reached
from services.ticketing.api.problems import may_answer, moment
from services.ticketing.api.shapes import (
    Article,
    ArticlePage,
    HistoryEntry,
    HistoryPage,
    Link,
    Participant,
    Ticket,
    TicketDetail,
    TicketPage,
    shaped,
)
from services.ticketing.api.tokens import Scope
from services.ticketing.ticket_list import Place, Wanted, page

SEARCH_SECONDS = 5.0

Number = Annotated[str, PathParameter(description="A ticket's number.", max_length=100)]
Limit = Annotated[int, QueryParameter(ge=1, le=100, description="Entries a page.")]
_Words = Annotated[
    str | None, QueryParameter(max_length=200, description='Words, "a phrase", -without, or; of the mails.')
]
_Names = Annotated[list[str] | None, QueryParameter(max_items=50)]
_Name = Annotated[str | None, QueryParameter(max_length=320)]
_Time = Annotated[str | None, QueryParameter(max_length=40, schema_extra={"format": OpenAPIFormat.DATE_TIME})]
_Id = Annotated[int, QueryParameter(ge=0, le=2**63 - 1, description="The `next` of the page before.")]
_After = Annotated[str | None, QueryParameter(max_length=100, description="The `next` of the page before.")]


def etag(row: dict[str, Any]) -> str:
    """RFC 9110 section 8.8.3: another one with each change of the ticket."""
    return f'"{row["version"]}"'


class Tickets(Controller):
    path = "/v1/tickets"
    tags = ["tickets"]
    guards = [needs(Scope.READ)]

    @get(operation_id="listTickets", summary="Tickets, the newest first", responses=may_answer())
    async def list_tickets(
        self,
        request: Asked,
        state: State,
        queue: _Names = None,
        status: Annotated[list[str] | None, QueryParameter(name="state", max_items=50)] = None,
        owner: _Name = None,
        customer: _Name = None,
        created_from: _Time = None,
        created_to: _Time = None,
        q: _Words = None,
        after: _After = None,
        limit: Limit = 50,
    ) -> TicketPage:
        """`created_from` belongs to what is shown, `created_to` does not. `q` searches the mails in the language of
        the desk."""
        try:
            place = Place.parse(after) if after else None
        except ValueError as error:
            raise HTTPException(f"after: {error}", status_code=400) from error
        wanted = Wanted(
            queues=queues_of(request.user, queue),
            states=status,
            owner=owner or "",
            customer=(customer or "").lower(),
            created_from=None if created_from is None else moment(created_from, "created_from"),
            created_to=None if created_to is None else moment(created_to, "created_to"),
            text=q or "",
            language=state.desk.current.desk.language,
            after=place,
            limit=limit,
        )
        async with state.pool.acquire(timeout=SEARCH_SECONDS) as connection:
            rows, behind = await page(connection, wanted)
        return TicketPage([shaped(row, Ticket) for row in rows], str(behind) if behind else None)

    @get("/{number:str}/articles", operation_id="listArticles", summary="Its mails and notes",
         responses=may_answer(404))  # fmt: skip
    async def list_articles(
        self, request: Asked, state: State, number: Number, after: _Id = 0, limit: Limit = 50
    ) -> ArticlePage:
        row = reached(request.user, await queries.ticket(state.pool, number), "ticket")
        found = await reading.articles(state.pool, int(row["ticket_id"]), after, limit + 1)
        return ArticlePage([shaped(each, Article) for each in found[:limit]], _next(found, limit, "article_id"))

    @get("/{number:str}/history", operation_id="listHistory", summary="What was done, when and why",
         responses=may_answer(404))  # fmt: skip
    async def list_history(
        self, request: Asked, state: State, number: Number, after: _Id = 0, limit: Limit = 100
    ) -> HistoryPage:
        row = reached(request.user, await queries.ticket(state.pool, number), "ticket")
        found = await queries.history(state.pool, int(row["ticket_id"]), after, limit + 1)
        return HistoryPage([shaped(each, HistoryEntry) for each in found[:limit]], _next(found, limit, "entry_id"))


async def shown(request: Asked, state: State, row: dict[str, Any]) -> Response[TicketDetail]:
    """A ticket as it is answered, with its ETag."""
    ticket_id = int(row["ticket_id"])
    linked = await queries.links(state.pool, ticket_id)
    row |= {
        "participants": [shaped(each, Participant) for each in await reading.participants(state.pool, ticket_id)],
        "links": [shaped(each, Link) for each in linked if request.user.reaches(each["queue"])],
    }
    return Response(shaped(row, TicketDetail), headers={"ETag": etag(row)})


def _next(rows: list[dict[str, Any]], limit: int, column: str) -> str | None:
    return str(rows[limit - 1][column]) if len(rows) > limit else None
