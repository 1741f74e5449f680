"""PostMaster filters as Znuny and Ligero export them (YAML), as filters of the desk; and what could not be taken over.

An export is a list of filters, one filter, or filters by name. `Match`, `Not` and `Set` are lists of rows (`Key`,
`Value`) or, from older versions, maps. Pure.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from pydantic import ValidationError

from shared.desk.controls import control, known
from shared.desk.model import Desk, Filter
from shared.desk.refusals import complaints

_KNOWN = {"Name", "Match", "Not", "Set", "StopAfterMatch", "ID", "ValidID", "Valid", "Comment"}
_DATES = {"CreateTime", "CreateBy", "ChangeTime", "ChangeBy", "Created", "Changed", "CreatedBy", "ChangedBy"}


class Imported(NamedTuple):
    """Filters as they stand in a desk, by name, and sentences about what is missing in them."""

    filters: dict[str, dict[str, Any]]
    left: list[str]


def imported(data: Any) -> Imported:
    """Raises ValueError for data that is no export."""
    filters: dict[str, dict[str, Any]] = {}
    left: list[str] = []
    for name, each in _exported(data):
        if name in filters:
            left.append(f"{name}: a second filter of that name")
            continue
        made, lost = _filter(each)
        left += [f"{name}: {sentence}" for sentence in lost]
        if made is None:
            continue
        try:
            Filter.model_validate(made)
            Desk.model_validate({"filters": {name: made}})
        except ValidationError as error:
            left += [
                f"{name}: {'.'.join(map(str, each.loc))}: {each.found}; {each.expected}" for each in complaints(error)
            ]
            continue
        filters[name] = made
    return Imported(filters, left)


def _exported(data: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if isinstance(data, Mapping) and ("Match" in data or "Name" in data):
        data = [data]
    if isinstance(data, Mapping):
        data = [{"Name": name, **each} for name, each in data.items() if isinstance(each, Mapping)]
    if not isinstance(data, list) or not data or not all(isinstance(each, Mapping) for each in data):
        raise ValueError("no export of PostMaster filters: expected a list of filters with Name, Match and Set")
    for number, each in enumerate(data, 1):
        yield str(each.get("Name") or "").strip() or f"filter {number}", each


def _filter(each: Mapping[str, Any]) -> tuple[dict[str, Any] | None, list[str]]:
    lost = [f"{key} has no place in a desk" for key in each if key not in _KNOWN | _DATES]
    valid = each.get("ValidID", each.get("Valid", 1))
    if str(valid).lower() not in ("1", "valid", "true"):
        return None, [*lost, "is not valid there, and was left out"]
    negated = {key for key, value in _rows(each.get("Not")) if _on(value)}
    match = []
    for key, value in _rows(each.get("Match")):
        row: dict[str, Any] = {"header": key, "pattern": value or "^"}  # an empty value is found in every header
        if key in negated:
            row["negate"] = True
        match.append(row)
    if not match:
        return None, [*lost, "has no row to match, and was left out"]
    sets: dict[str, str] = {}
    for key, value in _rows(each.get("Set")):
        meant = control(key)
        if meant is not None and not known(meant):
            lost.append(f"Set {key}: no control header here")
        else:
            sets[key] = value
    made: dict[str, Any] = {"match": match, "set": sets}
    if _on(each.get("StopAfterMatch")):
        made["stop"] = True
    return made, lost


def _rows(rows: Any) -> Iterator[tuple[str, str]]:
    """(key, value) of every row; an exported `~` is empty."""
    if isinstance(rows, Mapping):
        rows = [{"Key": key, "Value": value} for key, value in rows.items()]
    for row in rows if isinstance(rows, list) else []:
        if isinstance(row, Mapping) and row.get("Key"):
            value = row.get("Value")
            yield str(row["Key"]).strip(), "" if value is None else str(value)


def _on(value: Any) -> bool:
    return str(value).lower() in ("1", "true", "yes")
