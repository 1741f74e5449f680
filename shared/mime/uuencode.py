"""Files that stand uuencoded between the lines of a text."""

import re
from typing import NamedTuple

_BEGIN = re.compile(rb"^begin [0-7]{3,4} ([^\r\n]{1,255})\r?\n", re.MULTILINE)
_LINE = re.compile(rb"([ -`])([ -`]*)\r?(?:\n|\Z)")
_END = re.compile(rb"(?:[` ]?[ \t]*\r?\n)?end[ \t]*\r?(?:\n|\Z)")


class Block(NamedTuple):
    """`data[start:end]`, from its `begin` line to its `end` line."""

    name: bytes
    start: int
    end: int


def blocks(data: bytes, start: int, end: int, most: int) -> list[Block]:
    """The blocks of `data[start:end]` in order, at most `most`; words that only begin like one are none."""
    found: list[Block] = []
    at = start
    while len(found) < most and (begin := _BEGIN.search(data, at, end)):
        stop = _stop(data, begin.end(), end)
        if stop is None:
            at = begin.end()
            continue
        found.append(Block(begin[1].strip(), begin.start(), stop))
        at = stop
    return found


def _stop(data: bytes, start: int, end: int) -> int | None:
    """Offset behind the block whose lines begin at `start`; None if they are not encoded. One cut short has no end."""
    at = start
    while not (closing := _END.match(data, at, end)):
        line = _LINE.match(data, at, end)
        if line is None or not _has_its_length(line):
            return at if at > start else None
        at = line.end()
        if at >= end:
            return at
    return closing.end()


def _has_its_length(line: re.Match[bytes]) -> bool:
    """The first character says how many bytes the others stand for; encoders add a checksum or strip blanks."""
    size = (line[1][0] - 32) & 63
    wanted = (size + 2) // 3 * 4
    return size > 0 and wanted - 4 <= len(line[2]) <= wanted + 2
