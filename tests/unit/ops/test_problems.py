"""From facts to what needs somebody: one row a rule, one for its other side."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ops.advice import advice
from ops.problems import Facts, Stored, problems
from shared.kafka.admin import Difference
from shared.kafka.groups import GroupState
from shared.topics import BY_NAME

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def before(**ago: float) -> datetime:
    return NOW - timedelta(**ago)


def account(**changes: Any) -> Stored:
    row = {"account": "caixa", "error": "", "error_text": "", "holder": "f-0", "last_success": before(seconds=10)}
    return Stored(accounts=[row | changes])


def group(lag: int = 0, members: int = 1, oldest: datetime | None = None) -> list[GroupState]:
    return [GroupState("carteiro-mailer-events", "ticket.events.v1", lag, oldest, members)]


def outbound(state: str, oldest: datetime, due: datetime) -> Stored:
    return Stored(outbound=[{"account": "padrao", "state": state, "mails": 3, "oldest": oldest, "due": due}])


def outbox(oldest: datetime | None, *, led: bool = True) -> Stored:
    return Stored(outbox={"pending": 9, "oldest": oldest, "led": led, "to_come": 0})


def letters(number: int) -> Stored:
    row = {"topic": "mail.received.v1", "reason": "malformed", "letters": number, "oldest": before(hours=3)}
    return Stored(letters=[row])


WELL = [
    Facts(Stored(), []),
    Facts(None, None),
    Facts(account(), []),
    Facts(account(last_success=None), []),  # just started, its first look goes on
    Facts(account(last_success=before(minutes=21)), []),  # two intervals of ten minutes, and a little
    Facts(account(last_success=before(hours=2), interval=timedelta(hours=1)), []),
    Facts(None, group()),
    Facts(None, group(lag=500, oldest=before(minutes=4))),
    Facts(outbox(before(minutes=4)), None),
    Facts(outbound("queued", before(minutes=4), before(minutes=4)), None),
    Facts(outbound("deferred", before(hours=9), NOW + timedelta(hours=1)), None),
]


def gap(reason: str, records: int) -> Stored:
    return Stored(
        gaps=[{"topic": "mail.dispatched.v1", "reason": reason, "records": records, "noticed": before(hours=3)}]
    )


ALL_MISSING = [Difference(f"x-{name}", "missing", "", "") for name in BY_NAME]
ELSEWHERE = "; there are some under '' and 'y-': is CARTEIRO_PREFIX right?"
GOES_ON = "What runs goes on with the last good one, and does not start anew"
NEEDS_SOMEBODY = [
    (
        Facts(None, None, ALL_MISSING, ["", "y-"]),
        (
            "topics",
            "none is there, x-mail.received.v1 for one: run `carteiro topics apply`" + ELSEWHERE,
            "CarteiroMetricsAbsent",
        ),
    ),
    (
        Facts(None, None, ALL_MISSING),
        ("topics", "none is there, x-mail.received.v1 for one: run `carteiro topics apply`", "CarteiroMetricsAbsent"),
    ),
    (
        Facts(None, None, ALL_MISSING[:1]),
        ("topic x-mail.received.v1", "is missing: run `carteiro topics apply`", "CarteiroMetricsAbsent"),
    ),
    (
        Facts(None, None, [Difference("mail.received.v1", "partitions", "12", "1")]),
        (
            "topic mail.received.v1",
            "partitions is 1, expected 12: run `carteiro topics apply`",
            "CarteiroMetricsAbsent",
        ),
    ),
    (
        Facts(None, None, [Difference("mail.received.v1", "replicas", "3", "1")]),
        (
            "topic mail.received.v1",
            "has 1 replicas, CARTEIRO_KAFKA_REPLICAS wants 3: reassign its partitions",
            "CarteiroMetricsAbsent",
        ),
    ),
    (
        Facts(None, None, desk=["desk.yaml:3: queues: mad; expected a map"]),
        (
            "desk",
            "refused: desk.yaml:3: queues: mad; expected a map. " + GOES_ON,
            "CarteiroDeskReloadFailed",
        ),
    ),
    (
        Facts(Stored(lacks=["mailer/0005_pre_gaps.sql"]), None),
        ("schema", "lacks mailer/0005_pre_gaps.sql: run `carteiro migrate`", "CarteiroMetricsAbsent"),
    ),
    (
        Facts(gap("expired", 40), None),
        (
            "topic mail.dispatched.v1",
            "40 records had expired before they were read, noticed 3 h ago",
            "CarteiroRecordsMissing",
        ),
    ),
    (
        Facts(gap("log_went_back", 1), None),
        ("topic mail.dispatched.v1", "1 record went with the topic's end, noticed 3 h ago", "CarteiroRecordsMissing"),
    ),
    (
        Facts(account(error="auth_failed", error_text="refused", error_since=before(minutes=3)), None),
        (
            "account caixa",
            f"fails for 3 min: refused. Next: {advice('auth_failed', 'caixa')}",
            "CarteiroAccountAuthFailing",
        ),
    ),
    (
        Facts(account(error="timeout", holder=None), None),
        (
            "account caixa",
            "fails: timeout. Next: the server or the way to it is slow: try `carteiro account test caixa`",
            "CarteiroAccountNotPolled",
        ),
    ),
    (
        Facts(account(holder=None), None),
        ("account caixa", "nobody reads it: is a fetcher running?", "CarteiroAccountUnowned"),
    ),
    (
        Facts(account(last_success=before(minutes=23)), None),
        ("account caixa", "no look has succeeded for 23 min", "CarteiroAccountNotPolled"),
    ),
    (
        Facts(None, group(lag=7, members=0)),
        (
            "group carteiro-mailer-events",
            "nobody reads, 7 records wait on ticket.events.v1: is mailer running?",
            "CarteiroMetricsAbsent",
        ),
    ),
    (
        Facts(None, group(members=0)),
        (
            "group carteiro-mailer-events",
            "nobody reads ticket.events.v1: is mailer running?",
            "CarteiroMetricsAbsent",
        ),
    ),
    (
        Facts(None, group(lag=7, oldest=before(minutes=6))),
        (
            "group carteiro-mailer-events",
            "7 records wait on ticket.events.v1, the oldest for 6 min",
            "CarteiroPartitionWaits",
        ),
    ),
    (
        Facts(outbox(None, led=False), None),
        (
            "outbox",
            "no ticketing process has compared this database with the topic and leads: nothing becomes a ticket",
            "CarteiroOutboxUnled",
        ),
    ),
    (
        Facts(outbox(before(minutes=6)), None),
        ("outbox", "9 events wait to be published, the oldest for 6 min", "CarteiroOutboxStuck"),
    ),
    (
        Facts(outbound("queued", before(minutes=6), before(seconds=1)), None),
        ("outbound account padrao", "3 mails wait to be sent (queued), the oldest for 6 min", "CarteiroOutboundStuck"),
    ),
    (
        Facts(outbound("deferred", before(hours=9), before(minutes=6)), None),
        ("outbound account padrao", "3 mails wait to be sent (deferred), the oldest for 9 h", "CarteiroOutboundStuck"),
    ),
    (
        Facts(letters(1), None),
        (
            "dead letters of mail.received.v1",
            "1 waits for a decision (malformed), the oldest for 3 h",
            "CarteiroDeadLettersPresent",
        ),
    ),
    (
        Facts(letters(2), None),
        (
            "dead letters of mail.received.v1",
            "2 wait for a decision (malformed), the oldest for 3 h",
            "CarteiroDeadLettersPresent",
        ),
    ),
]


def test_what_waits_half_its_retention_holds_the_brake() -> None:
    state = GroupState("carteiro-dispatcher-received", "mail.received.v1", 3, before(days=8), 1)
    (problem,) = problems(Facts(None, [state]), NOW)
    assert problem.runbook == "CarteiroBrake"


@pytest.mark.parametrize("facts", WELL)
def test_nobody_is_called_while_all_is_well(facts: Facts) -> None:
    assert problems(facts, NOW) == []


@pytest.mark.parametrize(("facts", "expected"), NEEDS_SOMEBODY)
def test_a_problem_is_one_sentence_and_its_runbook(facts: Facts, expected: tuple[str, str, str]) -> None:
    assert problems(facts, NOW) == [expected]


def test_problems_come_in_the_order_of_a_mails_way() -> None:
    stored = Stored(accounts=account(holder=None).accounts, letters=letters(1).letters)
    found = [problem.about for problem in problems(Facts(stored, group(members=0)), NOW)]
    assert found == ["account caixa", "group carteiro-mailer-events", "dead letters of mail.received.v1"]
