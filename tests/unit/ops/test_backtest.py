"""What two desks decide differently, and how it is told."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from ops.backtest import Difference, Tally, decided, differences, moment_of, shown
from services.dispatcher.decide import Setting
from shared.desk.model import Desk
from tests.unit.dispatcher.test_decide import ARRIVED, plain, received

ACCOUNT = {"type": "imaps", "host": "h", "user": "u", "password": {"secret": "s"}, "dispatch": "by_to", "trusted": True}
BASE = {
    "queues": {"suporte": {}, "vip": {}},
    "system_addresses": {"suporte@empresa.example": {"name": "S", "queue": "suporte"}},
    "accounts": {"caixa": ACCOUNT},
}
FILTER = {"match": [{"header": "From", "pattern": "ana@"}], "set": {"X-OTRS-Queue": "vip", "X-OTRS-Priority": "4 high"}}


def setting(**more: object) -> Setting:
    return Setting(Desk.model_validate(BASE | more), "", [b"k" * 32])


def test_only_what_differs_is_told() -> None:
    mail = received(plain("Fatura"))
    old, new = decided(mail, setting()), decided(mail, setting(filters={"vip": FILTER}))
    assert differences(old, old) == []
    assert differences(old, new) == [
        Difference("queue", "suporte", "vip"),
        Difference("filters", "none", "vip"),
        Difference("priority", "3 normal", "4 high"),
    ]


def test_a_mail_that_would_be_ignored_is_told_as_that_alone() -> None:
    mail = received(plain("Fatura"))
    ignoring = FILTER | {"set": {"X-OTRS-Ignore": "yes"}}
    old, new = decided(mail, setting()), decided(mail, setting(filters={"no": ignoring}))
    assert differences(old, new) == [Difference("action", "dispatch", "ignore")]


def test_the_table_counts_and_gives_examples_and_says_how_far_it_reaches() -> None:
    tally = Tally()
    for subject in ("Fatura", "Boleto", "Nota"):
        mail = received(plain(subject))
        tally.add(mail, decided(mail, setting()), decided(mail, setting(filters={"vip": FILTER})))
    mail = received(plain("Outra").replace(b"ana@", b"bruno@"))
    tally.add(mail, decided(mail, setting()), decided(mail, setting(filters={"vip": FILTER})))
    text = shown(tally, ARRIVED - timedelta(days=1), as_json=False)
    assert "queue     suporte   vip     3      Fatura <ana@kunde.example> (caixa 42)" in text
    assert "4 mails since 2026-02-28T12:30:00.000Z (the oldest came 2026-03-01T12:30:00.000Z): 3 would be" in text
    rows = [json.loads(line) for line in shown(tally, ARRIVED, as_json=True).splitlines()]
    assert rows[-1] == {
        "summary": True, "mails": 4, "changed": 3, "unread": 0, "since": "2026-03-01T12:30:00.000Z",
        "oldest": "2026-03-01T12:30:00.000Z",
    }  # fmt: skip
    assert next(row for row in rows if row["what"] == "queue")["examples"] == [
        f"{subject} <ana@kunde.example> (caixa 42)" for subject in ("Fatura", "Boleto", "Nota")
    ]


def test_nothing_that_differs_is_said_too() -> None:
    assert shown(Tally(), ARRIVED, as_json=False).startswith("nothing would be decided otherwise")
    assert "the topic holds none of that time" in shown(Tally(), ARRIVED, as_json=False)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2d", ARRIVED - timedelta(days=2)),
        ("12h", ARRIVED - timedelta(hours=12)),
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
        ("2026-01-31T08:00:00-03:00", datetime(2026, 1, 31, 11, tzinfo=UTC)),
    ],
)
def test_a_time_is_an_age_or_a_date(text: str, expected: datetime) -> None:
    assert moment_of(text, ARRIVED) == expected
    with pytest.raises(ValueError):
        moment_of("yesterday", ARRIVED)
