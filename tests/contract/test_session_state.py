"""Sessions go back to their pool as they are: no statement leaves anything behind that outlives its transaction."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LEFT_BEHIND = re.compile(
    r"pg_(?:try_)?advisory_lock\b|\bUNLISTEN\b|\bLISTEN \w|add_listener|set_config\([^)]*false\)"
    r"|[\"'(;]\s*SET (?!LOCAL\b)\w+ *(?:=|TO)|CREATE TEMP|WITH HOLD"
)


OURS = sorted(path for top in ("services", "ops") for path in (ROOT / top).rglob("*.py"))


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.stem)
def test_no_statement_outlives_its_transaction(path: Path) -> None:
    assert LEFT_BEHIND.findall(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "text",
    [
        'execute("SELECT pg_advisory_lock(1)")',
        "execute('SET lock_timeout = 0')",
        "connection.add_listener(x)",
        "LISTEN events",
        "CREATE TEMP TABLE x",
    ],
)
def test_what_does_is_found(text: str) -> None:
    assert LEFT_BEHIND.findall(text)
