"""The desk's JSON Schema for editors and its page for people, both made from the model."""

import json
from collections.abc import Iterator
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from shared.desk.model import Desk

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_ROW = "| {} | {} | {} | {} | {} |\n"
_INTRODUCTION = """# The desk

Everything that Carteiro is told about one helpdesk stands in one YAML file; `examples/desk.yaml` is one that
works. `carteiro desk check FILE` judges it, `carteiro desk schema` prints its JSON Schema for editors. A
running service takes a changed file over by itself and keeps the last good one where the new one is wrong.

Durations are written `90s`, `10m`, `1h`, `1d`; sizes `512KiB`, `32MiB`. Passwords never stand in the file:
`{secret: NAME}` names a file in the folder `CARTEIRO_SECRETS`.

This page is generated from the model (`carteiro desk schema --page`).
"""


class _OtrsTitles(GenerateJsonSchema):
    """Titles only where OTRS has a name for the setting: pydantic would make one of every field's name."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        del schema
        return False


def desk_schema() -> dict[str, Any]:
    schema = Desk.model_json_schema(schema_generator=_OtrsTitles)
    for part in (schema, *schema["$defs"].values()):
        part.pop("title", None)
    return {"$schema": _DIALECT, "title": "Desk of Carteiro", **schema}


def schema_text() -> str:
    return json.dumps(desk_schema(), indent=2, ensure_ascii=False) + "\n"


def page_text() -> str:
    schema = desk_schema()
    return _INTRODUCTION + "".join(_section("", schema, schema["$defs"]))


def _section(path: str, part: dict[str, Any], parts: dict[str, Any]) -> Iterator[str]:
    """A table of the part's keys, then the parts below it."""
    below: list[tuple[str, dict[str, Any]]] = []
    yield f"\n## {f'`{path}`' if path else 'At the top'}\n\n{part['description']}\n\n"
    yield _ROW.format("key", "in OTRS", "values", "default", "meaning") + "|---|---|---|---|---|\n"
    for key, info in part["properties"].items():
        values, inner, place = _values(info, parts)
        yield _ROW.format(
            f"`{key}`", _cell(info.get("title", "")), values, _default(key, part), _cell(info["description"])
        )
        if inner is not None:
            below.append((f"{path}.{key}{place}".removeprefix("."), inner))
    for name, inner in below:
        yield from _section(name, inner, parts)


def _default(key: str, part: dict[str, Any]) -> str:
    if key in part.get("required", ()):
        return "must be given"
    default = part["properties"][key].get("default")
    return "" if default in ({}, [], None, "") or isinstance(default, dict) else f"`{json.dumps(default)}`"


def _values(info: dict[str, Any], parts: dict[str, Any]) -> tuple[str, dict[str, Any] | None, str]:
    """Words for what may stand there; the model below, where the page describes it in a section of its own,
    and what stands between both names in a path."""
    if "$ref" in info:
        name = info["$ref"].rsplit("/", 1)[-1]
        return ("`{secret: NAME}`", None, "") if name == "Secret" else ("fields", parts[name], "")
    if "anyOf" in info:
        words = [_values(each, parts)[0] for each in info["anyOf"] if each.get("type") != "null"]
        return " or ".join(words), None, ""
    if "enum" in info or "const" in info:
        return ", ".join(f"`{value}`" for value in info.get("enum", [info.get("const")])), None, ""
    if info.get("type") == "object" and "$ref" in info.get("additionalProperties", {}):
        return "map by name", _values(info["additionalProperties"], parts)[1], ".NAME"
    return _word(info), None, ""


def _word(info: dict[str, Any]) -> str:
    """A plain type in a word."""
    if "s|m|h" in info.get("pattern", "") or info.get("pattern", "").endswith("[smhd]$"):
        return "duration"
    if "KiB" in info.get("pattern", ""):
        return "size"
    formats = {"email": "address", "date": "date"}
    words = {"boolean": "true, false", "integer": "number", "array": "list", "object": "map", "string": "text"}
    return formats.get(info.get("format", "")) or words[info["type"]]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
