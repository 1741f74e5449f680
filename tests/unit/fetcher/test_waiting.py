"""How long is waited, after each kind of failure and between looks."""

import pytest

from services.fetcher.waiting import back_off, distance, hasty_looks


@pytest.mark.parametrize(
    ("result", "failures", "expected"),
    [
        ("connect_failed", 1, 2),
        ("connect_failed", 2, 4),
        ("connect_failed", 100, 300),
        ("timeout", 1_000_000, 300),
        ("mailbox_refused", 3, 900),
        ("grant_refused", 2, 4),
        ("grant_refused", 3, 900),
        ("token_unavailable", 9, 300),
        ("auth_failed", 1, 2),
        ("auth_failed", 2, 4),
        ("auth_failed", 3, 900),
        ("auth_failed", 4, 1800),
        ("auth_failed", 8, 21_600),
        ("auth_failed", 50, 21_600),
        ("busy", 1, 30),
        ("busy", 9, 300),
        ("throttled", 1, 300),
        ("throttled", 9, 3600),
        ("held_back", 9, 10),
    ],
)
def test_back_off_grows_to_a_limit_of_its_class(result: str, failures: int, expected: float) -> None:
    assert back_off(result, failures, jitter=0.0) == expected
    assert expected < back_off(result, failures, jitter=0.99) < expected * 1.2


def test_looks_that_bring_nothing_come_further_and_further_apart() -> None:
    hasty, distances = 0, []
    for _ in range(9):
        hasty = hasty_looks(hasty, waited=0.01, found=False)
        distances.append(distance(hasty))
    assert distances == [1, 2, 4, 8, 16, 30, 30, 30, 30]


@pytest.mark.parametrize(("waited", "found"), [(1.0, False), (0.0, True)])
def test_a_quiet_second_or_a_mail_ends_the_hurry(waited: float, found: bool) -> None:
    assert distance(hasty_looks(7, waited=waited, found=found)) == 0
