"""The queue in its database: claims, their ends, holds, and what the statements read."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import yaml

from services.mailer import handlers, plans
from services.mailer.letters import Mail, write_notification
from services.mailer.queue_store import Batch, QueueStore, Report
from services.mailer.states import Outcome, Result, Retry, after
from shared.events import Answer, BouncedRecipient, Kind
from tests.integration.mailer.conftest import Make
from tests.integration.mailer.scripted_smtp import Script, scripted
from tests.integration.mailer.world import World, is_state, queue, record, ticket_created, until, write_desk

NOWHERE: dict[str, object] = {"padrao": {"type": "smtp", "host": "127.0.0.1", "port": 1, "default": True}}


def smtp(script: Script, **more: object) -> dict[str, object]:
    return {"padrao": {"type": "smtp", "host": "127.0.0.1", "port": script.port, "default": True, **more}}


async def report(world: World, mail: int, attempts: int, result: Result, code: int = 250) -> None:
    step = after(Outcome(result, code), attempts=attempts, age=timedelta(0), rand=0.5, retry=Retry())
    await world.store.record([Report(mail, attempts, step)])


class Watched(QueueStore):
    """Counts what is claimed from the table."""

    claims = 0

    async def claim_due(self, account: str, limit: int) -> list[object]:  # type: ignore[override]  # passed on
        found = await super().claim_due(account, limit)
        type(self).claims += len(found)
        return list(found)


async def test_mails_are_born_claimed_once_the_account_works(world: Make) -> None:
    async with scripted() as script:
        found = await world(smtp(script))
        Watched.claims = 0
        async with found.running(Watched(found.pool, found.holder)):
            await queue(found, "first@kunde.example")
            await until(lambda: is_state(found, "first@kunde.example", "sent"))
            await until(lambda: not found.lane()._more and not found.lane().held)
            claimed = Watched.claims
            await queue(found, *[f"k{n}@kunde.example" for n in range(6)], first=2)
            await until(lambda: len(script.mails) == 7)
            assert Watched.claims == claimed, "nothing was left to be claimed from the table"

            async def all_sent() -> bool:
                return set((await found.states()).values()) == {"sent"}

            await until(all_sent)


async def test_a_batch_that_fails_gives_its_places_back(world: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    async with scripted() as script:
        found = await world(smtp(script))

        async def broken(*_: object) -> None:
            raise asyncpg.DeadlockDetectedError

        async with found.running():
            await queue(found, "first@kunde.example")
            await until(lambda: is_state(found, "first@kunde.example", "sent"))
            monkeypatch.setattr(Batch, "enqueue", broken)
            for _ in range(3):
                with pytest.raises(asyncpg.DeadlockDetectedError):
                    await queue(found, "second@kunde.example", first=2)
            monkeypatch.undo()
            assert found.lane()._reserved == 0
            await queue(found, "second@kunde.example", first=2)
            await until(lambda: is_state(found, "second@kunde.example", "sent"))
        assert len(script.mails) == 2


async def test_a_report_of_an_older_claim_changes_nothing_but_a_late_250(world: Make) -> None:
    found = await world(NOWHERE)
    await queue(found, "a@kunde.example", "b@kunde.example")
    for mail in await found.store.claim_due("padrao", 2):
        assert mail.attempts == 1
    await found.pool.execute("UPDATE mailer.outbound SET claimed_until = now() - interval '1 s'")
    await found.store.take_back(own=False, held=[])
    assert set((await found.states()).values()) == {"unknown"}
    a, b = (await found.row("a@kunde.example"))["id"], (await found.row("b@kunde.example"))["id"]
    await report(found, a, 1, Result.REFUSED, 550)
    await report(found, b, 1, Result.ACCEPTED)
    assert await found.states() == {"a@kunde.example": "unknown", "b@kunde.example": "sent"}
    [again] = await found.store.claim_due("padrao", 2)
    assert again.attempts == 2
    await report(found, a, 1, Result.POSTPONED, 450)
    assert (await found.row("a@kunde.example"))["state"] == "sending", "the newer claim is fenced off from the older"
    await report(found, a, 2, Result.ACCEPTED)
    assert (await found.row("a@kunde.example"))["state"] == "sent"


async def test_what_others_claimed_comes_back_when_its_claim_ends_and_not_before(world: Make) -> None:
    found = await world(NOWHERE)
    other = QueueStore(found.pool, "mailer-9")
    await queue(found, "a@kunde.example")
    await other.claim_due("padrao", 1)
    await found.store.take_back(own=True)
    assert (await found.row("a@kunde.example"))["state"] == "sending"
    await found.pool.execute("UPDATE mailer.outbound SET claimed_until = now() - interval '1 s'")
    await found.store.take_back(own=True)
    assert (await found.row("a@kunde.example"))["state"] == "unknown"


async def test_what_is_held_is_not_taken_back(world: Make) -> None:
    found = await world(NOWHERE)
    await queue(found, "a@kunde.example", "b@kunde.example")
    held, lost = await found.store.claim_due("padrao", 2)
    await found.pool.execute("UPDATE mailer.outbound SET claimed_until = claimed_until - interval '2 minutes'")
    await found.store.take_back(own=False, held=[held.id])
    states = await found.states()
    assert (states[held.recipient], states[lost.recipient]) == ("sending", "unknown")


async def test_two_mailers_never_claim_one_mail_and_wait_for_none(world: Make) -> None:
    found = await world(NOWHERE)
    await queue(found, *[f"k{n}@kunde.example" for n in range(10)])
    async with found.pool.acquire() as connection, connection.transaction():
        await connection.execute(
            "SELECT FROM mailer.outbound WHERE id IN (SELECT id FROM mailer.outbound LIMIT 5) FOR UPDATE"
        )
        async with asyncio.timeout(5):
            mails = await found.store.claim_due("padrao", 10)
    assert len(mails) == 5, "locked ones are passed over"


async def test_a_mail_whose_sender_dies_each_time_fails_in_the_end(world: Make) -> None:
    found = await world(NOWHERE)
    await queue(found, "a@kunde.example")
    for _ in range(20):
        assert await found.store.claim_due("padrao", 1)
        await found.store.take_back(own=True)
    row = await found.row("a@kunde.example")
    assert (row["state"], row["smtp_class"]) == ("failed", "interrupted")


async def test_days_of_a_fault_of_the_account_use_up_no_days_of_the_mail(world: Make) -> None:
    found = await world(NOWHERE)
    await queue(found, "a@kunde.example")
    await found.pool.execute("UPDATE mailer.outbound SET created_at = now() - interval '9 days'")
    [mail] = await found.store.claim_due("padrao", 1)
    assert mail.age == timedelta(0)
    await report(found, mail.id, 1, Result.POSTPONED, 450)
    await found.pool.execute(
        "UPDATE mailer.outbound SET due_at = now(), deferred_since = deferred_since - interval '3 days'"
    )
    [mail] = await found.store.claim_due("padrao", 1)
    assert timedelta(days=3) <= mail.age < timedelta(days=3, minutes=5)


async def test_mail_leaves_through_another_account_only_when_nobody_serves_its_own(world: Make) -> None:
    found = await world({"novo": NOWHERE["padrao"]}, holder="mailer-new")
    old = QueueStore(found.pool, "mailer-old")
    await queue(found, "a@kunde.example")

    async def after(minutes: int) -> str:
        for _ in range(minutes):
            await found.later(minutes=1)
            await old.serve(["padrao"])
        await old.reroute("padrao")
        return str((await found.row("a@kunde.example"))["account"])

    await found.pool.execute("UPDATE mailer.outbound SET created_at = now() - interval '1 day'")
    await old.serve(["padrao"])
    assert await after(0) == "novo", "a mailer that is up before the others waits for them"
    await found.store.serve(["novo"])
    assert await after(3) == "novo"
    assert await after(9) == "novo", "a slow machine says late that it serves it"
    await found.later(minutes=5)
    await old.serve(["padrao"])
    assert await after(0) == "novo", "the other was away too: what it saw before counts no more"
    assert await after(1) == "novo"
    assert await after(2) == "padrao"


async def test_mails_are_composed_in_slices_and_outside_of_the_transaction(
    world: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logins = [f"agent{n}" for n in range(30)]
    path = write_desk(tmp_path, NOWHERE, agents=logins)
    data = yaml.safe_load(path.read_text())
    data["agents"] = {login: {"name": login, "email": f"{login}@agents.example"} for login in logins}
    path.write_text(yaml.safe_dump(data))
    found = await world(NOWHERE)
    path.write_text(yaml.safe_dump(data))
    await found.desk.check()
    inside: list[bool] = []
    composed, ticks = 0, 0
    batch, write = QueueStore.batch, write_notification

    @contextlib.asynccontextmanager
    async def watched(store: QueueStore) -> AsyncIterator[Batch]:
        async with batch(store) as each:
            inside.append(True)
            yield each
            inside.clear()

    def counted(*given: Any) -> Mail:
        nonlocal composed
        composed += 1
        assert not inside, "a transaction that waits for texts is ended by its own time-out"
        return write(*given)

    async def others() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0)

    monkeypatch.setattr(QueueStore, "batch", watched)
    monkeypatch.setattr(plans, "write_notification", counted)
    monkeypatch.setattr(handlers, "SLICE_SECONDS", -1)
    task = asyncio.create_task(others())
    await queue(found, *[f"k{n}@kunde.example" for n in range(5)])
    task.cancel()
    assert composed == 150
    assert ticks >= composed, "between any two mails something else could run"
    assert await found.pool.fetchval("SELECT count(*) FROM mailer.outbound") == 155


async def test_who_is_out_of_office_is_read_from_ticketing(world: Make, tmp_path: Path) -> None:
    found = await world(NOWHERE)
    rule = {"events": ["new_ticket"], "recipients": ["queue_agents"], "out_of_office": False}
    notifications = {"sender_email": "chamados@empresa.example", "rules": {"new_ticket": rule}}
    write_desk(tmp_path, NOWHERE, agents=["ana"], notifications=notifications)
    await found.desk.check()
    connection = await asyncpg.connect(found.dsn)
    await connection.execute(
        "INSERT INTO ticketing.absences VALUES ('ana', now() - interval '1 day', now() + interval '1 day')"
    )
    await connection.close()
    await queue(found, "a@kunde.example")
    row = await found.row("ana@agents.example")
    assert (row["state"], row["reason"]) == ("suppressed", "out_of_office")


async def test_only_old_windows_are_purged(world: Make) -> None:
    found = await world(NOWHERE)
    await found.pool.execute(
        "INSERT INTO mailer.windows VALUES ('address a', now() - interval '20 h', 39), ('all', now(), 7),"
        " ('all', now() - interval '3 days', 7)"
    )
    await found.store.purge_windows()
    assert await found.pool.fetchval("SELECT count(*) FROM mailer.windows") == 2


# --- what the statements read, on a table of many rows

_ROWS = """
INSERT INTO mailer.outbound (id, event_id, rule, recipient, ticket_id, ticket_number, kind, template, state, account,
                             sender, received_at, due_at, claimed_until, created_at, failed_at)
SELECT n, 'e' || n, 'auto_reply', 'a@kunde.example', n, n, 'auto_response', 't',
       CASE WHEN n % 100 < 80 THEN 'sent' WHEN n % 100 < 98 THEN 'deferred' WHEN n % 100 = 98 THEN 'failed'
            ELSE 'queued'
       END, CASE WHEN n % 2 = 0 THEN 'padrao' ELSE 'outro' END, 'b@c.example', now(),
       now() + interval '1 hour' + n * interval '1 ms', NULL, now() - n * interval '1 min', now() - n * interval '1 min'
FROM generate_series(1, $1::int) n
"""


@pytest.fixture
async def full(world: Make) -> World:
    found = await world(NOWHERE)
    await found.pool.execute(_ROWS, 200_000, timeout=120)
    async with found.pool.acquire() as connection:
        await connection.execute("RESET ROLE")
        await connection.execute("ANALYZE mailer.outbound")
        await connection.execute("SET ROLE carteiro_mailer")
    return found


async def buffers(world: World, statement: str, *arguments: object) -> int:
    """Pages that the statement reads, by its own account; undone."""
    async with world.pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        try:
            plan = await connection.fetch(f"EXPLAIN (ANALYZE, BUFFERS) {statement}", *arguments)
        finally:
            await transaction.rollback()
    first = next(line[0] for line in plan if "Buffers" in line[0])
    return sum(int(number) for number in re.findall(r"(?:hit|read)=(\d+)", first))


def _statements(world: World) -> Sequence[tuple[str, str, Sequence[object]]]:
    store = world.store
    quarter = timedelta(minutes=15)
    return [
        ("claim", store._CLAIM_DUE, ("padrao", "mailer-0", 16, quarter)),
        ("reroute", store._REROUTE, ("padrao", "mailer-0", timedelta(minutes=2), quarter)),
        ("take back", store._TAKE_BACK, ("mailer-0", [], quarter, 20)),
        ("overdue", store._OVERDUE, ()),
        ("failed", store._FAILED, ()),
    ]


async def test_no_statement_of_the_sending_reads_the_table(full: World) -> None:
    await full.store.serve(["padrao", "outro"])
    await full.later(minutes=3)
    read = {name: await buffers(full, statement, *given) for name, statement, given in _statements(full)}
    assert max(read.values()) < 500, read


_WAITS = """
INSERT INTO mailer.outbound (id, event_id, rule, recipient, ticket_id, ticket_number, kind, template, state, account,
                             received_at, created_at, due_at, deferred_since)
SELECT n, 'e' || n, 'auto_reply', 'a@kunde.example', n, 'T', 'auto_response', 'recebido', $2, 'padrao', now(),
       now() - $3::interval, now() - $4::interval, CASE WHEN $5 THEN now() - $3::interval END
FROM unnest($1::int[]) n
"""


async def waited(world: World) -> float | None:
    """Minutes."""
    since = await world.store.overdue()
    moment = await world.pool.fetchval("SELECT now()")
    return None if since is None else round((moment - since).total_seconds() / 60)


async def test_one_server_that_postpones_does_not_make_the_queue_look_stuck(world: Make) -> None:
    """Nor hides it what does wait: each kind alone, then together."""
    found = await world(NOWHERE)
    day, hour, minute = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
    await found.pool.execute(_WAITS, [1], "deferred", 3 * day, -hour, True)
    assert await waited(found) is None, "postponed, and not due yet"
    await found.pool.execute(_WAITS, [2], "deferred", 3 * day, 2 * minute, True)
    assert await waited(found) == 2, "due again for two minutes"
    await found.pool.execute(_WAITS, [3], "queued", 40 * minute, minute, False)
    assert await waited(found) == 40, "never tried: given back with a new time by an account that fails"
    await found.pool.execute(_WAITS, [4], "queued", hour, minute, True)
    assert await waited(found) == 60, "given back, although it was postponed before"


async def test_a_bounce_of_our_mail_makes_it_bounced_and_flags_the_address(world: Make) -> None:
    async with scripted() as script:
        found = await world(smtp(script))
        async with found.running():
            await queue(found, "a@kunde.example")
            await until(lambda: is_state(found, "a@kunde.example", "sent"))
    sent = await found.row("a@kunde.example")
    gone = BouncedRecipient("a@kunde.example", "5.1.1")
    for number, named in enumerate(("<made.up@empresa.example>", sent["message_id"]), 2):
        report = ticket_created(
            1, "", kind=Kind.BOUNCE, bounced=[gone], bounce_of=named, answer=Answer(withheld="bounce")
        )
        await found.handler([record(number, report)])
        state = (await found.row("a@kunde.example"))["state"]
        assert state == ("bounced" if named == sent["message_id"] else "sent"), "a report must name an id of ours"
    assert await found.pool.fetchval("SELECT address FROM mailer.bounced_addresses") == "a@kunde.example"
    await queue(found, "a@kunde.example", first=9)
    assert await found.pool.fetchval("SELECT reason FROM mailer.outbound WHERE ticket_id = 9") == "bounced_address"


async def test_agents_are_told_once_of_an_answer_that_failed_and_never_of_a_notification(
    world: Make, tmp_path: Path
) -> None:
    async with scripted() as script:
        script.says["RCPT"] = lambda dialog: "550 5.1.1 no such user" if "kunde" in dialog.recipient else None
        found = await world(smtp(script))
        write_desk(tmp_path, smtp(script), agents=["ana"])
        await found.desk.check()
        async with found.running():
            await queue(found, "a@kunde.example")
            await until(lambda: len(script.of("ana@agents.example")) == 2)
            script.says["RCPT"] = "550 5.1.1 no such user"
            await queue(found, "b@kunde.example", first=2)
            await until(lambda: is_state(found, "b@kunde.example", "failed"))
            cared = found.cares()
            await until(lambda: found.cares() >= cared + 3)
    notice = script.of("ana@agents.example")[1]
    assert b"a@kunde.example" in notice
    assert b"recipient 550" in notice
    rows = await found.pool.fetch("SELECT state, told_at FROM mailer.outbound WHERE kind = 'notification'")
    assert [row["told_at"] for row in rows] == [None] * 4, "two new tickets, two failures of answers, and no more"
