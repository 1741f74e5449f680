"""The grammar of RFC 3501 as far as the fetcher needs it: bytes and strings in, values out, no I/O."""

import re
from base64 import b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

from services.fetcher.plan import Listed

_TOKEN = re.compile(
    rb"(?P<item>BODY\[[^\]]*\](?:<\d+>)?)"
    rb'|"(?P<quoted>(?:[^"\\]|\\.)*)"'
    rb"|~?\{(?P<literal>\d+)\}"
    rb"|(?P<open>\()|(?P<close>\))"
    rb'|(?P<atom>[^\s()"{]+)',
    re.IGNORECASE,
)
_FETCH = re.compile(rb"\* \d+ FETCH \(", re.IGNORECASE)
_ESCAPED = re.compile(rb"\\(.)")
_INTERNALDATE = re.compile(rb"\s?(\d{1,2})-(\w{3})-(\d{4}) (\d\d):(\d\d):(\d\d) ([+-])(\d\d)(\d\d)")
_MONTHS = {
    name: number for number, name in enumerate(b"jan feb mar apr may jun jul aug sep oct nov dec".split(), start=1)
}


@dataclass(frozen=True, slots=True)
class Untagged:
    """One untagged response: its text, each literal shown there as `{n}`, and the literals in order."""

    text: bytes
    literals: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class FetchData:
    """The items of one FETCH response that we ask for; None = not sent, or sent as NIL."""

    uid: int | None
    size: int | None
    flags: frozenset[str]
    internaldate: datetime | None
    body: bytes | None


Value = bytes | list[bytes] | None


def _values(response: Untagged, start: int) -> dict[bytes, Value]:
    """Pairs of item and value; nested lists are flattened, since only FLAGS is read."""
    pairs: dict[bytes, Value] = {}
    name: bytes | None = None
    depth, literals = 0, iter(response.literals)
    for token in _TOKEN.finditer(response.text, start):
        value: Value
        kind = token.lastgroup
        if kind == "open":
            depth += 1
            if depth == 1 and name is not None:
                pairs[name] = []
            continue
        if kind == "close":
            depth -= 1
            if depth < 0:  # the parenthesis that ends the response
                break
            name = None if depth == 0 else name
            continue
        value = next(literals, b"") if kind == "literal" else token[kind or 0]
        if kind == "quoted":
            value = _ESCAPED.sub(rb"\1", token["quoted"])
        if depth:
            nested = pairs.get(name) if name is not None else None
            if isinstance(nested, list):
                nested.append(value)
        elif name is None:
            name = value.upper()
        else:
            pairs[name] = None if kind == "atom" and value.upper() == b"NIL" else value
            name = None
    return pairs


def parse_fetch(response: Untagged) -> FetchData | None:
    """The data of `* n FETCH (…)` (RFC 3501 §7.4.2), None for any other line or an unreadable one."""
    head = _FETCH.match(response.text)
    if head is None:
        return None
    pairs = _values(response, head.end())
    flags = pairs.get(b"FLAGS")
    body = next((value for item, value in pairs.items() if item.startswith(b"BODY[")), None)
    return FetchData(
        uid=_number(pairs.get(b"UID")),
        size=_number(pairs.get(b"RFC822.SIZE")),
        flags=frozenset(flag.decode("ascii", "replace") for flag in flags) if isinstance(flags, list) else frozenset(),
        internaldate=parse_internaldate(pairs.get(b"INTERNALDATE")),
        body=bytes(body) if isinstance(body, bytes | bytearray) else None,
    )


def listed(responses: Iterable[Untagged], wanted: Iterable[int]) -> list[Listed]:
    """The wanted mails that came with a UID and a size, in UID order."""
    asked = set(wanted)
    found = {
        data.uid: Listed(data.uid, data.size, data.flags, data.internaldate)
        for data in map(parse_fetch, responses)
        if data is not None and data.uid is not None and data.uid in asked and data.size is not None
    }
    return [found[uid] for uid in sorted(found)]


def parse_search(responses: Iterable[Untagged]) -> list[int]:
    """The numbers of `* SEARCH …` lines, ascending (RFC 3501 §7.2.5)."""
    found: set[int] = set()
    for response in responses:
        if response.text.upper().startswith(b"* SEARCH"):
            found.update(int(word) for word in response.text.split()[2:] if word.isdigit())
    return sorted(found)


def response_code(texts: Iterable[bytes], name: bytes) -> bytes | None:
    """What stands behind `name` in a response code: `[UIDNEXT 7]` gives b"7" (RFC 3501 §7.1)."""
    pattern = re.compile(rb"\[" + re.escape(name) + rb"(?: ([^\]]*))?\]", re.IGNORECASE)
    for text in texts:
        if match := pattern.search(text):
            return match[1] or b""
    return None


def parse_internaldate(value: Value) -> datetime | None:
    """`17-Jul-1996 02:44:25 -0700` as an aware UTC time; None when absent or unreadable."""
    if not isinstance(value, bytes):
        return None
    match = _INTERNALDATE.fullmatch(value)
    if match is None:
        return None
    day, month, year, hour, minute, second, sign, zone_hours, zone_minutes = match.groups()
    behind = timedelta(hours=int(zone_hours), minutes=int(zone_minutes)) * (-1 if sign == b"-" else 1)
    try:
        # by hand: strptime is ten times dearer, and every mail has one
        return datetime(
            int(year),
            _MONTHS.get(month.lower(), 0),
            int(day),
            int(hour),
            int(minute),
            int(second),
            tzinfo=timezone(behind),
        ).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _number(value: Value) -> int | None:
    return int(value) if isinstance(value, bytes) and value.isdigit() and len(value) <= 19 else None


def uid_set(uids: Iterable[int]) -> str:
    """`{1, 2, 3, 7}` as `1:3,7` (RFC 3501 §9 sequence-set)."""
    runs: list[list[int]] = []
    for uid in sorted(set(uids)):
        if runs and runs[-1][1] == uid - 1:
            runs[-1][1] = uid
        else:
            runs.append([uid, uid])
    return ",".join(str(a) if a == b else f"{a}:{b}" for a, b in runs)


def members(sequence_set: bytes, among: Iterable[int]) -> set[int]:
    """Those of `among` that a set such as `1:3,7` names; a set is never expanded, it may span 2^32."""
    ranges = []
    for part in sequence_set.split(b","):
        first, _, last = part.strip().partition(b":")
        if first.isdigit() and (last.isdigit() or not last):
            ends = sorted((int(first), int(last or first)))
            ranges.append((ends[0], ends[1]))
    return {uid for uid in among if any(low <= uid <= high for low, high in ranges)}


def mailbox_name(name: str) -> str:
    """A folder's name as modified UTF-7 (RFC 3501 §5.1.3), not yet quoted."""
    out: list[str] = []
    shifted = ""

    def flush() -> None:
        nonlocal shifted
        if shifted:
            encoded = b64encode(shifted.encode("utf-16-be")).decode().rstrip("=").replace("/", ",")
            out.append(f"&{encoded}-")
            shifted = ""

    for character in name:
        if " " <= character <= "~":
            flush()
            out.append("&-" if character == "&" else character)
        else:
            shifted += character
    flush()
    return "".join(out)
