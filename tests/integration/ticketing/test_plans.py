"""Every statement of ticketing on large tables: none reads a table whole, or more the more there is.

The statements are those that run: batches, commands, look-ups, the relay and what people look at are carried out on
generated tables, and each statement that they gave is planned again. The sweep of originals is not among them: it is
for reading all. CARTEIRO_TEST_TICKETS: how many there are.
"""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from services.ticketing import command_store, dead_letter_store, queries, relay_store, ticket_list
from services.ticketing.batch import Kept, Sought
from services.ticketing.commands import AddNote, Command, Merge, Order, Reply, Set, SetLink, Split, Tag, Watch
from services.ticketing.ticket_list import Wanted
from shared.clock import now
from shared.desk.model import Agent, Desk, Queue, SystemAddress
from shared.events import AttachmentInfo, Candidate, Check
from shared.postgres import Connection, Pool, transaction
from tests.integration.ticketing.situations import batch, handler, settling
from tests.servers import Given
from tests.unit.ticketing.mails import dispatched

TICKETS = Given().tickets
DESK = Desk(
    queues={"suporte": Queue()},
    agents={"olga": Agent(name="Olga", email="olga@empresa.example")},
    system_addresses={"suporte@empresa.example": SystemAddress(name="Suporte", queue="suporte")},
)
LARGE = ("tickets", "articles", "attachments", "article_references", "participants", "history", "ticket_links", "inbox",
         "decisions", "commands", "dead_letters", "kept", "floods", "outbox")  # fmt: skip
"""Tables that grow with the mail."""

FILLED = f"""
INSERT INTO ticketing.tickets (id, number, queue, state, state_type, priority, lock, title, customer_user, created_at,
                               changed_at, event_sequence, key, dynamic_fields, tags)
SELECT n, 'N' || n, 'q' || n % 50, CASE n % 20 WHEN 0 THEN 'open' ELSE 'closed successful' END,
       CASE n % 20 WHEN 0 THEN 'open' ELSE 'closed' END, '3 normal', 'unlock', 'Title ' || n,
       'p' || n || '@kunde.example', now() - n * interval '1 s', now() - n * interval '1 s', 1, 'key' || n,
       CASE n % 10 WHEN 0 THEN jsonb_build_object('Alarm', n::text) ELSE '{{}}' END,
       CASE n % 10 WHEN 0 THEN jsonb_build_array('tag' || n % 100) ELSE '[]' END
FROM generate_series(1, {TICKETS}) AS n;
INSERT INTO ticketing.articles (id, ticket_id, direction, sender_type, visible, kind, from_name, from_address,
                                recipients, subject, message_id, message_id_hash, in_reply_to, reference_ids, text,
                                html, account, original, transport_key, raw_sha256, received_at, created_at)
SELECT n, (n + 1) / 2, 'incoming', 'customer', true, 'human', '', 'p' || n || '@kunde.example', '{{}}', 'S', '<' || n ||
       '@x>', substring(sha256(n::text::bytea), 1, 16), '{{}}', '{{}}', 'text', '', 'caixa', 'packs/' || n / 100,
       sha256(n::text::bytea), sha256(n::text::bytea), now(), now()
FROM generate_series(1, {TICKETS} * 2) AS n;
INSERT INTO ticketing.attachments SELECT n, 0, 'f', 'text/plain', 1, false, '' FROM generate_series(1, {TICKETS}) AS n;
INSERT INTO ticketing.article_references SELECT substring(sha256(n::text::bytea), 1, 16), n + 1, (n + 2) / 2
FROM generate_series(1, {TICKETS}) AS n;
INSERT INTO ticketing.participants SELECT n, 'p' || n || '@kunde.example', 'customer'
FROM generate_series(1, {TICKETS}) AS n;
INSERT INTO ticketing.history (ticket_id, article_id, type, text, created_at)
SELECT n % {TICKETS} + 1, n, 'Misc', 'text', now() FROM generate_series(1, {TICKETS} * 3) AS n;
INSERT INTO ticketing.ticket_links SELECT n, n + 1, 'Normal', now() FROM generate_series(1, {TICKETS} - 1) AS n;
INSERT INTO ticketing.inbox SELECT sha256(n::text::bytea), sha256(n::text::bytea), sha256(n::text::bytea), NULL,
       n % 5 > 0, 'caixa', 'q', 'ticket_created', n, n, now() FROM generate_series(1, {TICKETS} * 2) AS n;
INSERT INTO ticketing.decisions SELECT sha256(n::text::bytea), sha256(n::text::bytea), 'dispatch', '', 'human', '[]',
       '', '', '', '', '', now() FROM generate_series(1, {TICKETS}) AS n;
INSERT INTO ticketing.commands SELECT 'c' || n, n, 'Set', 'olga', 1, NULL, NULL, now()
FROM generate_series(1, {TICKETS}) AS n;
INSERT INTO ticketing.dead_letters (origin_topic, origin_partition, origin_offset, origin_id, service, reason,
                                    exception, value, headers, received_at, state, decided_at)
SELECT 't', 0, n, '', 's', 'r', 'e', n::text::bytea, '[]', now(), CASE n % 1000 WHEN 0 THEN 'open' ELSE 'discarded' END,
       CASE n % 1000 WHEN 0 THEN NULL ELSE now() END
FROM generate_series(1, {TICKETS}) AS n;
INSERT INTO ticketing.kept SELECT 'e' || n, true, 'kk' || n, 'KN' || n, -n, -n, 'q', 'T', 's', now(),
       sha256(n::text::bytea)
FROM generate_series(1, {TICKETS}) AS n;
INSERT INTO ticketing.outbox (event_id, key, type, payload, created_at) SELECT 'o' || n, 'k', 't', '', now()
FROM generate_series(1, {TICKETS}) AS n;
INSERT INTO ticketing.floods SELECT date_trunc('hour', now()), sha256(n::text::bytea), 1
FROM generate_series(1, {TICKETS}) AS n;
SELECT setval('ticketing.tickets_id_seq', {TICKETS} * 3), setval('ticketing.articles_id_seq', {TICKETS} * 3);
"""

WHOLE = {
    queries._OUTBOX: "what waits to be published, and what is to come again: as many as are behind",
    relay_store._FORGET: "once for each lead",
    relay_store._SETTLES: "asks whether there is a row, and reads one",
}
"""Statements that read a table whole because that is what they are for."""
PARTIAL = ("dead_letters_open", "tickets_open")
"""Indices that hold what somebody has to work on, and no more."""


@pytest.fixture
async def filled(pool: Pool, database: str) -> Pool:
    await settling(pool)
    administrator = await asyncpg.connect(database)
    await administrator.execute(FILLED, timeout=600)
    await administrator.execute("VACUUM ANALYZE", timeout=600)
    await administrator.close()
    return pool


@asynccontextmanager
async def logging(pool: Pool, into: dict[str, tuple[Any, ...]]) -> AsyncIterator[None]:
    """Statements and their arguments, of all sessions of the pool."""

    def note(query: asyncpg.connection.LoggedQuery) -> None:
        words = query.args
        into.setdefault(query.query, words[0] if words and isinstance(words[0], tuple) else words)  # of many rows one

    sessions = [await pool.acquire() for _ in range(pool.get_max_size())]
    for session in sessions:
        session.add_query_logger(note)
        await pool.release(session)
    yield


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes(part)


async def whole(connection: Connection, statement: str, words: tuple[Any, ...]) -> list[str]:
    """Tables, or indices, that the statement would read from end to end."""
    (row,) = await connection.fetch(f"EXPLAIN (FORMAT JSON) {statement}", *words)
    plan = json.loads(row[0])[0]["Plan"]
    return [
        f"{node['Node Type']} of {node.get('Relation Name', node.get('Index Name'))}"
        for node in nodes(plan)
        if (node["Node Type"] == "Seq Scan" and node["Relation Name"] in LARGE)
        or (node["Node Type"].startswith("Index") and "Index Cond" not in node and not _bounded(plan, node))
    ]


def _bounded(plan: dict[str, Any], node: dict[str, Any]) -> bool:
    return node["Index Name"] in PARTIAL or any(each["Node Type"] == "Limit" for each in nodes(plan))


async def settle_all(pool: Pool, folder: Path) -> None:
    part = [AttachmentInfo("nota.pdf", "application/pdf", 3)]
    mails = [
        dispatched("m1", attachments=part),
        dispatched("m2", "p5@kunde.example", candidates=[Candidate(Check.SUBJECT_NUMBER, "N5")]),
        dispatched("m3", replies_to="m1"),
        dispatched("m4", candidates=[Candidate(Check.EXTERNAL_NUMBER, "Alarm=70")]),
        dispatched("m5", candidates=[Candidate(Check.SIGNED_MESSAGE_ID, "key9", proves_sender=True)]),
        dispatched("m6", "olga@empresa.example", candidates=[Candidate(Check.SUBJECT_NUMBER, "N7")]),
        dispatched("q", action="quarantine", reason="quarantine:depth"),
    ]
    await handler(pool, folder)(batch(mails))
    again = dispatched("q", raw="q", replay_of="t/0/1")
    await handler(pool, folder)(batch([again], len(mails)))


async def command_all(pool: Pool) -> None:
    commands: list[Command] = [
        Set(state="open", owner="olga", queue="suporte"), AddNote("x"), Reply("x", to=("a@kunde.example",)), Split(19),
        Watch("olga"), Tag(("vip",)), SetLink("N12"), SetLink("N12", gone=True), Merge("N11"),
    ]  # fmt: skip
    for n, command in enumerate(commands):
        async with pool.acquire() as connection:
            await command_store.run(connection, DESK, "N10", command, Order("olga", f"plan-{n}"))
    async with pool.acquire() as connection:
        await command_store.absent(
            connection, DESK, "olga", datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
        )
        await command_store.present(connection, "olga")


async def look_at_all(pool: Pool) -> None:
    async with pool.acquire() as connection:
        await ticket_list.page(connection, Wanted())
        await ticket_list.page(connection, Wanted(queues=["q1", "q2"], states=["open"], created_to=now()))
        await ticket_list.page(connection, Wanted(customer="p5@kunde.example"))
        await queries.ticket(connection, "N5")
        for wanted in (
            Sought(number="N5"),
            Sought(key="key5"),
            Sought(field=("Alarm", "70")),
            Sought(message=b"x" * 16),
        ):
            await queries.holders(connection, wanted)
        await queries.takes_part(connection, 5, "p5@kunde.example")
        await queries.conversation(connection, 5)
        await queries.history(connection, 5)
        await queries.links(connection, 5)
        await queries.queues(connection)
        await queries.outbox(connection)
        await queries.gaps(connection)
        await queries.open_letters(connection)
        await queries.letters(connection, decided=False)
        await queries.letter(connection, 1000)
        await queries.decide_letter(connection, 1000, "discarded", "olga", None)
    await dead_letter_store.open_letters(pool)


async def relay_all(pool: Pool) -> None:
    async with transaction(pool) as connection:
        lead = await relay_store.take(connection, "", patient=True)
        assert lead is not None
        rows, _ = await relay_store.waiting(connection, 2)
        lead = await relay_store.done(connection, lead, [row["id"] for row in rows], {0: 7})
        await relay_store.positions(connection)
        names = [Kept("e", True, "k", "KN", 1, 1, "q", "t", "s", b"x")]
        lead = await relay_store.keep(connection, lead, names, [(date(2026, 3, 2), "10", 7)], {0: 8})
        lead = await relay_store.compared(connection, lead)
        await relay_store.must_be_compared(connection)
        await relay_store.renew(connection, lead)


@pytest.mark.timeout(900)
async def test_no_statement_reads_a_table_whole(filled: Pool, tmp_path: Path) -> None:
    given: dict[str, tuple[Any, ...]] = {}
    async with logging(filled, given):
        await settle_all(filled, tmp_path)
        await command_all(filled)
        await look_at_all(filled)
        await relay_all(filled)
    planned = {statement: words for statement, words in given.items() if "ticketing." in statement}
    assert len(planned) > 60, "most statements were not seen"
    found = {}
    async with filled.acquire() as connection:
        for statement, words in planned.items():
            if statement.lstrip().startswith(("SELECT setval", "COPY", "TRUNCATE", "DECLARE")) or statement in WHOLE:
                continue
            if reads := await whole(connection, statement, words):
                found[" ".join(statement.split())[:200]] = reads
    assert not found, json.dumps(found, indent=1)
