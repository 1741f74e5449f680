"""What becomes of mails when the SMTP server, the account or the process fails."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from services.mailer.queue_store import QueueStore, Report, StoreUnavailable
from shared.events import Answer
from tests.integration.mailer.conftest import Make
from tests.integration.mailer.smtp_receiver import Receiver, receiving
from tests.integration.mailer.world import is_state, queue, record, ticket_created, until, write_desk

CONNECTIONS = 4  # as the desk has it where it does not say


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as made:
        yield made


def smtp(receiver: Receiver, **more: object) -> dict[str, object]:
    return {"padrao": {"type": "smtp", "host": "127.0.0.1", "port": receiver.port, "default": True, **more}}


async def test_two_hundred_events_are_two_hundred_mails_and_again_none(world: Make, receiver: Receiver) -> None:
    found = await world(smtp(receiver))
    people = [f"kunde-{n}@kunde.example" for n in range(200)]
    async with found.running():
        await queue(found, *people)
        await until(lambda: len(receiver.mails) >= 200)
        await queue(found, *people)

        async def all_sent() -> bool:
            return set((await found.states()).values()) == {"sent"}

        await until(all_sent)
    assert sorted(to for to, _ in receiver.mails) == sorted(people)
    assert len({raw.split(b"Message-ID: ")[1].split(b"\r\n")[0] for _, raw in receiver.mails}) == 200
    assert receiver.connections <= CONNECTIONS, "connections are used again"


async def test_the_stored_bytes_are_what_arrives(world: Make, receiver: Receiver) -> None:
    found = await world(smtp(receiver))
    async with found.running():
        await queue(found, "a@kunde.example")
        await until(lambda: is_state(found, "a@kunde.example", "sent"))
    assert receiver.of("a@kunde.example") == [(await found.row("a@kunde.example"))["raw"]]


@pytest.mark.parametrize(
    ("recipient", "state", "code", "word"),
    [
        ("reject-550@kunde.example", "failed", 550, "recipient"),
        ("data-554@kunde.example", "failed", 554, "data"),
        ("defer-2@kunde.example", "sent", 250, "accepted"),
    ],
)
async def test_a_refusal_concerns_its_own_recipient(
    world: Make, receiver: Receiver, recipient: str, state: str, code: int, word: str
) -> None:
    found = await world(smtp(receiver))
    async with found.running():
        await queue(found, recipient, "good@kunde.example")
        await until(lambda: is_state(found, recipient, state))
        await until(lambda: is_state(found, "good@kunde.example", "sent"))
    row = await found.row(recipient)
    assert (row["smtp_code"], row["smtp_class"]) == (code, word)
    assert len(receiver.of("good@kunde.example")) == 1


async def test_a_server_that_says_goodbye_to_one_recipient_serves_the_others(world: Make, receiver: Receiver) -> None:
    found = await world(smtp(receiver))
    async with found.running():
        await queue(found, "bye@kunde.example", "good@kunde.example")
        await until(lambda: is_state(found, "good@kunde.example", "sent"))
        await until(lambda: receiver.tried["bye@kunde.example"] >= 2)

        async def deferred() -> bool:  # between two tries
            row = await found.row("bye@kunde.example")
            return (row["state"], row["smtp_code"]) == ("deferred", 421)

        await until(deferred)


async def test_a_lost_answer_is_unknown_and_repeated_with_the_same_bytes(world: Make, receiver: Receiver) -> None:
    found = await world(smtp(receiver))
    async with found.running():
        await queue(found, "drop@kunde.example")
        await until(lambda: is_state(found, "drop@kunde.example", "sent"))
    first, second = receiver.of("drop@kunde.example")
    assert first == second
    assert (await found.row("drop@kunde.example"))["attempts"] == 2


async def test_nothing_is_lost_while_the_server_is_away(world: Make) -> None:
    async with receiving() as gone:
        port = gone.port
    found = await world(smtp(gone))
    async with found.running():
        await queue(found, "a@kunde.example", "b@kunde.example")

        async def tried_in_vain() -> bool:
            rows = await found.pool.fetch("SELECT state, attempts FROM mailer.outbound")
            assert all(row["attempts"] <= 1 for row in rows), "an account's fault uses up no mail"
            return found.faults() >= 2

        await until(tried_in_vain)
        async with receiving(port) as back:
            await until(lambda: len(back.mails) == 2)

            async def both_sent() -> bool:
                return set((await found.states()).values()) == {"sent"}

            await until(both_sent)


async def test_a_refused_login_pauses_the_account_and_the_right_one_resumes_it(world: Make, tmp_path: Path) -> None:
    (tmp_path / "smtp").write_text("wrong")
    async with receiving(login=True) as receiver:
        found = await world(
            smtp(receiver, user="desk", password={"secret": "smtp"}),
        )
        async with found.running():
            await queue(found, *[f"k{n}@kunde.example" for n in range(20)])
            await until(lambda: found.faults() >= 3)
            # the next log-in may have reached the server and not come back yet
            assert receiver.logins - found.faults() in (0, 1), "one mail at a time finds out, with one log-in"
            assert not receiver.mails
            (tmp_path / "smtp").write_text("right")
            await until(lambda: len(receiver.mails) == 20)
        assert set((await found.states()).values()) == {"sent"}


class Crash(QueueStore):
    """Dies with the server's 250 in hand: the record is never written."""

    async def record(self, reports: Sequence[Report]) -> None:
        await asyncio.Event().wait()


async def test_a_crash_before_the_record_repeats_at_most_what_was_in_hand(world: Make, receiver: Receiver) -> None:
    found = await world(smtp(receiver))
    people = [f"k{n}@kunde.example" for n in range(40)]
    await queue(found, *people)
    async with found.running(Crash(found.pool, found.holder)) as task:
        await until(lambda: len(receiver.mails) == CONNECTIONS)
        task.cancel()
        await asyncio.wait([task])
    async with found.running():

        async def all_sent() -> bool:
            return set((await found.states()).values()) == {"sent"}

        await until(all_sent)
    copies = [receiver.of(to) for to in people]
    assert all(1 <= len(each) <= 2 and len(set(each)) == 1 for each in copies)
    assert sum(len(each) == 2 for each in copies) == CONNECTIONS


async def test_a_stop_finishes_what_is_in_hand_and_leaves_the_rest_queued(world: Make, receiver: Receiver) -> None:
    found = await world(smtp(receiver, connections=2))
    await queue(found, *[f"k{n}@kunde.example" for n in range(150)])
    async with found.running():
        await until(lambda: len(receiver.mails) >= 5)
    states = list((await found.states()).values())
    assert set(states) <= {"queued", "sent"}
    assert states.count("sent") == len(receiver.mails)


async def test_a_server_that_refuses_the_sender_uses_up_no_mail(world: Make, receiver: Receiver) -> None:
    receiver.null_sender_is_none = True
    found = await world(smtp(receiver))
    async with found.running():
        await queue(found, "a@kunde.example")
        await until(lambda: found.faults() >= 2)
        receiver.null_sender_is_none = False
        await until(lambda: is_state(found, "a@kunde.example", "sent"))
    assert (await found.row("a@kunde.example"))["attempts"] == 1


async def test_without_an_outbound_account_mails_are_recorded_and_not_sent(world: Make) -> None:
    found = await world({})
    async with found.running():
        await queue(found, "a@kunde.example")
        await until(lambda: is_state(found, "a@kunde.example", "suppressed"))
    row = await found.row("a@kunde.example")
    assert row["reason"] == "transport_none"
    assert b"Subject: [Ticket#" in row["raw"]


async def test_mails_of_an_account_that_is_gone_leave_by_the_default_one(
    world: Make, receiver: Receiver, tmp_path: Path
) -> None:
    found = await world({"antigo": {"type": "smtp", "host": "127.0.0.1", "port": 1, "default": True}})
    async with found.running():
        await queue(found, "a@kunde.example")
        await until(lambda: found.faults("antigo") >= 1)
        write_desk(tmp_path, smtp(receiver))
        await found.desk.check()
        await until(lambda: "antigo" not in found.lanes())
        for _ in range(4):
            await found.later(minutes=1)
            cared = found.cares()
            await until(lambda cared=cared: found.cares() >= cared + 2)
        await until(lambda: is_state(found, "a@kunde.example", "sent"))


async def test_a_mailer_with_an_old_desk_leaves_a_new_accounts_mail_alone(
    world: Make, receiver: Receiver, tmp_path: Path
) -> None:
    async with receiving() as old_server:
        old = await world(smtp(old_server), holder="mailer-1")
        new = await world({"novo": {"type": "smtp", "host": "127.0.0.1", "port": 1, "default": True}})
        async with old.running(), new.running():
            await until(lambda: "novo" in new.lanes())
            await queue(new, "a@kunde.example")
            await until(lambda: new.faults("novo") >= 3)
            await new.pool.execute("UPDATE mailer.outbound SET created_at = now() - interval '1 hour'")
            await new.pool.execute("UPDATE mailer.served SET since = now() - interval '1 hour'")
            cared = old.cares()
            await until(lambda: old.cares() >= cared + 3)
            assert not old_server.mails
            row = await new.row("a@kunde.example")
            assert (row["account"], row["attempts"] <= 1) == ("novo", True)


class Unsaid(QueueStore):
    """Cannot say which accounts it serves, once a new one is among them."""

    tries = 0

    async def serve(self, accounts: Sequence[str]) -> None:
        if "novo" in accounts:
            type(self).tries += 1
            raise StoreUnavailable("slow")
        await super().serve(accounts)


async def test_no_mail_is_claimed_for_an_account_before_its_service_is_known(world: Make, receiver: Receiver) -> None:
    found = await world(smtp(receiver))
    Unsaid.tries = 0
    async with found.running(Unsaid(found.pool, found.holder)):
        await until(lambda: found.lanes() == {"padrao"})
        found.rewrite({"novo": smtp(receiver)["padrao"]})
        await found.desk.check()
        await until(lambda: Unsaid.tries >= 3)
        assert found.lanes() == {"padrao"}


async def test_a_server_with_a_strangers_certificate_is_refused(world: Make, receiver: Receiver) -> None:
    found = await world(smtp(receiver, type="smtptls"))
    async with found.running():
        await queue(found, "a@kunde.example")
        await until(lambda: found.faults() >= 1)
    assert not receiver.mails, "STARTTLS is demanded: never in the clear"
    assert (await found.row("a@kunde.example"))["attempts"] == 0


async def test_forty_answers_a_day_also_over_batches(world: Make, receiver: Receiver) -> None:
    found = await world(smtp(receiver))
    for start in (1, 26):
        await queue(found, *["a@kunde.example"] * 25, first=start)
    rows = await found.pool.fetch("SELECT state, reason FROM mailer.outbound ORDER BY id")
    assert [row["state"] for row in rows] == ["queued"] * 40 + ["suppressed"] * 10
    assert {row["reason"] for row in rows[40:]} == {"daily_limit"}


async def test_a_suppressed_answer_stands_in_the_published_view(world: Make, receiver: Receiver) -> None:
    found = await world(smtp(receiver))
    await found.handler([record(1, ticket_created(1, "a@kunde.example", answer=Answer(withheld="list-id")))])
    row = await found.pool.fetchrow("SELECT * FROM mailer.deliveries_v1")
    assert row is not None
    assert (row["state"], row["reason"], row["ticket_id"]) == ("suppressed", "withheld: list-id", 1)
