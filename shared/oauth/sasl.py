"""SASL mechanisms that carry an access token: XOAUTH2 (Google's and Microsoft's) and OAUTHBEARER (RFC 7628). Pure."""

from base64 import b64encode
from collections.abc import Collection
from typing import NamedTuple


class Sasl(NamedTuple):
    """A mechanism and what the client says, in base64. A challenge to `initial` is the reason of a refusal, as JSON;
    it is answered with `end`, and only then comes the server's verdict."""

    mechanism: str
    initial: bytes
    end: bytes


def bearer(offered: Collection[str], user: str, token: str, host: str, port: int) -> Sasl | None:
    """The one that the server offers (names in upper case); None where it takes no access token."""
    if "XOAUTH2" in offered:
        text = f"user={user}\x01auth=Bearer {token}\x01\x01"
        return Sasl("XOAUTH2", b64encode(text.encode()), b"")
    if "OAUTHBEARER" in offered:
        name = user.replace("=", "=3D").replace(",", "=2C")  # RFC 5801 section 4
        text = f"n,a={name},\x01host={host}\x01port={port}\x01auth=Bearer {token}\x01\x01"
        return Sasl("OAUTHBEARER", b64encode(text.encode()), b64encode(b"\x01"))
    return None
