"""When the brake is on."""

from datetime import UTC, datetime, timedelta

import pytest

from services.fetcher.brake import reason
from shared.kafka.groups import GroupState
from shared.topics import DISPATCHED, EVENTS, RECEIVED

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def state(topic: str, days: float | None) -> GroupState:
    oldest = None if days is None else NOW - timedelta(days=days)
    return GroupState("carteiro-dispatcher-received", topic, 5, oldest, 1)


@pytest.mark.parametrize(
    ("topic", "days", "on"),
    [
        (RECEIVED, 6.9, False),
        (RECEIVED, 7.1, True),
        (DISPATCHED, 7.1, True),
        (EVENTS, 13, False),  # no mail travels there: the tables have it
        (RECEIVED, None, False),
    ],
)
def test_half_the_retention_unread_is_the_limit(topic: str, days: float | None, on: bool) -> None:
    assert bool(reason([state(topic, days)], NOW)) is on


def test_the_sentence_names_the_reader_to_start() -> None:
    assert "carteiro-dispatcher-received" in reason([state(RECEIVED, 9)], NOW)
