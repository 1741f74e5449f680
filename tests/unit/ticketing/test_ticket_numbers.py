from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from services.ticketing.ticket_numbers import check_digit, day_of, ticket_number


@pytest.mark.parametrize(
    ("digits", "digit"),
    [
        ("201601011000001", 9),
        ("201601011000002", 8),
        ("201612121000001", 3),
        ("201701011000001", 7),
        ("202601011000010", 7),
        ("202601011099999", 6),
        ("201601011099999", 7),
        ("202609151000001", 3),
    ],
)
def test_the_check_digit_is_that_of_otrs(digits: str, digit: int) -> None:
    assert check_digit(digits) == digit


def test_a_number_is_day_system_counter_and_check_digit() -> None:
    assert ticket_number(date(2016, 1, 1), "10", 1) == "2016010110000019"
    assert ticket_number(date(2016, 1, 1), "10", 123_456)[:-1] == "2016010110123456"


def test_the_day_is_that_of_the_desk() -> None:
    just_after_midnight = datetime(2026, 3, 1, 2, 30, tzinfo=UTC)
    assert day_of(just_after_midnight, ZoneInfo("America/Sao_Paulo")) == date(2026, 2, 28)
    assert day_of(just_after_midnight, ZoneInfo("Europe/Berlin")) == date(2026, 3, 1)
