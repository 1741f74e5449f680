"""How lists are shown: a table for people, one JSON object a line for programs (`--json`).

In JSON times are RFC 3339 UTC with milliseconds, ids strings, sizes bytes, durations seconds.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from shared.clock import now, rfc3339

Row = Mapping[str, Any]


def lines(rows: Sequence[Row], columns: Sequence[str], *, as_json: bool, empty: str) -> str:
    """`columns` are the keys that people see, in order; JSON carries every key."""
    if as_json:
        return "\n".join(one_line(row) for row in rows)
    if not rows:
        return empty
    cells = [[column.replace("_", " ") for column in columns]]
    cells += [[_shown(row.get(column)) for column in columns] for row in rows]
    widths = [max(len(row[n]) for row in cells) for n in range(len(columns))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
    )


def say(text: str) -> None:
    """To stdout; nothing where there is nothing to say: an empty line is no JSON."""
    if text:
        print(text)


def one_line(row: Row) -> str:
    return json.dumps(dict(row), default=_plain)


def printable(text: str) -> str:
    """What a stranger wrote must not move the cursor of a terminal; line ends stay."""
    return "".join(char if char.isprintable() or char == "\n" else "�" for char in text)


def ago(moment: datetime | None) -> str:
    """`12 s ago`, `3 min ago`, `5 h ago`, `2 d ago`; `never` without a moment."""
    if moment is None:
        return "never"
    seconds = max(0, int((now() - moment).total_seconds()))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"


def _plain(value: Any) -> str | float:
    if isinstance(value, datetime):
        return rfc3339(value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    raise TypeError(f"{type(value).__name__} has no place in JSON")


def _shown(value: Any) -> str:
    if isinstance(value, datetime):
        return ago(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = printable("" if value is None else str(value)).replace("\n", " ")
    return text if len(text) <= 60 else text[:59] + "…"
