from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from services.ticketing.ticket_numbers import check_digit, counted, counting_day, day_of, number_of, ticket_number
from shared.desk.model import NumberGenerator, Ticket
from shared.subjects import find_numbers


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
def test_ligero_9_the_check_digit_is_that_of_otrs(digits: str, digit: int) -> None:
    assert check_digit(digits) == digit


def test_ligero_9_a_number_is_day_system_counter_and_check_digit() -> None:
    assert ticket_number(date(2016, 1, 1), "10", 1) == "2016010110000019"
    assert ticket_number(date(2016, 1, 1), "10", 123_456)[:-1] == "2016010110123456"


def test_the_day_is_that_of_the_desk() -> None:
    just_after_midnight = datetime(2026, 3, 1, 2, 30, tzinfo=UTC)
    assert day_of(just_after_midnight, ZoneInfo("America/Sao_Paulo")) == date(2026, 2, 28)
    assert day_of(just_after_midnight, ZoneInfo("Europe/Berlin")) == date(2026, 3, 1)


@pytest.mark.parametrize(
    ("generator", "number"),
    [("auto_increment", "1000042"), ("date", "201601011000042"), ("date_checksum", "2016010110000422")],
)
def test_ligero_9_each_generator_makes_numbers_that_it_finds_and_counts_again(
    generator: NumberGenerator, number: str
) -> None:
    settings = Ticket(number_generator=generator)
    moment = datetime(2016, 1, 1, 12, tzinfo=UTC)
    day = counting_day(settings, moment, ZoneInfo("UTC"))
    made = number_of(settings, day, 42)
    assert made[:-1] == number[:-1]
    assert find_numbers(f"Re: [Ticket#{made}] x", settings) == [made]
    assert counted(made, settings) == (day, 42)
    assert counted(f"{made}x", settings) is None
    later = counting_day(settings, datetime(2016, 1, 2, 12, tzinfo=UTC), ZoneInfo("UTC"))
    assert (later == day) is (generator == "auto_increment"), "a counter with a date starts anew each day"


def test_ligero_9_the_counter_of_auto_increment_has_the_digits_that_the_desk_says() -> None:
    settings = Ticket(number_generator="auto_increment", min_counter_size=3, system_id="7")
    assert number_of(settings, date(1970, 1, 1), 5) == "7005"
    assert number_of(settings, date(1970, 1, 1), 12345) == "712345"
