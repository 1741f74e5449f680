from collections import Counter

import pytest

from services.mailer.loops import Reason, judge
from services.mailer.recipients import answer_for
from shared.desk.model import Desk
from shared.events import Answer, ArticleFact, Kind, Origin
from tests.unit.mailer.desks import added, created, desk, rejected


def reason(fact: ArticleFact, desk_: Desk | None = None, counts: Counter[str] | None = None) -> Reason | None:
    desk_ = desk_ or desk()
    return judge(fact, answer_for(fact, desk_), desk_, Counter() if counts is None else counts).reason


@pytest.mark.parametrize(
    ("fact", "expected"),
    [
        (created(), None),
        (added(), None),
        (rejected(), None),
        (created(queue="comercial"), Reason.NO_TEMPLATE),
        (created(queue="muda"), Reason.NO_SENDER),
        (created(state="closed successful"), Reason.CLOSED),
        (created(state="removed"), Reason.CLOSED),
        (created(answer=Answer(withheld="precedence: bulk")), Reason.WITHHELD),
        (created(origin=Origin.BACKFILL), Reason.BACKFILL),
        (created(kind=Kind.AUTOMATIC), Reason.NOT_HUMAN),
        (created(kind=Kind.BOUNCE), Reason.NOT_HUMAN),
        (created(answer=Answer(address="comercial@empresa.example")), Reason.OWN_ADDRESS),
        (created(answer=Answer(address="Chamados@Empresa.example")), Reason.OWN_ADDRESS),
        (created(answer=Answer(address="not an address")), Reason.INVALID_ADDRESS),
        (created(answer=Answer()), Reason.INVALID_ADDRESS),
        (created(answer=Answer(address="mailer-daemon@kunde.example")), Reason.NO_RESPONSE_REGEXP),
        (created(answer=Answer(address="PostMaster@kunde.example")), Reason.NO_RESPONSE_REGEXP),
        (created(answer=Answer(address="abuse@kunde.example")), Reason.NO_RESPONSE_REGEXP),
        (created(answer=Answer(address="abuse@localhost")), None),
    ],
)
def test_why_an_answer_is_not_sent(fact: ArticleFact, expected: Reason | None) -> None:
    assert reason(fact) is expected


def test_the_first_reason_in_order_is_the_one_that_is_named() -> None:
    bad = Answer(withheld="loop")
    assert reason(created(queue="comercial", state="removed", answer=bad)) is Reason.NO_TEMPLATE
    assert reason(created(state="removed", answer=bad)) is Reason.CLOSED
    assert reason(created(origin=Origin.BACKFILL, answer=bad)) is Reason.WITHHELD


def test_of_fifty_mails_of_one_address_forty_are_answered() -> None:
    counts: Counter[str] = Counter()
    reasons = [reason(created(number=f"20260301100000{n:02d}"), counts=counts) for n in range(50)]
    assert reasons == [None] * 40 + [Reason.DAILY_LIMIT] * 10
    assert counts == {"cliente@kunde.example": 40}


def test_the_limit_counts_what_was_answered_earlier_today() -> None:
    assert reason(created(), counts=Counter({"cliente@kunde.example": 39})) is None
    assert reason(created(), counts=Counter({"cliente@kunde.example": 40})) is Reason.DAILY_LIMIT


@pytest.mark.parametrize(("limit", "answered"), [(3, 3), (0, 100)])
def test_an_address_has_its_own_limit_and_zero_is_none(limit: int, answered: int) -> None:
    desk_ = desk(postmaster_max_emails_per_address={"cliente@kunde.example": limit})
    counts: Counter[str] = Counter()
    assert [reason(created(), desk_, counts) for _ in range(100)].count(None) == answered


def test_case_does_not_make_another_address() -> None:
    counts = Counter({"cliente@kunde.example": 40})
    assert reason(created(answer=Answer(address="Cliente@KUNDE.example")), counts=counts) is Reason.DAILY_LIMIT


def test_what_the_expression_stops_was_counted_before() -> None:
    counts: Counter[str] = Counter()
    reason(created(answer=Answer(address="abuse@kunde.example")), counts=counts)
    assert counts == {"abuse@kunde.example": 1}


def test_a_withheld_answer_counts_for_nobody() -> None:
    counts: Counter[str] = Counter()
    reason(created(answer=Answer(withheld="list")), counts=counts)
    assert not counts
