"""The structure of a mail: its leaf parts as offsets into the raw bytes (RFC 2046 5.1). Nothing is copied.

The outer multipart is cut first, so a part that never closes ends where its parent's next part begins. An explicit
stack instead of recursion; depth and parts are counted.
"""

import re
from dataclasses import dataclass

from shared.mime.charsets import Decoder
from shared.mime.fields import Headers, block
from shared.mime.limits import Limits
from shared.mime.model import TOO_MANY_PARTS
from shared.mime.parameters import Parameters, content_type, parameter, parameters, token

_LINE_END = re.compile(rb"(--)?[ \t]*(?:\r?\n|\Z)")


@dataclass(frozen=True, slots=True)
class Leaf:
    """A part without parts: `raw[start:end]` is its encoded content.

    `group` is shared by the leaves of one multipart/alternative, else its own (`alternative`: it is one of several).
    `opaque`: never body text.
    """

    headers: Headers
    content_type: str
    parameters: Parameters
    encoding: str
    start: int
    end: int
    group: int
    alternative: bool
    related: bool
    opaque: bool


@dataclass(frozen=True, slots=True)
class _Entity:
    """A part still to be looked at: its header is read, its body is `raw[headers.body:end]`."""

    headers: Headers
    end: int
    depth: int
    default: str
    group: int
    related: bool


def leaves(raw: bytes, headers: Headers, limits: Limits, decoder: Decoder) -> list[Leaf]:
    """All leaf parts in their order. Beyond `limits.parts` the rest of a multipart is one leaf."""
    return _Splitter(raw, limits, decoder).split(_Entity(headers, len(raw), 0, "text/plain", 0, related=False))


class _Splitter:
    def __init__(self, raw: bytes, limits: Limits, decoder: Decoder) -> None:
        self._raw = raw
        self._limits = limits
        self._decoder = decoder
        self._groups = 0
        self._budget = limits.parts
        self._found: list[Leaf] = []

    def split(self, whole: _Entity) -> list[Leaf]:
        stack = [whole]
        while stack:
            stack.extend(reversed(self._children(stack.pop())))
        return self._found

    def _children(self, entity: _Entity) -> list[_Entity]:
        """The parts of a multipart with their headers read; of a leaf, which is kept, none."""
        value = entity.headers.first("content-type")
        kind = content_type(value, entity.default)
        found = parameters(value, self._limits, self._decoder.defects)
        boundary = parameter(found, "boundary", self._limits).rstrip()
        ranges: list[tuple[int, int]] = []
        if boundary and kind.startswith("multipart/") and entity.depth < self._limits.depth:
            ranges, complete = _parts(self._raw, entity, boundary, self._budget)
            self._budget -= len(ranges)
            if not complete:
                self._decoder.note(TOO_MANY_PARTS)
        self._groups += 1
        group = entity.group or self._groups
        if not ranges:
            self._keep(entity, kind, found, group)
            return []
        default = "message/rfc822" if kind == "multipart/digest" else "text/plain"
        shared_group = group if entity.group or kind == "multipart/alternative" else 0
        related = entity.related or kind == "multipart/related"
        depth = entity.depth + 1
        return [
            _Entity(self._header(start, end), end, depth, default, shared_group, related=related)
            for start, end in ranges
        ]

    def _header(self, start: int, end: int) -> Headers:
        headers = block(self._raw, start, end, self._limits)
        for defect in headers.defects:
            self._decoder.note(f"part_{defect}")
        return headers

    def _keep(self, entity: _Entity, kind: str, found: Parameters, group: int) -> None:
        opaque = False
        encoding = token(entity.headers.first("content-transfer-encoding"))
        if kind.startswith("multipart/"):
            if entity.depth >= self._limits.depth:
                self._decoder.note("nested_too_deep")
                opaque = True
            else:
                # no usable boundary: the whole raw body is one text, never an empty mail
                self._decoder.note("multipart_without_parts")
                kind, found, encoding = "text/plain", {}, ""
        start = min(entity.headers.body, entity.end)
        self._found.append(
            Leaf(
                headers=entity.headers,
                content_type=kind,
                parameters=found,
                encoding=encoding,
                start=start,
                end=entity.end,
                group=group,
                alternative=entity.group > 0,
                related=entity.related,
                opaque=opaque,
            )
        )


def _parts(raw: bytes, entity: _Entity, boundary: bytes, budget: int) -> tuple[list[tuple[int, int]], bool]:
    """(offsets of the parts, whether all fitted into the budget).

    A delimiter counts only when blanks or `--` and a line end follow: an outer boundary is often a prefix of an
    inner one. A missing closing delimiter ends the last part at the end of the multipart.
    """
    delimiter = b"\n--" + boundary
    end = entity.end
    ranges: list[tuple[int, int]] = []
    start = -1
    at = raw.find(delimiter, max(0, entity.headers.body - 1), end)
    while at >= 0:
        line_end = _LINE_END.match(raw, at + len(delimiter), end)
        if line_end is None:
            at = raw.find(delimiter, at + 1, end)
            continue
        if start >= 0:
            ranges.append((start, max(start, at - 1 if raw[at - 1 : at] == b"\r" else at)))
        if line_end[1]:
            return ranges, True
        start = line_end.end()
        if len(ranges) >= budget - 1:
            return [*ranges, (start, end)], False
        # one back: the line end behind this delimiter may be the one before the next
        at = raw.find(delimiter, start - 1, end)
    if start >= 0:
        ranges.append((start, end))
    return ranges, True
