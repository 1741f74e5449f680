"""The installation over HTTP: its accounts, what needs somebody, and what would become of a mail."""

import asyncio
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

import msgspec
from litestar import Controller, Request, get, post
from litestar.datastructures import State
from litestar.exceptions import HTTPException
from litestar.openapi.spec import OpenAPIFormat, OpenAPIMediaType, OpenAPIType, Operation, RequestBody, Schema
from litestar.params import QueryParameter

from ops.accounts import account_rows
from ops.explain import Source, add_tickets, explained
from ops.problems import problems
from ops.show import one_line
from ops.status import look, section_rows
from services.dispatcher.decide import Setting
from services.ticketing.api.access import needs, whole_installation
from services.ticketing.api.problems import may_answer
from services.ticketing.api.shapes import shaped
from services.ticketing.api.tokens import Scope
from shared.clock import now

LARGEST_MAIL = 32 * 1024 * 1024


class Account(msgspec.Struct, kw_only=True):
    """`state`: `connected`, `connecting`, `unowned`, or the error's word."""

    account: str
    state: str
    holder: str | None = None
    last_attempt: datetime | None = None
    last_success: datetime | None = None
    error: str = ""
    error_text: str = ""
    error_since: datetime | None = None


class Needed(msgspec.Struct):
    """What needs somebody; `runbook`: a page of docs/runbooks."""

    about: str
    sentence: str
    runbook: str


class Status(msgspec.Struct):
    """`rows` as of `carteiro status --json`; `unreachable`: servers that could not be asked."""

    well: bool
    unreachable: list[str]
    problems: list[Needed]
    rows: list[dict[str, Any]]


@dataclass
class _TakesMail(Operation):
    """The body is the mail itself."""

    def __post_init__(self) -> None:
        schema = Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY)
        self.request_body = RequestBody(content={"message/rfc822": OpenAPIMediaType(schema=schema)}, required=True)


class Installation(Controller):
    path = "/v1"
    tags = ["installation"]
    guards = [needs(Scope.OPERATOR), whole_installation]

    @get("/accounts", operation_id="listAccounts", summary="Who reads each mailbox, and what is wrong",
         responses=may_answer())  # fmt: skip
    async def list_accounts(self, state: State) -> list[Account]:
        async with state.pool.acquire() as connection:
            return [shaped(row, Account) for row in await account_rows(connection, state.settings)]

    @get("/status", operation_id="getStatus", summary="The installation, and what needs somebody",
         responses=may_answer())  # fmt: skip
    async def get_status(self, state: State) -> Status:
        """As `carteiro status`; a server that is away hides nothing of the other."""
        moment = now()
        facts, unreachable = await look(state.settings)
        needed = [Needed(*each) for each in problems(facts, moment)]
        shown = [json.loads(one_line({"section": section, **row})) for section, row in section_rows(facts)]
        return Status(not needed and not unreachable, [str(error) for error in unreachable], needed, shown)

    @post("/explain", operation_id="explainMail", summary="What would become of a mail, and why", status_code=200,
          operation_class=_TakesMail, request_max_body_size=LARGEST_MAIL, responses=may_answer(413))  # fmt: skip
    async def explain_mail(
        self,
        request: Request[Any, Any, State],
        state: State,
        account: Annotated[str, QueryParameter(max_length=200, description="As if this account had fetched it.")] = "",
    ) -> dict[str, Any]:
        """As `carteiro explain --json`; nothing is stored."""
        desk = state.desk.current
        if account and account not in desk.desk.accounts:
            raise HTTPException("account: the desk has no such account", status_code=400)
        setting = Setting(desk.desk, desk.sha256, state.signing_keys)
        source = Source("request", await request.body())
        shown, event = await asyncio.to_thread(explained, source, account, setting, now())
        async with state.pool.acquire() as connection:
            await add_tickets(shown, event, connection, desk.desk)
        return shown
