"""Gives commands to ticketing's database, in the name of an agent of the desk."""

import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from services.ticketing import command_store
from services.ticketing.commands import Command, Order, Refused
from shared.clock import now
from shared.desk.findings import DeskError
from shared.desk.load import load_desk
from shared.desk.model import Desk
from shared.postgres import Connection, create_pool_within
from shared.process import Misconfigured
from shared.settings import Settings


async def run(number: str, command: Command, agent: str, why: str, version: int | None) -> int:
    """1 when the command is refused. Raises PostgresUnreachable, Misconfigured, NotCompared."""
    order = Order(agent, str(uuid.uuid4()), why, version)
    async with _connected() as (connection, desk):
        try:
            done = await command_store.run(connection, desk, number, command, order)
        except Refused as refused:
            print(f"refused: {refused.detail}", file=sys.stderr)
            return 1
    made = f"; ticket {done.created} was made" if done.created else ""
    print(f"ticket {number} is at version {done.version}{made}")
    return 0


async def out(agent: str, since: datetime | None, until: datetime) -> int:
    """1 when it is refused. Raises as `run`."""
    async with _connected() as (connection, desk):
        try:
            await command_store.absent(connection, desk, agent, since or now(), until)
        except Refused as refused:
            print(f"refused: {refused.detail}", file=sys.stderr)
            return 1
    print(f"{agent} is out of office until {until.isoformat()}")
    return 0


async def back(agent: str) -> int:
    async with _connected() as (connection, _):
        await command_store.present(connection, agent)
    print(f"{agent} is in the office")
    return 0


@asynccontextmanager
async def _connected() -> AsyncIterator[tuple[Connection, Desk]]:
    settings = Settings()
    try:
        desk = load_desk(settings.desk).desk
    except DeskError as error:
        raise Misconfigured(str(error)) from error
    pool = await create_pool_within(settings.dsn, "ticketing", 10, size=1, role=False)
    try:
        async with pool.acquire() as connection:
            yield connection, desk
    finally:
        pool.terminate()
