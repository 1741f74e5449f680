"""A ticket's number in what people paste."""

import pytest

from ops.tickets import number_of


@pytest.mark.parametrize(
    "written",
    [
        "2026112410000017",
        "Ticket#2026112410000017",
        "[Ticket#2026112410000017]",
        "[Ticket# 2026112410000017] ",
        "Chamado#: 2026112410000017",
        "#2026112410000017",
    ],
)
def test_a_number_is_found_in_its_hook(written: str) -> None:
    assert number_of(written) == "2026112410000017"


def test_what_holds_no_number_stays() -> None:
    assert number_of(" lost ") == "lost"
