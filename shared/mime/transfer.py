"""Transfer encodings (RFC 2045 6), read as far as they can be read; nothing here raises."""

import binascii
import re

_UUENCODE = ("x-uuencode", "uuencode", "x-uue", "uue")
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_FOREIGN = bytes(set(range(256)) - set(_BASE64 + b"="))
_RULE = re.compile(rb"^[_-]{3,}[ \t]*\r?$", re.MULTILINE)
_MORE = re.compile(rb"\s*((?:[A-Za-z0-9+/]{4})+(?:[A-Za-z0-9+/]{2,3}=+)?|[A-Za-z0-9+/]{2,3}=+)[ \t]*(?:\r?\n|\Z)")
_WORD = re.compile(rb"[A-Z]?[a-z]+|[A-Z]+")
_PROSE = re.compile(
    rb"(?<=\n)(?:\S{1,20}[ \t]+){2,}\S"
    rb"|(?<=\n)(?:[A-Z]?[a-z]+|[A-Z]+)[ \t]+(?:[A-Z]?[a-z]+|[A-Z]+)[.!?]?[ \t]*\r?(?:\n|\Z)"
)
_TAIL, _SHORT_WORD = 400, 4
_NARROWEST = 56  # characters: nobody breaks the lines of a block earlier
_FIRST_LINE = re.compile(rb"[^\s][^\r\n]*")
_LINE = re.compile(rb"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
_WORDS = re.compile(rb"\s*(?:[A-Z]?[a-z]+|[A-Z]+)(?:[ ,.!?'\r\n-]+(?:[A-Z]?[a-z]+|[A-Z]+))*+[ .,!?\r\n]*")
_SHORT = 400
_LOOKED_AT = 4_096
_MOST_GAPS, _LONGEST_WORD = 3, 20
_FEWEST, _MEAN_WORD = 3, 12
_PADDING = re.compile(rb"=[=\s]*")
_TRAILING_BLANKS = re.compile(rb"(?<![ \t])[ \t]+(?=\r?\n)")
_LONE_CR = re.compile(rb"=\r(?!\n)")
_BEGIN = re.compile(rb"^begin [0-7]{3,4} [^\n]*\n", re.MULTILINE)


def is_known(encoding: str) -> bool:
    """Whether a transfer encoding of this name changes the bytes."""
    return encoding in ("base64", "quoted-printable", *_UUENCODE)


def decode(data: bytes, encoding: str) -> bytes:
    """`data` decoded by the lower-case name of its transfer encoding; unknown names leave it as it is."""
    if encoding == "base64":
        return base64(data)
    if encoding == "quoted-printable":
        return quoted_printable(data)
    if encoding in _UUENCODE:
        return uuencoded(data)
    return data


def base64(data: bytes) -> bytes:
    """One strict call on the whole part; on an error foreign characters and one left-over character are dropped,
    padding is added, a second encoded block behind the first is read as well, and prose stays as it is."""
    try:
        return binascii.a2b_base64(_without_last_word(data).translate(None, b"\r\n"), strict_mode=True)
    except binascii.Error:
        return data if _is_prose(data) else b"".join(_blocks(data))


def is_a_few_words(data: bytes) -> bool:
    """Whether this short text may be words as well as base64: what it decodes to must say."""
    return len(data) <= _SHORT and _WORDS.fullmatch(data) is not None


def _without_last_word(data: bytes) -> bytes:
    """`data` without a footer of one word: it would decode, but the line before it is the last of the block, shorter
    than the others."""
    last = data[-_TAIL:].split()[-2:]
    if len(last) < 2 or not _WORD.fullmatch(last[1]):
        return data
    first = data[: data.find(b"\n")].strip()
    is_alone = len(first) < _NARROWEST and first == last[0] and len(last[1]) > _SHORT_WORD
    return data[: data.rfind(last[1])] if len(last[0]) < len(first) or is_alone else data


def _is_prose(data: bytes) -> bool:
    """Whether this was never encoded: its first line is words between blanks, or holds 8-bit characters, or is no
    line of base64 and the text behind it is words."""
    line = _FIRST_LINE.search(data, 0, _LOOKED_AT)
    if line is None:
        return False
    words = line[0].split()
    if (len(words) > _MOST_GAPS and len(line[0]) < len(words) * _LONGEST_WORD) or not line[0].isascii():
        return True
    if _LINE.fullmatch(line[0].strip()):
        return False
    words = data[:_LOOKED_AT].split()
    return len(words) >= _FEWEST and sum(map(len, words)) < len(words) * _MEAN_WORD


def _blocks(data: bytes) -> list[bytes]:
    """What the blocks decode to. A mailing list's footer, prose or behind a rule, is none of them."""
    for footer in (_RULE.search(data), _PROSE.search(data)):
        if footer:
            data = data[: footer.start()]
    out = []
    here = 0
    while here < len(data):
        padding = _PADDING.search(data, here)
        end = padding.start() if padding else len(data)
        out.append(_forced(data[here:end]))
        if padding is None:
            break
        here = padding.end()
        more = _MORE.match(data, here)
        if more is None or _WORD.fullmatch(more[1]):
            break  # a plain footer, not another block
    return out


def _forced(text: bytes) -> bytes:
    text = text.translate(None, _FOREIGN)
    if len(text) % 4 == 1:
        text = text[:-1]
    return binascii.a2b_base64(text + b"=" * (-len(text) % 4))


def base64_size(raw: bytes, start: int, end: int) -> int:
    """Bytes that well-formed base64 in `raw[start:end]` decodes to, without decoding it."""
    line_ends = raw.count(b"\n", start, end)
    first = raw.find(b"\n", start, end)
    if first > start and raw[first - 1 : first] == b"\r":  # then every line ends so
        line_ends = min(2 * line_ends, end - start)
    tail = raw[max(start, end - 8) : end].rstrip()
    return max(0, (end - start - line_ends) // 4 * 3 - (len(tail) - len(tail.rstrip(b"="))))


def quoted_printable(data: bytes) -> bytes:
    """`=` without two hex digits stays as it is; blanks before a line end go (a soft break may hide behind them)."""
    data = _TRAILING_BLANKS.sub(b"", data)
    if data.count(b"=\r") != data.count(b"=\r\n"):
        data = _LONE_CR.sub(b"=\n", data)  # a2b_qp drops everything from such a break to the next LF
    return binascii.a2b_qp(data)


def uuencoded(data: bytes) -> bytes:
    """What stands between `begin` and `end`; the bytes as they are if that cannot be read."""
    begin = _BEGIN.search(data)
    if begin is None:
        return data
    out = []
    for line in data[begin.end() :].splitlines():
        if line.strip() in (b"end", b""):
            if line.strip():
                break
            continue
        try:
            out.append(binascii.a2b_uu(line))
        except binascii.Error:
            # some encoders pad wrongly: the first character says how many of the rest count
            wanted = (((line[0] - 32) & 63) * 4 + 5) // 3
            try:
                out.append(binascii.a2b_uu(line[:wanted]))
            except binascii.Error:
                return data
    return b"".join(out)
