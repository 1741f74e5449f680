"""UTF-8 with foreign bytes in it: a gateway's footer, characters cut in two, surrogates encoded one by one (CESU-8)."""

import re
from dataclasses import dataclass

_CHARACTERS = (
    rb"(?:[\xc2-\xdf][\x80-\xbf]|\xe0[\xa0-\xbf][\x80-\xbf]|[\xe1-\xec\xee\xef][\x80-\xbf]{2}"
    rb"|\xed[\x80-\x9f][\x80-\xbf]|\xf0[\x90-\xbf][\x80-\xbf]{2}|[\xf1-\xf3][\x80-\xbf]{3}"
    rb"|\xf4[\x80-\x8f][\x80-\xbf]{2})+"
)
_PAIR = rb"\xed[\xa0-\xaf][\x80-\xbf]\xed[\xb0-\xbf][\x80-\xbf]"
_NO_CHARACTER = rb"\xed[\xa0-\xbf][\x80-\xbf]|\xc0\x80"
_FOLDED = rb"[\xc2-\xf4][\x80-\xbf]{0,2}\r?\n[ \t]?[\x80-\xbf]{1,3}"
_CUT = rb"[\xc2-\xf4][\x80-\xbf]{0,2}\Z|(?:[\xe0-\xef][\x80-\xbf]|[\xf0-\xf4][\x80-\xbf]{1,2})(?=[\r\n\xc2-\xf4])"
_TOKEN = re.compile(
    rb"(?P<characters>%s)|(?P<pair>%s)|(?P<none>%s)|(?P<folded>%s)|(?P<cut>%s)|(?P<stray>[\x80-\xff])"
    % (_CHARACTERS, _PAIR, _NO_CHARACTER, _FOLDED, _CUT)
)
_TAIL = re.compile(rb"(?:[\xc2-\xf4]|[\xe0-\xf4][\x80-\xbf]|[\xf0-\xf4][\x80-\xbf]{2})\Z")
_REPLACEMENT = "\ufffd".encode()
_STRAYS = [bytes([byte]).decode("cp1252", "replace").encode() for byte in range(256)]


@dataclass(slots=True)
class Mixed:
    """`text` with every stray byte read as cp1252; how many characters were UTF-8, and how many bytes were not."""

    text: str = ""
    sequences: int = 0
    strays: int = 0


def mixed(data: bytes) -> Mixed:
    """`data` as UTF-8 wherever it is. The half of a character becomes U+FFFD; one that a line end parts is joined."""
    found = Mixed()

    def read(match: re.Match[bytes]) -> bytes:
        kind = match.lastgroup
        if kind == "characters":
            found.sequences += len(match[0].decode())
            return match[0]
        if kind == "pair":
            found.sequences += 1
            return match[0].decode("utf-8", "surrogatepass").encode("utf-16", "surrogatepass").decode("utf-16").encode()
        if kind == "none":
            found.sequences += 1
            return _REPLACEMENT
        if kind == "cut":
            return _REPLACEMENT
        if kind == "folded":
            return _joined(match, found)
        found.strays += 1
        return _STRAYS[match[0][0]]

    found.text = _TOKEN.sub(read, data).decode()
    return found


def _joined(match: re.Match[bytes], found: Mixed) -> bytes:
    """A character whose bytes a line end parts, before the line end."""
    head, line_end, tail = match["folded"].partition(b"\n")
    head, line_end = head.rstrip(b"\r"), (b"\r\n" if head.endswith(b"\r") else b"\n")
    tail = tail.lstrip(b" \t")
    try:
        (head + tail).decode()
    except UnicodeDecodeError:
        found.strays += len(head) + len(tail)
        return b"".join(_STRAYS[byte] for byte in head) + line_end + b"".join(_STRAYS[byte] for byte in tail)
    found.sequences += 1
    return head + tail + line_end


def whole(data: bytes) -> bytes:
    """`data` without the beginning of a character at its end: what a cut of ours leaves is no stray byte."""
    tail = _TAIL.search(data, max(0, len(data) - 3))
    return data[: tail.start()] if tail else data
