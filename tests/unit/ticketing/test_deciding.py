"""What commands do to tickets: each test is an order, and what is to be written of it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.ticketing.batch import Link, Ticket
from services.ticketing.commands import (
    AddNote,
    Command,
    Decided,
    Given,
    Merge,
    Order,
    Quoted,
    Refusal,
    Refused,
    Set,
    SetLink,
    Split,
    Tag,
    Watch,
)
from services.ticketing.deciding import decide
from services.ticketing.policy import STATE_TYPES
from shared.desk.model import Agent, Desk, Queue
from shared.events import Change, NoteAdded, TicketMerged, TicketSplit, TicketUpdated

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
LATER = NOW + timedelta(days=2)
DESK = Desk(
    queues={"suporte": Queue(agents=("ana",)), "comercial": Queue()},
    agents={"ana": Agent(name="Ana Lima", email="ana@empresa.example"), "rui": Agent(name="Rui", email="r@e.example")},
)
ORDER = Order("ana", "c-1", "asked by phone")


def ticket(number: str = "1", state: str = "open", **more: Any) -> Ticket:
    fields: dict[str, Any] = {
        "id": int(number),
        "number": number,
        "queue": "suporte",
        "state": state,
        "state_type": STATE_TYPES[state],
        "lock": "unlock",
        "title": "T",
        "sequence": 4,
        "priority": "3 normal",
        "customer_user": "x@kunde.example",
        "key": f"key{number}",
    }
    return Ticket(**{**fields, **more})


def decided(command: Command, given: Given | None = None, order: Order = ORDER) -> Decided:
    return decide(command, order, given or Given(ticket()), DESK, NOW)


def refused(command: Command, given: Given | None = None, order: Order = ORDER) -> Refusal:
    with pytest.raises(Refused) as caught:
        decided(command, given, order)
    assert str(caught.value)
    return caught.value.reason


def changes(out: Decided, index: int = 0) -> list[Change]:
    fact = out.facts[index].fact
    assert isinstance(fact, TicketUpdated)
    return fact.changes


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (Set(priority="5 very high"), [("priority", "3 normal", "5 very high")]),
        (Set(owner="rui"), [("owner", "", "rui")]),
        (Set(responsible="rui"), [("responsible", "", "rui")]),
        (Set(title=" Other "), [("title", "T", "Other")]),
        (Set(state="closed successful"), [("state", "open", "closed successful")]),
        (
            Set(state="pending reminder", pending_until=LATER),
            [("state", "open", "pending reminder"), ("pending_until", "", LATER.isoformat())],
        ),
        (Set(lock="lock"), [("lock", "unlock", "lock"), ("owner", "", "ana")]),
        (Set(queue="comercial"), [("queue", "suporte", "comercial")]),
        (Set(queue="comercial", owner="rui", lock="lock"), [("owner", "", "rui"), ("queue", "suporte", "comercial"),
                                                            ("lock", "unlock", "lock")]),
        (Watch("rui"), [("watchers", "", "rui")]),
        (Tag(("vip", "nf-e")), [("tags", "", "vip,nf-e")]),
    ],
)  # fmt: skip
def test_a_change_is_a_fact_a_line_of_history_and_a_new_version(
    command: Command, expected: list[tuple[str, str, str]]
) -> None:
    out = decided(command)
    assert changes(out) == [Change(*each) for each in expected]
    (changed,) = out.changed
    assert changed.sequence == 5
    assert len(out.history) == len(expected)
    assert {(line.ticket_id, line.agent, line.why) for line in out.history} == {(1, "ana", "asked by phone")}
    fact = out.facts[0].fact
    assert isinstance(fact, TicketUpdated)
    assert (fact.sequence, fact.agent, fact.why, fact.owner) == (5, "ana", "asked by phone", changed.owner)
    assert fact.watchers == changed.watchers
    assert out.facts[0].key == "key1"


@pytest.mark.parametrize(
    "command", [Set(), Set(state="open", priority="3 normal", owner=""), Watch("ana", gone=True), Tag(drop=("no",))]
)
def test_what_is_so_already_changes_nothing(command: Command) -> None:
    out = decided(command)
    assert (out.changed, out.facts, out.history) == ([], [], [])


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (Set(state="sold"), Refusal.UNKNOWN),
        (Set(state="merged"), Refusal.UNKNOWN),
        (Set(state="pending auto close+"), Refusal.INVALID),
        (Set(pending_until=LATER), Refusal.INVALID),
        (Set(priority="9"), Refusal.UNKNOWN),
        (Set(owner="nobody"), Refusal.UNKNOWN),
        (Set(lock="glue"), Refusal.UNKNOWN),
        (Set(queue="nowhere"), Refusal.UNKNOWN),
        (Set(title=" "), Refusal.INVALID),
        (AddNote(""), Refusal.INVALID),
        (AddNote("a\0b"), Refusal.INVALID),
        (AddNote("a\ud800b"), Refusal.INVALID),
        (Watch("nobody"), Refusal.UNKNOWN),
        (Tag(("a,b",)), Refusal.INVALID),
        (Tag(("x" * 65,)), Refusal.INVALID),
        (Tag(tuple(f"t{n}" for n in range(51))), Refusal.INVALID),
        (Merge("2"), Refusal.NO_TICKET),
        (SetLink("2"), Refusal.NO_TICKET),
        (Split(9), Refusal.UNKNOWN),
    ],
)
def test_a_refusal_has_a_reason_and_a_sentence(command: Command, reason: Refusal) -> None:
    assert refused(command) is reason


def test_who_saw_another_version_is_refused() -> None:
    assert refused(Set(state="new"), order=ORDER._replace(version=3)) is Refusal.CHANGED
    assert decided(Set(state="new"), order=ORDER._replace(version=4)).changed


def test_only_an_agent_of_the_desk_gives_orders() -> None:
    assert refused(Set(state="new"), order=ORDER._replace(agent="mallory")) is Refusal.UNKNOWN


def test_a_closed_ticket_has_a_time_and_an_opened_one_has_none() -> None:
    (closed,) = decided(Set(state="closed successful")).changed
    assert closed.closed_at == NOW
    (opened,) = decided(Set(state="open"), Given(closed)).changed
    assert opened.closed_at is None


def test_a_state_that_is_not_pending_has_no_time() -> None:
    out = decided(Set(state="open"), Given(ticket(state="pending reminder", pending_until=LATER)))
    assert [each.field for each in changes(out)] == ["state", "pending_until"]
    assert out.changed[0].pending_until is None


def test_a_moved_ticket_is_free_unless_it_is_given_to_somebody() -> None:
    def held() -> Given:
        return Given(ticket(lock="lock", owner="ana"))

    assert decided(Set(queue="comercial"), held()).changed[0].lock == "unlock"
    assert decided(Set(queue="comercial", owner="rui"), held()).changed[0].lock == "lock"
    assert decided(Set(queue="suporte", priority="2 low"), held()).changed[0].lock == "lock"


def test_a_note_is_an_article_and_a_fact_of_its_own() -> None:
    out = decided(AddNote("Called back."), Given(ticket(), article_id=77))
    assert out.note is not None
    assert (out.note.id, out.note.text, out.note.visible) == (77, "Called back.", False)
    fact = out.facts[0].fact
    assert isinstance(fact, NoteAdded)
    assert (fact.article_id, fact.sequence, fact.subject) == ("77", 5, "Note")
    assert [(line.type, line.article_id) for line in out.history] == [("AddNote", 77)]


def test_a_merged_ticket_gives_what_it_has_to_the_other() -> None:
    source = ticket("1", watchers=["rui"], tags=["vip"], lock="lock", owner="ana")
    out = decided(Merge("2"), Given(source, ticket("2", watchers=["ana"], sequence=9)))
    first, second = out.changed
    assert (first.state, first.state_type, first.merged_into, first.lock) == ("merged", "merged", 2, "unlock")
    assert (second.watchers, second.tags, second.sequence) == (["ana", "rui"], ["vip"], 10)
    assert out.merged == (1, 2)
    assert out.linked == [Link(2, 1, "ParentChild")]
    merged, updated = (each.fact for each in out.facts)
    assert isinstance(merged, TicketMerged)
    assert isinstance(updated, TicketUpdated)
    assert (merged.into_number, updated.changes[0]) == ("2", Change("merged_from", "", "1"))


def test_what_is_merged_is_neither_changed_nor_merged_into() -> None:
    gone = ticket("2", "merged", merged_into=3)
    assert refused(Set(state="open"), Given(gone)) is Refusal.MERGED
    assert refused(Merge("2"), Given(ticket("1"), gone)) is Refusal.MERGED
    assert refused(Merge("1"), Given(ticket("1"), ticket("1"))) is Refusal.INVALID
    assert refused(Merge("2"), Given(ticket("1"), ticket("2", "removed"))) is Refusal.INVALID


def test_a_split_makes_a_linked_ticket_of_an_article() -> None:
    article = Quoted(5, "Invoice", "Bia@kunde.example", "customer")
    given = Given(ticket(), article=article, article_id=77, ticket_id=30, number="N30", key="newkey")
    out = decided(Split(5, queue="comercial"), given)
    made = out.created
    assert made is not None
    assert (made.id, made.number, made.key, made.queue) == (30, "N30", "newkey", "comercial")
    assert (made.title, made.customer_user, made.sequence) == ("Invoice", "bia@kunde.example", 1)
    assert out.copied == (5, 77)
    assert out.linked == [Link(1, 30, "ParentChild")]
    split, updated = (each.fact for each in out.facts)
    assert isinstance(split, TicketSplit)
    assert (split.from_number, split.article_id, split.sequence) == ("1", "77", 1)
    assert changes(out, 1) == [Change("links", "", "ParentChild N30")]
    assert [each.id for each in out.changed] == [1]
    assert updated.TYPE == "ticket-updated"


def test_a_link_is_seen_from_both_tickets() -> None:
    out = decided(SetLink("2"), Given(ticket("1"), ticket("2")))
    assert out.linked == [Link(1, 2, "Normal")]
    assert [changes(out, n)[0].after for n in (0, 1)] == ["Normal 2", "Normal 1"]
    assert decided(SetLink("2"), Given(ticket("1"), ticket("2"), linked=True)).facts == []
    gone = decided(SetLink("2", gone=True), Given(ticket("1"), ticket("2"), linked=True))
    assert (gone.linked, gone.unlinked) == ([], [Link(1, 2, "Normal")])


def test_the_facts_of_one_command_have_ids_of_their_own_and_the_same_again() -> None:
    def ids(order: Order) -> list[str]:
        return [each.event_id for each in decided(Merge("2"), Given(ticket("1"), ticket("2")), order).facts]

    assert ids(ORDER) == ids(ORDER)
    assert len({*ids(ORDER), *ids(ORDER._replace(id="c-2"))}) == 4
