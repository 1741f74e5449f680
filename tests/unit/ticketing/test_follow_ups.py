"""What a reply does, and what it must not: merged tickets, owners, time, floods, and what customers cannot see."""

from datetime import timedelta
from typing import Any

import pytest

from services.ticketing.batch import Settlement, Snapshot, Ticket, id_hash, sender_hash
from shared.desk.model import Agent, Desk, Queue, SystemAddress
from shared.desk.outgoing import Limits
from shared.events import ArticleAdded, Candidate, Check, FollowUpPlan, Kind, NewTicketPlan, Origin, TicketCreated
from tests.unit.ticketing.mails import ANA, BRUNO, MALLORY, dispatched
from tests.unit.ticketing.test_settle import (
    KEY,
    NOW,
    NUMBER,
    OTHER_NUMBER,
    by_number,
    desk,
    existing,
    fact_of,
    settled,
    with_another,
    words,
)

OWNED = Desk(
    queues={"suporte": Queue(follow_up_lock=True)},
    agents={"olga": Agent(name="Olga", email="olga@empresa.example")},
)


def chain(length: int) -> Snapshot:
    """Ticket 7, merged `length` times into the next; Ana takes part in the last."""
    snapshot = existing("merged", participants=[])
    tickets = snapshot.tickets
    for n in range(length):
        tickets[-1].merged_into = 100 + n
        number = f"{NUMBER}{n}"
        tickets.append(Ticket(100 + n, number, "suporte", "merged", "merged", "unlock", "T", 1, "3 normal", ANA))
    tickets[-1].state = tickets[-1].state_type = "open"
    snapshot.participants[tickets[-1].id] = frozenset((ANA,))
    return snapshot


@pytest.mark.parametrize("length", [1, 2, 10])
@pytest.mark.parametrize(
    "candidate",
    [
        Candidate(Check.SUBJECT_NUMBER, NUMBER),
        Candidate(Check.SIGNED_MESSAGE_ID, KEY, proves_sender=True),
        Candidate(Check.REFERENCES, "<old@kunde.example>"),
    ],
)
def test_ligero_5_9_a_mail_to_a_merged_ticket_goes_where_it_was_merged_to(length: int, candidate: Candidate) -> None:
    out = settled([dispatched("r", candidates=[candidate])], chain(length))
    assert words(out) == ["article_added"]
    assert fact_of(out).number == f"{NUMBER}{length - 1}"


def test_ligero_5_9_beyond_ten_merges_a_number_is_unknown() -> None:
    assert words(settled([by_number("r")], chain(11))) == ["ticket_created"]


def test_a_ring_of_merges_ends_as_a_new_ticket() -> None:
    snapshot = chain(2)
    snapshot.tickets[-1].merged_into = 7
    assert words(settled([by_number("r")], snapshot)) == ["ticket_created"]


def test_an_id_in_a_ticket_and_in_the_one_merged_into_it_is_not_ambiguous() -> None:
    snapshot = with_another(existing(), participants=[])
    snapshot.tickets[0].merged_into, snapshot.participants[8] = 8, frozenset((ANA,))
    snapshot.carriers[id_hash("<old@kunde.example>")] = frozenset((7, 8))
    out = settled([dispatched("r", replies_to="old")], snapshot)
    assert fact_of(out).number == OTHER_NUMBER


# --- closed for too long ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("days", "word"), [(29, "article_added"), (31, "ticket_created")])
def test_what_was_closed_too_long_ago_is_followed_by_a_new_ticket(days: int, word: str) -> None:
    snapshot = existing("closed successful")
    snapshot.tickets[0].closed_at = NOW - timedelta(days=days)
    out = settled([by_number("r")], snapshot, desk(reopen_within="30d"))
    assert words(out) == [word]
    if word == "ticket_created":
        assert fact_of(out).follows == "7"
        assert [(link.source_id, link.target_id) for link in out.links] == [(7, 101)]


def test_without_a_limit_and_without_a_time_a_ticket_opens_again() -> None:
    for using in (desk(), desk(reopen_within="1h")):
        assert fact_of(settled([by_number("r")], existing("closed successful"), using)).reopened


@pytest.mark.parametrize("option", ["possible", "reject", "new_ticket"])
def test_a_bounce_is_an_article_and_nothing_else_whatever_the_queue_says(option: Any) -> None:
    snapshot = existing("closed successful", participants=[])
    snapshot.tickets[0].closed_at = NOW - timedelta(days=99)
    bounce = dispatched(
        "b",
        "mailer-daemon@relay.example",
        kind=Kind.BOUNCE,
        candidates=[
            Candidate(Check.BOUNCE, "<c1.x.y.z@empresa.example>"),
            Candidate(Check.SIGNED_MESSAGE_ID, KEY, proves_sender=True),
        ],
    )
    out = settled([bounce], snapshot, desk(follow_up=option, reopen_within="1h", follow_up_from="authenticated"))
    assert words(out) == ["article_added"]
    assert (fact_of(out).state, out.participants) == ("closed successful", [])


# --- the number of another ticket ---------------------------------------------------------------------------------


def test_ligero_6_a_new_ticket_does_not_carry_the_number_of_the_old_one() -> None:
    subject = f"Re: [Ticket#{NUMBER}] Impressora"
    mail = by_number("r", subject=subject, new=NewTicketPlan("suporte", subject))
    out = settled([mail], existing("closed successful"), desk(follow_up="new_ticket"))
    assert (out.created[0].title, fact_of(out).subject) == ("Impressora", "Impressora")


def test_a_claimed_number_is_told_and_not_repeated() -> None:
    subject = f"[Ticket#{NUMBER}] Senha"
    out = settled([by_number("r", MALLORY, subject=subject, new=NewTicketPlan("suporte", subject))], existing())
    assert (out.created[0].title, fact_of(out).subject, fact_of(out).claims) == ("Senha", "Senha", NUMBER)


# --- owner, lock, pending -----------------------------------------------------------------------------------------


def owned(state: str = "open", owner: str = "olga", absent: tuple[str, ...] = ()) -> Snapshot:
    snapshot = existing(state)
    snapshot.tickets[0].owner, snapshot.tickets[0].lock = owner, "lock"
    snapshot.absent = frozenset(absent)
    return snapshot


@pytest.mark.parametrize(
    ("state", "owner", "absent", "lock"),
    [
        ("open", "olga", (), "lock"),
        ("open", "olga", ("olga",), "unlock"),
        ("closed successful", "olga", ("olga",), "unlock"),
        ("open", "gone", (), "unlock"),
        ("open", "", (), "unlock"),
        ("open", "olga", ("rui",), "lock"),
    ],
)
def test_ligero_6_2_and_6_3_a_ticket_of_nobody_who_is_here_is_free(
    state: str, owner: str, absent: tuple[str, ...], lock: str
) -> None:
    snapshot = owned(state, owner, absent)
    settled([by_number("r")], snapshot, OWNED)
    assert snapshot.tickets[0].lock == lock


def test_ligero_6_3_a_reopened_ticket_is_locked_to_its_owner() -> None:
    snapshot = owned("closed successful")
    snapshot.tickets[0].lock = "unlock"
    settled([by_number("r")], snapshot, OWNED)
    assert snapshot.tickets[0].lock == "lock"


def test_a_ticket_that_was_pending_is_so_no_more_and_has_no_time() -> None:
    snapshot = existing("pending reminder")
    snapshot.tickets[0].pending_until = NOW + timedelta(days=3)
    out = settled([by_number("r")], snapshot)
    assert (snapshot.tickets[0].state, str(snapshot.tickets[0].pending_until)) == ("open", "None")
    assert "SetPendingTime" in [line.type for line in out.history]


def test_a_machine_leaves_a_pending_ticket_as_it_is() -> None:
    snapshot = existing("pending reminder")
    until = snapshot.tickets[0].pending_until = NOW + timedelta(days=3)
    kept = FollowUpPlan(state="", reopen=False)
    settled([by_number("r", kind=Kind.OUT_OF_OFFICE, follow_up=kept)], snapshot)
    assert (snapshot.tickets[0].state, snapshot.tickets[0].pending_until) == ("pending reminder", until)


# --- floods -------------------------------------------------------------------------------------------------------


def flooded(count: int, snapshot: Snapshot | None = None, **more: Any) -> Settlement:
    limited = Desk(
        queues={"suporte": Queue()},
        system_addresses={"suporte@empresa.example": SystemAddress(name="S", queue="suporte")},
        limits=Limits(tickets_per_sender=3),
    )
    return settled([dispatched(f"m{n}", **more) for n in range(count)], snapshot, limited)


def test_a_flood_becomes_tickets_of_which_nobody_is_told() -> None:
    out = flooded(5)
    facts = [each.fact for each in out.facts]
    assert words(out) == ["ticket_created"] * 5
    silent = [fact.silent for fact in facts if isinstance(fact, TicketCreated)]
    assert silent == [False, False, False, True, True]
    assert [fact.answer.withheld for fact in facts if isinstance(fact, TicketCreated)][2:] == ["", "flood", "flood"]
    assert out.flood == {sender_hash(ANA): 5}


def test_a_flood_is_counted_over_batches_and_by_sender() -> None:
    assert fact_of(flooded(1, Snapshot(flood={sender_hash(ANA.upper()): 3}))).silent
    assert not fact_of(flooded(1, Snapshot(flood={sender_hash(BRUNO): 3}))).silent


def test_replies_and_backfill_are_no_flood() -> None:
    out = flooded(6, origin=Origin.BACKFILL)
    assert not any(each.fact.silent for each in out.facts if isinstance(each.fact, TicketCreated))
    replies = [dispatched(f"r{n}", replies_to="old") for n in range(6)]
    facts = [each.fact for each in settled(replies, existing()).facts]
    assert [fact.silent for fact in facts if isinstance(fact, ArticleAdded)] == [False] * 6
