"""What becomes of mails: each test is a situation, told by the names of its mails."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

import pytest

from services.ticketing.batch import Mail, Settlement, Snapshot, Ticket, id_hash, mail_of
from services.ticketing.policy import STATE_TYPES
from services.ticketing.settle import settle
from shared.desk.model import Desk, Queue, SystemAddress
from shared.events import (
    Answer,
    ArticleAdded,
    Candidate,
    Check,
    FollowUpPlan,
    FollowUpRejected,
    Kind,
    MailDispatched,
    MailOversize,
    MailRefused,
    NewTicketPlan,
    Party,
    TicketCreated,
)
from shared.message_ids import key_of
from tests.unit.ticketing.mails import ANA, BRUNO, MALLORY, dispatched

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
DAY = date(2026, 3, 2)
NUMBER, OTHER_NUMBER = "2026030110000017", "2026030110000025"
KEY, OTHER_KEY = key_of("ticket", "old"), key_of("ticket", "other")


def desk(**queue: Any) -> Desk:
    return Desk(
        queues={"suporte": Queue(**queue), "comercial": Queue()},
        system_addresses={"suporte@empresa.example": SystemAddress(name="Suporte", queue="suporte")},
    )


def settled(
    events: Sequence[MailDispatched], snapshot: Snapshot | None = None, using: Desk | None = None
) -> Settlement:
    snapshot = snapshot or Snapshot()
    snapshot.ticket_ids = snapshot.ticket_ids or list(range(101, 200))
    snapshot.article_ids = snapshot.article_ids or list(range(1001, 1100))
    mails: list[Mail] = [mail_of(position, event) for position, event in enumerate(events)]
    return settle(mails, snapshot, using or desk(), NOW, DAY)


def words(out: Settlement) -> list[str]:
    return [word for _, word in out.outcomes]


def existing(state: str = "open", participants: Sequence[str] = (ANA,), *, hidden: bool = False) -> Snapshot:
    """Ticket 7, whose one article is the mail `old`; `hidden`: its customer cannot see it."""
    ticket = Ticket(7, NUMBER, "suporte", state, STATE_TYPES[state], "unlock", "T", 1, "3 normal", ANA, None, KEY)
    return Snapshot(
        tickets=[ticket],
        carriers={id_hash("<old@kunde.example>"): frozenset((7,))},
        hidden={id_hash("<old@kunde.example>"): frozenset((7,))} if hidden else {},
        participants={7: frozenset(participants)},
    )


def with_another(snapshot: Snapshot, queue: str = "suporte", participants: Sequence[str] = ()) -> Snapshot:
    """Ticket 8 besides."""
    other = Ticket(8, OTHER_NUMBER, queue, "open", "open", "unlock", "T", 1, "3 normal", BRUNO, None, OTHER_KEY)
    snapshot.tickets.append(other)
    snapshot.participants[8] = frozenset(participants)
    return snapshot


def by_number(name: str, sender: str = ANA, **more: Any) -> MailDispatched:
    return dispatched(name, sender, candidates=[Candidate(Check.SUBJECT_NUMBER, NUMBER)], **more)


def fact_of(out: Settlement, index: int = -1) -> Any:
    return out.facts[index].fact


# --- new tickets ----------------------------------------------------------------------------------------------


def test_a_mail_of_no_ticket_becomes_one_with_the_days_next_number() -> None:
    out = settled([dispatched("a"), dispatched("b", BRUNO)], Snapshot(counter=41))
    assert words(out) == ["ticket_created", "ticket_created"]
    assert [ticket.number[:-1] for ticket in out.created] == ["202603021000042", "202603021000043"]
    assert out.counter == 43
    fact = fact_of(out, 0)
    assert isinstance(fact, TicketCreated)
    assert (fact.ticket_id, fact.sequence, fact.references) == ("101", 1, ["<a@kunde.example>"])
    assert [(p.address, p.role) for p in out.participants] == [(ANA, "customer"), (BRUNO, "customer")]


def test_recipients_take_part_but_own_addresses_never() -> None:
    out = settled([dispatched("a", cc=[Party("", "Chef@Kunde.example"), Party("", "suporte@empresa.example")])])
    assert [(p.address, p.role) for p in out.participants] == [(ANA, "customer"), ("chef@kunde.example", "cc")]


def test_a_mail_of_our_own_makes_us_no_customer() -> None:
    out = settled([dispatched("a", "suporte@empresa.example", cc=[Party("", BRUNO)])])
    assert [(p.address, p.role) for p in out.participants] == [(BRUNO, "cc")]


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.HUMAN])
def test_a_machine_brings_nobody_into_a_conversation(kind: Kind) -> None:
    out = settled([dispatched("a", kind=kind, cc=[Party("", BRUNO)])])
    assert [p.address for p in out.participants] == [ANA]


def test_a_mail_without_a_sender_makes_nobody_a_participant() -> None:
    out = settled([dispatched("a", ""), dispatched("b", "", replies_to="a"), by_number("c", "")], existing())
    assert out.participants == []
    assert words(out) == ["ticket_created"] * 3, "who has no address has no part in a conversation"


def test_an_unknown_queue_falls_to_the_default_one_and_the_history_says_so() -> None:
    out = settled([dispatched("a", queue="gone")])
    assert out.created[0].queue == "Raw"
    assert "gone" in out.history[-1].text


def test_an_unknown_state_falls_to_new() -> None:
    out = settled([dispatched("a", new=NewTicketPlan(queue="suporte", title="T", state="neu"))])
    assert (out.created[0].state, out.created[0].state_type) == ("new", "new")


# --- conversations within a batch -----------------------------------------------------------------------------


def test_two_mails_of_a_new_conversation_in_one_batch_are_one_ticket() -> None:
    out = settled([dispatched("first"), dispatched("second", replies_to="first")])
    assert words(out) == ["ticket_created", "article_added"]
    assert {article.ticket_id for article in out.articles} == {101}
    assert fact_of(out).sequence == 2
    assert out.created[0].sequence == 2, "the row is written once, with its last sequence"
    assert out.changed == {}


def test_a_reply_before_its_parent_in_one_batch_is_one_ticket() -> None:
    out = settled([dispatched("second", replies_to="first"), dispatched("first")])
    assert words(out) == ["ticket_created", "article_added"]
    assert fact_of(out).check == "late_parent"


def test_a_late_parent_joins_the_stored_ticket_that_names_it() -> None:
    snapshot = existing()
    snapshot.namers = {id_hash("<parent@kunde.example>"): frozenset((7,))}
    out = settled([dispatched("parent")], snapshot)
    assert words(out) == ["article_added"]
    assert out.changed[7].sequence == 2


def test_a_late_parent_of_somebody_else_becomes_a_ticket_linked_to_the_other() -> None:
    snapshot = existing()
    snapshot.namers = {id_hash("<parent@kunde.example>"): frozenset((7,))}
    out = settled([dispatched("parent", MALLORY)], snapshot)
    assert words(out) == ["ticket_created"]
    assert [(link.source_id, link.target_id) for link in out.links] == [(7, 101)]
    assert fact_of(out).claims == ""


def test_a_parent_named_by_several_tickets_joins_none() -> None:
    snapshot = with_another(existing(participants=()))
    snapshot.namers = {id_hash("<parent@kunde.example>"): frozenset((7, 8))}
    assert words(settled([dispatched("parent")], snapshot)) == ["ticket_created"]


# --- follow-ups -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("event", [by_number("r"), dispatched("r", replies_to="old")])
def test_a_participants_reply_becomes_an_article(event: MailDispatched) -> None:
    out = settled([event], existing())
    assert words(out) == ["article_added"]
    assert out.created == []
    assert fact_of(out).number == NUMBER


def test_ligero_5_a_mail_that_names_one_ticket_and_continues_another_goes_to_the_named_one() -> None:
    snapshot = existing()
    other = Ticket(8, "2026030110000025", "suporte", "open", "open", "unlock", "T", 1, "3 normal", ANA)
    snapshot.tickets.append(other)
    snapshot.participants[8] = frozenset((ANA,))
    both = [Candidate(Check.SUBJECT_NUMBER, other.number), Candidate(Check.REFERENCES, "<old@kunde.example>")]
    out = settled([dispatched("r", candidates=both)], snapshot)
    assert out.articles[0].ticket_id == 8


def test_ligero_5_2_a_number_of_no_ticket_is_passed_over_for_the_next_candidate() -> None:
    both = [Candidate(Check.SUBJECT_NUMBER, "2026030110009999"), Candidate(Check.REFERENCES, "<old@kunde.example>")]
    out = settled([dispatched("r", candidates=both)], existing())
    assert fact_of(out).check == "references"


def test_ligero_5_3_an_id_that_articles_of_several_tickets_carry_gives_no_match() -> None:
    snapshot = with_another(existing(participants=()))
    snapshot.carriers = {id_hash("<old@kunde.example>"): frozenset((7, 8))}
    assert words(settled([dispatched("r", replies_to="old")], snapshot)) == ["ticket_created"]


@pytest.mark.parametrize(("queue", "ticket"), [("suporte", 7), ("comercial", 8)])
def test_a_reply_to_all_of_a_mail_to_two_desks_goes_to_the_ticket_of_each(queue: str, ticket: int) -> None:
    snapshot = with_another(existing(), queue="comercial", participants=[ANA])
    snapshot.carriers = {id_hash("<old@kunde.example>"): frozenset((7, 8))}
    out = settled([dispatched("r", replies_to="old", queue=queue)], snapshot)
    assert [article.ticket_id for article in out.articles] == [ticket]


@pytest.mark.parametrize(("sender", "ticket"), [(ANA, 7), (MALLORY, 8)])
def test_a_stranger_who_uses_a_customers_message_id_breaks_no_thread(sender: str, ticket: int) -> None:
    snapshot = with_another(existing(), participants=[MALLORY])
    snapshot.carriers = {id_hash("<old@kunde.example>"): frozenset((7, 8))}
    out = settled([dispatched("r", sender, replies_to="old")], snapshot)
    assert [article.ticket_id for article in out.articles] == [ticket]


def test_two_replies_to_a_mail_that_never_came_are_one_ticket() -> None:
    out = settled([dispatched("r1", replies_to="unseen"), dispatched("r2", replies_to="unseen")])
    assert words(out) == ["ticket_created", "article_added"]
    assert fact_of(out).check == "sibling"


@pytest.mark.parametrize(("sender", "kind"), [(MALLORY, Kind.HUMAN), (ANA, Kind.AUTOMATIC)])
def test_strangers_and_machines_join_nothing_by_an_id_that_never_came(sender: str, kind: Kind) -> None:
    """A list's mails, or an alert's, may all name one."""
    out = settled([dispatched("r1", replies_to="unseen"), dispatched("r2", sender, replies_to="unseen", kind=kind)])
    assert (words(out), out.links) == (["ticket_created", "ticket_created"], [])


def test_f1_a_stranger_who_names_a_number_gets_a_ticket_that_says_what_he_claims() -> None:
    out = settled([by_number("r", MALLORY)], existing())
    assert words(out) == ["ticket_created"]
    assert fact_of(out).claims == NUMBER
    assert any(line.type == "Misc" and NUMBER in line.text for line in out.history)
    assert out.links == []


def test_f2_and_f5_a_signed_id_admits_a_stranger_but_makes_nobody_a_participant() -> None:
    signed = Candidate(Check.SIGNED_MESSAGE_ID, KEY, proves_sender=True)
    out = settled([dispatched("r", MALLORY, candidates=[signed], cc=[Party("", BRUNO)])], existing())
    assert words(out) == ["article_added"]
    assert out.participants == []


def test_a_signed_id_besides_proves_who_may_write_to_the_ticket_named_first() -> None:
    proof = Candidate(Check.SIGNED_MESSAGE_ID, KEY, proves_sender=True)
    out = settled([dispatched("r", MALLORY, candidates=[Candidate(Check.SUBJECT_NUMBER, NUMBER), proof])], existing())
    assert (words(out), fact_of(out).check) == (["article_added"], "subject_number")


def test_a_signed_id_of_another_ticket_proves_nothing_of_the_one_named_first_and_is_tried_itself() -> None:
    """Who once named a number that is not his does not lose his own thread for it."""
    snapshot = with_another(existing(), participants=[MALLORY])
    proof = Candidate(Check.SIGNED_MESSAGE_ID, OTHER_KEY, proves_sender=True)
    out = settled([dispatched("r", MALLORY, candidates=[Candidate(Check.SUBJECT_NUMBER, NUMBER), proof])], snapshot)
    assert (words(out), out.articles[0].ticket_id) == (["article_added"], 8)
    assert any(line.type == "Misc" and NUMBER in line.text for line in out.history)


def test_whom_a_participant_copies_takes_part_from_then_on() -> None:
    copied = dispatched("r", replies_to="old", cc=[Party("", BRUNO)])
    out = settled([copied, dispatched("s", BRUNO, replies_to="r")], existing())
    assert words(out) == ["article_added", "article_added"]


def test_a_key_of_no_ticket_is_no_candidate() -> None:
    absurd = [Candidate(Check.SIGNED_MESSAGE_ID, value, proves_sender=True) for value in ("7", "", OTHER_KEY)]
    assert words(settled([dispatched("r", candidates=absurd)], existing())) == ["ticket_created"]


def test_a_tickets_key_comes_from_its_first_mail() -> None:
    out = settled([dispatched("a"), dispatched("b", replies_to="a"), dispatched("c")])
    again = settled([dispatched("c"), dispatched("a")])
    assert [ticket.key for ticket in out.created] == [ticket.key for ticket in again.created][::-1]
    assert [each.fact.ticket_key for each in out.facts] == [each.key for each in out.facts]  # type: ignore[union-attr]
    assert len({each.key for each in out.facts}) == 2


def test_a_ticket_whose_key_another_one_has_gets_a_longer_one() -> None:
    mail = mail_of(0, dispatched("a"))
    taken = existing()
    taken.tickets[0].key = mail.ticket_key
    [ticket] = settled([dispatched("a")], taken).created
    assert (len(ticket.key), ticket.key[:10]) == (16, mail.ticket_key)


def test_f5_where_anyone_may_write_a_stranger_and_whom_he_copies_take_no_part() -> None:
    out = settled([by_number("r", MALLORY, cc=[Party("", BRUNO)])], existing(), desk(follow_up_from="anyone"))
    assert (words(out), out.participants) == (["article_added"], [])


AGENTS = {"ana": {"name": "Ana", "email": "agent@empresa.example"}}


def with_agents() -> Desk:
    own = {"suporte@empresa.example": {"name": "Suporte", "queue": "suporte"}}
    queues = {"suporte": {"agents": ["ana"]}, "comercial": {}}
    return Desk.model_validate({"queues": queues, "agents": AGENTS, "system_addresses": own})


def test_an_agents_answer_from_his_own_mail_program_is_an_article_and_nobody_is_answered() -> None:
    said: dict[str, Any] = {
        "to": [Party("", ANA)],
        "cc": [Party("", BRUNO)],
        "answer": Answer(withheld="own", verified=True),
    }
    answer = dispatched("r", "agent@empresa.example", replies_to="old", **said)
    out = settled([answer, dispatched("s", BRUNO, replies_to="r")], existing("closed successful"), with_agents())
    assert words(out) == ["article_added", "article_added"], "whom he copies takes part"
    assert (out.articles[0].sender_type, fact_of(out, 0).answer.withheld) == ("agent", "agent")
    assert [p.address for p in out.participants] == [BRUNO]


def test_f3_an_agents_address_that_nothing_proves_is_a_customers_text_and_brings_nobody_in() -> None:
    forged = dispatched("r", "agent@empresa.example", replies_to="old", cc=[Party("", MALLORY)])
    out = settled([forged, dispatched("s", MALLORY, replies_to="r")], existing("closed successful"), with_agents())
    assert out.articles[0].sender_type == "customer"
    assert [p for p in out.participants if p.ticket_id == 7] == []
    assert (words(out), out.changed[7].state) == (["article_added", "ticket_created"], "closed successful")
    assert fact_of(out, 0).answer.withheld == "agent"


def test_f3_who_answers_a_mail_of_ours_is_the_agent() -> None:
    proof = [Candidate(Check.SIGNED_MESSAGE_ID, KEY, proves_sender=True)]
    out = settled([dispatched("r", "agent@empresa.example", candidates=proof)], existing(), with_agents())
    assert out.articles[0].sender_type == "agent"


def test_an_agent_of_another_queue_is_nobody() -> None:
    snapshot = existing()
    snapshot.tickets[0].queue = "comercial"
    out = settled([dispatched("r", "agent@empresa.example", replies_to="old")], snapshot, with_agents())
    assert words(out) == ["ticket_created"]


def test_f4_a_service_that_confirms_to_a_tickets_address_adds_nothing_to_the_ticket() -> None:
    """The "ticket trick": whoever can read ticket 7 would read the service's secret there."""
    named = [Candidate(Check.PLUS_ADDRESS, NUMBER)]
    out = settled(
        [dispatched("confirm", "no-reply@service.example", candidates=named, cc=[Party("", ANA)])], existing()
    )
    assert (words(out), fact_of(out).claims, out.links) == (["ticket_created"], NUMBER, [])


def test_f10_who_takes_part_is_from_and_never_reply_to() -> None:
    out = settled([dispatched("a", ANA, reply_to=[Party("", MALLORY)])])
    assert [p.address for p in out.participants] == [ANA]
    reply = dispatched("r", MALLORY, replies_to="a")
    assert words(settled([dispatched("a", ANA, reply_to=[Party("", MALLORY)]), reply]))[1] == "ticket_created"


def test_ligero_5_8_a_mail_whose_own_id_is_stored_is_a_duplicate_before_any_check() -> None:
    named = [Candidate(Check.SUBJECT_NUMBER, NUMBER)]
    out = settled([dispatched("a"), dispatched("a", uid="77", candidates=named)], existing())
    assert words(out) == ["ticket_created", "duplicate"]


@pytest.mark.parametrize(
    ("replies_to", "hidden", "visible"), [("old", True, False), ("old", False, True), ("other", True, True)]
)
def test_ligero_6_5_a_reply_to_what_the_customer_cannot_see_stays_hidden(
    replies_to: str, *, hidden: bool, visible: bool
) -> None:
    named = [Candidate(Check.SUBJECT_NUMBER, NUMBER), Candidate(Check.IN_REPLY_TO, f"<{replies_to}@kunde.example>")]
    [article] = settled([dispatched("r", candidates=named)], existing(hidden=hidden)).articles
    assert (article.ticket_id, article.visible) == (7, visible)


def test_ligero_6_5_the_newest_article_that_is_named_decides() -> None:
    """Also where it came in the same batch."""
    note = dispatched("note", follow_up=FollowUpPlan(visible=False), replies_to="old")
    both = [Candidate(Check.IN_REPLY_TO, "<note@kunde.example>"), Candidate(Check.REFERENCES, "<old@kunde.example>")]
    out = settled([note, dispatched("r", candidates=both), dispatched("s", replies_to="old")], existing())
    assert [article.visible for article in out.articles] == [False, False, True]
    assert [each.fact.visible for each in out.facts] == [False, False, True]  # type: ignore[union-attr]


# --- closed tickets -------------------------------------------------------------------------------------------


def test_a_reply_reopens_a_closed_ticket() -> None:
    out = settled([by_number("r")], existing("closed successful"))
    assert (out.changed[7].state, out.changed[7].closed_at) == ("open", None)
    fact = fact_of(out)
    assert isinstance(fact, ArticleAdded)
    assert fact.reopened
    assert [line.type for line in out.history] == ["FollowUp", "StateUpdate"]


@pytest.mark.parametrize(("state", "after"), [("closed successful", "pending reminder"), ("removed", "open")])
def test_ligero_6_1_the_state_of_closed_tickets_is_not_that_of_removed_ones(state: str, after: str) -> None:
    plan = FollowUpPlan(state="open", state_closed="pending reminder")
    assert settled([by_number("r", follow_up=plan)], existing(state)).changed[7].state == after


def test_a_late_parent_reopens_nothing_and_is_not_answered() -> None:
    snapshot = existing("closed successful")
    snapshot.namers = {id_hash("<parent@kunde.example>"): frozenset((7,))}
    out = settled([dispatched("parent")], snapshot)
    assert (words(out), out.changed[7].state) == (["article_added"], "closed successful")
    assert fact_of(out).answer.withheld == "late-parent"


def test_ligero_5_9_a_merged_ticket_stays_merged() -> None:
    out = settled([by_number("r")], existing("merged"))
    assert (words(out), out.changed[7].state) == (["article_added"], "merged")


def test_automatic_mail_reopens_nothing() -> None:
    out = settled([by_number("r", kind=Kind.OUT_OF_OFFICE)], existing("closed successful"))
    assert (words(out), out.changed[7].state) == (["article_added"], "closed successful")
    assert not fact_of(out).reopened


def test_a_queue_that_rejects_keeps_the_article_and_the_state() -> None:
    out = settled([by_number("r")], existing("closed successful"), desk(follow_up="reject"))
    assert (words(out), out.changed[7].state) == (["follow_up_rejected"], "closed successful")
    assert isinstance(fact_of(out), FollowUpRejected)
    assert len(out.articles) == 1


def test_a_queue_of_new_tickets_makes_one_linked_to_the_closed_one() -> None:
    title = f"Re: [Ticket#{NUMBER}] Rechnung"
    event = by_number("r", new=NewTicketPlan(queue="suporte", title=title))
    out = settled([event], existing("closed successful"), desk(follow_up="new_ticket"))
    assert (words(out), out.created[0].title) == (["ticket_created"], "Rechnung")
    assert (fact_of(out).follows, out.links[0].source_id) == ("7", 7)


def test_a_new_ticket_stays_new_until_somebody_works_on_it() -> None:
    out = settled([by_number("r", follow_up=FollowUpPlan(state="open"))], existing("new"))
    assert out.changed[7].state == "new"


# --- duplicates -----------------------------------------------------------------------------------------------


def test_the_same_delivery_twice_changes_nothing() -> None:
    out = settled([dispatched("a"), dispatched("a")])
    assert words(out) == ["ticket_created", "duplicate"]
    assert (len(out.articles), len(out.claims), len(out.facts)) == (1, 1, 1)


def test_a_delivery_rewritten_by_its_server_is_known_by_its_message_id() -> None:
    out = settled([dispatched("a"), dispatched("a", raw="with another header")])
    assert words(out) == ["ticket_created", "duplicate"]


def test_a_reused_uid_is_a_new_mail_and_the_history_says_so() -> None:
    out = settled([dispatched("a", uid="5"), dispatched("b", BRUNO, uid="5"), dispatched("b", BRUNO, uid="5")])
    assert words(out) == ["ticket_created", "ticket_created", "duplicate"]
    assert "identifier" in out.history[-1].text


def test_mails_without_a_message_id_are_not_alike_for_that() -> None:
    out = settled([dispatched("a", uid="5", message_id=""), dispatched("b", uid="5", message_id="")])
    assert words(out) == ["ticket_created", "ticket_created"]


def test_the_same_mail_again_under_another_uid_is_a_duplicate() -> None:
    out = settled([dispatched("a", uid="5"), dispatched("a", uid="6")])
    assert words(out) == ["ticket_created", "duplicate"]
    assert (out.claims[1].ticket_id, out.claims[1].claims_content) == (101, False)


def test_c4_the_same_message_id_with_other_content_is_another_mail() -> None:
    out = settled([dispatched("a", uid="5"), dispatched("a", uid="6", content="other", raw="other")])
    assert words(out) == ["ticket_created", "ticket_created"]


def test_c5_a_mail_in_two_accounts_of_one_queue_is_one_ticket() -> None:
    out = settled([dispatched("a"), dispatched("a", account="zwei")])
    assert words(out) == ["ticket_created", "duplicate"]


def test_c5_a_mail_for_two_queues_is_one_ticket_each_and_they_are_linked() -> None:
    copies = [dispatched("a"), dispatched("a", account="zwei", queue="comercial")]
    out = settled([*copies, dispatched("a", account="drei", queue="comercial")])
    assert words(out) == ["ticket_created", "ticket_created", "duplicate"]
    assert [(link.source_id, link.target_id) for link in out.links] == [(101, 102)]


def test_a_reply_in_two_accounts_is_one_article() -> None:
    out = settled([by_number("r"), by_number("r", account="zwei", queue="comercial")], existing())
    assert words(out) == ["article_added", "duplicate"]


def test_an_ignored_mail_does_not_claim_its_content() -> None:
    out = settled([dispatched("a", action="ignore"), dispatched("a", account="zwei")])
    assert words(out) == ["ignored", "ticket_created"]


# --- mails that become no ticket ------------------------------------------------------------------------------


def test_ligero_8_4_a_refused_mail_becomes_no_ticket_and_its_sender_is_told() -> None:
    plan = NewTicketPlan("suporte", "T", refused_by="portal")
    event = dispatched("a", new=plan)
    out = settled([event, event])
    assert (words(out), out.created, out.articles, out.participants) == (["refused", "duplicate"], [], [], [])
    fact = fact_of(out)
    assert isinstance(fact, MailRefused)
    assert (out.facts[0].key, fact.refused_by, fact.answer.address) == (event.content_key, "portal", ANA)
    assert (fact.ticket_id, fact.article_id, fact.number) == ("0", "0", "")
    assert (out.claims[0].outcome, out.claims[0].claims_content) == ("refused", False)


@pytest.mark.parametrize("option", ["possible", "reject", "new_ticket"])
@pytest.mark.parametrize("state", ["open", "closed successful"])
def test_ligero_8_4_a_follow_up_is_never_refused(option: str, state: str) -> None:
    plan = NewTicketPlan("suporte", "T", refused_by="portal")
    out = settled([by_number("r", new=plan)], existing(state), desk(follow_up=option))
    assert "refused" not in words(out)
    assert len(out.articles) == 1


def test_a_replay_of_a_refused_mail_is_settled_again() -> None:
    refuses = NewTicketPlan("suporte", "T", refused_by="portal")
    out = settled([dispatched("a", new=refuses), dispatched("a", replay_of="mail.received.v1/0/17")])
    assert words(out) == ["refused", "ticket_created"]


def test_quarantined_mail_waits_for_a_decision_and_claims_its_delivery() -> None:
    bomb = dispatched("a", action="quarantine", reason="depth")
    out = settled([bomb, bomb])
    assert (words(out), len(out.quarantined), out.facts) == (["quarantined", "duplicate"], 1, [])


def test_a_replay_takes_over_the_claim_of_a_quarantined_mail_once() -> None:
    replay = dispatched("a", replay_of="mail.received.v1/0/17")
    out = settled([dispatched("a", action="quarantine", reason="depth"), replay, replay])
    assert words(out) == ["quarantined", "ticket_created", "duplicate"]
    assert (out.claims[-1].outcome, out.claims[-1].claims_content) == ("ticket_created", True)


def test_a_replay_of_a_mail_that_became_a_ticket_is_a_duplicate() -> None:
    out = settled([dispatched("a"), dispatched("a", replay_of="mail.received.v1/0/17")])
    assert words(out) == ["ticket_created", "duplicate"]


def test_an_oversize_mail_is_told_of_and_becomes_no_ticket() -> None:
    event = dispatched("a", action="oversize")
    out = settled([event])
    assert (words(out), out.created) == (["oversize"], [])
    assert (out.facts[0].key, type(fact_of(out))) == (event.transport_key, MailOversize)


def test_a_fact_is_bounded_whatever_a_stranger_wrote() -> None:
    crowd = [Party("", f"p{n}@kunde.example") for n in range(5000)]
    out = settled([dispatched("a", to=crowd, references=[f"<{n}@x>" for n in range(5000)])])
    fact = fact_of(out)
    assert (len(fact.to), len(fact.references), fact.references[-1]) == (100, 50, "<a@kunde.example>")
    assert len(out.participants) == 51


def test_an_endless_address_is_no_participant() -> None:
    assert settled([dispatched("a", "x" * 4000 + "@kunde.example")]).participants == []


def test_a_fact_tells_the_fields_of_its_ticket_within_bounds() -> None:
    said = {f"F{n}": "v" * 4000 for n in range(80)}
    plan = NewTicketPlan("suporte", "T", priority="4 high", type="I", service="S", sla="L", dynamic_fields=said)
    fact = fact_of(settled([dispatched("a", new=plan)]))
    assert (fact.priority, fact.type, fact.service, fact.sla, fact.customer_user) == ("4 high", "I", "S", "L", "")
    assert (len(fact.dynamic_fields), set(map(len, fact.dynamic_fields.values()))) == (50, {500})
