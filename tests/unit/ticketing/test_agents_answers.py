"""An agent answers a notification from his own mail program: to whom it goes, and what keeps others from it."""

from typing import Any

import pytest

from services.ticketing.batch import LastMail, Settlement, Snapshot
from services.ticketing.commands import Given, Order, Refusal, Refused, Reply
from services.ticketing.deciding import decide
from services.ticketing.replies import addressed
from shared.desk.model import Agent, Desk, Queue, SystemAddress
from shared.events import (
    AgentReplied,
    Answer,
    ArticleAdded,
    AttachmentInfo,
    Candidate,
    Check,
    Kind,
    MailDispatched,
    Party,
)
from tests.unit.ticketing.mails import ANA, BRUNO, MALLORY, dispatched
from tests.unit.ticketing.test_settle import KEY, NOW, existing, fact_of, settled, with_another, words

OLGA, RUI = "olga@empresa.example", "rui@outra.example"
DESK = Desk(
    queues={"suporte": Queue(agents=("olga",)), "comercial": Queue()},
    agents={"olga": Agent(name="Olga Reis", email="Olga@empresa.example"), "rui": Agent(name="Rui", email=RUI)},
    system_addresses={
        "suporte@empresa.example": SystemAddress(name="Suporte", queue="suporte"),
        "ajuda@empresa.example": SystemAddress(name="Ajuda", queue="suporte"),
    },
)
NOTICE = f"<c1.{KEY}.abcdefghij.mmmmmmmmmmmmm@empresa.example>"
LAST = LastMail("<old@kunde.example>", ["<older@kunde.example>"], ["ajuda@empresa.example"], Party("Ana", ANA), "Help")


def known(**more: Any) -> Snapshot:
    snapshot = existing(**more)
    snapshot.notified = {7: frozenset({(OLGA, NOTICE.lower()), (RUI, NOTICE.replace("abc", "xyz"))})}
    snapshot.last = {7: LAST}
    return snapshot


def answer(sender: str = OLGA, *, verified: bool = True, notice: str = NOTICE, **more: Any) -> MailDispatched:
    facts: dict[str, Any] = {
        "in_reply_to": [notice],
        "candidates": [Candidate(Check.SIGNED_MESSAGE_ID, KEY, proves_sender=True)],
        "answer": Answer(withheld="own" if not verified else "", address=sender if verified else "", verified=verified),
        "to": [Party("", "suporte@empresa.example")],
        "text": "Done.\n\n> notification",
        "reply_text": "Done.",
    }
    return dispatched("a", sender, **{**facts, **more})


def settle(mail: MailDispatched, snapshot: Snapshot | None = None) -> Settlement:
    return settled([mail], snapshot or known(), DESK)


def test_a_proved_answer_goes_to_the_customer_from_the_address_that_he_wrote_to() -> None:
    out = settle(answer(cc=[Party("Bruno", BRUNO), Party("", OLGA), Party("", "ajuda@empresa.example")]))
    assert words(out) == ["agent_replied"]
    fact = fact_of(out)
    assert isinstance(fact, AgentReplied)
    assert fact.sender == Party("Ajuda", "ajuda@empresa.example")
    assert (fact.to, fact.cc) == ([Party("Ana", ANA)], [Party("Bruno", BRUNO)])
    assert (fact.subject, fact.in_reply_to) == ("Help", "<old@kunde.example>")
    assert fact.references == ["<older@kunde.example>", "<old@kunde.example>"]
    assert (fact.agent, fact.sequence) == ("olga", 2)
    (article,) = out.articles
    assert (article.direction, article.sender_type, article.visible) == ("outgoing", "agent", True)
    sent = article.mail.event
    assert (sent.text, sent.sender) == ("Done.", Party("Olga Reis", "ajuda@empresa.example"))
    assert [(each.address, each.role) for each in out.participants] == [(BRUNO, "cc")]


def test_an_agent_of_another_queue_who_was_told_may_answer_too() -> None:
    out = settle(answer(RUI, notice=NOTICE.replace("abc", "xyz").upper()))
    assert words(out) == ["agent_replied"]


@pytest.mark.parametrize(
    "mail",
    [
        answer(verified=False),
        answer(notice=NOTICE.replace("abc", "xyz")),
        answer(notice=f"<c1.{KEY}.0.mmmmmmmmmmmmm@empresa.example>"),
        answer(kind=Kind.OUT_OF_OFFICE),
    ],
    ids=["nobody vouches for him", "another's notification", "the ticket's own reference", "an absence note"],
)
def test_what_is_not_proved_stays_here(mail: MailDispatched) -> None:
    out = settle(mail)
    assert words(out) == ["article_added"]
    assert isinstance(fact_of(out), ArticleAdded)
    assert fact_of(out).answer.address == ""


def test_a_stranger_with_the_notifications_id_speaks_for_himself() -> None:
    out = settle(answer(MALLORY))
    assert isinstance(fact_of(out), ArticleAdded)
    assert out.articles[0].direction == "incoming"


def test_an_agent_who_is_the_customer_is_answered_as_one() -> None:
    snapshot = known(participants=[OLGA])
    snapshot.tickets[0].customer_user = OLGA
    assert isinstance(fact_of(settle(answer(), snapshot)), ArticleAdded)


def test_the_notification_of_a_ticket_that_was_merged_is_good_for_its_target() -> None:
    snapshot = with_another(known())
    snapshot.tickets[0].merged_into = 8
    fact = fact_of(settle(answer(), snapshot))
    assert isinstance(fact, AgentReplied)
    assert (fact.ticket_id, fact.to) == ("8", [Party("", BRUNO)])


def test_a_new_ticket_is_open_once_somebody_answered_and_a_closed_one_stays_closed() -> None:
    assert fact_of(settle(answer(), known(state="new"))).state == "open"
    assert fact_of(settle(answer(), known(state="closed successful"))).state == "closed successful"


def test_files_stay_here_and_are_named() -> None:
    out = settle(answer(attachments=[AttachmentInfo("nota.pdf", "application/pdf", 3)]))
    assert out.articles[0].mail.event.text == "Done.\n\n[nota.pdf]"
    assert "Files were kept and not sent: nota.pdf." in [line.text for line in out.history]


# --- addresses ----------------------------------------------------------------------------------------------------


def test_nothing_goes_to_an_address_of_ours_or_twice() -> None:
    ticket = existing().tickets[0]
    named = [Party("", each) for each in ("SUPORTE+1@empresa.example", "no address", ANA.upper(), ANA, BRUNO)]
    head = addressed(ticket, LAST, DESK, to=named[:4], cc=named)
    assert head is not None
    assert ([each.address for each in head.to], [each.address for each in head.cc]) == ([ANA.upper()], [BRUNO])
    assert addressed(ticket, LAST, DESK, to=named[:2]) is None


def test_where_the_customer_wrote_to_no_address_of_ours_the_queue_has_one() -> None:
    ticket = existing().tickets[0]
    elsewhere = LAST._replace(recipients=["undisclosed@x.example"])
    for last in (elsewhere, None):
        head = addressed(ticket, last, DESK)
        assert head is not None
        assert head.sender.address == "suporte@empresa.example"
    ticket.queue = "comercial"
    assert addressed(ticket, None, DESK) is None
    plus = addressed(ticket, LAST._replace(recipients=["Ajuda+17@empresa.example"]), DESK)
    assert plus is not None
    assert plus.sender.address == "ajuda@empresa.example"


def test_the_requester_is_whom_the_ticket_names_or_who_wrote() -> None:
    ticket = existing().tickets[0]
    ticket.customer_user = BRUNO
    assert addressed(ticket, LAST, DESK).to == [Party("", BRUNO)]  # type: ignore[union-attr]  # there is one
    ticket.customer_user = "login17"
    assert addressed(ticket, LAST, DESK).to == [Party("Ana", ANA)]  # type: ignore[union-attr]  # there is one


def test_an_answer_by_command_is_the_same() -> None:
    order = Order("olga", "c-1")
    out = decide(Reply("Done."), order, Given(existing("new").tickets[0], last=LAST, article_id=77), DESK, NOW)
    fact = out.facts[0].fact
    assert isinstance(fact, AgentReplied)
    assert (fact.to, fact.sender.address, fact.state) == ([Party("Ana", ANA)], "ajuda@empresa.example", "open")
    assert out.note is not None
    assert (out.note.visible, out.note.subject, fact.article_id) == (True, "Help", "77")
    with pytest.raises(Refused) as caught:
        decide(Reply("x", to=("suporte@empresa.example",)), order, Given(existing().tickets[0]), DESK, NOW)
    assert caught.value.reason is Refusal.INVALID
