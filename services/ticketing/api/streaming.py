"""`GET /v1/events`: what happens, as it happens."""

from typing import Annotated

from litestar import Controller, get
from litestar.datastructures import State
from litestar.exceptions import HTTPException
from litestar.openapi import ResponseSpec
from litestar.params import HeaderParameter
from litestar.response import Stream

from services.ticketing.api.access import Asked, needs
from services.ticketing.api.problems import may_answer
from services.ticketing.api.stream import MOST_STREAMS
from services.ticketing.api.tokens import Scope

_TEXT = ResponseSpec(str, description="Events", media_type="text/event-stream", generate_examples=False)
_Last = Annotated[str, HeaderParameter(name="Last-Event-ID", max_length=1000)]


class Streaming(Controller):
    path = "/v1/events"
    tags = ["events"]
    guards = [needs(Scope.READ)]

    @get(operation_id="streamEvents", summary="What happens, as it happens", responses={200: _TEXT, **may_answer()})
    async def stream_events(self, request: Asked, state: State, last_event_id: _Last = "") -> Stream:
        """The facts of docs/events.md about tickets of the token's queues. `Last-Event-ID` takes a stream up; `reset`
        says that something was missed. It ends after ten minutes: come again."""
        if state.events.streams >= MOST_STREAMS:
            raise HTTPException("too many streams at once", status_code=503, headers={"Retry-After": "5"})
        return Stream(state.events.stream(request.user, last_event_id), media_type="text/event-stream")
