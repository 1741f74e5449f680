"""Message identifiers (RFC 5322 3.6.4): input from strangers, kept only where they can be repeated safely.

Read as well: without angle brackets, written as encoded words, and with a fold inside. No id is ever made up.
"""

import re

from shared.mime import encoded_words
from shared.mime.charsets import Decoder, raw_header
from shared.mime.clean import one_line
from shared.mime.fields import Headers
from shared.mime.limits import DEFAULT, Limits

# no blanks and no controls: anything else would break the header line it is repeated in
_ID = re.compile(rb"<[^<>\x00-\x20\x7f]{1,996}>")
_BARE = re.compile(rb"<?([^<>\x00-\x20\x7f,;\"()]{1,996})>?")
_BETWEEN = re.compile(rb"[\s,;]+")
_SEPARATORS = b" \t\r\n,;"
_FOLDED_ID = re.compile(rb"<[^<>]{1,2000}>")
_FOLD = re.compile(rb"\r?\n[ \t]+")


def message_id(headers: Headers) -> str:
    """The first `<…>` of the first Message-ID field, with its brackets; "" if there is none."""
    value = headers.first("message-id")
    if not value:
        return ""
    found = _ID.search(value)
    if found:
        return _text(found[0])
    others = _tolerantly(headers, "message-id", 0, value) or _alone(value)
    return _text(others[0]) if others else ""


def in_reply_to(headers: Headers, limits: Limits = DEFAULT) -> list[str]:
    return _identifiers(headers, "in-reply-to", limits.references)


def references(headers: Headers, limits: Limits = DEFAULT) -> list[str]:
    """Every valid id in order; of more than the limit the first, which is the root, and the last ones."""
    return _identifiers(headers, "references", limits.references)


def _identifiers(headers: Headers, name: str, limit: int) -> list[str]:
    found: list[bytes] = []
    for number, value in enumerate(headers.all(name)):
        ids = _ID.findall(value)
        # all of the value, but for what parts them: an encoded word has no brackets
        ordinary = len(value.translate(None, _SEPARATORS)) == sum(map(len, ids))
        found += ids if ordinary else _tolerantly(headers, name, number, value)
    if len(found) > limit:
        found = found[:1] + found[1 - limit :]
    return [_text(identifier) for identifier in found]


def _tolerantly(headers: Headers, name: str, number: int, value: bytes) -> list[bytes]:
    """The ids of the field `number` of this name, as they can be made out."""
    if b"=?" in value:
        value = encoded_words.decode(value, Decoder(0), DEFAULT.encoded_words).encode("utf-8", "replace")
    elif _ID.sub(b"", value).count(b"<"):
        # a fold inside of an id is no blank of it; a blank inside, which the sender wrote, spoils it
        folded = headers.raw(name)
        if number < len(folded):
            value = _FOLDED_ID.sub(lambda match: _FOLD.sub(b"", match[0]), folded[number])
    bare = [token for token in _BETWEEN.split(value.strip()) if token]
    ids = [_BARE.fullmatch(token) for token in bare]
    if all(match and b"@" in match[1] for match in ids):
        return [b"<" + match[1] + b">" for match in ids if match]
    return _ID.findall(value)


def _alone(value: bytes) -> list[bytes]:
    """A Message-ID without brackets, or with one of them, and without an `@`: used as it is written."""
    match = _BARE.fullmatch(value.strip()) if b"=?" not in value else None
    return [b"<" + match[1] + b">"] if match else []


def _text(identifier: bytes) -> str:
    return one_line(raw_header(identifier))
