"""A process that is killed between any two steps of a batch: the batch comes again, and leaves the same."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest

from services.ticketing import store
from shared.events import AttachmentInfo, MailDispatched
from shared.postgres import Connection, Pool, transaction
from tests.integration.ticketing.situations import batch, handler, settling
from tests.unit.ticketing.mails import BRUNO, dispatched

MOST_STEPS = 60
EVENTS: list[MailDispatched] = [
    dispatched("m1", attachments=[AttachmentInfo("nota.pdf", "application/pdf", 3)]),
    dispatched("m2", BRUNO),
    dispatched("r1", replies_to="m1"),
    dispatched("r0", replies_to="before"),
    dispatched("q", action="quarantine", reason="quarantine:depth"),
    dispatched("i", action="ignore"),
    dispatched("o", action="oversize"),
]


class Killed(TimeoutError):
    """The process is gone: as with a server that hangs, the connection is dropped and nothing is said to the server."""


class Mortal:
    """A connection whose process dies before its `last`-th step: what is open then, the server rolls back."""

    def __init__(self, connection: Connection, last: int) -> None:
        self._connection, self.left = connection, last

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._connection, name)
        if name not in ("fetch", "fetchrow", "fetchval", "execute", "executemany", "copy_records_to_table"):
            return method

        async def step(*words: Any, **more: Any) -> Any:
            await self.die_in_time()
            return await method(*words, **more)

        return step

    async def die_in_time(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Killed


def dying(last: int) -> Callable[[Pool], Any]:
    """`transaction`, whose process dies before a statement, before the commit, or right behind it."""

    @asynccontextmanager
    async def opened(pool: Pool) -> AsyncIterator[Connection]:
        async with transaction(pool) as connection:
            mortal = Mortal(connection, last)
            yield mortal  # type: ignore[misc]  # as good as one
            await mortal.die_in_time()
        if mortal.left == 0:
            raise Killed

    return opened


async def names(pool: Pool) -> dict[str, list[Any]]:
    """Rows and events without what is of the moment or counted by a sequence."""
    tables = {
        "tickets": "number, key, queue, state, title, event_sequence, customer_user",
        "articles": "message_id, (SELECT number FROM ticketing.tickets t WHERE t.id = ticket_id), visible, text",
        "attachments": "filename, position",
        "article_references": "encode(message_id_hash, 'hex')",
        "participants": "address, role",
        "history": "type, regexp_replace(text, 'id [0-9]+', '')",
        "inbox": "encode(transport_key, 'hex'), outcome",
        "decisions": "encode(transport_key, 'hex'), action",
        "dead_letters": "origin_offset, reason",
        "offsets": "topic, partition, next_offset",
        "ticket_counter": "counter",
    }
    found = {
        table: sorted(tuple(row) for row in await pool.fetch(f"SELECT {columns} FROM ticketing.{table}"))
        for table, columns in tables.items()
    }
    events = []
    for row in await pool.fetch("SELECT event_id, key, type, payload FROM ticketing.outbox ORDER BY id"):
        fact = msgspec.json.decode(row["payload"])
        of_the_moment = ("occurred_at", "ticket_id", "article_id")
        events.append((row["event_id"], row["key"], row["type"], {k: fact[k] for k in fact if k not in of_the_moment}))
    return found | {"outbox": events}


async def emptied(database: str) -> None:
    """Nothing was ever settled; the relay leads on."""
    administrator = await asyncpg.connect(database)
    rows = await administrator.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'ticketing'")
    tables = ", ".join(f"ticketing.{name}" for (name,) in rows if name != "relay")
    await administrator.execute(f"TRUNCATE {tables}")
    await administrator.close()


async def test_a_batch_whose_process_is_killed_at_any_step_leaves_the_same(
    pool: Pool, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await settling(pool)
    handle = handler(pool, tmp_path)
    await handle(batch(EVENTS))
    expected = await names(pool)
    await emptied(database)
    nothing = await names(pool)
    for step in range(MOST_STEPS):
        with monkeypatch.context() as patch:
            patch.setattr(store, "transaction", dying(step))
            try:
                await handle(batch(EVENTS))
            except Killed:
                found = await names(pool)
                assert found in (nothing | {"offsets": found["offsets"]}, expected), f"step {step}"
            else:
                break
    else:
        pytest.fail("the batch has more steps than are tried")
    assert step > len(expected), "fewer steps than tables"
    assert await names(pool) == expected
