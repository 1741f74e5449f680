"""docs/compatibility.md names tests that exist, and every row of the manual's chapter on receiving."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "compatibility.md").read_text(encoding="utf-8")
FILES = sorted(set(re.findall(r"`(tests/[\w/]+\.py)", PAGE)))
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)))
ROWS = dict(re.findall(r"^\| ([RTF]\d+) \|.*\| ([^|]+) \|$", PAGE, re.MULTILINE))


@pytest.mark.parametrize("path", FILES)
def test_a_named_file_exists(path: str) -> None:
    assert (ROOT / path).is_file()


@pytest.mark.parametrize(("path", "test"), NAMED)
def test_a_named_test_exists(path: str, test: str) -> None:
    assert re.search(rf"^(async )?def {test}\(", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("row", [*(f"R{number}" for number in range(1, 14)), "F1"])
def test_every_row_names_a_test(row: str) -> None:
    assert "`tests/" in ROWS[row]
