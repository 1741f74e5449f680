"""Mails that go out by themselves: what a ticket led to, what failed, again, hold, release."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from litestar import Controller, get, post
from litestar.datastructures import State
from litestar.exceptions import HTTPException
from litestar.params import JSONBody, PathParameter, QueryParameter

from services.mailer import queries as mailer
from services.ticketing import queries as ticketing
from services.ticketing.api.access import Asked, needs, reached, whole_installation
from services.ticketing.api.problems import may_answer, moment
from services.ticketing.api.shapes import Moment, shaped
from services.ticketing.api.tickets import Number
from services.ticketing.api.tokens import Scope

DeliveryId = Annotated[int, PathParameter(ge=1, le=2**63 - 1)]
_State = Annotated[
    Literal["queued", "sending", "deferred", "unknown", "failed", "bounced", "suppressed", "sent"],
    QueryParameter(name="state"),
]
_Limit = Annotated[int, QueryParameter(ge=1, le=500)]


class Delivery(msgspec.Struct, kw_only=True):
    """A mail of ours. `reason`: why nothing is sent; `smtp_class`: our word for the server's answer."""

    delivery_id: str
    kind: str
    rule: str
    recipient: str
    state: str
    reason: str
    account: str
    message_id: str
    attempts: int
    smtp_code: int | None
    smtp_class: str


class TicketDelivery(Delivery, kw_only=True):
    template: str
    created_at: datetime
    due_at: datetime | None
    sent_at: datetime | None
    failed_at: datetime | None


class ListedDelivery(Delivery, kw_only=True):
    """`at`: when it failed, was sent, or was made."""

    ticket_number: str
    at: datetime


class Hold(msgspec.Struct):
    """Mails of facts before this moment wait until they are released."""

    before: Moment


class Count(msgspec.Struct):
    mails: int


class TicketDeliveries(Controller):
    path = "/v1/tickets"
    tags = ["tickets"]
    guards = [needs(Scope.READ)]

    @get("/{number:str}/deliveries", operation_id="listTicketDeliveries", summary="The mails it led to, or why not",
         responses=may_answer(404))  # fmt: skip
    async def list_ticket_deliveries(self, request: Asked, state: State, number: Number) -> list[TicketDelivery]:
        row = reached(request.user, await ticketing.ticket(state.pool, number), "ticket")
        found = await mailer.deliveries(state.pool, int(row["ticket_id"]))
        return [shaped(each, TicketDelivery) for each in found]


class Deliveries(Controller):
    path = "/v1/deliveries"
    tags = ["deliveries"]
    guards = [needs(Scope.OPERATOR), whole_installation]

    @get(operation_id="listDeliveries", summary="Mails in a state, the latest first", responses=may_answer())
    async def list_deliveries(
        self, state: State, in_state: _State = "failed", limit: _Limit = 50
    ) -> list[ListedDelivery]:
        return [shaped(row, ListedDelivery) for row in await mailer.mails(state.pool, in_state, limit)]

    @post("/{delivery_id:int}/retry", operation_id="retryDelivery", summary="Send a failed mail again", status_code=202,
          responses=may_answer(409))  # fmt: skip
    async def retry_delivery(self, state: State, delivery_id: DeliveryId) -> Count:
        """The same bytes, as soon as a mailer looks."""
        if delivery_id not in await mailer.retry(state.pool, [delivery_id]):
            raise HTTPException("no mail of this id has failed", status_code=409)
        return Count(1)

    @post("/hold", operation_id="holdDeliveries", summary="Hold mail back after a restore", status_code=200,
          responses=may_answer())  # fmt: skip
    async def hold_deliveries(self, state: State, data: JSONBody[Hold]) -> Count:
        """Also what older facts still lead to; says how many wait."""
        before = moment(data.before, "before")
        async with state.pool.acquire() as connection:
            return Count(await mailer.hold(connection, before))

    @post("/release", operation_id="releaseDeliveries", summary="Let what was held back go", status_code=200,
          responses=may_answer())  # fmt: skip
    async def release_deliveries(self, state: State) -> Count:
        async with state.pool.acquire() as connection:
            return Count(await mailer.release(connection))
