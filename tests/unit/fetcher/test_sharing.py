"""How accounts are shared out: evenly, and none moves without need."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.fetcher.sharing import shares, surplus


@pytest.mark.parametrize(
    ("held", "accounts", "expected"),
    [
        ({"a": 0}, 5, {"a": 5}),
        ({"a": 5, "b": 0}, 5, {"a": 3, "b": 2}),
        ({"a": 2, "b": 3}, 5, {"a": 2, "b": 3}),  # who has more keeps it
        ({"a": 2, "b": 2, "c": 0}, 4, {"a": 2, "b": 1, "c": 1}),
        ({"a": 0, "b": 0, "c": 0}, 1, {"a": 1, "b": 0, "c": 0}),
        ({}, 4, {}),
    ],
)
def test_shares(held: dict[str, int], accounts: int, expected: dict[str, int]) -> None:
    assert shares(held, accounts) == expected


@given(st.dictionaries(st.text(min_size=1), st.integers(0, 9), min_size=1, max_size=9))
def test_whoever_holds_an_even_share_gives_nothing_away(held: dict[str, int]) -> None:
    accounts = sum(held.values())
    share = shares(held, accounts)
    assert sum(share.values()) == accounts
    assert max(share.values()) - min(share.values()) <= 1
    assert shares(share, accounts) == share


def test_the_surplus_is_what_is_beyond_the_share() -> None:
    assert surplus({"c", "a", "b"}, 2) == ["c"]
    assert surplus({"a"}, 2) == []
