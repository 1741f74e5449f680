"""Batches on a real database: what a transaction keeps, what a repeat changes."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from services.ticketing import store
from services.ticketing.batch import mail_of
from services.ticketing.handlers import DeadLetterHandler, decoded
from services.ticketing.queries import conversation
from services.ticketing.relay_store import BATCH_LOCK
from services.ticketing.ticket_numbers import ticket_number
from shared.events import AttachmentInfo, Candidate, Check, DeadLetter, FollowUpPlan, MailDispatched, NewTicketPlan
from shared.failures import NewerWriter, Permanent
from shared.kafka.batches import Batches
from shared.kafka.offsets import Elsewhere, Extent
from shared.kafka.record import Record
from shared.kafka.stored_offsets import StoredOffsets, stored_offsets
from shared.postgres import Pool
from shared.topics import DEAD_LETTERS, DISPATCHED
from shared.wire import encode_dead_letter
from tests.integration.standing import wherever
from tests.integration.ticketing.situations import (
    batch,
    contents,
    handler,
    mail_handler,
    people,
    record,
    settling,
    until,
)
from tests.unit.ticketing.mails import MALLORY, RECEIVED, dispatched


@pytest.fixture(autouse=True)
async def _relay(pool: Pool) -> None:
    await settling(pool)


async def test_two_hundred_mails_become_two_hundred_tickets_with_numbers_without_a_gap(
    pool: Pool, tmp_path: Path
) -> None:
    await handler(pool, tmp_path)(batch(people(200)))
    rows = await pool.fetch("SELECT number FROM ticketing.tickets ORDER BY id")
    numbers = [row["number"] for row in rows]
    day = await pool.fetchval("SELECT day FROM ticketing.ticket_counter")
    assert numbers == [ticket_number(day, "10", n) for n in range(1, 201)]
    assert await pool.fetchval("SELECT count(*) FROM ticketing.outbox") == 200
    assert await stored_offsets(pool, "ticketing", DISPATCHED, [0, 1]) == {0: 200}


async def test_the_same_batch_again_changes_nothing(pool: Pool, tmp_path: Path) -> None:
    handle = handler(pool, tmp_path)
    parts = [AttachmentInfo("nota.pdf", "application/pdf", 3)]
    events = [*people(20), dispatched("r", "person1@kunde.example", replies_to="m1", attachments=parts)]
    events += [
        dispatched("i", action="ignore"),
        dispatched("q", action="quarantine"),
        dispatched("o", action="oversize"),
    ]
    await handle(batch(events))
    before = await contents(pool)
    await handle(batch(events))
    assert await contents(pool) == before
    assert len(before["tickets"]) == 20
    assert len(before["articles"]) == 21
    assert len(before["attachments"]) == 1
    assert len(before["dead_letters"]) == 1
    assert len(before["outbox"]) == 22
    assert len(before["decisions"]) == len(before["inbox"]) == 24


async def test_an_article_keeps_the_reply_beside_the_text(pool: Pool, tmp_path: Path) -> None:
    text = "Sim.\n\n> Resolvido?\n"
    events = [dispatched("m1", text=text, reply_text="Sim.\n"), dispatched("m2", text="Oi")]
    await handler(pool, tmp_path)(batch(events))
    ids = [row["id"] for row in await pool.fetch("SELECT id FROM ticketing.tickets ORDER BY id")]
    async with pool.acquire() as connection:
        shown = [row for each in ids for row in await conversation(connection, each)]
    assert [(row["text"], row["reply_text"]) for row in shown] == [(text, "Sim.\n"), ("Oi", "Oi")]


async def test_two_processes_at_once_settle_each_mail_once(pool: Pool, tmp_path: Path) -> None:
    """The same records and conversations that cross: as after a rebalance that was noticed late."""
    one, other = handler(pool, tmp_path), handler(pool, tmp_path)
    mails = people(60)
    replies = [dispatched(f"r{n}", f"person{n}@kunde.example", replies_to=f"m{n}") for n in range(60)]

    async def run(handle: object, batches: list[list[Record]]) -> None:
        for records in batches:
            await handle(records)  # type: ignore[operator]  # a handler

    halves = [batch(mails[:30]), batch(mails[30:], 30)]
    answers = [batch(replies[30:], partition=1), batch(replies[:30], 30, partition=1)]
    await asyncio.gather(run(one, halves + answers), run(other, answers + halves))
    assert await pool.fetchval("SELECT count(*) FROM ticketing.tickets") == 60
    assert await pool.fetchval("SELECT count(*) FROM ticketing.articles") == 120
    assert await pool.fetchval("SELECT count(*) FROM ticketing.outbox") == 120
    split = "SELECT count(*) FROM (SELECT ticket_id FROM ticketing.articles GROUP BY 1 HAVING count(*) <> 2) AS odd"
    assert await pool.fetchval(split) == 0
    assert await pool.fetchval("SELECT counter FROM ticketing.ticket_counter") == 60


async def test_a_reply_finds_its_ticket_by_number_signed_id_reference_and_late_parent(
    pool: Pool, tmp_path: Path
) -> None:
    handle = handler(pool, tmp_path)
    await handle(batch([dispatched("first", replies_to="before")]))
    ticket, number, key = await pool.fetchrow("SELECT id, number, key FROM ticketing.tickets") or (0, "", "")
    signed = Candidate(Check.SIGNED_MESSAGE_ID, key, proves_sender=True)
    replies: list[MailDispatched] = [
        dispatched("by-number", candidates=[Candidate(Check.SUBJECT_NUMBER, number)]),
        dispatched("by-signature", MALLORY, candidates=[signed]),
        dispatched("by-reference", replies_to="first"),
        dispatched("before"),
    ]
    for offset, event in enumerate(replies, 1):
        await handle([record(offset, event)])
    assert await pool.fetchval("SELECT count(*) FROM ticketing.articles WHERE ticket_id = $1", ticket) == 5
    assert await pool.fetchval("SELECT event_sequence FROM ticketing.tickets WHERE id = $1", ticket) == 5
    people_in = await pool.fetch("SELECT address FROM ticketing.participants")
    assert [row["address"] for row in people_in] == ["ana@kunde.example"]


async def test_tickets_that_a_batch_may_change_are_locked(pool: Pool, tmp_path: Path) -> None:
    """A command that changes a ticket waits for the batch: else one of the two writes is lost."""
    await handler(pool, tmp_path)(batch(people(2)))
    reply = mail_of(0, dispatched("r", "person1@kunde.example", replies_to="m1"))
    async with store.batch(pool) as running:
        await running.load([reply], date(2026, 3, 2), "10", RECEIVED)
        free = await pool.fetch("SELECT title FROM ticketing.tickets FOR UPDATE SKIP LOCKED")
    assert [row["title"] for row in free] == ["Subject of m0"]


async def test_the_day_of_a_number_is_that_of_its_turn_not_of_its_wait(
    pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever waited for the lock over midnight would give numbers of a day whose counter went on without him."""
    day = 1
    monkeypatch.setattr("services.ticketing.handlers.now", lambda: datetime(2026, 3, day, 12, tzinfo=UTC))
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", BATCH_LOCK)
        waiting = asyncio.ensure_future(handler(pool, tmp_path)(batch(people(1))))
        blocked = "SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        await until(lambda: connection.fetchval(blocked))
        day = 2
    await waiting
    assert (await pool.fetchval("SELECT number FROM ticketing.tickets")).startswith("20260302")


async def test_a_queue_of_a_newer_desk_is_looked_for_before_it_is_unknown(pool: Pool, tmp_path: Path) -> None:
    """The dispatcher has read the new desk already."""
    mails = mail_handler(pool, tmp_path)
    assert mails.desk.current.desk.queue("nova") is None
    path = tmp_path / "desk.yaml"
    path.write_text(path.read_text().replace("queues:\n", "queues:\n  nova: {}\n"))
    await wherever(mails, pool, "ticketing")(batch([dispatched("a", queue="nova"), dispatched("b", queue="neither")]))
    rows = await pool.fetch("SELECT queue FROM ticketing.tickets ORDER BY id")
    assert [row["queue"] for row in rows] == ["nova", "Raw"]


async def test_a_batch_that_fails_late_leaves_nothing_behind(pool: Pool, tmp_path: Path) -> None:
    await handler(pool, tmp_path)(batch(people(1, 3)))
    await pool.execute("UPDATE ticketing.offsets SET next_offset = 0")
    before = await contents(pool)
    poison = dispatched("p", text="a\0b")
    with pytest.raises(Exception, match="invalid byte sequence"):
        await handler(pool, tmp_path)(batch([*people(3), poison]))
    assert await contents(pool) == before


class Untouched:
    """The log of a test that hands over its batches itself."""

    async def extents(self, partitions: Sequence[int]) -> Mapping[int, Extent]:
        return {partition: Extent(0, 1000) for partition in partitions}

    def seek(self, partition: int, offset: int) -> None: ...

    def pause(self, partitions: set[int]) -> None: ...

    async def commit(self, offsets: Mapping[int, int]) -> None: ...


async def test_a_batch_that_does_not_begin_where_its_partition_stands_does_not_begin(
    pool: Pool, tmp_path: Path
) -> None:
    handle = mail_handler(pool, tmp_path)
    before = await contents(pool)
    with pytest.raises(Elsewhere) as unknown:
        await handle(batch(people(3)))
    assert unknown.value.stored == {0: None}
    assert await contents(pool) == before
    await handler(pool, tmp_path)(batch(people(3)))
    for first in (1, 5):  # done already; not yet known
        with pytest.raises(Elsewhere) as elsewhere:
            await handle(batch(people(3, 10), first))
        assert elsewhere.value.stored == {0: 3}
    assert await pool.fetchval("SELECT count(*) FROM ticketing.tickets") == 3
    assert await stored_offsets(pool, "ticketing", DISPATCHED, [0]) == {0: 3}


async def test_one_poison_row_is_set_aside_and_the_rest_goes_on(pool: Pool, tmp_path: Path) -> None:
    aside: list[int] = []

    async def set_aside(failed: Record, _: BaseException) -> None:
        aside.append(failed.offset)

    offsets = StoredOffsets(pool, "ticketing", DISPATCHED, "g")
    handle = mail_handler(pool, tmp_path)
    batches = Batches(DISPATCHED, "g", handle, set_aside, lambda _: "", offsets, Untouched(), asyncio.Event())
    batches.assign([0])
    await batches.look()
    events = [*people(20), dispatched("p", text="a\0b"), *people(20, 20)]
    await batches.run(batch(events))
    assert aside == [20]
    assert await stored_offsets(pool, "ticketing", DISPATCHED, [0]) == {0: 41}
    assert await pool.fetchval("SELECT count(*) FROM ticketing.tickets") == 40
    assert await pool.fetchval("SELECT max(counter) FROM ticketing.ticket_counter") == 40, "no number was lost"


async def test_a_replay_takes_over_the_claim_of_a_quarantined_mail(pool: Pool, tmp_path: Path) -> None:
    handle = handler(pool, tmp_path)
    await handle(batch([dispatched("q", action="quarantine", reason="quarantine:depth")]))
    reason = await pool.fetchval("SELECT reason FROM ticketing.dead_letters")
    replay = dispatched("q", replay_of="mail.dispatched.v1/0/0")
    await handle(batch([replay, replay], 1))
    rows = await pool.fetch("SELECT outcome, claims_content FROM ticketing.inbox")
    assert reason == "quarantine:depth"
    assert [tuple(row) for row in rows] == [("ticket_created", True)]
    assert await pool.fetchval("SELECT count(*) FROM ticketing.tickets") == 1


async def test_dead_letters_find_their_place_whatever_they_hold(pool: Pool) -> None:
    letter = DeadLetter("mail.received.v1", 3, 7, "dispatcher", "stuck", "X\0", b"k\0", b"\xff\0", [("h", b"\0\xff")])
    headers = tuple(encode_dead_letter(letter, "2026-03-01T00:00:00.000Z"))
    records = [
        Record(DEAD_LETTERS, 0, 5, b"mail.received.v1/3", b"\xff\0", headers, 0),
        Record(DEAD_LETTERS, 0, 6, None, b"no letter at all", (), 0),
    ]
    for _ in range(2):
        await wherever(DeadLetterHandler(pool), pool, "ticketing")(records)
    rows = await pool.fetch("SELECT * FROM ticketing.dead_letters ORDER BY id")
    assert [(row["origin_topic"], row["origin_offset"], row["reason"], row["state"]) for row in rows] == [
        ("mail.received.v1", 7, "stuck", "open"),
        (DEAD_LETTERS, 6, "undecodable", "open"),
    ]
    assert (rows[0]["key"], rows[0]["value"], rows[0]["headers"]) == (b"k\0", b"\xff\0", [["h", "AP8="]])
    assert await stored_offsets(pool, "ticketing", DEAD_LETTERS, [0]) == {0: 7}


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        (b'"action":"dispatch"', b'"action":"teleport"', NewerWriter),
        (b'"kind":"human"', b'"kind":"martian"', NewerWriter),
        (b'"kind":"human"', b'"kind":5', Permanent),
        (b'"size":3000', b'"size":"large"', Permanent),
        (b"{", b"", Permanent),
    ],
)
def test_what_a_newer_writer_says_waits_and_what_nobody_says_is_set_aside(
    old: bytes, new: bytes, error: type[Exception]
) -> None:
    good = record(0, dispatched("a"))
    assert good.value is not None
    assert old in good.value
    with pytest.raises(error):
        decoded(0, good._replace(value=good.value.replace(old, new, 1)))


async def test_what_a_plan_says_of_fields_is_kept_and_found_again(pool: Pool, tmp_path: Path) -> None:
    handle = handler(pool, tmp_path)
    plan = NewTicketPlan("suporte", "T", type="Incidente", customer_no="7", dynamic_fields={"Alarme": "812", "B": "é"})
    await handle(batch([dispatched("m", new=plan), dispatched("other")]))
    reply = FollowUpPlan(priority="4 high", pending_until=RECEIVED, dynamic_fields={"B": "2"})
    named = [Candidate(Check.EXTERNAL_NUMBER, "Alarme=812")]
    await handle(batch([dispatched("r", follow_up=reply, candidates=named)], first=2))
    rows = await pool.fetch("SELECT * FROM ticketing.tickets ORDER BY id")
    assert len(rows) == 2
    ticket = rows[0]
    assert (ticket["type"], ticket["customer_no"], ticket["priority"]) == ("Incidente", "7", "4 high")
    assert ticket["dynamic_fields"] == {"Alarme": "812", "B": "2"}
    assert ticket["pending_until"] == RECEIVED
    assert rows[1]["dynamic_fields"] == {}
    assert await pool.fetchval("SELECT count(*) FROM ticketing.articles WHERE ticket_id = $1", ticket["id"]) == 2


async def test_a_reply_to_an_article_that_its_customer_cannot_see_is_stored_hidden(pool: Pool, tmp_path: Path) -> None:
    handle = handler(pool, tmp_path)
    hidden = NewTicketPlan("suporte", "T", visible=False)
    await handle(batch([dispatched("note", new=hidden), dispatched("seen")]))
    await handle(batch([dispatched("r", replies_to="note"), dispatched("s", replies_to="seen")], first=2))
    rows = await pool.fetch("SELECT message_id, visible FROM ticketing.articles ORDER BY id")
    assert [(row["message_id"][1:-15], row["visible"]) for row in rows] == [
        ("note", False), ("seen", True), ("r", False), ("s", True),
    ]  # fmt: skip


async def test_a_refused_mail_leaves_a_decision_and_a_fact_and_no_ticket(pool: Pool, tmp_path: Path) -> None:
    handle = handler(pool, tmp_path)
    event = dispatched("m", new=NewTicketPlan("suporte", "T", refused_by="portal"))
    await handle(batch([event]))
    assert await pool.fetchval("SELECT count(*) FROM ticketing.tickets") == 0
    assert await pool.fetchval("SELECT outcome FROM ticketing.inbox") == "refused"
    assert await pool.fetchval("SELECT action FROM ticketing.decisions") == "dispatch"
    row = await pool.fetchrow("SELECT key, type FROM ticketing.outbox")
    assert row is not None
    assert tuple(row) == (event.content_key, "mail-refused")


async def test_another_mail_at_the_place_of_an_older_letter_is_a_letter_of_its_own(pool: Pool, tmp_path: Path) -> None:
    """Kafka was set up anew, and its offsets begin again."""
    handle = handler(pool, tmp_path)
    for name in ("first", "second", "second"):
        await handle(batch([dispatched(name, action="quarantine", reason="quarantine:depth")]))
    rows = await pool.fetch("SELECT origin_offset, original FROM ticketing.dead_letters ORDER BY id")
    assert [tuple(row) for row in rows] == [(0, "0/first.zst"), (0, "0/second.zst")]


async def test_what_replies_ask_for_is_found_in_the_database(
    pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ticket that it was merged into, the owner's absence, and how many a sender has made."""
    monkeypatch.setattr("services.ticketing.handlers.now", lambda: RECEIVED)
    handle = handler(pool, tmp_path)
    await handle(batch([dispatched("merged"), *people(3)]))
    first, last, *_ = [row["id"] for row in await pool.fetch("SELECT id FROM ticketing.tickets ORDER BY id")]
    await pool.execute(
        "UPDATE ticketing.tickets SET merged_into = $2, state_type = 'merged' WHERE id = $1", first, last
    )
    await pool.execute("UPDATE ticketing.tickets SET lock = 'lock', owner = 'olga' WHERE id = $1", last)
    await pool.execute("INSERT INTO ticketing.absences VALUES ('olga', $1, 'infinity')", RECEIVED)
    await pool.execute("INSERT INTO ticketing.participants VALUES ($1, 'bia@kunde.example', 'cc')", last)
    await handle(batch([dispatched("r", "bia@kunde.example", replies_to="merged")], 4))
    assert await pool.fetchval("SELECT ticket_id FROM ticketing.articles ORDER BY id DESC LIMIT 1") == last
    assert await pool.fetchval("SELECT lock FROM ticketing.tickets WHERE id = $1", last) == "unlock"
    assert [row["tickets"] for row in await pool.fetch("SELECT tickets FROM ticketing.floods")] == [1] * 4
    await handle(batch([dispatched("again", "person0@kunde.example")], 5))
    assert sorted(row["tickets"] for row in await pool.fetch("SELECT tickets FROM ticketing.floods")) == [1, 1, 1, 2]
