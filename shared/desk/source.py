"""YAML with line numbers: text → plain values and the line of every key and list item.

The scalars are those of the YAML 1.2 core schema, so `no` is a word, `10:30` no number and `2026-01-31` no
date object. Nothing is constructed but mappings, lists, texts, numbers, booleans and null. Duplicate keys,
unknown tags and towers of aliases are refused, with the line.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import yaml

from shared.desk.findings import Complaint, Loc

_PREFIX = "tag:yaml.org,2002:"
_MERGE = _PREFIX + "merge"
# A file of 1 MiB stays far below both; aliases of aliases ("billion laughs") and cycles do not.
_MAX_NODES = 200_000
_MAX_DEPTH = 30
_QUOTED = re.compile(r"['\"]([^'\"]*)['\"]")


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  # PyYAML's name


for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?(0|[1-9][0-9]*)", list("-+0123456789")),
    ("float", r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?", list("-+.0123456789")),
    ("merge", r"<<", ["<"]),
):
    _Loader.add_implicit_resolver(_PREFIX + _tag, re.compile(f"(?:{_pattern})$"), _first)

_SCALARS: dict[str, Callable[[str], Any]] = {
    _PREFIX + "null": lambda _: None,
    _PREFIX + "bool": lambda text: text.lower() == "true",
    _PREFIX + "int": int,
    _PREFIX + "float": float,
    _PREFIX + "str": str,
}


class SourceError(Exception):
    """The text is no YAML; `line` counts from 1."""

    def __init__(self, line: int, found: str) -> None:
        self.line = line
        self.found = found
        super().__init__(found)


@dataclass
class Source:
    """Plain values, the line (from 1) of each path, and what was wrong that did not stop the reading."""

    data: Any = None
    lines: dict[Loc, int] = field(default_factory=dict)
    complaints: list[Complaint] = field(default_factory=list)
    _nodes: int = 0

    def read(self, node: yaml.Node, loc: Loc = ()) -> Any:
        self._nodes += 1
        if self._nodes > _MAX_NODES or len(loc) > _MAX_DEPTH:
            raise SourceError(node.start_mark.line + 1, "aliases or nesting without end")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, loc)
        if isinstance(node, yaml.SequenceNode):
            return [self._item(item, (*loc, at)) for at, item in enumerate(node.value)]
        convert = _SCALARS.get(node.tag)
        if convert is None:
            self.complaints.append(Complaint(loc, "a YAML tag", "expected a plain value"))
            return None
        try:
            return convert(node.value)
        except ValueError:  # an int of thousands of digits, or `!!int word`
            raise SourceError(node.start_mark.line + 1, "a number that cannot be read") from None

    def _item(self, node: yaml.Node, loc: Loc) -> Any:
        self.lines[loc] = node.start_mark.line + 1
        return self.read(node, loc)

    def _mapping(self, node: yaml.MappingNode, loc: Loc) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        merged: list[yaml.Node] = []
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE:
                merged += value_node.value if isinstance(value_node, yaml.SequenceNode) else [value_node]
                continue
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise SourceError(line, "a mapping or list in the place of a key")
            key = self.read(key_node, loc)
            path = (*loc, key if isinstance(key, str | int) else str(key))
            if key in found:
                self.complaints.append(
                    Complaint(path, f"the key stands twice, also in line {line}", "expected it once")
                )
                continue
            self.lines[path] = line
            found[key] = self.read(value_node, path)
        for base in merged:
            self._merge(found, base, loc)
        return found

    def _merge(self, found: dict[Any, Any], base: yaml.Node, loc: Loc) -> None:
        if not isinstance(base, yaml.MappingNode):
            self.complaints.append(Complaint(loc, "<< without a mapping", "expected an alias of a mapping"))
            return
        aside = Source(_nodes=self._nodes)
        values = aside._mapping(base, loc)
        self._nodes = aside._nodes
        self.complaints += aside.complaints
        for path, line in aside.lines.items():
            if path[: len(loc) + 1] not in self.lines:
                self.lines[path] = line
        for key, value in values.items():
            found.setdefault(key, value)


def _without_word(quoted: re.Match[str]) -> str:
    """Punctuation and token names like `<block end>` are the parser's; any other word is the file's."""
    word = quoted[1]
    return quoted[0] if len(word) < 2 or word.startswith("<") else "…"


def _line_of(text: str, offset: int) -> int:
    return text.count("\n", 0, offset) + 1


def parse(raw: bytes) -> Source:
    """The file as plain values.

    Raises SourceError with a sentence of the parser in which no word of the file stands: it might be a
    password that YAML took for an alias or a tag.
    """
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SourceError(raw.count(b"\n", 0, error.start) + 1, "bytes that are not UTF-8") from None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
    except yaml.reader.ReaderError as error:
        raise SourceError(_line_of(text, error.position), "a control character") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        sentence = _QUOTED.sub(_without_word, error.problem or "no YAML")
        raise SourceError(mark.line + 1 if mark else 1, sentence) from None
    except RecursionError:
        raise SourceError(1, "aliases or nesting without end") from None
    source = Source()
    source.data = source.read(node) if node is not None else {}
    return source
