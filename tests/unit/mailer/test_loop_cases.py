"""The known ways into a mail loop, each by its id: a mail's bytes go in, through the dispatcher's decision, and the
mailer answers, or says why not."""

import hashlib
from collections import Counter

import pytest

from services.dispatcher.decide import Setting, decide
from services.mailer.letters import Desktop, write_answer
from services.mailer.loops import Known, Verdict, judge
from services.mailer.plans import plan_for
from services.mailer.recipients import answer_for
from shared.desk.model import Desk
from shared.events import Answer, ArticleAdded, ArticleFact, MailDispatched, Origin, ReceivedMail, TicketCreated
from shared.message_ids import key_of
from shared.mime import parse
from tests.unit.mailer.desks import KEYS, MOMENT, TEXTS, added, created, desk, sign

ANA = "ana@kunde.example"
SUPPORT = "suporte@empresa.example"
DESK = desk()


def mail(
    headers: str = "", *, sender: str = ANA, path: str | None = None, to: str = "suporte@empresa.example"
) -> bytes:
    extra = "".join(f"{line}\r\n" for line in headers.splitlines())
    return (
        f"Return-Path: <{sender if path is None else path}>\r\nFrom: {sender}\r\nTo: {to}\r\nSubject: Oi\r\n"
        f"Message-ID: <m1@kunde.example>\r\n{extra}\r\nBom dia\r\n"
    ).encode()


def decided(raw: bytes, with_: Desk | None = None) -> MailDispatched:
    received = ReceivedMail(
        "caixa", "INBOX", 17, "42", len(raw), hashlib.sha256(raw).hexdigest(), MOMENT, Origin.LIVE, raw
    )
    return decide(parse(raw), received, Setting(with_ or DESK, "", KEYS))


def new(raw: bytes, with_: Desk | None = None) -> TicketCreated:
    found = decided(raw, with_)
    return created(
        kind=found.classification.kind, answer=found.answer, sender=found.sender, message_id=found.message_id
    )


def follow_up(raw: bytes) -> ArticleAdded:
    found = decided(raw)
    return added(kind=found.classification.kind, answer=found.answer, sender=found.sender, message_id=found.message_id)


def verdict(fact: ArticleFact, known: Known | None = None, with_: Desk | None = None) -> Verdict:
    desk_ = with_ or DESK
    return judge(fact, answer_for(fact, desk_), desk_, known or Known(Counter(), frozenset()), MOMENT)


def reason(raw: bytes) -> str:
    return str(verdict(new(raw)))


def test_a_persons_mail_is_answered() -> None:
    assert reason(mail()) == ""


@pytest.mark.parametrize(
    "said", ["auto-generated", "AUTO-REPLIED", "auto-replied (vacation)", "auto-notified; owner-email=a@b", "what"]
)
def test_l1_what_was_submitted_by_itself_is_not_answered(said: str) -> None:
    assert reason(mail(f"Auto-Submitted: {said}")).startswith("withheld")
    assert reason(mail("Auto-Submitted: no (a person)")) == ""


@pytest.mark.parametrize("said", ["bulk", "list", "junk", "auto_reply"])
def test_l2_precedence_of_machines_is_not_answered_and_first_class_is(said: str) -> None:
    assert reason(mail(f"Precedence: {said}")).startswith("withheld")
    assert reason(mail("Precedence: first-class")) == ""


@pytest.mark.parametrize("said", ["All", "OOF", "AutoReply", "DR, AutoReply"])
def test_l3_a_mail_that_wants_no_automatic_answer_gets_none(said: str) -> None:
    assert reason(mail(f"X-Auto-Response-Suppress: {said}")).startswith("withheld")
    assert reason(mail("X-Auto-Response-Suppress: DR, NDR, RN, NRN")) == ""


@pytest.mark.parametrize(
    "header",
    [
        "List-Id: <news.example>",
        "List-Unsubscribe: <x>",
        "Mailing-List: contact x",
        "X-Loop: yes",
        "X-No-Loop: yes",
        "X-Autoreply: yes",
        "X-Autorespond: yes",
        "X-FC-Machinegenerated: true",
        "X-Carteiro-Loop: 10",
    ],
)
def test_l4_lists_and_the_marks_of_machines_are_not_answered(header: str) -> None:
    assert reason(mail(header)).startswith("withheld")


@pytest.mark.parametrize(
    ("sender", "path"), [(ANA, ""), ("mailer-daemon@kunde.example", None), ("postmaster@x.example", None)]
)
def test_l5_the_empty_return_path_and_daemons_are_not_answered(sender: str, path: str | None) -> None:
    assert reason(mail(sender=sender, path=path)) != ""


def test_l7_two_desks_that_answer_each_other_stop_within_two_mails() -> None:
    """Each has the other's address as a customer's. The first answer is marked, and the other side keeps silent."""
    others = desk(
        queues={"ajuda": {}},
        system_addresses={"ajuda@outra.example": {"name": "Ajuda", "queue": "ajuda"}},
        auto_responses={"r": {"type": "auto_reply", "queues": ["ajuda"]}},
        agents={},
    )
    sides = [(DESK, "suporte"), (others, "ajuda")]
    raw = mail(sender="ajuda@outra.example", path="ajuda@outra.example")
    sent = 0
    for turn in range(6):
        here, queue = sides[turn % 2]
        fact = created(
            queue=queue,
            answer=decided(raw, here).answer,
            kind=decided(raw, here).classification.kind,
            sender=decided(raw, here).sender,
        )
        if verdict(fact, with_=here).reason:
            break
        answer = answer_for(fact, here)
        sent += 1
        raw = write_answer(fact, answer, fact.answer.address, key_of(str(turn)), Desktop(here, TEXTS, sign)).raw
        raw = f"Return-Path: <{answer.sender.address if answer.sender else ''}>\r\n".encode() + raw
    assert sent == 1, "two at most"


def test_l7_with_every_mark_stripped_a_ticket_ends_it() -> None:
    known = Known(Counter(), frozenset())
    said = [str(verdict(follow_up(mail(sender="ajuda@outra.example")), known)) for _ in range(30)]
    assert said == [""] * 10 + ["ticket_limit"] * 20


def test_l8_of_fifty_mails_of_one_address_forty_are_answered_all_are_tickets() -> None:
    known = Known(Counter(), frozenset())
    facts = [new(mail()) for _ in range(50)]
    said = Counter(str(verdict(created(ticket_id=str(n), answer=fact.answer), known)) for n, fact in enumerate(facts))
    assert said == {"": 40, "daily_limit": 10}
    assert {decided(mail()).action for _ in range(2)} == {"dispatch"}


def test_l9_an_automatic_reply_on_a_closed_ticket_reopens_nothing_and_is_not_answered() -> None:
    found = decided(mail("Auto-Submitted: auto-replied\nIn-Reply-To: <m0@kunde.example>"))
    assert not found.follow_up.reopen
    assert verdict(follow_up(mail("Auto-Submitted: auto-replied"))).reason


def test_l10_forged_senders_get_a_thousand_answers_that_carry_no_word_of_theirs() -> None:
    known = Known(Counter(), frozenset())
    said: Counter[str] = Counter()
    for n in range(2000):
        fact = created(
            ticket_id=str(n),
            subject="BUY NOW",
            title="BUY NOW",
            answer=Answer(address=f"victim{n}@d{n}.example"),
        )
        said[str(verdict(fact, known))] += 1
    assert said == {"": 1000, "total_limit": 1000}
    raw = write_answer(fact, answer_for(fact, DESK), fact.answer.address, key_of("x"), Desktop(DESK, TEXTS, sign)).raw
    assert b"BUY" not in raw


def test_l12_five_hundred_addresses_in_to_and_cc_are_not_mailed() -> None:
    many = ", ".join(f"p{n}@kunde.example" for n in range(500))
    fact = new(mail(f"Cc: {many}", to=f"suporte@empresa.example, {many}"))
    plan = plan_for("e", fact, DESK, {})
    assert plan.answer is not None
    assert plan.answer.recipient == ANA
    assert {each.reader.email for each in plan.notifications} == {"ana@empresa.example", "bruno@empresa.example"}
