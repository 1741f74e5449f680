"""A ticketing service's parts on a database of its own, and batches as Kafka hands them over."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncpg

from services.ticketing.handlers import MailHandler
from shared.desk.watch import DeskWatch
from shared.events import MailDispatched
from shared.kafka.batches import Handle
from shared.kafka.record import Record
from shared.postgres import Pool
from shared.topics import DISPATCHED
from shared.wire import encode_dispatched
from tests.integration.standing import wherever
from tests.unit.ticketing.mails import dispatched

DESK = """\
time_zone: America/Sao_Paulo
queues:
  suporte: {follow_up: possible, follow_up_from: participants}
  comercial: {follow_up: new_ticket}
system_addresses:
  suporte@empresa.example: {name: Suporte, queue: suporte}
"""


def desk_file(folder: Path) -> Path:
    path = folder / "desk.yaml"
    path.write_text(DESK)
    return path


def handler(pool: Pool, folder: Path) -> Handle:
    """Takes a batch wherever it begins."""
    return wherever(mail_handler(pool, folder), pool, "ticketing")


def mail_handler(pool: Pool, folder: Path) -> MailHandler:
    return MailHandler(pool, DeskWatch(desk_file(folder)), lambda: None)


async def settling(pool: Pool) -> None:
    """As if a relay led that has compared the database with the topic: batches settle."""
    await pool.execute(
        "INSERT INTO ticketing.relay (holder, epoch, until, lineage) VALUES ('', 1, 'infinity', ticketing.lineage()) "
        "ON CONFLICT (single) DO UPDATE SET until = 'infinity', lineage = ticketing.lineage()"
    )


async def settled_alone(pool: Pool, folder: Path, records: Sequence[Record]) -> None:
    """What a process had committed that is gone now; the lead is free."""
    await settling(pool)
    await handler(pool, folder)(records)
    await pool.execute("UPDATE ticketing.relay SET until = clock_timestamp()")


def record(offset: int, event: MailDispatched, partition: int = 0) -> Record:
    return Record(DISPATCHED, partition, offset, b"key", encode_dispatched(event), (), 0)


def batch(events: Sequence[MailDispatched], first: int = 0, partition: int = 0) -> list[Record]:
    return [record(first + n, event, partition) for n, event in enumerate(events)]


def people(count: int, first: int = 0) -> list[MailDispatched]:
    """Mails of as many people, each a conversation of its own."""
    return [dispatched(f"m{n}", f"person{n}@kunde.example") for n in range(first, first + count)]


async def contents(pool: Pool) -> dict[str, list[Any]]:
    """Every row of every table of the service."""
    tables = await pool.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'ticketing' ORDER BY 1")
    return {
        table: [tuple(row) for row in await pool.fetch(f"SELECT * FROM ticketing.{table} ORDER BY 1, 2")]
        for (table,) in tables
    }


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 40) -> None:
    """A server that is away does not fulfil the condition."""
    async with asyncio.timeout(seconds):
        while True:
            with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                if await condition():
                    return
            await asyncio.sleep(0.05)
