"""A mail's way in stages, from the facts of an installation."""

from datetime import UTC, datetime, timedelta

from ops.problems import Facts, Stored
from ops.stages import stages
from shared.kafka.groups import GroupState

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def before(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def test_each_stage_says_what_waits_and_since_when() -> None:
    stored = Stored(
        accounts=[{"account": "a", "last_success": before(5)}, {"account": "b", "last_success": before(50)}, {}],
        outbox={"pending": 4, "oldest": before(3), "led": True, "to_come": 0},
        outbound=[
            {"state": "queued", "mails": 2, "oldest": before(7)},
            {"state": "deferred", "mails": 1, "oldest": before(90)},
            {"state": "held", "mails": 9, "oldest": before(9000)},
        ],
    )
    groups = [
        GroupState("carteiro-dispatcher-received", "mail.received.v1", 8, before(20), 1),
        GroupState("carteiro-ticketing-dispatched", "mail.dispatched.v1", 0, None, 1),
        GroupState("carteiro-mailer-events", "ticket.events.v1", 1, before(2), 1),
    ]
    assert [(row["stage"], row["waiting"], row["age"]) for row in stages(Facts(stored, groups), NOW)] == [
        ("fetch", None, 50),
        ("dispatch", 8, 20),
        ("settle", 0, None),
        ("publish", 4, 3),
        ("compose", 1, 2),
        ("send", 3, 90),
    ]


def test_a_server_that_is_away_hides_its_stages_only() -> None:
    assert [row["stage"] for row in stages(Facts(Stored(), None), NOW)] == ["fetch", "publish", "send"]
    groups = [GroupState("carteiro-dispatcher-received", "mail.received.v1", 0, None, 1)]
    assert [row["stage"] for row in stages(Facts(None, groups), NOW)] == ["dispatch"]
