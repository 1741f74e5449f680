"""`originals sweep` on a real database and store: only what nothing names goes."""

from datetime import UTC, date, datetime, timedelta

import msgspec

from services.ticketing import dead_letter_store
from shared.clock import now
from shared.events import DeadLetter
from shared.originals import open_originals, packed
from shared.postgres import Pool
from shared.topics import DISPATCHED, RECEIVED
from tests.integration.ops.operating import Operator
from tests.integration.ticketing.situations import batch, handler
from tests.unit.ticketing.mails import dispatched

LONG_AGO = datetime(2026, 1, 2, tzinfo=UTC)


async def test_a_pack_goes_when_nothing_names_it_and_it_is_old(operator: Operator, pool: Pool) -> None:
    store = open_originals((operator.folder / "objects").as_uri())
    ticket, ignored, by_header, by_value, orphan = (packed([b"x"], LONG_AGO) for _ in range(5))
    young = packed([b"x"], now() - timedelta(days=59))
    for pack in (ticket, ignored, by_header, by_value, orphan, young):
        await store.put(pack)
    of_ticket, of_ignored, of_header, of_value = (
        str(pack.references[0]) for pack in (ticket, ignored, by_header, by_value)
    )
    became_ticket = msgspec.structs.replace(dispatched("m1"), original=of_ticket)
    became_nothing = dispatched("m2", "b@kunde.example")
    became_nothing = msgspec.structs.replace(became_nothing, original=of_ignored, action="ignore")
    await handler(pool, operator.folder)(batch([became_ticket, became_nothing]))
    letters = [
        DeadLetter(RECEIVED, 0, 1, "dispatcher", "x", "", b"k", b"", [("raw-ref", of_header.encode())]),
        DeadLetter(DISPATCHED, 0, 2, "ticketing", "x", "", b"k", b'{"original":"%s"}' % of_value.encode(), []),
    ]
    async with pool.acquire() as connection:
        await dead_letter_store.insert(connection, [dead_letter_store.row(letter, now()) for letter in letters])

    dry = await operator.rows("originals", "sweep", "--dry-run")
    assert dry == [{"pack": orphan.name, "removed": False}]
    assert len([name async for name in store.before(date.max)]) == 6
    assert await operator.rows("originals", "sweep") == [{"pack": orphan.name, "removed": True}]
    left = {name async for name in store.before(date.max)}
    assert left == {pack.name for pack in (ticket, ignored, by_header, by_value, young)}


async def test_the_wrong_database_removes_nothing(operator: Operator) -> None:
    store = open_originals((operator.folder / "objects").as_uri())
    pack = packed([b"x"], LONG_AGO)
    await store.put(pack)
    said = await operator.run("originals", "sweep")
    assert said.returncode == 78
    assert "CARTEIRO_POSTGRES" in said.stderr
    assert [name async for name in store.before(date.max)] == [pack.name]


async def test_a_store_that_is_none_is_said(operator: Operator) -> None:
    said = await operator.run("originals", "sweep", objects="foo://x")
    assert said.returncode == 78
    assert "CARTEIRO_OBJECTS" in said.stderr
