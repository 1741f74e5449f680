"""Address fields (RFC 5322 3.4), split before anything is decoded: a decoded name may hold `<`, `,` and `@`.

One pass with explicit state: no recursion, no backtracking, whatever the nesting.
"""

import re
import unicodedata

import idna

from shared.mime import encoded_words
from shared.mime.charsets import Decoder, raw_header
from shared.mime.clean import one_line
from shared.mime.limits import Limits
from shared.mime.model import Address

_SIMPLE = re.compile(
    rb"(?:([A-Za-z0-9 .'-]{1,200}|(?:=\?[\w-]{1,40}\?[bBqQ]\?[\w=+/.-]{0,90}\?=[ \t]*){1,9}) ?(?=<))?"
    rb"<?([A-Za-z0-9_+=-][A-Za-z0-9._+=-]{0,62}@)([A-Za-z0-9][A-Za-z0-9.-]{0,200}[A-Za-z0-9])>?"
)
_PLAIN = re.compile(rb"([A-Za-z0-9_+=-][A-Za-z0-9._+=-]{0,62}@)([A-Za-z0-9][A-Za-z0-9.-]{0,200}[A-Za-z0-9])")
# encoded words are passed over: senders leave commas and colons in them
_WORD = re.compile(rb"=\?[^\s?=]{1,64}\?[bBqQ]\?[^\s?]*\?=")
_SPECIAL = re.compile(rb'=\?[^\s?=]{1,64}\?[bBqQ]\?[^\s?<>"]*\?=|[\\"(),;:<>]')
_AWKWARD = re.compile(rb'["\\();:]')
_SEPARATOR = re.compile(rb"[,;]")
# the look-behind lets a match begin only where a run begins: a long run without @ would cost its square
_BARE = re.compile(rb'(?<![^\s"<>()\[\]@])[^\s"<>()\[\]@]+@(?:\[[^\s"<>()\[\]]+\]|[^\s"<>()\[\]]+)')
_QUOTED_LOCAL = re.compile(rb'"(?:[^"\\]|\\.)*+"@[^\s"<>()@]+')
_COMMENT = re.compile(rb"\(([^()]*)\)")
_QUOTING = re.compile(rb'\\(.)|"', re.DOTALL)
_QUOTED_OR_ENCODED = re.compile(rb'["()]|=\?')
_RECIPIENTS = ("to", "cc", "reply_to")
_BLANKS = re.compile(r"\s+")
_DOMAIN = 253


def scan(values: list[bytes], decoder: Decoder, limits: Limits, field: str) -> list[Address]:
    """Addresses of all fields of one name in their order, at most `limits.addresses` (else defect `<field>_cut`)."""
    found: list[Address] = []
    for value in values:
        pending = b""
        # most fields need no care; a comma inside angles breaks its item, and the pieces join again
        for item in split(value) if _AWKWARD.search(value) else value.split(b","):
            if len(found) >= limits.addresses:
                decoder.note(f"{field}_cut")
                return found
            address = _simple(item.strip(), decoder, limits) if not pending else None
            if address is None and not pending and len(parts := _parted(item, field)) > 1:
                found += _several(parts, decoder, limits, limits.addresses - len(found), field)
                continue
            address = address or _mailbox(pending + item, decoder, limits)
            if address is None:
                # a piece of a name broken at an unquoted comma: it belongs to the next item
                pending = pending + item + b"," if _piece(item) and len(pending) < limits.address else b""
                continue
            pending = b""
            found.append(address)
    return found


def _parted(item: bytes, field: str) -> list[bytes]:
    """An item of several addresses with blanks between them. Not where the last one in angles is the sender: what
    stands before it is a name that he chose."""
    if item.count(b"@") < 2 or _QUOTED_OR_ENCODED.search(item):
        return [item]
    if b"<" not in item:
        tokens = item.split()
        return tokens if all(token.count(b"@") == 1 for token in tokens) else [item]
    parts = item.strip().removesuffix(b">").split(b">") if field in _RECIPIENTS else []
    whole = all(part.count(b"<") == part.count(b"@") == part.partition(b"<")[2].count(b"@") == 1 for part in parts)
    return [part + b">" for part in parts] if whole and parts else [item]


def _several(parts: list[bytes], decoder: Decoder, limits: Limits, room: int, field: str) -> list[Address]:
    if len(parts) > room:
        decoder.note(f"{field}_cut")
    read = (_mailbox(part, decoder, limits) for part in parts[:room])
    return [address for address in read if address]


def _piece(item: bytes) -> bool:
    return b"@" not in item and item.strip() != b""


def _simple(item: bytes, decoder: Decoder, limits: Limits) -> Address | None:
    """An item without anything special in it, as most are; None for all others."""
    match = _SIMPLE.fullmatch(item)
    if match is None or (b"<" in item) != item.endswith(b">"):
        return None
    name = _shown(match[1], decoder, limits) if match[1] else ""
    return Address(name, match[2].decode("ascii") + match[3].decode("ascii").lower())


def split(value: bytes) -> list[bytes]:
    """The field's items: `,` and `;` separate outside of quotes, comments and angles; a group's name is dropped.

    A field that ends inside one of these was never balanced: it is split at its separators only.
    """
    items: list[bytes] = []
    start = depth = skip = 0
    quoted = angle = False
    for match in _SPECIAL.finditer(value):
        at = match.start()
        if at < skip or len(match[0]) > 1:
            continue
        char = match[0]
        if char == b"\\":
            skip = at + 2 if quoted or depth else skip
        elif char == b'"' and not depth:
            quoted = not quoted
        elif quoted:
            continue
        elif depth or char == b"(":
            depth += (char == b"(") - (char == b")")
        elif char in b"<>":
            angle = char == b"<"
        elif not angle:
            start = _ended(items, value, start, at)
    if quoted or depth or angle:
        return _SEPARATOR.split(value)
    items.append(value[start:])
    return items


def _ended(items: list[bytes], value: bytes, start: int, at: int) -> int:
    """Start of the next item behind the separator at `at`; a colon drops the name of a group."""
    if value[at : at + 1] != b":":
        items.append(value[start:at])
        return at + 1
    return start if value.find(b"@", start, at) >= 0 else at + 1


def _mailbox(item: bytes, decoder: Decoder, limits: Limits) -> Address | None:
    if b"=?" not in item:
        return _read(item, decoder, limits)
    if b"@" in _WORD.sub(b"", item) and (found := _read(item, decoder, limits)):
        return found
    # some senders encode the whole item, address included
    whole = encoded_words.decode(item, decoder, limits.encoded_words)
    return _read(whole.encode("utf-8", "replace"), decoder, limits)


def _read(item: bytes, decoder: Decoder, limits: Limits) -> Address | None:
    if b"@" not in item:
        return None
    opening = item.rfind(b"<")
    if opening >= 0 and b"@" in item[opening:].partition(b">")[0]:
        inner, _, behind = item[opening + 1 :].partition(b">")
        address = _normalised(inner, limits)
        name = _name(item[:opening], decoder, limits) or _comment(behind, decoder, limits)
        return Address(name, address) if address else None
    written = _without_angles(item)
    if not written and b"(" in item:
        return _inside_comment(item, decoder, limits)
    address = _normalised(written, limits)
    name = _comment(item, decoder, limits) or _name_before(item, written, decoder, limits)
    return Address(name, address) if address else None


def _inside_comment(item: bytes, decoder: Decoder, limits: Limits) -> Address | None:
    """`Rita Prado (rita@loja.example)`: the address stands where the name should."""
    for comment in _COMMENT.findall(item):
        if (bare := _BARE.search(comment)) and (address := _normalised(bare[0], limits)):
            return Address(_name(_COMMENT.sub(b" ", item), decoder, limits), address)
    return None


def _name_before(item: bytes, written: bytes, decoder: Decoder, limits: Limits) -> str:
    """The words before an address that nothing sets off."""
    before = item[: item.find(written)].strip(b" \t[<>") if written and b'"' not in item else b""
    return _name(before, decoder, limits) if before and b"@" not in before else ""


def _without_angles(item: bytes) -> bytes:
    """The first token with an `@`; what stands in quotes counts only where nothing outside of them is one."""
    item = _COMMENT.sub(b" ", item).strip()
    if b'"' in item:
        if quoted := _QUOTED_LOCAL.match(item):
            return quoted[0]
        outside = b" ".join(item.split(b'"')[::2])
        item = outside if b"@" in outside else item.replace(b'"', b" ")
    bare = _BARE.search(item)
    return bare[0] if bare else b""


def _name(raw: bytes, decoder: Decoder, limits: Limits) -> str:
    raw = raw.strip()
    if not raw:
        return ""
    if b'"' in raw:
        raw = _QUOTING.sub(rb"\1", raw)
    return _shown(raw, decoder, limits)


def _comment(raw: bytes, decoder: Decoder, limits: Limits) -> str:
    comment = _COMMENT.search(raw) if b"(" in raw else None
    return _shown(comment[1], decoder, limits) if comment else ""


def _shown(raw: bytes, decoder: Decoder, limits: Limits) -> str:
    name = encoded_words.decode(raw, decoder, limits.encoded_words)[: limits.subject]
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def _normalised(raw: bytes, limits: Limits) -> str:
    """`local@domain` without blanks, comments, a source route and trailing dots; "" if that leaves no address."""
    if b"(" in raw:
        raw = _COMMENT.sub(b"", raw)
    if plain := _PLAIN.fullmatch(raw):
        return plain[1].decode("ascii") + plain[2].decode("ascii").lower()
    text = one_line(raw_header(raw))
    if text.startswith("@") and ":" in text:  # RFC 5322 4.4: a source route is ignored
        text = text.rpartition(":")[2]
    text = text.removeprefix("mailto:")
    if text.startswith("'") and text.endswith("'"):
        text = text[1:-1]
    local, at, host = text.rpartition("@")
    if not local.lstrip().startswith('"'):
        local = _BLANKS.sub("", local)
        if "@" in local:  # a@evil@b has two meanings, so it has none
            return ""
    local = local.strip()  # a dot at its end is kept: some providers give such addresses, and without it is another
    host = domain(_BLANKS.sub("", host))
    address = f"{local}{at}{host}"
    return address if local.strip(".") and host and len(address) <= limits.address else ""


def domain(host: str) -> str:
    """Lower-case A-label form (RFC 5890); a host that has none is only lowered."""
    host = host.strip(".").lower()
    if host.isascii() or len(host) > _DOMAIN:
        return host
    try:
        return idna.encode(host, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        return host
