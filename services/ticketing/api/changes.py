"""What agents do to tickets: the commands over HTTP, in the name of the token's agent.

`If-Match` names the state of the ticket that the agent saw: where another one changed it since, 412. The command's id
comes from the `Idempotency-Key`, so one that comes twice is done once whatever dies in between.
"""

import uuid
from typing import Annotated, Any, NamedTuple

from litestar import Controller, Response, get, patch, post
from litestar.datastructures import State
from litestar.di import NamedDependency, Provide
from litestar.exceptions import HTTPException, PermissionDeniedException
from litestar.params import HeaderParameter, JSONBody, SkipValidation

from services.ticketing import command_store, queries
from services.ticketing.api.access import Asked, needs, reached
from services.ticketing.api.change_bodies import (
    Change,
    LinkTo,
    Made,
    MergeInto,
    NewNote,
    NewReply,
    SplitOff,
    TagWith,
    WatchedBy,
)
from services.ticketing.api.problems import may_answer, moment
from services.ticketing.api.shapes import TicketDetail
from services.ticketing.api.tickets import Number, shown
from services.ticketing.api.tokens import Scope, Token
from services.ticketing.commands import (
    AddNote,
    Command,
    Merge,
    Order,
    Refusal,
    Refused,
    Reply,
    Set,
    SetLink,
    Split,
    Tag,
    Watch,
)

_STATUS = {
    Refusal.NO_TICKET: 404,
    Refusal.CHANGED: 412,
    Refusal.MERGED: 409,
    Refusal.UNKNOWN: 422,
    Refusal.INVALID: 422,
}
_TRIES = 5
_AGENTS = [needs(Scope.AGENT)]
_ANSWERS = may_answer(404, 409, 412, 422)

IfMatch = Annotated[
    str | None, HeaderParameter(name="If-Match", max_length=100, description="The ETag of the ticket as it was seen.")
]
Key = Annotated[str | None, HeaderParameter(name="Idempotency-Key", max_length=200)]


class Asking(NamedTuple):
    """Who wants a ticket changed, the state of it that he saw, and the key that names the request."""

    token: Token
    state: State
    number: str
    if_match: str | None
    key: str | None

    async def made(self, command: Command, why: str = "", also: str = "") -> Made:
        done = await self.given(command, why, also)
        return Made(done.number, None if done.article_id is None else str(done.article_id), done.created or None)

    async def given(self, command: Command, why: str = "", also: str = "") -> command_store.Done:
        """Carried out on the ticket that was seen to be within reach, as is the one that `also` names. Raises
        HTTPException, asyncpg errors.

        Without If-Match the command names the version that was looked at: a ticket that moves to another queue in
        between is looked at again."""
        if not self.token.agent:
            raise PermissionDeniedException("the token names no agent in whose name it changes tickets")
        command_id = f"{self.token.id} {self.key}" if self.key else uuid.uuid4().hex
        for left in reversed(range(_TRIES)):
            row = await self._reached(self.number)
            if also:
                await self._reached(also)
            wanted = row["version"] if self.if_match in (None, "*") else _version(str(self.if_match))
            order = Order(self.token.agent, command_id, why, wanted)
            try:
                async with self.state.pool.acquire() as connection:
                    return await command_store.run(
                        connection, self.state.desk.current.desk, self.number, command, order
                    )
            except Refused as refused:
                if refused.reason is Refusal.CHANGED and self.if_match in (None, "*") and left:
                    continue
                raise HTTPException(refused.detail, status_code=_STATUS[refused.reason]) from refused
        raise AssertionError("the last try raises")

    async def _reached(self, number: str) -> dict[str, Any]:
        return reached(self.token, await queries.ticket(self.state.pool, number), "ticket")

    def may_put_into(self, queue: str | None) -> None:
        """Raises PermissionDeniedException."""
        if queue is not None and not self.token.reaches(queue):
            raise PermissionDeniedException("the token does not reach this queue")


def asking(request: Asked, state: State, number: Number, if_match: IfMatch = None, key: Key = None) -> Asking:
    return Asking(request.user, state, number, if_match, key)


AskedFor = NamedDependency[SkipValidation[Asking]]


class Changes(Controller):
    path = "/v1/tickets/{number:str}"
    tags = ["changes"]
    guards = [needs(Scope.READ)]
    dependencies = {"asking": Provide(asking, sync_to_thread=False)}

    @get(operation_id="getTicket", summary="One ticket", tags=["tickets"], responses=may_answer())
    async def get_ticket(self, request: Asked, state: State, number: Number) -> Response[TicketDetail]:
        """The ETag names this state of it: a change sends it as If-Match."""
        return await _ticket(request, state, number)

    @patch(
        guards=_AGENTS,
        operation_id="changeTicket",
        summary="State, owner, queue …",
        responses=may_answer(404, 409, 412, 422, 428),
    )
    async def change_ticket(
        self, request: Asked, state: State, number: Number, data: JSONBody[Change], if_match: IfMatch = None
    ) -> Response[TicketDetail]:
        """`If-Match` is demanded, so that nobody overwrites what he has not seen; `*` for whatever it is."""
        if if_match is None:
            raise HTTPException("If-Match: the ETag of the ticket as it was seen", status_code=428)
        order = Asking(request.user, state, number, if_match, None)
        order.may_put_into(data.queue)
        fields = {name: getattr(data, name) for name in Set._fields}
        if data.pending_until is not None:
            fields["pending_until"] = moment(data.pending_until, "pending_until")
        await order.given(Set(**fields), data.why)
        return await _ticket(request, state, number)

    @post("/notes", guards=_AGENTS, operation_id="addNote", summary="An article for agents", responses=_ANSWERS)
    async def add_note(self, asking: AskedFor, data: JSONBody[NewNote]) -> Made:
        return await asking.made(AddNote(data.text, data.subject, data.visible), data.why)

    @post(
        "/replies",
        guards=_AGENTS,
        operation_id="addReply",
        summary="An answer to the customer, by mail",
        responses=_ANSWERS,
    )
    async def add_reply(self, asking: AskedFor, data: JSONBody[NewReply]) -> Made:
        """It leaves from the address that the customer wrote to."""
        command = Reply(data.text, data.subject, tuple(data.to), tuple(data.cc))
        return await asking.made(command, data.why)

    @post("/merge", guards=_AGENTS, operation_id="mergeTicket", summary="It becomes part of another", status_code=200,
          responses=_ANSWERS)  # fmt: skip
    async def merge_ticket(self, asking: AskedFor, data: JSONBody[MergeInto]) -> Made:
        return await asking.made(Merge(data.into), data.why, also=data.into)

    @post(
        "/split", guards=_AGENTS, operation_id="splitTicket", summary="An article becomes a ticket", responses=_ANSWERS
    )
    async def split_ticket(self, asking: AskedFor, data: JSONBody[SplitOff]) -> Made:
        asking.may_put_into(data.queue)
        command = Split(int(data.article_id), data.queue, data.title)
        return await asking.made(command, data.why)

    @post("/links", guards=_AGENTS, operation_id="linkTicket", summary="Linked, or no more", status_code=200,
          responses=_ANSWERS)  # fmt: skip
    async def link_ticket(self, asking: AskedFor, data: JSONBody[LinkTo]) -> Made:
        command = SetLink(data.to, data.type, data.gone)
        return await asking.made(command, data.why, also=data.to)

    @post("/watchers", guards=_AGENTS, operation_id="watchTicket", summary="An agent is told", status_code=200,
          responses=_ANSWERS)  # fmt: skip
    async def watch_ticket(self, asking: AskedFor, data: JSONBody[WatchedBy]) -> Made:
        return await asking.made(Watch(data.agent, data.gone))

    @post(
        "/tags",
        guards=_AGENTS,
        operation_id="tagTicket",
        summary="Tags, added and dropped",
        status_code=200,
        responses=_ANSWERS,
    )
    async def tag_ticket(self, asking: AskedFor, data: JSONBody[TagWith]) -> Made:
        return await asking.made(Tag(tuple(data.add), tuple(data.drop)))


def _version(if_match: str) -> int:
    """-1 for what is no ETag of ours: no ticket is in that state."""
    text = if_match.strip().strip('"')
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 18 else -1


async def _ticket(request: Asked, state: State, number: str) -> Response[TicketDetail]:
    return await shown(request, state, reached(request.user, await queries.ticket(state.pool, number), "ticket"))
