"""Who publishes: a lease in the database, and what is allowed while nobody has compared it with the topic."""

from pathlib import Path

import asyncpg
import pytest

from services.ticketing import relay_store
from services.ticketing.relay_store import Lead, LeadLost, NotCompared
from shared.postgres import Pool
from tests.integration.ticketing.situations import batch, contents, handler, people, settling

RELAY = "UPDATE ticketing.relay SET "
ELSEWHERE = RELAY + "lineage = 'another server'"
ENDED = RELAY + "until = clock_timestamp() - interval '1 second'"


async def led(pool: Pool, holder: str = "a", *, patient: bool = False) -> Lead | None:
    async with pool.acquire() as connection:
        lead = await relay_store.take(connection, holder, patient=patient)
        return await relay_store.compared(connection, lead) if lead else None


async def test_one_leads_until_its_lease_ends(pool: Pool) -> None:
    first = await led(pool)
    assert first is not None
    assert await led(pool, "b", patient=True) is None
    await pool.execute(ENDED)
    second = await led(pool, "b")
    assert second is not None
    assert (second.holder, second.epoch) == ("b", first.epoch + 1)


async def test_a_restart_takes_up_its_own_lead_at_once_and_fences_the_one_before(pool: Pool) -> None:
    first, second = await led(pool), await led(pool)
    assert first is not None
    assert second is not None
    async with pool.acquire() as connection:
        with pytest.raises(LeadLost):
            await relay_store.renew(connection, first)
        assert (await relay_store.renew(connection, second)).until > second.until


async def test_on_another_server_a_strangers_lead_is_waited_for_whatever_the_row_says(pool: Pool) -> None:
    """The row is an older one: when the stranger last renewed it, and what he is still sending, it cannot say."""
    await led(pool)
    await pool.execute(ELSEWHERE)
    await pool.execute(ENDED)
    assert await led(pool, "b") is None
    assert await led(pool, "b", patient=True) is not None


async def test_who_has_lost_the_lead_deletes_nothing(pool: Pool, tmp_path: Path) -> None:
    await settling(pool)
    await handler(pool, tmp_path)(batch(people(3)))
    await pool.execute(ENDED)
    first = await led(pool)
    assert first is not None
    await pool.execute(ENDED)
    await led(pool, "b")
    before = await contents(pool)
    async with pool.acquire() as connection:
        rows, pending = await relay_store.waiting(connection, 2)
        assert (len(rows), pending) == (2, 3)
        with pytest.raises(LeadLost):
            await relay_store.done(connection, first, [row["id"] for row in rows], {0: 2})
        with pytest.raises(LeadLost):
            await relay_store.keep(connection, first, (), (), {0: 7})
    assert await contents(pool) == before


async def test_a_lead_of_before_the_database_went_back_is_lost(pool: Pool) -> None:
    """The same epoch and holder, as they stood in the backup: only the end of the lease tells."""
    first = await led(pool)
    assert first is not None
    async with pool.acquire() as connection:
        later = await relay_store.renew(connection, first)
        await connection.execute(RELAY + "until = $1", first.until)
        with pytest.raises(LeadLost):
            await relay_store.renew(connection, later)


@pytest.mark.parametrize("why", [ELSEWHERE, ENDED, "TRUNCATE ticketing.relay", "VACUUM FULL ticketing.relay"])
async def test_no_batch_settles_before_the_database_was_compared_with_the_topic(
    pool: Pool, database: str, tmp_path: Path, why: str
) -> None:
    await led(pool)
    handle = handler(pool, tmp_path)
    await handle(batch(people(2)))
    owner = await asyncpg.connect(database)
    await owner.execute(why)
    await owner.close()
    before = await contents(pool)
    with pytest.raises(NotCompared):
        await handle(batch(people(2, 2), 2))
    assert await contents(pool) == before
    await led(pool, patient=True)
    await handle(batch(people(2, 2), 2))
    assert await pool.fetchval("SELECT count(*) FROM ticketing.tickets") == 4


async def test_what_waits_is_estimated_not_counted(pool: Pool, tmp_path: Path) -> None:
    await settling(pool)
    await handler(pool, tmp_path)(batch(people(10)))
    await pool.execute("DELETE FROM ticketing.outbox WHERE id % 2 = 0 AND id < (SELECT max(id) FROM ticketing.outbox)")
    async with pool.acquire() as connection:
        rows, pending = await relay_store.waiting(connection, 3)
    assert (len(rows), pending) == (3, 10)
