"""Two migrations of one service with one number: the second would never be applied."""

from collections import Counter

from shared.migrations import available


def test_a_number_is_given_once() -> None:
    numbers = Counter((migration.service, migration.number) for migration in available())
    assert [f"{service} {number}" for (service, number), times in numbers.items() if times > 1] == []
