"""The header block: where it ends, and its fields as raw bytes (RFC 5322 2.2, tolerant)."""

import re
from dataclasses import dataclass, field
from functools import lru_cache

from shared.mime import header_end
from shared.mime.limits import DEFAULT, Limits

_NAME = re.compile(rb"[!-9;-~]{1,256}")
_FIELD = re.compile(rb"^([!-9;-~]{1,256})[ \t]*:(.*)$", re.MULTILINE)
_FOLDS = ((b"\r\n ", b" "), (b"\r\n\t", b"\t"), (b"\n ", b" "), (b"\n\t", b"\t"))
_BLANKS = re.compile(rb"[\r\n\t ]*")
_BLANK_LINE = re.compile(rb"\n[ \t]+\r?\n")
_BARE_CR = re.compile(rb"\r(?!\n)")
_START = 400


@dataclass(frozen=True, slots=True)
class Headers:
    """Fields of one header block: lower-case name to raw values, unfolded, in their order.

    `start` and `body` are offsets into the bytes that were read: where the block begins, and the first byte behind
    the empty line.
    """

    fields: dict[str, list[bytes]]
    start: int
    body: int
    defects: list[str] = field(default_factory=list)
    source: bytes = field(default=b"", repr=False, compare=False)

    def first(self, name: str) -> bytes | None:
        values = self.fields.get(name)
        return values[0] if values else None

    def all(self, name: str) -> list[bytes]:
        return self.fields.get(name, [])

    def raw(self, name: str) -> list[bytes]:
        """Every field of this name as it was written, with its folds."""
        written = rb"^%s[ \t]*:(.*(?:\n[ \t].*)*)" % re.escape(name.encode("ascii"))
        return re.findall(written, self.source[self.start : self.body], re.MULTILINE | re.IGNORECASE)


def with_line_feeds(raw: bytes) -> bytes:
    """`raw`, or a copy of equal length with LF for CR where CR is the line end (CR, but no LF, at the start)."""
    start = raw[:_START]
    if b"\r" in start and b"\n" not in start:
        return _BARE_CR.sub(b"\n", raw)
    return raw


def header_fields(raw: bytes, limits: Limits = DEFAULT) -> Headers:
    """The header of a whole mail, without a look at the body. Never raises.

    Leading blank lines and one mbox `From ` line are skipped.
    """
    raw = with_line_feeds(raw)
    return block(raw, beginning(raw), len(raw), limits)


def beginning(raw: bytes) -> int:
    """Offset of the first header line: behind blank lines and one mbox `From ` or `>From ` line."""
    start = _after_blank_lines(raw, 0)
    if raw.startswith((b"From ", b">From "), start):
        start = raw.find(b"\n", start) + 1 or len(raw)
        start = _after_blank_lines(raw, start)
    return start


def _after_blank_lines(raw: bytes, start: int) -> int:
    match = _BLANKS.match(raw, start)
    return max(start, raw.rfind(b"\n", start, match.end()) + 1) if match else start


def block(raw: bytes, start: int, end: int, limits: Limits) -> Headers:
    """The header block of the entity in `raw[start:end]`; its lines end in LF or CRLF."""
    defects: list[str] = []
    stop, body = _borders(raw, start, end)
    separated, whole = body > stop, stop - start <= limits.header_block
    if not whole:
        stop = _cut_block(raw, start, limits)
        defects.append("header_block_cut")
    values, text = _split(raw[start:stop], limits, defects, whole=whole, separated=separated)
    if text is not None:
        body = start + text
    elif not values and body > start and stop > start:
        # not one field: what looked like a header is the text, and nothing may disappear
        body = start
        defects.append("header_missing")
    return Headers(values, start, body, defects, raw)


def _cut_block(raw: bytes, start: int, limits: Limits) -> int:
    """A line end, so that no address is cut in two, unless one line is longer than a field may be."""
    stop = start + limits.header_block
    line = raw.rfind(b"\n", start, stop) + 1
    return line if stop - line <= limits.field else stop


def _cut_value(value: bytes, limit: int) -> bytes:
    """The first `limit` bytes up to a separator: half an address would be somebody else's."""
    value = value[:limit]
    return value[: max(value.rfind(b","), value.rfind(b" "), 0) or limit]


def _borders(raw: bytes, start: int, end: int) -> tuple[int, int]:
    """(end of the block, start of the body): the empty line, CRLF or LF, whichever comes first."""
    if raw.startswith(b"\n", start):
        return start, start + 1
    if raw.startswith(b"\r\n", start):
        return start, start + 2
    reach = start
    while reach < end:
        # in windows: a find over the whole mail for the other line end would cost more than all fields
        last, reach = reach, min(end, reach + 65_536)
        crlf = raw.find(b"\n\r\n", max(start, last - 2), reach)
        bare = raw.find(b"\n\n", max(start, last - 2), reach if crlf < 0 else crlf + 1)
        if bare >= 0:
            return bare + 1, bare + 2
        if crlf >= 0:
            return crlf + 1, crlf + 3
    return end, end


def _split(
    header: bytes, limits: Limits, defects: list[str], *, whole: bool, separated: bool
) -> tuple[dict[str, list[bytes]], int | None]:
    """The fields, and the offset of the text where it begins inside of `header`. `whole`: nothing of it was cut off;
    `separated`: an empty line follows."""
    if separated and (ordinary := _ordinary(header, limits)) is not None:
        return ordinary, None
    lines = header.split(b"\n")
    if not lines[-1]:
        lines.pop()
    names = [_line_name(line) for line in lines]
    text = header_end.find(lines, names, separated=separated) if whole else None
    end = text[1] if text else len(lines)
    fields = _fields(lines[:end], names, limits, defects)
    if text is None:
        return fields, None
    defects.append("header_end_missing")
    return fields, sum(map(len, lines[: text[0]])) + text[0]


def _fields(lines: list[bytes], names: list[str | None], limits: Limits, defects: list[str]) -> dict[str, list[bytes]]:
    fields: dict[str, list[bytes]] = {}
    name, pieces, count = "", list[bytes](), 0
    for line, found in zip(lines, names, strict=False):
        if found == "":
            pieces.append(line)
        elif found is None:
            _junk(line, pieces, defects)
        else:
            _store(fields, name, pieces, limits, defects)
            name, pieces, count = found, [line.partition(b":")[2]], count + 1
            if count > limits.fields:
                _note(defects, "fields_cut")
                name = ""
                break
    _store(fields, name, pieces, limits, defects)
    return fields


def _line_name(line: bytes) -> str | None:
    """Name of the field that the line begins, "" for a folded line, None for junk."""
    if line[:1] in (b" ", b"\t"):
        return ""
    label, colon, _ = line.partition(b":")
    return _field_name(label) if colon else None


def _ordinary(header: bytes, limits: Limits) -> dict[str, list[bytes]] | None:
    """The fields of a block in which every line is one; None for all others. Several times faster."""
    if len(header) > limits.field:
        return None
    if _BLANK_LINE.search(header):
        return None
    for fold, blank in _FOLDS:
        header = header.replace(fold, blank)
    found = _FIELD.findall(header)
    if len(found) != header.count(b"\n") + (not header.endswith(b"\n")) or len(found) > limits.fields:
        return None
    if found and _may_be_text(found[-1][0]):
        return None
    fields: dict[str, list[bytes]] = {}
    for label, value in found:
        name = _field_name(label)
        if name is None:
            return None
        if name in fields:
            fields[name].append(value.strip())
        else:
            fields[name] = [value.strip()]
    return fields


def _junk(line: bytes, pieces: list[bytes], defects: list[str]) -> None:
    """A line without a colon is broken folding of the field before it; an mbox line says nothing."""
    line = line.rstrip(b"\r")
    if line:
        _note(defects, "header_junk_line")
        if not line.startswith((b"From ", b">From ")):
            pieces.append(b" " + line)


def _store(fields: dict[str, list[bytes]], name: str, pieces: list[bytes], limits: Limits, defects: list[str]) -> None:
    if not name:
        return
    value = b"".join([piece.rstrip(b"\r") for piece in pieces]).strip()
    if len(value) > limits.field:
        value = _cut_value(value, limits.field)
        _note(defects, "field_cut")
    fields.setdefault(name, []).append(value)


@lru_cache(maxsize=1024)
def _may_be_text(label: bytes) -> bool:
    return header_end.is_of_a_form(_field_name(label))


@lru_cache(maxsize=1024)
def _field_name(label: bytes) -> str | None:
    """Lower-case field name, or None: printable characters without blanks, then perhaps blanks before the colon."""
    label = label.rstrip(b" \t")
    if label.startswith(b"--") or not _NAME.fullmatch(label):
        return None
    return label.decode("ascii").lower()


def _note(defects: list[str], defect: str) -> None:
    if defect not in defects:
        defects.append(defect)
