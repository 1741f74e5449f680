"""Japanese text whose label is missing or wrong: ISO-2022-JP, EUC-JP and Shift_JIS under each other's names."""

import re

_ESCAPE = re.compile(rb"(\x1b\$\(?[@BDOPQ]|\x1b\([BJIH])")
_SHIFTED_IN = re.compile(rb"\x1b\$(?:[@B]|\([@BDOPQ])")
_NEVER_IN_EUC = re.compile(rb"[\x80-\x8d\x90-\xa0]")
_EUC_KANA = 0.2  # hiragana and katakana are rows 4 and 5; prose is half of them, other charsets hardly know such pairs


def is_seven_bit(data: bytes) -> bool:
    """Whether `data` switches to JIS X 0208 by an escape sequence, as ISO-2022-JP does. As UTF-8 it would pass too."""
    return b"\x1b" in data and data.isascii() and _SHIFTED_IN.search(data) is not None


def seven_bit(data: bytes) -> str | None:
    """ISO-2022-JP as Windows writes it (CP50221): Python has no such codec, circled digits fail in all of its own.

    The two-byte codes are moved to Shift_JIS and read as CP932.
    """
    for name in ("iso2022_jp_2004", "iso2022_jp_3"):
        if (text := _strict(data, name)) is not None:
            return text
    pieces, wide, kana = [], False, False
    for piece in _ESCAPE.split(data):
        if piece.startswith(b"\x1b") and _ESCAPE.fullmatch(piece):
            wide, kana = piece.startswith(b"\x1b$"), piece == b"\x1b(I"
        elif wide:
            pieces.append(_shifted(piece))
        else:
            pieces.append(bytes(byte | 0x80 for byte in piece) if kana else piece)
    return _strict(b"".join(pieces), "cp932")


def _shifted(pairs: bytes) -> bytes:
    """JIS X 0208 rows and cells (7 bits each) as Shift_JIS."""
    out = bytearray()
    for high, low in zip(pairs[::2], pairs[1::2], strict=False):
        first = ((high - 0x21) >> 1) + 0x81
        first += 0x40 if first > 0x9F else 0
        second = low + (0x7E if not high & 1 else 0x20 if low >= 0x60 else 0x1F)
        out += bytes((first & 0xFF, second & 0xFF))
    return bytes(out)


def eight_bit(data: bytes) -> str | None:
    """EUC-JP or Shift_JIS, whichever it is; None for neither."""
    names = ("euc_jp", "euc_jis_2004", "cp932") if is_euc(data) else ("cp932", "euc_jp", "euc_jis_2004")
    for name in names:
        if (text := _strict(data, name)) is not None:
            return text
    return None


def is_euc(data: bytes) -> bool:
    """Whether 8-bit Japanese is EUC-JP: Shift_JIS uses bytes that EUC-JP does not, and no rows of kana at A4 and A5."""
    if _NEVER_IN_EUC.search(data):
        return False
    pairs = (len(data) - len(data.translate(None, bytes(range(0xA1, 0xFF))))) / 2
    return data.count(b"\xa4") + data.count(b"\xa5") >= pairs * _EUC_KANA


def _strict(data: bytes, name: str) -> str | None:
    try:
        return data.decode(name)
    except (UnicodeError, ValueError):
        return None
