"""Signed Message-IDs: a reply to one of our mails proves its ticket without a look-up.

`<c1.TICKET.DELIVERY.MAC@domain>`; TICKET and DELIVERY are keys, MAC is 13 characters of HMAC-SHA256 over
`c1.TICKET.DELIVERY`, all in lower-case base32 (RFC 4648 section 6). Delivery 0 is the ticket's stable reference,
present in the References of every mail of ours. Keys are hashes of what caused the ticket and the delivery, so a
database that went back names them again as before (docs/adr/0005).
"""

import hashlib
import hmac
import re
from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

import idna

MOST_CHARACTERS = 78
"""RFC 5322 2.1.1: a longer id would have to be folded, and some servers encode it then, which breaks threading."""

KEY_CHARACTERS = 10
LONG_KEY_CHARACTERS = 16
"""Of a ticket whose ordinary key another ticket has: four in a hundred desks of ten million tickets have one such."""

STABLE = "0"
"""In the place of a delivery: the ticket itself."""

_SHORTEST_SECRET = 16
_MAC_CHARACTERS = 13
_KEY = rf"[a-z2-7]{{{KEY_CHARACTERS}}}(?:[a-z2-7]{{{LONG_KEY_CHARACTERS - KEY_CHARACTERS}}})?"
_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]
_KEY_ALONE = re.compile(_KEY)
_SIGNED = re.compile(rf"<?c1\.({_KEY})\.({STABLE}|{_KEY})\.([a-z2-7]{{{_MAC_CHARACTERS}}})@[^<>@\s]+>?", re.IGNORECASE)

_SIGNED_INSIDE = re.compile(
    rf"(?<![\w.])c1\.{_KEY}\.(?:{STABLE}|{_KEY})\.[a-z2-7]{{{_MAC_CHARACTERS}}}@[a-z0-9.-]{{1,78}}", re.IGNORECASE
)
_MOST_SIGNED = 20


class Signed(NamedTuple):
    """What one of our ids says: keys in lower case; `delivery` is STABLE in the ticket's own reference."""

    ticket: str
    delivery: str


def key_of(*cause: str, characters: int = KEY_CHARACTERS) -> str:
    """The key of what `cause` names: base32 characters of SHA-256, five bits each. The longer key begins with the
    shorter one."""
    digest = hashlib.sha256("\0".join(cause).encode("utf-8", "surrogateescape")).digest()
    return _base32(digest, characters)


def sign(ticket: str, delivery: str, domain: str, keys: Sequence[bytes]) -> str:
    """The id with its angle brackets; the first key signs. `domain` is that of the From address, any case or script.

    ValueError without a key to sign with, for what is no key of a ticket or a delivery, and for a domain with which
    the id exceeds 78 characters.
    """
    if not keys:
        raise ValueError("no key to sign Message-IDs with")
    if not _KEY_ALONE.fullmatch(ticket) or not (delivery == STABLE or _KEY_ALONE.fullmatch(delivery)):
        raise ValueError("no key of a ticket or a delivery")
    signed = f"c1.{ticket}.{delivery}"
    message_id = f"<{signed}.{_mac(signed, keys[0])}@{_a_label(domain)}>"
    if len(message_id) > MOST_CHARACTERS:
        raise ValueError("the domain is too long for a Message-ID of 78 characters")
    return message_id


def verify(message_id: str, keys: Sequence[bytes]) -> Signed | None:
    """What the id says, if any of the keys signed it; None for every other id. Case does not count: some mail
    systems change it. The domain is not signed."""
    match = _SIGNED.fullmatch(message_id.strip()) if len(message_id) <= 2 * MOST_CHARACTERS else None
    if match is None or not message_id.isascii():
        return None
    ticket, delivery, mac = (part.lower() for part in match.groups())
    signed = f"c1.{ticket}.{delivery}"
    # every key is tried, so that the time says nothing about which one it was
    matches = [hmac.compare_digest(_mac(signed, key), mac) for key in keys]
    return Signed(ticket, delivery) if any(matches) else None


def signed_ids(text: str, keys: Sequence[bytes]) -> list[str]:
    """Our own ids wherever they stand in a text, in angle brackets; at most 20 are looked at."""
    if "c1." not in text.lower():
        return []
    found = dict.fromkeys(f"<{match[0].strip('<>')}>" for match in islice(_SIGNED_INSIDE.finditer(text), _MOST_SIGNED))
    return [each for each in found if verify(each, keys)]


def load_keys(text: str) -> list[bytes]:
    """Keys of a secret, one a line, the newest first; blank lines and `#` comments do not count.

    ValueError without a key, and for one of fewer than 16 characters; the message never holds a key.
    """
    lines = [line.strip() for line in text.splitlines()]
    keys = [line.encode() for line in lines if line and not line.startswith("#")]
    if not keys:
        raise ValueError("no key")
    for number, key in enumerate(keys, 1):
        if len(key) < _SHORTEST_SECRET:
            raise ValueError(f"key {number} is shorter than {_SHORTEST_SECRET} characters")
    return keys


def _mac(signed: str, key: bytes) -> str:
    digest = hmac.digest(key, signed.encode("ascii"), "sha256")
    return _base32(digest, _MAC_CHARACTERS)


def _base32(digest: bytes, characters: int) -> str:
    """Of the first 80 bits; ten bits at a time, because an id is made for every mail twice."""
    number = int.from_bytes(digest[:10])
    return "".join([_PAIRS[number >> shift & 1023] for shift in range(70, -1, -10)])[:characters]


def _a_label(domain: str) -> str:
    domain = domain.strip().rstrip(".").lower()
    if domain.isascii():
        if not re.fullmatch(r"[a-z0-9_.-]+", domain):
            raise ValueError("not a domain")
        return domain
    try:
        return idna.encode(domain, uts46=True).decode("ascii")
    except idna.IDNAError as error:
        raise ValueError("not a domain") from error
