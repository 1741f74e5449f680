"""The charset ladder: from the sender's label to text, whatever the bytes; it cannot fail."""

import re
from dataclasses import dataclass, field

from charset_normalizer import from_bytes

from shared.mime import japanese
from shared.mime.charset_labels import codec, says_nothing
from shared.mime.utf8 import mixed
from shared.mime.western import code_page, has_its_shape

_SAMPLE = 8_192
_WORST_SHARE = 0.05
_SHORTEST_GUESS = 17
_MANY_BYTES = ("gb18030", "big5hkscs", "cp932", "cp949", "euc-jp", "johab")
_NOT_OVER_ASCII = ("utf-8", "utf-7", "utf-16", "utf-16le", "utf-16be", "utf-32", "utf-32le", "utf-32be", "hz")
_CHARACTER = re.compile(rb"[\xc2-\xf4][\x80-\xbf]")
_BYTE_ORDER = (b"\xff\xfe", b"\xfe\xff")
_ENOUGH = 4  # characters: shorter text of a multi-byte charset may be UTF-8 by chance


@dataclass(slots=True)
class Decoder:
    """Decodes the texts of one mail: `guesses` are left, `defects` collects what was wrong.

    `language` is the desk's. `charsets` are the codecs, ASCII and UTF-8 aside, that the mail's own parts declare: what
    stands in it without a label is written in one of them.
    """

    guesses: int
    language: str = ""
    charsets: list[str] = field(default_factory=list)
    defects: list[str] = field(default_factory=list)

    def note(self, defect: str) -> None:
        if defect not in self.defects:
            self.defects.append(defect)

    def declare(self, label: str) -> None:
        """The label of a part's charset."""
        name = codec(label)
        if name and name not in _NOT_OVER_ASCII and name not in self.charsets:
            self.charsets.append(name)

    def text(self, data: bytes, label: str | None, *, guessing: bool = True) -> str:
        """`data` as text by the ladder. The result may hold NUL: `clean` comes after.

        Without `guessing` the same bytes are the same text whatever else the mail holds, as fields need it.
        """
        declared = codec(label) if label else None
        if label and declared is None and not says_nothing(label):
            self.note("charset_unknown")
        if declared and not _is_something_else(data, declared):
            text = strict(data, declared)
            if text is not None:
                return text
        if declared:
            self.note("charset_wrong")
        text = None
        if b"\x1b" in data and (japanese.is_seven_bit(data) or declared == "iso2022_jp_ext"):
            text = japanese.seven_bit(data)
        if text is None:
            text = strict(data, "utf-8")
        if text is None and declared in ("iso2022_jp_ext", "cp932", "euc-jp"):
            text = japanese.eight_bit(data)
        if text is None and declared and declared not in _MANY_BYTES and declared not in _NOT_OVER_ASCII:
            text = _mixed(data)
        if text is None and declared and declared not in _NOT_OVER_ASCII:
            text = _mostly(data, declared)
        return self._unlabelled(data, declared == "utf-8", guessing) if text is None else text

    def header(self, data: bytes) -> str:
        """Raw 8-bit bytes of a header field, which has no label: UTF-8 (RFC 6532), the charset of the mail's own
        parts, else western. UTF-7 is never read there."""
        if data.isascii():
            if b"\x1b$" in data and japanese.is_seven_bit(data) and (text := japanese.seven_bit(data)):
                return text
            return data.decode("ascii")
        text = strict(data, "utf-8")
        if text is None:
            text = _mixed(data)
        if text is None:
            text = self._as_its_parts(data)
        return self._western(data) if text is None else text

    def _unlabelled(self, data: bytes, believed: bool, guessing: bool) -> str:
        text = strict(data, "utf-16") if data.startswith(_BYTE_ORDER) else None
        if text is None:
            text = _mixed(data, believed=believed)
        if text is None and has_its_shape(data) and (name := code_page(data, self.language)):
            text = strict(data, name)
            if guessing:
                self.declare(name)
        if text is None:
            text = self._as_its_parts(data)
        if text is None and japanese.is_euc(data):
            text = strict(data, "euc_jp")
        if text is None and guessing:
            text = self._guess(data)
        return western(data) if text is None else text

    def _as_its_parts(self, data: bytes) -> str | None:
        for name in self.charsets[:3]:
            if (text := strict(data, name)) is not None:
                return text
        return None

    def _western(self, data: bytes) -> str:
        name = code_page(data, self.language)
        text = strict(data, name) if name else None
        return western(data) if text is None else text

    def _guess(self, data: bytes) -> str | None:
        if len(data) < _SHORTEST_GUESS:
            return None
        if self.guesses <= 0:
            self.note("charset_not_guessed")
            return None
        self.guesses -= 1
        best = from_bytes(data[:_SAMPLE]).best()
        name = codec(best.encoding.replace("_", "-")) or codec(best.encoding) if best else None
        text = strict(data, name) if name else None
        if name and text is not None:
            self.declare(name)
        return text


def strict(data: bytes, name: str) -> str | None:
    try:
        return data.decode(name)
    except (UnicodeError, ValueError):
        return None


def western(data: bytes) -> str:
    """cp1252, then Latin-1, which cannot fail."""
    text = strict(data, "cp1252")
    return data.decode("latin-1") if text is None else text


def raw_header(data: bytes) -> str:
    """Raw 8-bit bytes where no other charset makes sense, as in an address: UTF-8, else western."""
    text = strict(data, "utf-8")
    return western(data) if text is None else text


def _mixed(data: bytes, *, believed: bool = False) -> str | None:
    """UTF-8 with foreign bytes in it, if most are UTF-8; of as many of both the label decides."""
    beginning = mixed(data[:_SAMPLE])
    if beginning.strays > beginning.sequences:  # to read all of it costs as much as a guess
        return None
    found = mixed(data)
    if found.sequences > found.strays or (believed and 0 < found.sequences == found.strays):
        return found.text
    return None


def _is_something_else(data: bytes, declared: str) -> bool:
    """Whether `data` would decode under its label, and is not what the label says."""
    if declared in _NOT_OVER_ASCII:
        return declared == "utf-8" and b"\x1b" in data and japanese.is_seven_bit(data)
    if data.isascii():
        return not declared.startswith("iso2022") and japanese.is_seven_bit(data)
    if declared == "cp932" and japanese.is_euc(data):
        return strict(data, "euc_jp") is not None
    if (text := strict(data, "utf-8")) is None:
        # in a text of single bytes a character of UTF-8 is hardly ever seen
        return declared not in _MANY_BYTES and _CHARACTER.search(data) is not None and _mixed(data) is not None
    beyond = text.encode("ascii", "ignore")
    count = len(text) - len(beyond)
    if declared in _MANY_BYTES:
        return count >= _ENOUGH
    return count > 1 or max(text) < "\u0180" or "\u2000" <= max(text) < "\u2200"


def _mostly(data: bytes, name: str) -> str | None:
    text = data.decode(name, "replace")
    return text if text.count("\ufffd") <= len(text) * _WORST_SHARE else None
