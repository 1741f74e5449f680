"""What agents do to tickets: the commands over HTTP, in the name of the token's agent.

`If-Match` names the state of the ticket that the agent saw: where another one changed it since, 412. The command's id
comes from the `Idempotency-Key`, so one that comes twice is done once whatever dies in between.
"""

import uuid
from typing import Annotated

import msgspec
from litestar import Controller, Response, get, patch, post
from litestar.datastructures import State
from litestar.exceptions import HTTPException, PermissionDeniedException
from litestar.params import HeaderParameter, JSONBody

from services.ticketing import command_store, queries
from services.ticketing.api.access import Asked, needs, reached
from services.ticketing.api.problems import may_answer, moment
from services.ticketing.api.shapes import Moment, TicketDetail
from services.ticketing.api.tickets import Number, shown
from services.ticketing.api.tokens import Scope
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
_Why = Annotated[str, msgspec.Meta(max_length=1000)]
_Name = Annotated[str, msgspec.Meta(max_length=500)]
_Id = Annotated[str, msgspec.Meta(pattern="^[1-9][0-9]{0,17}$")]


class Change(msgspec.Struct, forbid_unknown_fields=True):
    """Fields that become others; what is not named stays. `owner` and `responsible`: agents, "" for nobody."""

    state: _Name | None = None
    pending_until: Moment | None = None
    priority: _Name | None = None
    owner: _Name | None = None
    responsible: _Name | None = None
    lock: _Name | None = None
    queue: _Name | None = None
    title: _Name | None = None
    why: _Why = ""


class NewNote(msgspec.Struct, forbid_unknown_fields=True):
    """`visible`: for the customer, who is not told of it."""

    text: Annotated[str, msgspec.Meta(min_length=1, max_length=100_000)]
    subject: _Name = ""
    visible: bool = False
    why: _Why = ""


class NewReply(msgspec.Struct, forbid_unknown_fields=True):
    """`to`: addresses; empty: the customer."""

    text: Annotated[str, msgspec.Meta(min_length=1, max_length=100_000)]
    subject: _Name = ""
    to: Annotated[list[_Name], msgspec.Meta(max_length=50)] = []
    cc: Annotated[list[_Name], msgspec.Meta(max_length=50)] = []
    why: _Why = ""


class MergeInto(msgspec.Struct, forbid_unknown_fields=True):
    """The ticket becomes part of the one of number `into`."""

    into: _Name
    why: _Why = ""


class SplitOff(msgspec.Struct, forbid_unknown_fields=True):
    """The article becomes a ticket of its own, and stays where it is."""

    article_id: _Id
    queue: _Name | None = None
    title: _Name | None = None
    why: _Why = ""


class LinkTo(msgspec.Struct, forbid_unknown_fields=True):
    """`type`: Normal or ParentChild (of which this ticket is the parent); `gone`: linked no more."""

    to: _Name
    type: _Name = "Normal"
    gone: bool = False
    why: _Why = ""


class WatchedBy(msgspec.Struct, forbid_unknown_fields=True):
    """The agent is told of what happens to the ticket; `gone`: no more."""

    agent: _Name
    gone: bool = False


class TagWith(msgspec.Struct, forbid_unknown_fields=True):
    add: Annotated[list[_Name], msgspec.Meta(max_length=100)] = []
    drop: Annotated[list[_Name], msgspec.Meta(max_length=100)] = []


class Made(msgspec.Struct):
    """What a command made: an article, a ticket."""

    number: str
    article_id: str | None = None
    created: str | None = None


class Changes(Controller):
    path = "/v1/tickets/{number:str}"
    tags = ["changes"]
    guards = [needs(Scope.READ)]

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
        if data.queue is not None and not request.user.reaches(data.queue):
            raise PermissionDeniedException("the token does not reach this queue")
        fields = {name: getattr(data, name) for name in Set._fields}
        if data.pending_until is not None:
            fields["pending_until"] = moment(data.pending_until, "pending_until")
        await _given(request, state, number, Set(**fields), data.why, if_match)
        return await _ticket(request, state, number)

    @post("/notes", guards=_AGENTS, operation_id="addNote", summary="An article for agents", responses=_ANSWERS)
    async def add_note(
        self,
        request: Asked,
        state: State,
        number: Number,
        data: JSONBody[NewNote],
        if_match: IfMatch = None,
        key: Key = None,
    ) -> Made:
        return await _made(
            request, state, number, AddNote(data.text, data.subject, data.visible), data.why, if_match, key
        )

    @post(
        "/replies",
        guards=_AGENTS,
        operation_id="addReply",
        summary="An answer to the customer, by mail",
        responses=_ANSWERS,
    )
    async def add_reply(
        self,
        request: Asked,
        state: State,
        number: Number,
        data: JSONBody[NewReply],
        if_match: IfMatch = None,
        key: Key = None,
    ) -> Made:
        """It leaves from the address that the customer wrote to."""
        command = Reply(data.text, data.subject, tuple(data.to), tuple(data.cc))
        return await _made(request, state, number, command, data.why, if_match, key)

    @post("/merge", guards=_AGENTS, operation_id="mergeTicket", summary="It becomes part of another", status_code=200,
          responses=_ANSWERS)  # fmt: skip
    async def merge_ticket(
        self,
        request: Asked,
        state: State,
        number: Number,
        data: JSONBody[MergeInto],
        if_match: IfMatch = None,
        key: Key = None,
    ) -> Made:
        return await _made(request, state, number, Merge(data.into), data.why, if_match, key, also=data.into)

    @post(
        "/split", guards=_AGENTS, operation_id="splitTicket", summary="An article becomes a ticket", responses=_ANSWERS
    )
    async def split_ticket(
        self,
        request: Asked,
        state: State,
        number: Number,
        data: JSONBody[SplitOff],
        if_match: IfMatch = None,
        key: Key = None,
    ) -> Made:
        if data.queue is not None and not request.user.reaches(data.queue):
            raise PermissionDeniedException("the token does not reach this queue")
        command = Split(int(data.article_id), data.queue, data.title)
        return await _made(request, state, number, command, data.why, if_match, key)

    @post("/links", guards=_AGENTS, operation_id="linkTicket", summary="Linked, or no more", status_code=200,
          responses=_ANSWERS)  # fmt: skip
    async def link_ticket(
        self,
        request: Asked,
        state: State,
        number: Number,
        data: JSONBody[LinkTo],
        if_match: IfMatch = None,
        key: Key = None,
    ) -> Made:
        command = SetLink(data.to, data.type, data.gone)
        return await _made(request, state, number, command, data.why, if_match, key, also=data.to)

    @post("/watchers", guards=_AGENTS, operation_id="watchTicket", summary="An agent is told", status_code=200,
          responses=_ANSWERS)  # fmt: skip
    async def watch_ticket(
        self,
        request: Asked,
        state: State,
        number: Number,
        data: JSONBody[WatchedBy],
        if_match: IfMatch = None,
        key: Key = None,
    ) -> Made:
        return await _made(request, state, number, Watch(data.agent, data.gone), "", if_match, key)

    @post(
        "/tags",
        guards=_AGENTS,
        operation_id="tagTicket",
        summary="Tags, added and dropped",
        status_code=200,
        responses=_ANSWERS,
    )
    async def tag_ticket(
        self,
        request: Asked,
        state: State,
        number: Number,
        data: JSONBody[TagWith],
        if_match: IfMatch = None,
        key: Key = None,
    ) -> Made:
        return await _made(request, state, number, Tag(tuple(data.add), tuple(data.drop)), "", if_match, key)


async def _made(
    request: Asked,
    state: State,
    number: str,
    command: Command,
    why: str,
    if_match: str | None,
    key: str | None,
    also: str = "",
) -> Made:
    done = await _given(request, state, number, command, why, if_match, key, also)
    return Made(done.number, None if done.article_id is None else str(done.article_id), done.created or None)


async def _given(
    request: Asked,
    state: State,
    number: str,
    command: Command,
    why: str,
    if_match: str | None,
    key: str | None = None,
    also: str = "",
) -> command_store.Done:
    """Carried out on the ticket that was seen to be within reach. Raises HTTPException, asyncpg errors.

    Without If-Match the command names the version that was looked at: a ticket that moves to another queue in between
    is looked at again."""
    token = request.user
    if not token.agent:
        raise PermissionDeniedException("the token names no agent in whose name it changes tickets")
    command_id = f"{token.id} {key}" if key else uuid.uuid4().hex
    for left in reversed(range(_TRIES)):
        row = reached(token, await queries.ticket(state.pool, number), "ticket")
        if also:
            reached(token, await queries.ticket(state.pool, also), "ticket")
        wanted = row["version"] if if_match in (None, "*") else _version(str(if_match))
        order = Order(token.agent, command_id, why, wanted)
        try:
            async with state.pool.acquire() as connection:
                return await command_store.run(connection, state.desk.current.desk, number, command, order)
        except Refused as refused:
            if refused.reason is Refusal.CHANGED and if_match in (None, "*") and left:
                continue
            raise HTTPException(refused.detail, status_code=_STATUS[refused.reason]) from refused
    raise AssertionError("the last try raises")


def _version(if_match: str) -> int:
    """-1 for what is no ETag of ours: no ticket is in that state."""
    text = if_match.strip().strip('"')
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 18 else -1


async def _ticket(request: Asked, state: State, number: str) -> Response[TicketDetail]:
    return await shown(request, state, reached(request.user, await queries.ticket(state.pool, number), "ticket"))
