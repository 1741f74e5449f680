"""A database that went back: mails come again, in any order, and take the names that were published of them."""

from collections.abc import Callable, Sequence
from itertools import permutations

import pytest

from services.ticketing.batch import Kept, Settlement, Snapshot, mail_of
from services.ticketing.commands import AddNote, Given, Quoted, Split
from services.ticketing.recall import counters, kept_of
from shared.desk.model import Desk, Queue, SystemAddress
from shared.desk.model import Ticket as TicketNumbers
from shared.events import Candidate, Check, MailDispatched, NewTicketPlan
from shared.kafka.record import Record
from shared.topics import EVENTS
from shared.wire import cloud_headers, encode_fact
from tests.unit.ticketing.mails import ANA, BRUNO, MALLORY, dispatched
from tests.unit.ticketing.test_deciding import decided, ticket
from tests.unit.ticketing.test_settle import existing, settled, words

DESK = Desk(
    queues={"suporte": Queue(), "comercial": Queue()},
    system_addresses={"suporte@empresa.example": SystemAddress(name="Suporte", queue="suporte")},
)


def published(out: Settlement) -> list[Kept]:
    """What a reader of the topic knows of these events."""
    records = [
        Record(
            EVENTS, 0, n, each.key.encode(), encode_fact(each.fact), tuple(headers(each.event_id, each.fact.TYPE)), 0
        )
        for n, each in enumerate(out.facts)
    ]
    return [names for names in map(kept_of, records) if names]


def gone_back(before: Settlement, snapshot: Snapshot | None = None) -> Snapshot:
    """A database that lost all of it and was compared with the topic: ids and numbers go on beyond."""
    snapshot = snapshot or Snapshot()
    snapshot.kept, snapshot.counter = published(before), before.counter
    snapshot.ticket_ids, snapshot.article_ids = list(range(201, 300)), list(range(2001, 2100))
    return snapshot


def headers(event_id: str, kind: str) -> list[tuple[str, bytes]]:
    return cloud_headers(ce_id=event_id, ce_type=kind, source="s", time="t", content_type="application/json")


def names_of(out: Settlement) -> dict[str, tuple[int, str, str, int]]:
    """Mail -> its ticket's id, number, key and its article's id."""
    tickets = {ticket.id: ticket for ticket in out.created}
    return {
        article.mail.event.message_id: (
            article.ticket_id,
            tickets[article.ticket_id].number,
            tickets[article.ticket_id].key,
            article.id,
        )
        for article in out.articles
    }


CONVERSATION = [
    dispatched("a"),
    dispatched("b", BRUNO),
    dispatched("r", replies_to="a"),
    dispatched("c", "c@k.example"),
]


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_mails_that_come_again_in_any_order_have_the_names_that_were_published(order: Sequence[int]) -> None:
    before = settled(CONVERSATION)
    again = settled([CONVERSATION[n] for n in order], gone_back(before))
    assert names_of(again) == names_of(before)
    assert again.counter == before.counter, "no number was needed"
    assert set(again.recalled) == {each.event_id for each in before.facts}
    assert {each.event_id: each.key for each in again.facts} == {each.event_id: each.key for each in before.facts}


def test_a_new_mail_before_those_that_come_again_gets_a_name_of_its_own() -> None:
    before = settled([dispatched("a")])
    after = settled([dispatched("new", BRUNO), dispatched("a")], gone_back(before))
    mine, again = after.created
    assert again.number == before.created[0].number != mine.number
    assert again.key == before.created[0].key != mine.key


def proof(before: Settlement) -> Candidate:
    return Candidate(Check.SIGNED_MESSAGE_ID, before.created[0].key, proves_sender=True)


def by_reference(before: Settlement) -> Candidate:
    return Candidate(Check.IN_REPLY_TO, before.articles[0].mail.event.message_id)


def by_number(before: Settlement) -> Candidate:
    return Candidate(Check.SUBJECT_NUMBER, before.created[0].number)


@pytest.mark.parametrize("sender", [ANA, MALLORY])
def test_a_reply_to_an_answer_before_its_ticket_came_again_makes_the_ticket(sender: str) -> None:
    """Whoever it comes from, it proves that he got the answer; he becomes no participant, and no customer."""
    before = settled([dispatched("a")])
    reply = dispatched("reply", sender, candidates=[proof(before)])
    after = settled([reply, dispatched("a")], gone_back(before))
    assert words(after) == ["ticket_created", "article_added"]
    [ticket] = after.created
    assert (ticket.number, ticket.key, ticket.title) == (
        before.created[0].number,
        before.created[0].key,
        "Subject of a",
    )
    assert ticket.customer_user == ANA
    assert [p.address for p in after.participants] == [ANA]


@pytest.mark.parametrize("by", [by_number, by_reference])
@pytest.mark.parametrize(("sender", "tickets"), [(ANA, 1), (MALLORY, 2)])
def test_who_names_a_ticket_that_is_still_to_come_must_have_written_to_it(
    by: Callable[[Settlement], Candidate], sender: str, tickets: int
) -> None:
    before = settled([dispatched("a")])
    reply = dispatched("reply", sender, candidates=[by(before)])
    after = settled([reply, dispatched("a")], gone_back(before))
    assert len(after.created) == tickets
    claims = getattr(after.facts[0].fact, "claims", "")
    assert claims == ("" if tickets == 1 else before.created[0].number)
    assert {article.mail.event.message_id: article.ticket_id for article in after.articles}["<a@kunde.example>"] == (
        before.created[0].id
    )


def test_a_published_name_that_another_ticket_has_is_given_to_nobody_else() -> None:
    """Cannot be, as long as the database is compared before it settles; if it is, nobody gets another's ticket."""
    before = settled([dispatched("a")])
    taken = existing()
    taken.tickets[0].id, taken.tickets[0].number = before.created[0].id, before.created[0].number
    after = settled([dispatched("a")], gone_back(before, taken))
    [ticket] = after.created
    assert ticket.number != before.created[0].number
    assert ticket.id != before.created[0].id
    assert ticket.key == before.created[0].key, "replies to the answer find it"


def test_an_id_that_mails_of_several_tickets_carry_gives_no_names() -> None:
    twice = [dispatched("a"), dispatched("a", uid="5", content="other", raw="other")]
    before = settled(twice)
    assert len(before.created) == 2
    assert names_of(settled([dispatched("r", candidates=[by_reference(before)])], gone_back(before)))[
        "<r@kunde.example>"
    ][1] not in {ticket.number for ticket in before.created}


def test_an_articles_id_that_is_another_ones_is_not_taken() -> None:
    before = settled([dispatched("a")])
    existing_one = Snapshot(articles=frozenset({before.articles[0].id}))
    assert settled([dispatched("a")], gone_back(before, existing_one)).articles[0].id != before.articles[0].id


def test_a_mail_that_made_a_ticket_of_its_own_does_so_again_though_it_now_fits_another() -> None:
    stranger = dispatched("s", BRUNO, candidates=[Candidate(Check.REFERENCES, "<a@kunde.example>")])
    before = settled([dispatched("a"), stranger])
    assert len(before.created) == 2
    anyone = Desk(queues={"suporte": Queue(follow_up_from="anyone")})
    again = settled([dispatched("a"), stranger], gone_back(before), anyone)
    assert names_of(again) == names_of(before)


def test_what_is_no_fact_of_a_ticket_gives_no_names() -> None:
    event = dispatched("o", action="oversize")
    assert published(settled([event])) == []
    assert published(settled([dispatched("r", new=NewTicketPlan("suporte", "T", refused_by="portal"))])) == []
    assert kept_of(Record(EVENTS, 0, 0, b"", b"{", tuple(headers("e", "ticket-created")), 0)) is None
    assert kept_of(Record(EVENTS, 0, 0, b"", b"{}", tuple(headers("e", "ticket-sold")), 0)) is None


def test_the_counter_goes_on_beyond_the_highest_number_of_each_day() -> None:
    names = published(settled(list(CONVERSATION), Snapshot(counter=40)))
    [(day, system_id, counter)] = counters(names, TicketNumbers())
    assert (day.isoformat(), system_id, counter) == ("2026-03-02", "10", 43)
    assert counters(names, TicketNumbers(system_id="11")) == [], "numbers of another system"


def events(mails: Sequence[MailDispatched]) -> list[str]:
    return [mail_of(0, mail).event_id for mail in mails]


def test_an_events_id_is_the_same_whatever_was_settled_before() -> None:
    assert events(CONVERSATION) == [each.event_id for each in settled(CONVERSATION).facts]


def test_what_lost_commands_had_named_is_known() -> None:
    article = Quoted(5, "Invoice", BRUNO, "customer")
    split = Given(ticket(), article=article, article_id=77, ticket_id=30, number="N30", key="abaof63qq2")
    made, _ = decided(Split(5), split).facts
    (note,) = decided(AddNote("Called back."), Given(ticket(), article_id=78)).facts
    names = published(Settlement(facts=[made, note]))
    assert [(each.created, each.number, each.ticket_id, each.article_id, each.sender) for each in names] == [
        (True, "N30", 30, 77, BRUNO),
        (False, "1", 1, 78, ""),
    ]
    reply = dispatched("r", BRUNO, candidates=[Candidate(Check.SUBJECT_NUMBER, "N30")])
    out = settled([reply], Snapshot(kept=names))
    assert [(each.number, each.id, each.key) for each in out.created] == [("N30", 30, "abaof63qq2")]
