"""The last step of every text: nothing leaves the parser that PostgreSQL refuses or that breaks a header line."""

import re

_SURROGATES = re.compile("[\ud800-\udfff]")
# what str.splitlines and the email package take for a line end, besides CR, LF, TAB and blank
_BREAKS = re.compile("[\r\n\t\x0b\x0c\x1c-\x1e\x85\u2028\u2029 ]+")


def storable(text: str) -> str:
    """`text` as valid UTF-8 without NUL: PostgreSQL refuses the row otherwise (SQLSTATE 22021)."""
    if "\0" in text:
        text = text.replace("\0", "\ufffd")
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return _SURROGATES.sub("\ufffd", text)
    return text


def one_line(text: str) -> str:
    """`storable` text on a single line: a decoded CR LF in a subject would become a header of our answer."""
    if not text.isprintable() or "  " in text:  # printable text holds no break, no NUL and no surrogate
        text = _BREAKS.sub(" ", storable(text))
    return text.strip(" ")


def lines(text: str) -> str:
    """`storable` body text with LF line ends and without a byte order mark."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return storable(text.removeprefix("\ufeff"))
