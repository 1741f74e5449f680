"""winmail.dat: the files and the text in Exchange's TNEF (MS-OXTNEF), read in one pass, as far as it can be read."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

SIGNATURE = b"\x78\x9f\x3e\x22"
_ATTACHMENT_BEGINS, _ATTACHMENT_TITLE, _ATTACHMENT_DATA = 0x9002, 0x8010, 0x800F
_MESSAGE_PROPERTIES, _ATTACHMENT_PROPERTIES, _BODY, _CODE_PAGE = 0x9003, 0x9005, 0x800C, 0x9007
_MOST_FILES = 1_000

_LONG_NAME, _SHORT_NAME, _MIME_TAG, _CONTENT_ID, _OBJECT = 0x3707, 0x3704, 0x370E, 0x3712, 0x3701
_TEXT, _HTML, _RTF, _INTERNET_CODE_PAGE = 0x1000, 0x1013, 0x1009, 0x3FDE
_NAMED, _SEVERAL = 0x8000, 0x1000
_FIXED = {0x02: 4, 0x03: 4, 0x04: 4, 0x05: 8, 0x06: 8, 0x07: 8, 0x0A: 4, 0x0B: 4, 0x14: 8, 0x40: 8, 0x48: 16}
_INTEGER, _UNICODE, _EMBEDDED = 0x03, 0x1F, 0x0D
_VARIABLE = (0x1E, _UNICODE, _EMBEDDED, 0x102)


class Piece(NamedTuple):
    """Bytes of the stream; text in `charset`, a codec's name, or in an unknown one ("")."""

    start: int
    end: int
    charset: str = ""


@dataclass(slots=True)
class File:
    name: Piece | None = None
    content: Piece | None = None
    content_type: Piece | None = None
    content_id: Piece | None = None


@dataclass(slots=True)
class Message:
    """`cut`: the stream ends too early. `is_rich`: it holds a text that is not read (RTF)."""

    files: list[File] = field(default_factory=list)
    text: Piece | None = None
    html: Piece | None = None
    cut: bool = False
    is_rich: bool = False

    @property
    def is_read(self) -> bool:
        """Whether its files are all there; its text may be missing."""
        return not self.cut and all(file.content for file in self.files)


class _Property(NamedTuple):
    number: int
    kind: int
    value: Piece


def read(data: bytes) -> Message | None:
    """What is in the stream; None where it is none. Offsets are into `data`."""
    if not data.startswith(SIGNATURE):
        return None
    message = Message()
    code_page = ""
    for name, start, end in _attributes(data):
        if end > len(data):
            message.cut = True
        elif name == _CODE_PAGE and end - start >= 4:
            code_page = f"cp{_number(data, start)}"
        elif name == _ATTACHMENT_BEGINS and len(message.files) < _MOST_FILES:
            message.files.append(File())
        elif name == _BODY:
            message.text = Piece(start, end, code_page)
        elif name == _MESSAGE_PROPERTIES:
            _take_bodies(data, start, end, message, code_page)
        elif message.files:
            _take_file(data, name, Piece(start, end, code_page), message.files[-1])
    return message


def _attributes(data: bytes) -> Iterator[tuple[int, int, int]]:
    """(number, start, end) of each attribute; one cut short is the last, and ends beyond the data."""
    at = 6
    while at < len(data):
        if at + 9 > len(data):
            yield 0, at, len(data) + 1
            return
        number = int.from_bytes(data[at + 1 : at + 3], "little")
        start = at + 9
        end = start + _number(data, at + 5)
        yield number, start, end
        at = end + 2


def _take_file(data: bytes, name: int, piece: Piece, file: File) -> None:
    if name == _ATTACHMENT_TITLE:
        file.name = file.name or piece
    elif name == _ATTACHMENT_DATA:
        file.content = piece
    elif name == _ATTACHMENT_PROPERTIES:
        for found in _properties(data, piece.start, piece.end, piece.charset):
            if found.number == _LONG_NAME or (found.number == _SHORT_NAME and file.name is None):
                file.name = found.value
            elif found.number == _MIME_TAG:
                file.content_type = found.value
            elif found.number == _CONTENT_ID:
                file.content_id = found.value
            elif found.number == _OBJECT and file.content is None:
                # an embedded message begins with the 16 bytes of its interface's name
                file.content = found.value._replace(start=min(found.value.start + 16, found.value.end))


def _take_bodies(data: bytes, start: int, end: int, message: Message, code_page: str) -> None:
    charset = code_page
    for found in _properties(data, start, end, code_page):
        if found.number == _INTERNET_CODE_PAGE and found.kind == _INTEGER:
            charset = f"cp{_number(data, found.value.start)}"
        elif found.number == _TEXT:
            message.text = found.value
        elif found.number == _HTML:
            message.html = found.value
        elif found.number == _RTF:
            message.is_rich = True
    if message.html and message.html.charset != "utf-16le":
        message.html = message.html._replace(charset=charset)


def _properties(data: bytes, at: int, end: int, code_page: str) -> Iterator[_Property]:
    """The MAPI properties of an attribute, of several values the last; the first that cannot be read ends them."""
    try:
        count = _number(data, at)
        at += 4
        for _ in range(min(count, (end - at) // 4)):
            kind, number = struct.unpack_from("<HH", data, at)
            at = _behind_name(data, at + 4) if number >= _NAMED else at + 4
            for value, behind in _values(data, at, kind, code_page):
                if value.end > end:
                    return
                yield _Property(number, kind & ~_SEVERAL, value)
                at = behind
    except struct.error:
        return


def _values(data: bytes, at: int, kind: int, code_page: str) -> Iterator[tuple[Piece, int]]:
    """(a value, offset behind it) of one property. Raises struct.error beyond the end, or for an unknown kind."""
    plain = kind & ~_SEVERAL
    several = kind & _SEVERAL or plain in _VARIABLE
    count = _number(data, at) if several else 1
    at += 4 if several else 0
    if count > len(data) // 4 or count == 0:
        raise struct.error
    for _ in range(count):
        if plain in _VARIABLE:
            size = _number(data, at)
            charset = "utf-16le" if plain == _UNICODE else code_page
            yield Piece(at + 4, at + 4 + size, charset), at + 4 + size + -size % 4
            at += 4 + size + -size % 4
        elif plain in _FIXED:
            yield Piece(at, at + _FIXED[plain]), at + _FIXED[plain]
            at += _FIXED[plain]
        else:
            raise struct.error


def _behind_name(data: bytes, at: int) -> int:
    """Offset behind the name of a named property: a GUID, and a number or a text."""
    if _number(data, at + 16) == 0:
        return at + 24
    size = _number(data, at + 20)
    return at + 24 + size + -size % 4


def _number(data: bytes, at: int) -> int:
    """Four bytes, little-endian. Raises struct.error beyond the end."""
    return int(struct.unpack_from("<I", data, at)[0])
