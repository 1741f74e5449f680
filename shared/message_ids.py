"""Signed Message-IDs: a reply to one of our mails proves its ticket without a look-up.

`<c1.TICKET.DELIVERY.MAC@domain>`; MAC is 16 lower-case base32 characters (80 bits) of HMAC-SHA256 over
`c1.TICKET.DELIVERY`. Delivery 0 is the ticket's stable reference, present in the References of every mail of ours.
"""

import base64
import hmac
import re
from collections.abc import Sequence
from typing import NamedTuple

import idna

MOST_CHARACTERS = 78
"""RFC 5322 2.1.1: a longer id would have to be folded, and some servers encode it then, which breaks threading."""

_SHORTEST_KEY = 16
_SIGNED = re.compile(r"<?c1\.(0|[1-9][0-9]{0,18})\.(0|[1-9][0-9]{0,18})\.([a-z2-7]{16})@[^<>@\s]+>?", re.IGNORECASE)


class Signed(NamedTuple):
    """What one of our ids says; `delivery` 0 is the ticket's stable reference."""

    ticket: int
    delivery: int


def sign(ticket: int, delivery: int, domain: str, keys: Sequence[bytes]) -> str:
    """The id with its angle brackets; the first key signs. `domain` is that of the From address, any case or script.

    ValueError without a key, for a negative number, and for a domain with which the id exceeds 78 characters.
    """
    if not keys:
        raise ValueError("no key to sign Message-IDs with")
    if ticket < 0 or delivery < 0:
        raise ValueError("ticket and delivery are not negative")
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
    ticket, delivery, mac = int(match[1]), int(match[2]), match[3].lower()
    signed = f"c1.{ticket}.{delivery}"
    # every key is tried, so that the time says nothing about which one it was
    matches = [hmac.compare_digest(_mac(signed, key), mac) for key in keys]
    return Signed(ticket, delivery) if any(matches) else None


def load_keys(text: str) -> list[bytes]:
    """Keys of a secret, one a line, the newest first; blank lines and `#` comments do not count.

    ValueError without a key, and for one of fewer than 16 characters; the message never holds a key.
    """
    lines = [line.strip() for line in text.splitlines()]
    keys = [line.encode() for line in lines if line and not line.startswith("#")]
    if not keys:
        raise ValueError("no key")
    for number, key in enumerate(keys, 1):
        if len(key) < _SHORTEST_KEY:
            raise ValueError(f"key {number} is shorter than {_SHORTEST_KEY} characters")
    return keys


def _mac(signed: str, key: bytes) -> str:
    digest = hmac.digest(key, signed.encode("ascii"), "sha256")
    return base64.b32encode(digest[:10]).decode("ascii").lower()


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
