"""Content-Type and Content-Disposition: a value and its parameters (RFC 2045 5.1, RFC 2231), one linear pass."""

import re
from urllib.parse import unquote_to_bytes

from shared.mime.limits import Limits

_TYPE = re.compile(rb"\s*([\w!#$&^.+-]{1,127})/([\w!#$&^.+-]{1,127})")
_TOKEN = re.compile(rb"\s*([\w!#$&^.+-]{1,127})")
_VALUE = re.compile(rb"\s*[^\s;=]*(?!=)")
_NAME = re.compile(rb"[\s;,]*([^\s;=]*)\s*(=?)\s*")
# an unquoted value may hold blanks, as file names do, but not the name of the next parameter
_KNOWN_NAME = re.compile(
    rb"\s(?:boundary|charset|delsp|format|filename|name|protocol|micalg|type|size|report-type|smime-type)(?:\*\d{0,2}\*?)?=",
    re.IGNORECASE,
)
_QUOTED = re.compile(rb'"((?:[^"\\]|\\.)*+)"', re.DOTALL)
_COMMENT = re.compile(rb"\s\([^()]{0,200}\)\Z")
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)

Parameters = dict[str, bytes]


def content_type(value: bytes | None, default: str = "text/plain") -> str:
    """`type/subtype` in lower case; anything that is not token/token is `text/plain`."""
    if value is None:
        return default
    match = _TYPE.match(value)
    return f"{match[1].decode('ascii')}/{match[2].decode('ascii')}".lower() if match else "text/plain"


def token(value: bytes | None) -> str:
    """The first token in lower case, "" if there is none: a transfer encoding, a disposition."""
    match = _TOKEN.match(value or b"")
    return match[1].decode("ascii").lower() if match else ""


def parameters(value: bytes | None, limits: Limits, defects: list[str]) -> Parameters:
    """Lower-case names to raw values, the first of two wins; unescaped where they were quoted.

    A semicolon may be missing: before the first parameter, behind a quoted value, or before a name that is known.
    """
    found: Parameters = {}
    if value is None or b"=" not in value:
        return found
    start = _VALUE.match(value)
    at = start.end() if start else 0
    while at < len(value):
        if len(found) >= limits.parameters:
            if "parameters_cut" not in defects:
                defects.append("parameters_cut")
            break
        name = _NAME.match(value, at)
        if name is None or name.end() >= len(value):
            break
        if name[2]:
            content, at = _content(value, name.end())
            if name[1]:
                label = name[1].decode("latin-1").lower()
                if content.endswith(b")") and "name" not in label:  # of a file `Nota (2)` is the name
                    content = _COMMENT.sub(b"", content)
                found.setdefault(label, content)
        else:
            at = _behind(value, name.end(), name.end())
    return found


def _behind(value: bytes, start: int, least: int) -> int:
    semicolon = value.find(b";", start)
    return semicolon if semicolon >= 0 else max(least, len(value))


def _content(value: bytes, start: int) -> tuple[bytes, int]:
    """(the value at `start`, offset behind it); a quote that never closes is no quote."""
    if quoted := _QUOTED.match(value, start):
        content = quoted[1]
        if b"\\" in content:
            content = _ESCAPED.sub(rb"\1", content)
        return content, quoted.end()
    end = _behind(value, start, start)
    if value.find(b"=", start, end) >= 0 and (other := _KNOWN_NAME.search(value, start, end)):
        end = other.start()
    return value[start:end].strip().lstrip(b'"'), end


def parameter(found: Parameters, name: str, limits: Limits) -> bytes:
    """A value that is no text to be shown: `name`, `name*`, or `name*0`, `name*1`, … joined; b"" if there is none."""
    plain = found.get(name)
    if plain is not None or not found:
        return plain or b""
    long = extended(found, name, limits)
    return long[0] if long else b""


def extended(found: Parameters, name: str, limits: Limits) -> tuple[bytes, str] | None:
    """(bytes, charset label) of `name*` or of its continuations `name*0*`, `name*1`, … (RFC 2231 3, 4)."""
    if "*" not in "".join(found):
        return None
    whole = found.get(name + "*")
    if whole is not None:
        return _labelled(whole)
    charset, pieces = "", []
    first = 0 if f"{name}*0" in found or f"{name}*0*" in found else 1  # some senders count from one
    for number in range(first, limits.parameters):
        encoded = found.get(f"{name}*{number}*")
        plain = found.get(f"{name}*{number}")
        if encoded is None and plain is None:
            break
        if encoded is None:
            pieces.append(plain or b"")
        elif number == first:
            data, charset = _labelled(encoded)
            pieces.append(data)
        else:
            pieces.append(unquote_to_bytes(encoded))
    return (b"".join(pieces), charset) if pieces else None


def _labelled(value: bytes) -> tuple[bytes, str]:
    """`charset'language'percent`; without the two apostrophes the whole is the value."""
    charset, first, rest = value.partition(b"'")
    _, second, data = rest.partition(b"'")
    if first and second:
        return unquote_to_bytes(data), charset.decode("latin-1")
    return unquote_to_bytes(value), ""
