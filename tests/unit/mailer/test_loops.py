from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from services.mailer.audience import notifications_for
from services.mailer.loops import Known, Reason, Window, judge, judge_notification
from services.mailer.recipients import answer_for
from shared.desk.model import Desk
from shared.events import Answer, ArticleFact, Kind, Origin, TicketCreated
from tests.unit.mailer.desks import MOMENT, added, created, desk, rejected


def reason(fact: ArticleFact, desk_: Desk | None = None, counts: Counter[Window] | None = None) -> Reason | None:
    desk_ = desk_ or desk()
    known = Known(Counter() if counts is None else counts, frozenset())
    return judge(fact, answer_for(fact, desk_), desk_, known, MOMENT).reason


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


def day(address: str) -> Window:
    """The desk's day: its midnight in São Paulo."""
    return Window(f"address {address}", datetime(2026, 3, 1, 3, tzinfo=UTC))


OWN = day("cliente@kunde.example")


def tickets(number: int) -> list[TicketCreated]:
    return [created(ticket_id=str(n), number=f"20260301100000{n:02d}") for n in range(number)]


def test_of_fifty_mails_of_one_address_forty_are_answered() -> None:
    counts: Counter[Window] = Counter()
    reasons = [reason(fact, counts=counts) for fact in tickets(50)]
    assert reasons == [None] * 40 + [Reason.DAILY_LIMIT] * 10
    assert counts[OWN] == 40


def test_the_limit_counts_what_was_answered_earlier_today() -> None:
    assert reason(created(), counts=Counter({OWN: 39})) is None
    assert reason(created(), counts=Counter({OWN: 40})) is Reason.DAILY_LIMIT
    yesterday = OWN._replace(starts=OWN.starts - timedelta(days=1))
    assert reason(created(), counts=Counter({yesterday: 40})) is None


@pytest.mark.parametrize(("limit", "answered"), [(3, 3), (0, 100)])
def test_an_address_has_its_own_limit_and_zero_is_none(limit: int, answered: int) -> None:
    desk_ = desk(postmaster_max_emails_per_address={"cliente@kunde.example": limit})
    counts: Counter[Window] = Counter()
    assert [reason(fact, desk_, counts) for fact in tickets(100)].count(None) == answered


def test_case_does_not_make_another_address() -> None:
    counts = Counter({OWN: 40})
    assert reason(created(answer=Answer(address="Cliente@KUNDE.example")), counts=counts) is Reason.DAILY_LIMIT


def test_what_the_expression_stops_was_counted_before() -> None:
    counts: Counter[Window] = Counter()
    reason(created(answer=Answer(address="abuse@kunde.example")), counts=counts)
    assert counts[day("abuse@kunde.example")] == 1


def test_a_withheld_answer_counts_for_nobody() -> None:
    counts: Counter[Window] = Counter()
    reason(created(answer=Answer(withheld="list")), counts=counts)
    assert not counts


def forged(n: int, domain: str) -> TicketCreated:
    return created(ticket_id=str(n), answer=Answer(address=f"victim{n}@{domain}"))


def test_four_hundred_forged_senders_of_one_domain_get_a_hundred_answers() -> None:
    counts: Counter[Window] = Counter()
    reasons = Counter(reason(forged(n, "victims.example"), counts=counts) for n in range(400))
    assert reasons == {None: 100, Reason.DOMAIN_LIMIT: 300}


def test_forged_senders_of_as_many_domains_meet_the_limit_of_all() -> None:
    counts: Counter[Window] = Counter()
    desk_ = desk(limits={"answers_in_all": 50})
    reasons = Counter(reason(forged(n, f"d{n}.example"), desk_, counts) for n in range(400))
    assert reasons == {None: 50, Reason.TOTAL_LIMIT: 350}
    vouched = created(ticket_id="401", answer=Answer(address="known@kunde.example", verified=True))
    assert reason(vouched, desk_, counts) is None, "whom his domain vouches for is no victim"


def test_what_one_window_stops_counts_in_none() -> None:
    counts: Counter[Window] = Counter()
    desk_ = desk(limits={"answers_in_all": 1})
    for n in range(3):
        reason(forged(n, "victims.example"), desk_, counts)
    assert set(counts.values()) == {1}


def test_two_machines_that_lost_every_mark_end_within_the_window_of_their_ticket() -> None:
    counts: Counter[Window] = Counter()
    reasons = [reason(added(), counts=counts) for _ in range(30)]
    assert reasons == [None] * 10 + [Reason.TICKET_LIMIT] * 20


def test_an_address_that_bounced_for_good_is_answered_no_more() -> None:
    known = Known(Counter(), frozenset({"cliente@kunde.example"}))
    assert judge(created(), answer_for(created(), desk()), desk(), known, MOMENT).reason is Reason.BOUNCED_ADDRESS
    proven = created(answer=Answer(address="cliente@kunde.example", verified=True))
    assert judge(proven, answer_for(proven, desk()), desk(), known, MOMENT).reason is None


@pytest.mark.parametrize(("days", "expected"), [(60, None), (61, Reason.STALE)])
def test_what_is_older_than_sixty_days_leads_to_no_mail(days: int, expected: Reason | None) -> None:
    old = created(occurred_at=MOMENT - timedelta(days=days))
    assert reason(old) is expected
    assert told(old, Counter()) == [expected] * 2


def told(fact: ArticleFact, counts: Counter[Window], desk_: Desk | None = None) -> list[Reason | None]:
    desk_ = desk_ or desk()
    known = Known(counts, frozenset())
    return [judge_notification(fact, n, desk_, known, MOMENT).reason for n in notifications_for(fact, desk_, {})]


def test_an_agent_who_answers_like_a_person_is_told_twenty_times_of_one_ticket() -> None:
    counts: Counter[Window] = Counter()
    rounds = [told(added(), counts)[0] for _ in range(60)]
    assert rounds == [None] * 20 + [Reason.TICKET_LIMIT] * 40


def test_an_agent_has_a_window_over_all_tickets() -> None:
    counts: Counter[Window] = Counter()
    desk_ = desk(limits={"notifications_per_agent": 5})
    reasons = [told(created(ticket_id=str(n)), counts, desk_)[0] for n in range(8)]
    assert reasons == [None] * 5 + [Reason.AGENT_LIMIT] * 3


def test_an_agent_with_an_address_of_ours_is_a_row_that_says_so() -> None:
    agents = {"ana": {"name": "Ana", "email": "comercial@empresa.example"}}
    desk_ = desk(agents=agents, queues={"suporte": {"agents": ["ana"]}})
    assert told(created(), Counter(), desk_) == [Reason.OWN_ADDRESS]
