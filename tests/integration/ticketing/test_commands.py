"""Commands on a real database: what a transaction keeps, what two agents do to each other."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from services.ticketing import command_store, queries
from services.ticketing.command_store import Done
from services.ticketing.commands import (
    AddNote,
    Command,
    Merge,
    Order,
    Refusal,
    Refused,
    Set,
    SetLink,
    Split,
    Tag,
    Watch,
)
from services.ticketing.relay_store import NotCompared
from shared.clock import now
from shared.desk.model import Agent, Desk, Queue
from shared.events import AttachmentInfo
from shared.postgres import Pool
from shared.wire import decode_fact
from tests.integration.ticketing.situations import batch, contents, handler, settling
from tests.unit.ticketing.mails import ANA, dispatched

DESK = Desk(
    queues={"suporte": Queue(agents=("olga",)), "comercial": Queue()},
    agents={"olga": Agent(name="Olga", email="olga@empresa.example"), "rui": Agent(name="Rui", email="r@e.example")},
)
Run = Callable[..., Awaitable[Done]]


@pytest.fixture
async def numbers(pool: Pool, tmp_path: Path) -> list[str]:
    """Two tickets; the first has an attachment."""
    await settling(pool)
    parts = [AttachmentInfo("nota.pdf", "application/pdf", 3)]
    await handler(pool, tmp_path)(batch([dispatched("m1", attachments=parts), dispatched("m2", "b@kunde.example")]))
    return [row["number"] for row in await pool.fetch("SELECT number FROM ticketing.tickets ORDER BY id")]


@pytest.fixture
def run(pool: Pool) -> Run:
    given = iter(range(1000))

    async def call(
        number: str, command: Command, name: str = "", agent: str = "olga", version: int | None = None
    ) -> Done:
        order = Order(agent, name or f"c{next(given)}", "because", version)
        async with pool.acquire() as connection:
            return await command_store.run(connection, DESK, number, command, order)

    return call


async def shown(pool: Pool, number: str) -> dict[str, Any]:
    async with pool.acquire() as connection:
        found = await queries.ticket(connection, number)
        assert found is not None
        ticket_id = int(found["ticket_id"])
        return found | {
            "conversation": await queries.conversation(connection, ticket_id),
            "history": await queries.history(connection, ticket_id),
            "links": await queries.links(connection, ticket_id),
        }


async def test_fields_notes_tags_and_watchers_are_there_afterwards(pool: Pool, numbers: list[str], run: Run) -> None:
    number = numbers[0]
    done = await run(number, Set(state="open", owner="rui", priority="4 high", title="Nota fiscal"))
    assert (done.number, done.version, done.repeated) == (number, 2, False)
    await run(number, Watch("olga"))
    await run(number, Tag(("vip",)))
    noted = await run(number, AddNote("Called back.", "Phone"))
    ticket = await shown(pool, number)
    assert (ticket["state"], ticket["owner"], ticket["priority"], ticket["title"]) == (
        "open", "rui", "4 high", "Nota fiscal",
    )  # fmt: skip
    assert (ticket["watchers"], ticket["tags"], ticket["version"]) == (["olga"], ["vip"], 5)
    note = ticket["conversation"][1]
    assert (note["direction"], note["sender_type"], note["visible"]) == ("internal", "agent", False)
    assert (note["article_id"], note["subject"], note["text"]) == (str(noted.article_id), "Phone", "Called back.")
    assert {(line["agent"], line["why"]) for line in ticket["history"][2:]} == {("olga", "because")}
    rows = await pool.fetch("SELECT type, payload FROM ticketing.outbox ORDER BY id")
    facts = [decode_fact(f"carteiro.{row['type']}.v1".encode(), row["payload"]) for row in rows]
    assert [fact.TYPE for fact in facts[2:]] == ["ticket-updated"] * 3 + ["note-added"]
    assert [getattr(fact, "sequence", 0) for fact in facts[2:]] == [2, 3, 4, 5]


async def test_of_two_who_saw_the_same_version_one_is_refused(pool: Pool, numbers: list[str], run: Run) -> None:
    orders = [run(numbers[0], Set(owner=agent), version=1) for agent in ("olga", "rui")]
    results = await asyncio.gather(*orders, return_exceptions=True)
    refused = [each for each in results if isinstance(each, Refused)]
    assert [each.reason for each in refused] == [Refusal.CHANGED]
    assert (await shown(pool, numbers[0]))["version"] == 2


async def test_a_command_given_twice_is_done_once(pool: Pool, numbers: list[str], run: Run) -> None:
    twice = await asyncio.gather(*(run(numbers[0], AddNote("once"), "same") for _ in range(2)))
    assert sorted(each.repeated for each in twice) == [False, True]
    assert len({each.article_id for each in twice}) == 1
    assert len((await shown(pool, numbers[0]))["conversation"]) == 2
    with pytest.raises(Refused):
        await run(numbers[1], AddNote("another"), "same")


async def test_what_is_refused_leaves_nothing(pool: Pool, numbers: list[str], run: Run) -> None:
    before = await contents(pool)
    for command in (Set(state="sold"), Split(2**40), Merge("1"), SetLink(numbers[0])):
        with pytest.raises(Refused):
            await run(numbers[0], command)
    with pytest.raises(Refused) as caught:
        await run("404", Set(state="open"))
    assert caught.value.reason is Refusal.NO_TICKET
    assert await contents(pool) == before


async def test_a_merge_moves_articles_and_people(pool: Pool, numbers: list[str], run: Run) -> None:
    await run(numbers[0], Merge(numbers[1]))
    source, target = await shown(pool, numbers[0]), await shown(pool, numbers[1])
    assert (source["state"], source["merged_into"], source["articles"]) == ("merged", numbers[1], 0)
    assert target["articles"] == 2
    assert [(link["type"], link["direction"], link["number"]) for link in target["links"]] == [
        ("ParentChild", "to", numbers[0])
    ]
    async with pool.acquire() as connection:
        assert await queries.takes_part(connection, int(target["ticket_id"]), ANA)
    found = await pool.fetch("SELECT DISTINCT ticket_id FROM ticketing.unsearched")
    assert [row["ticket_id"] for row in found] == [int(target["ticket_id"])]


async def test_a_split_copies_the_article_and_counts_on(pool: Pool, numbers: list[str], run: Run) -> None:
    article = int((await shown(pool, numbers[0]))["conversation"][0]["article_id"])
    done = await run(numbers[0], Split(article, "comercial"))
    made = await shown(pool, done.created)
    assert (made["queue"], made["customer_user"], made["version"]) == ("comercial", ANA, 1)
    (copy,) = made["conversation"]
    assert (copy["text"], copy["files"], copy["article_id"]) == ("Text of m1", ["nota.pdf"], str(done.article_id))
    assert done.created == await pool.fetchval("SELECT max(number) FROM ticketing.tickets")
    assert (await shown(pool, numbers[0]))["articles"] == 1
    assert await pool.fetchval("SELECT counter FROM ticketing.ticket_counter") == 3


async def test_names_are_given_only_on_a_database_that_was_compared(pool: Pool, numbers: list[str], run: Run) -> None:
    await pool.execute("UPDATE ticketing.relay SET lineage = 'older'")
    with pytest.raises(NotCompared):
        await run(numbers[0], AddNote("lost"))
    await run(numbers[0], Set(state="open"))


async def test_a_command_waits_for_who_holds_the_ticket_and_gives_up(pool: Pool, numbers: list[str], run: Run) -> None:
    async with pool.acquire() as holder, holder.transaction():
        await holder.execute("SELECT FROM ticketing.tickets FOR UPDATE")
        with pytest.raises(asyncpg.LockNotAvailableError):
            await run(numbers[0], Set(state="open"))
    assert (await run(numbers[0], Set(state="open"))).version == 2


async def test_an_absence_is_seen_by_those_who_ask(pool: Pool, numbers: list[str]) -> None:
    moment = now()
    async with pool.acquire() as connection:
        await command_store.absent(connection, DESK, "rui", moment, moment + timedelta(days=2))
        await command_store.absent(connection, DESK, "rui", moment, moment + timedelta(days=3))
        with pytest.raises(Refused):
            await command_store.absent(connection, DESK, "nobody", moment, moment + timedelta(days=3))
        rows = await pool.fetch("SELECT agent, until FROM ticketing.absences")
        assert [tuple(row) for row in rows] == [("rui", moment + timedelta(days=3))]
        await command_store.present(connection, "rui")
    assert await pool.fetch("SELECT FROM ticketing.absences") == []
