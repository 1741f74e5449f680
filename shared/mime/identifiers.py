"""Message identifiers (RFC 5322 3.6.4): input from strangers, kept only where they can be repeated safely."""

import re

from shared.mime.charsets import raw_header
from shared.mime.clean import one_line
from shared.mime.fields import Headers
from shared.mime.limits import DEFAULT, Limits

# no blanks and no controls: anything else would break the header line it is repeated in
_ID = re.compile(rb"<[^<>\x00-\x20\x7f]{1,996}>")


def message_id(headers: Headers) -> str:
    """The first `<…>` of the first Message-ID field, with its brackets; "" if there is none."""
    found = _ID.search(headers.first("message-id") or b"")
    return _text(found[0]) if found else ""


def in_reply_to(headers: Headers, limits: Limits = DEFAULT) -> list[str]:
    return _identifiers(headers.all("in-reply-to"), limits.references)


def references(headers: Headers, limits: Limits = DEFAULT) -> list[str]:
    """Every valid id in order; of more than the limit the first, which is the root, and the last ones."""
    return _identifiers(headers.all("references"), limits.references)


def _identifiers(values: list[bytes], limit: int) -> list[str]:
    found: list[bytes] = []
    for value in values:
        found += _ID.findall(value)
    if len(found) > limit:
        found = found[:1] + found[1 - limit :]
    return [_text(identifier) for identifier in found]


def _text(identifier: bytes) -> str:
    return one_line(raw_header(identifier))
