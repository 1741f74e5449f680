"""What a server says must not repeat a secret of ours: not as it is, and not quoted or encoded.

A refused log-in is often answered with the line that was sent. Words that show a secret, or half of one, in any
form a mail protocol gives it are withheld whole: cutting out a part would leave the rest to be guessed.
"""

import binascii
import re
from base64 import b64decode
from collections.abc import Iterable, Iterator
from html import unescape
from urllib.parse import unquote_to_bytes

WITHHELD = b"(its words are withheld: they repeat a password or token)"
_AT_LEAST = 4  # a shorter part proves nothing; a shorter secret counts whole
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{4,}={0,2}")
_HEX = re.compile(rb"(?:[0-9A-Fa-f]{2}){4,}")
_QUOTED_PRINTABLE = re.compile(rb"=([0-9A-Fa-f]{2})")
_BACKSLASH = re.compile(rb"\\(.)")
_ENCODED_TWICE = 2


class Redaction:
    """The secrets of one connection; `words` gives back what may be shown."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._parts = {part.lower() for secret in secrets for part in _parts(secret.encode())}

    def words(self, said: bytes) -> bytes:
        """`said`, or a sentence in its place when it tells a secret."""
        return WITHHELD if self.reveals(said) else said

    def text(self, said: str) -> str:
        return self.words(said.encode("utf-8", "replace")).decode("utf-8", "replace")

    def reveals(self, said: bytes) -> bool:
        """Whether a secret, or half of one, stands in `said`, quoted or encoded up to twice."""
        forms = {said}
        for _ in range(_ENCODED_TWICE + 1):
            if any(part in form.lower() for form in forms for part in self._parts):
                return True
            forms = {decoded for form in forms for decoded in _decoded(form)}
        return False


def _parts(secret: bytes) -> Iterator[bytes]:
    """Every stretch of half the secret's length: also a cut-off quotation gives too much away."""
    length = len(secret) if len(secret) <= _AT_LEAST else max(_AT_LEAST, (len(secret) + 1) // 2)
    for start in range(len(secret) - length + 1 if secret else 0):
        yield secret[start : start + length]


def _decoded(form: bytes) -> Iterator[bytes]:
    yield unquote_to_bytes(form.replace(b"+", b" "))
    yield unquote_to_bytes(form)
    yield _BACKSLASH.sub(rb"\1", form)
    yield _QUOTED_PRINTABLE.sub(lambda match: bytes([int(match[1], 16)]), form)
    yield unescape(form.decode("utf-8", "replace")).encode("utf-8", "replace")
    for token in _HEX.findall(form):
        yield binascii.unhexlify(token)
    for token in _BASE64.findall(form):
        plain = token.rstrip(b"=").translate(bytes.maketrans(b"-_", b"+/"))
        for start in range(4):  # a quotation may begin anywhere in it
            cut = plain[start : start + (len(plain) - start) // 4 * 4]
            yield b64decode(cut)
            rest = plain[start:]
            yield b64decode(rest + b"=" * (-len(rest) % 4)) if len(rest) % 4 != 1 else b""
