"""What control headers and filters say of a ticket: taken where the name is known, else noted."""

from datetime import UTC, datetime
from typing import Any

import pytest

from services.ticketing.batch import Settlement, Snapshot
from shared.desk.model import Agent, Desk, Queue
from shared.events import Candidate, Check, FollowUpPlan, Kind, NewTicketPlan
from tests.unit.ticketing.mails import ANA, dispatched
from tests.unit.ticketing.test_settle import by_number, existing, settled

UNTIL = datetime(2026, 4, 1, tzinfo=UTC)
DESK = Desk(
    queues={"suporte": Queue(), "vip": Queue(), "preso": Queue(follow_up_lock=True)},
    agents={"ana": Agent(name="Ana", email="ana@empresa.example")},
)
PLAN = NewTicketPlan(
    "vip", "T", state="pending reminder", priority="4 high", lock="lock", customer_no="77", type="Incidente",
    service="Rede", sla="Ouro", owner="ana", responsible="ana", pending_until=UNTIL, dynamic_fields={"Pedido": "4711"},
    sender_type="system", visible=False,
)  # fmt: skip


def notes(out: Settlement) -> list[tuple[str, str]]:
    return [(line.type, line.text) for line in out.history]


def test_a_new_ticket_has_all_that_its_plan_says() -> None:
    out = settled([dispatched("m", new=PLAN)], using=DESK)
    [ticket] = out.created
    assert (ticket.queue, ticket.state, ticket.state_type) == ("vip", "pending reminder", "pending reminder")
    assert (ticket.priority, ticket.lock, ticket.customer_no) == ("4 high", "lock", "77")
    assert (ticket.type, ticket.service, ticket.sla) == ("Incidente", "Rede", "Ouro")
    assert (ticket.owner, ticket.responsible) == ("ana", "ana")
    assert (ticket.pending_until, ticket.dynamic_fields) == (UNTIL, {"Pedido": "4711"})
    [article] = out.articles
    assert (article.sender_type, article.visible) == ("system", False)
    assert not [kind for kind, _ in notes(out) if kind == "Misc"]


@pytest.mark.parametrize(
    ("field", "note"),
    [
        ("state", "The state nenhum is unknown; it is new."),
        ("priority", "The priority nenhum is unknown; it is 3 normal."),
        ("lock", "The lock nenhum is unknown; it is unlock."),
        ("owner", "The owner nenhum is unknown; it is left empty."),
        ("responsible", "The responsible nenhum is unknown; it is left empty."),
    ],
)
def test_ligero_4_a_name_that_nobody_knows_is_noted_and_left(field: str, note: str) -> None:
    said: dict[str, Any] = {field: "nenhum"}
    out = settled([dispatched("m", new=NewTicketPlan("vip", "T", **said))], using=DESK)
    assert ("Misc", note) in notes(out)
    [ticket] = out.created
    assert (ticket.state, ticket.priority, ticket.lock, ticket.owner) == ("new", "3 normal", "unlock", "")


REPLY = FollowUpPlan(
    state="pending reminder", state_named=True, queue="vip", title="Outro", priority="5 very high", lock="lock",
    owner="ana", responsible="ana", type="P", service="S", sla="L", pending_until=UNTIL, dynamic_fields={"A": "1"},
)  # fmt: skip


def test_a_follow_up_changes_what_its_plan_says_and_the_history_tells() -> None:
    out = settled([by_number("r", follow_up=REPLY)], existing("open"), DESK)
    ticket = out.changed[7]
    assert (ticket.queue, ticket.title, ticket.priority, ticket.lock) == ("vip", "Outro", "5 very high", "lock")
    assert (ticket.owner, ticket.responsible, ticket.type, ticket.service, ticket.sla) == ("ana", "ana", "P", "S", "L")
    assert (ticket.state, ticket.pending_until, ticket.dynamic_fields) == ("pending reminder", UNTIL, {"A": "1"})
    kinds = {kind for kind, _ in notes(out)}
    assert {
        "Move", "TitleUpdate", "PriorityUpdate", "Lock", "OwnerUpdate", "ResponsibleUpdate", "TypeUpdate",
        "ServiceUpdate", "SLAUpdate", "SetPendingTime", "TicketDynamicFieldUpdate", "StateUpdate",
    } <= kinds  # fmt: skip
    [fact] = [each.fact for each in out.facts]
    assert (fact.queue, fact.title, fact.lock) == ("vip", "Outro", "lock")  # type: ignore[union-attr]


def test_what_a_follow_up_does_not_name_stays() -> None:
    out = settled([by_number("r")], existing("open"), DESK)
    ticket = out.changed[7]
    assert (ticket.queue, ticket.title, ticket.priority, ticket.lock) == ("suporte", "T", "3 normal", "unlock")
    assert [kind for kind, _ in notes(out)] == ["FollowUp"]


def test_a_rejected_follow_up_changes_nothing_but_the_articles() -> None:
    desk = Desk(queues={"suporte": Queue(follow_up="reject"), "vip": Queue()})
    out = settled([by_number("r", follow_up=REPLY)], existing("closed successful"), desk)
    assert (out.changed[7].queue, out.changed[7].priority) == ("suporte", "3 normal")


def locked(queue: str, owner: str) -> Snapshot:
    snapshot = existing("closed successful")
    snapshot.tickets[0].queue, snapshot.tickets[0].owner, snapshot.tickets[0].lock = queue, owner, "tmp_lock"
    return snapshot


@pytest.mark.parametrize(
    ("queue", "owner", "lock"),
    [("preso", "ana", "lock"), ("suporte", "ana", "tmp_lock"), ("preso", "saiu", "unlock"), ("suporte", "", "unlock")],
)
def test_ligero_6_3_a_reopened_ticket_is_its_owners_or_free(queue: str, owner: str, lock: str) -> None:
    out = settled([by_number("r")], locked(queue, owner), DESK)
    assert out.changed[7].lock == lock


@pytest.mark.parametrize(
    ("state", "owner", "lock"),
    [("open", "ana", "tmp_lock"), ("open", "saiu", "unlock"), ("open", "", "unlock"), ("removed", "ana", "tmp_lock")],
)
def test_ligero_6_3_only_a_closed_ticket_is_locked_and_one_of_nobody_is_always_free(
    state: str, owner: str, lock: str
) -> None:
    snapshot = existing(state)
    snapshot.tickets[0].queue, snapshot.tickets[0].owner, snapshot.tickets[0].lock = "preso", owner, "tmp_lock"
    assert settled([by_number("r")], snapshot, DESK).changed[7].lock == lock


def test_ligero_6_3_a_machine_locks_no_closed_ticket() -> None:
    out = settled([by_number("r", kind=Kind.OUT_OF_OFFICE)], locked("preso", "ana"), DESK)
    assert (out.changed[7].state, out.changed[7].lock) == ("closed successful", "tmp_lock")


def test_the_number_of_another_system_finds_the_newest_open_ticket_that_holds_it() -> None:
    snapshot = existing("open")
    snapshot.tickets[0].dynamic_fields = {"Alarme": "812"}
    mail = dispatched("r", ANA, candidates=[Candidate(Check.EXTERNAL_NUMBER, "Alarme=812")])
    assert 7 in settled([mail], snapshot, DESK).changed
    assert not settled([mail], existing("open"), DESK).changed
    snapshot = existing("closed successful")
    snapshot.tickets[0].dynamic_fields = {"Alarme": "812"}
    assert not settled([mail], snapshot, DESK).changed
