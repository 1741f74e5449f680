"""Dead letters over HTTP: list, show, replay, discard."""

import base64
import json
from datetime import datetime
from typing import Annotated, Any

import msgspec
from litestar import Controller, get, post
from litestar.datastructures import State
from litestar.exceptions import HTTPException, NotFoundException
from litestar.params import JSONBody, PathParameter, QueryParameter

from ops import letter_decisions
from ops.letter_decisions import Decided, NoLetter
from ops.replays import CannotReplay
from services.ticketing import queries
from services.ticketing.api.access import Asked, needs, whole_installation
from services.ticketing.api.problems import may_answer
from services.ticketing.api.shapes import shaped
from services.ticketing.api.tokens import Scope

LetterId = Annotated[int, PathParameter(ge=1, le=2**63 - 1)]
_After = Annotated[int, QueryParameter(ge=0, le=2**63 - 1, description="The `next` of the page before.")]
_Limit = Annotated[int, QueryParameter(ge=1, le=100)]
_All = Annotated[bool, QueryParameter(description="Also those that were replayed or discarded.")]


class Letter(msgspec.Struct, kw_only=True):
    """A record that could not be handled. `offset` -1: it never reached Kafka, `origin_id` tells it from others."""

    id: str
    state: str
    topic: str
    partition: int
    offset: str
    origin_id: str
    service: str
    reason: str
    exception: str
    received_at: datetime
    decided_by: str | None
    decided_at: datetime | None
    why: str | None


class LetterDetail(Letter, kw_only=True):
    """With the record as it came; `key`, `value` and the values of `headers` in base64."""

    key: str | None
    value: str | None
    headers: list[tuple[str, str]]


class LetterPage(msgspec.Struct):
    letters: list[Letter]
    next: str | None


class Replay(msgspec.Struct):
    """`again`: also where somebody decided before."""

    again: bool = False


class Discard(msgspec.Struct):
    why: Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]


class Letters(Controller):
    path = "/v1/deadletters"
    tags = ["dead letters"]
    guards = [needs(Scope.OPERATOR), whole_installation]

    @get(operation_id="listLetters", summary="Records that wait for a decision", responses=may_answer())
    async def list_letters(
        self, state: State, decided: _All = False, after: _After = 0, limit: _Limit = 50
    ) -> LetterPage:
        rows = await queries.letters(state.pool, decided=decided, after=after, limit=limit + 1)
        behind = rows[limit - 1]["id"] if len(rows) > limit else None
        return LetterPage([shaped(row, Letter) for row in rows[:limit]], behind)

    @get("/{letter_id:int}", operation_id="getLetter", summary="One, as it came", responses=may_answer(404))
    async def get_letter(self, state: State, letter_id: LetterId) -> LetterDetail:
        return await _shown(state, letter_id)

    @post("/{letter_id:int}/replay", operation_id="replayLetter", summary="Send it to its topic again", status_code=200,
          responses=may_answer(404, 409, 422))  # fmt: skip
    async def replay_letter(
        self, request: Asked, state: State, letter_id: LetterId, data: JSONBody[Replay]
    ) -> LetterDetail:
        """As if it had come now; 503 while Kafka is away, and nothing is decided then."""
        try:
            async with state.pool.acquire() as connection:
                await letter_decisions.replay(
                    connection, state.producer, state.originals, letter_id, request.user.who, again=data.again
                )
        except (NoLetter, Decided, CannotReplay) as error:
            raise _refused(error) from error
        return await _shown(state, letter_id)

    @post("/{letter_id:int}/discard", operation_id="discardLetter", summary="Nothing will come of it", status_code=200,
          responses=may_answer(404, 409))  # fmt: skip
    async def discard_letter(
        self, request: Asked, state: State, letter_id: LetterId, data: JSONBody[Discard]
    ) -> LetterDetail:
        """It stays readable."""
        try:
            async with state.pool.acquire() as connection:
                await letter_decisions.discard(connection, letter_id, request.user.who, data.why)
        except (NoLetter, Decided) as error:
            raise _refused(error) from error
        return await _shown(state, letter_id)


def _refused(error: Exception) -> HTTPException:
    status = {NoLetter: 404, Decided: 409, CannotReplay: 422}[type(error)]
    return HTTPException(str(error), status_code=status)


async def _shown(state: State, letter_id: int) -> LetterDetail:
    row: dict[str, Any] | None = await queries.letter(state.pool, letter_id)
    if row is None:
        raise NotFoundException("there is no such dead letter")
    coded = {name: None if row[name] is None else base64.b64encode(row[name]).decode() for name in ("key", "value")}
    return shaped(row | coded | {"headers": json.loads(row["headers"])}, LetterDetail)
