"""Every rule of OTRS's that we hold to, and every known fault of mail, has a test that bears its id.

`L`: loops and backscatter, `F`: identity and follow-ups, `I`: injection, `B`: bombs, `C`: faults of content;
`outgoing`: what we send; `ligero 5` to `9`: follow-up checks, policy of follow-ups, queues by recipient, headers and
filters, subjects and numbers.
"""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NAMES = [
    name.lower()
    for path in sorted(ROOT.rglob("test_*.py"))
    for name in re.findall(r"^(?:async )?def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
]
OF_NO_PART = {"i5": "no HTML of a mail is shown to anybody", "i8": "nothing is exported to spreadsheets"}
FAULTS = [
    f"{kind}{number}"
    for kind, last in (("l", 12), ("f", 11), ("i", 8), ("b", 15), ("c", 11))
    for number in range(1, last + 1)
    if f"{kind}{number}" not in OF_NO_PART
]
RULES = [
    *(f"5_{number}" for number in range(1, 12)),
    *("6_1", "6_3", "6_4", "6_5"),  # 6.2 needs agents who say that they are away
    *("7_1", "7_2", "7_3", "7_4"),
    *("8_1", "8_2", *(f"8_3_{number}" for number in range(1, 8)), "8_4"),
]


OUTGOING = ("1", "2", "3", "4", "5", "6", "8", "9")  # 7, DKIM and SPF, are the relay's and the operator's


def held(rule: str) -> bool:
    """`_5_10_and_5_11_` names two rules, `_7_1_to_7_3_` a row of them."""
    for name in NAMES:
        if "ligero" not in name:
            continue
        if re.search(rf"_{rule}(?=_[a-z]|_and_)", name):
            return True
        for chapter, first, last in re.findall(r"_(\d)_(\d+)_to_\d_(\d+)", name):
            if rule in {f"{chapter}_{number}" for number in range(int(first), int(last) + 1)}:
                return True
    return False


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_has_a_test_of_its_name(fault: str) -> None:
    assert any(re.search(rf"_{fault}(?=_)", name) for name in NAMES)


@pytest.mark.parametrize("point", OUTGOING)
def test_a_point_of_outgoing_mail_has_a_test_of_its_name(point: str) -> None:
    assert any(f"_outgoing_{point}_" in name for name in NAMES)


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_has_a_test_of_its_name(rule: str) -> None:
    assert held(rule)


@pytest.mark.parametrize("chapter", range(5, 10))
def test_no_chapter_is_without_tests(chapter: int) -> None:
    assert sum(f"ligero_{chapter}_" in name for name in NAMES) >= 3
