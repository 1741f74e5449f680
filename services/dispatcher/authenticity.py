"""Whether a server that we trust vouches for the address in From (RFC 8601, RFC 7489).

Only the topmost Authentication-Results of a host that the desk names (`authserv_ids`) is believed: whoever writes a
mail can write such a field too, but not above the one that our own server puts on top.
"""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from shared.mime.model import Mail

_SHOWN = 200
_MOST = 50
_METHOD = re.compile(r"\s*([a-z0-9-]{1,40})(?:\s*/\s*[0-9]+)?\s*=\s*([a-z]{1,40})", re.IGNORECASE)
_PROPERTY = re.compile(r'([a-z]{1,20}\.[a-z0-9-]{1,40})\s*=\s*(?:"([^"]{0,320})"|([^\s;"]{1,320}))', re.IGNORECASE)


class Verdict(NamedTuple):
    """`vouched`: the domain of From vouched for the mail. `saw`: what the field says, for the trace."""

    vouched: bool
    saw: str


def verdict(mail: Mail, sender: str, authserv_ids: Iterable[str]) -> Verdict:
    """DMARC `pass` for the domain of `sender`, or a DKIM signature of that domain or one above it."""
    written = mail.headers_all("authentication-results")[:_MOST]
    trusted = {name.lower() for name in authserv_ids}
    if not trusted:
        return Verdict(vouched=False, saw="no authserv_ids in the desk" if written else "nothing")
    for value in written:
        parts = list(_parts(value))
        host = parts[0].split()[0].lower() if parts and parts[0].split() else ""
        if host in trusted:
            domain = sender.rpartition("@")[2].lower()
            vouched = bool(domain) and any(_vouches(part, domain) for part in parts[1:])
            return Verdict(vouched, f"{host}:{';'.join(parts[1:])}"[:_SHOWN])
    return Verdict(vouched=False, saw="nothing of a host that the desk names")


def _vouches(result: str, domain: str) -> bool:
    method = _METHOD.match(result)
    if method is None or method[2].lower() != "pass":
        return False
    said = {name.lower(): (quoted or bare).lower() for name, quoted, bare in _PROPERTY.findall(result)}
    if method[1].lower() == "dmarc":
        return _host(said.get("header.from", "")) == domain
    if method[1].lower() == "dkim":
        signer = _host(said.get("header.d") or said.get("header.i", ""))
        return domain == signer or ("." in signer and domain.endswith(f".{signer}"))
    return False


def _host(address: str) -> str:
    return address.rpartition("@")[2].strip(".<>")


def _parts(value: str) -> Iterator[str]:
    """What stands between semicolons, without comments: both may stand inside quotes, comments inside comments."""
    out: list[str] = []
    quoted, depth, escaped = False, 0, False
    for char in value:
        if escaped:
            escaped = False
        elif char == "\\":
            escaped = True
            continue
        elif char == '"' and not depth:
            quoted = not quoted
        elif char == "(" and not quoted:
            depth += 1
        elif char == ")" and depth:
            depth -= 1
            continue
        elif char == ";" and not quoted and not depth:
            yield "".join(out)
            out = []
            continue
        if not depth:
            out.append(char)
    yield "".join(out)
