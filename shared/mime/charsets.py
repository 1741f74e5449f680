"""The charset ladder: from the sender's label to text, whatever the bytes; it cannot fail.

Labels are the sender's input, so only an allow-list of mail charsets reaches Python's codec registry: there
`unicode_escape`, `punycode` or `idna` are text codecs as well.
"""

import re
from dataclasses import dataclass, field
from functools import lru_cache

from charset_normalizer import from_bytes

_ALIASES = {
    "us-ascii": "utf-8",
    "ascii": "utf-8",
    "ansi_x3.4-1968": "utf-8",
    "646": "utf-8",
    "utf8": "utf-8",
    "utf8mb4": "utf-8",
    "unicode-1-1-utf-8": "utf-8",
    "utf7": "utf-7",
    "unicode-1-1-utf-7": "utf-7",
    "unicode": "utf-16",
    "iso-8859-1": "cp1252",
    "iso8859-1": "cp1252",
    "iso_8859-1": "cp1252",
    "latin1": "cp1252",
    "latin-1": "cp1252",
    "l1": "cp1252",
    "ansi": "cp1252",
    "iso-8859-8-i": "iso-8859-8",
    "iso-8859-8-e": "iso-8859-8",
    "iso-8859-6-i": "iso-8859-6",
    "iso-8859-9": "cp1254",
    "iso-8859-11": "cp874",
    "tis-620": "cp874",
    "windows-874": "cp874",
    "dos-874": "cp874",
    "gb2312": "gb18030",
    "gb_2312-80": "gb18030",
    "gbk": "gb18030",
    "cp936": "gb18030",
    "windows-936": "gb18030",
    "hz-gb-2312": "hz",
    "shift_jis": "cp932",
    "shift-jis": "cp932",
    "sjis": "cp932",
    "ms_kanji": "cp932",
    "windows-31j": "cp932",
    "ms932": "cp932",
    "eucjp": "euc-jp",
    "euc-kr": "cp949",
    "euckr": "cp949",
    "ks_c_5601-1987": "cp949",
    "ks_c_5601": "cp949",
    "ksc5601": "cp949",
    "uhc": "cp949",
    "windows-949": "cp949",
    "big5": "big5hkscs",
    "big5-hkscs": "big5hkscs",
    "cp950": "big5hkscs",
    "iso-2022-jp": "iso2022_jp_ext",
    "cp50220": "iso2022_jp_ext",
    "cp50221": "iso2022_jp_ext",
    "iso-2022-jp-2": "iso2022_jp_2",
    "iso-2022-kr": "iso2022_kr",
    "macintosh": "mac_roman",
    "mac": "mac_roman",
    "macroman": "mac_roman",
    "koi8r": "koi8-r",
}
_KNOWN = frozenset(
    [
        *("utf-8", "utf-7", "utf-16", "utf-16le", "utf-16be", "utf-32", "utf-32le", "utf-32be"),
        *(f"iso-8859-{part}" for part in (2, 3, 4, 5, 6, 7, 8, 10, 13, 14, 15, 16)),
        *(f"cp{page}" for page in (437, 737, 775, 850, 852, 855, 857, 858, 860, 861, 862, 863, 864, 865, 866)),
        *(f"cp{page}" for page in (869, 874, 932, 949, *range(1250, 1259))),
        *("koi8-r", "koi8-u", "koi8-t", "ptcp154", "kz1048", "johab", "hz", "gb18030", "big5hkscs"),
        *("euc-jp", "iso2022_jp_ext", "iso2022_jp_2", "iso2022_kr"),
        *("mac_roman", "mac_cyrillic", "mac_greek", "mac_iceland", "mac_latin2", "mac_turkish"),
    ]
)
_LABEL_END = re.compile(r"[\s;*]")
_ESCAPE = re.compile(rb"(\x1b\$\(?[@BDOPQ]|\x1b\([BJIH])")
_SAMPLE = 8_192
_WORST_SHARE = 0.05


@dataclass(slots=True)
class Decoder:
    """Decodes the texts of one mail: `guesses` are left, `defects` collects what was wrong."""

    guesses: int
    defects: list[str] = field(default_factory=list)

    def note(self, defect: str) -> None:
        if defect not in self.defects:
            self.defects.append(defect)

    def text(self, data: bytes, label: str | None) -> str:
        """`data` as text by the ladder. The result may hold NUL: `clean` comes after."""
        declared = codec(label) if label else None
        if label and declared is None and not _says_nothing(label):
            self.note("charset_unknown")
        if declared:
            text = strict(data, declared)
            if text is not None:
                return text
            self.note("charset_wrong")
        # ISO-2022-JP is seven-bit: as UTF-8 its escape sequences would pass for text
        text = _japanese(data) if declared == "iso2022_jp_ext" and b"\x1b" in data else None
        if text is None:
            text = strict(data, "utf-8")
        if text is None and declared and declared not in ("utf-8", "utf-7"):
            text = _mostly(data, declared)
        if text is None:
            text = self._guess(data)
        return western(data) if text is None else text

    def _guess(self, data: bytes) -> str | None:
        if len(data) <= 16:
            return None
        if self.guesses <= 0:
            self.note("charset_not_guessed")
            return None
        self.guesses -= 1
        best = from_bytes(data[:_SAMPLE]).best()
        name = codec(best.encoding.replace("_", "-")) or codec(best.encoding) if best else None
        return strict(data, name) if name else None


@lru_cache(maxsize=512)
def codec(label: str) -> str | None:
    """Python codec of a mail charset's label, None where it is not on the list."""
    label = _LABEL_END.split(label.strip(" \t\"'").lower(), maxsplit=1)[0].strip("\"'")[:40]
    for name in (label, label.removeprefix("x-"), label.removeprefix("iso-")):
        found = _ALIASES.get(name, name)
        if found in _KNOWN:
            return found
        if (spelling := _page(found)) in _KNOWN:
            return spelling
    return None


def _page(name: str) -> str:
    """`windows-1252`, `cp-1252`, `ibm850`, `iso8859-15`, `iso_8859-15` in the list's spelling."""
    for prefix, spelling in (("windows-", "cp"), ("cp-", "cp"), ("ibm-", "cp"), ("ibm", "cp"), ("win", "cp")):
        if name.startswith(prefix):
            return spelling + name[len(prefix) :]
    if name.startswith(("iso8859", "iso_8859", "iso-8859")):
        part = name[8 if name[3] in "_-" else 7 :].lstrip("-_").split(":")[0]
        return _ALIASES.get(f"iso-8859-{part}", f"iso-8859-{part}")
    return name


def _says_nothing(label: str) -> bool:
    return label.strip(" \"'").lower() in ("", "unknown-8bit", "x-unknown", "unknown", "default", "none", "8bit")


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
    """Raw 8-bit bytes of a header field: UTF-8 (RFC 6532), else western. UTF-7 is never read there."""
    text = strict(data, "utf-8")
    return western(data) if text is None else text


def _mostly(data: bytes, name: str) -> str | None:
    text = data.decode(name, "replace")
    return text if text.count("\ufffd") <= len(text) * _WORST_SHARE else None


def _japanese(data: bytes) -> str | None:
    """ISO-2022-JP as Windows writes it (CP50221): Python has no such codec, circled digits fail in all of its own.

    The two-byte codes are moved to Shift_JIS and read as CP932.
    """
    for name in ("iso2022_jp_2004", "iso2022_jp_3"):
        if (text := strict(data, name)) is not None:
            return text
    pieces, wide, kana = [], False, False
    for piece in _ESCAPE.split(data):
        if piece.startswith(b"\x1b") and _ESCAPE.fullmatch(piece):
            wide, kana = piece.startswith(b"\x1b$"), piece == b"\x1b(I"
        elif wide:
            pieces.append(_shifted(piece))
        else:
            pieces.append(bytes(byte | 0x80 for byte in piece) if kana else piece)
    return strict(b"".join(pieces), "cp932")


def _shifted(pairs: bytes) -> bytes:
    """JIS X 0208 rows and cells (7 bits each) as Shift_JIS."""
    out = bytearray()
    for high, low in zip(pairs[::2], pairs[1::2], strict=False):
        first = ((high - 0x21) >> 1) + 0x81
        first += 0x40 if first > 0x9F else 0
        second = low + (0x7E if not high & 1 else 0x20 if low >= 0x60 else 0x1F)
        out += bytes((first & 0xFF, second & 0xFF))
    return bytes(out)
