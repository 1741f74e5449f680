"""Single values of the desk: how an administrator writes them and what the program gets.

Every refusal says what was expected and never repeats what was found: the loader adds that, and knows
which fields must not be shown.
"""

import re
from datetime import date, timedelta
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

from shared.desk.patterns import LONGEST, compiled
from shared.mime.addresses import domain

EXPECTED = "expected"
"""Type of the errors raised here; their message is the expectation alone."""

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
"""Hosts that nobody stands in the way of."""

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_SIZES = {"": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
_DURATION = re.compile(r"(\d{1,7})([smhd])")
_SIZE = re.compile(r"(\d{1,12}) ?(KiB|MiB|GiB|)")
# A control character in a name or subject would end the header line it is written into.
_CONTROL = re.compile(r"[\x00-\x1f\x7f\u2028\u2029]")
_ADDRESS = re.compile(r"""[^@\s<>()\[\],;:\\"]+@[^@\s<>()\[\],;:\\"]+""")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")


def expected(what: str) -> PydanticCustomError:
    return PydanticCustomError(EXPECTED, "{what}", {"what": what})


def parse_duration(value: object) -> timedelta:
    """`90s`, `10m`, `1h`, `1d`; a bare number is refused, because nobody can tell its unit."""
    if isinstance(value, timedelta):
        return value
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise expected("a duration with its unit, such as 90s, 10m or 1h")
    return timedelta(seconds=int(found[1]) * _UNITS[found[2]])


def write_duration(value: timedelta) -> str:
    seconds = int(value.total_seconds())
    for unit in ("d", "h", "m"):
        if seconds and seconds % _UNITS[unit] == 0:
            return f"{seconds // _UNITS[unit]}{unit}"
    return f"{seconds}s"


def _between(low: str, high: str) -> AfterValidator:
    def check(value: timedelta) -> timedelta:
        if not parse_duration(low) <= value <= parse_duration(high):
            raise expected(f"a duration from {low} to {high}")
        return value

    return AfterValidator(check)


def parse_size(value: object) -> int:
    """Bytes from `32MiB`, `512KiB` or a whole number of bytes; MB is refused, it means two things."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    found = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if found is None or int(found[1]) == 0:
        raise expected("a size such as 32MiB or 512KiB, or a number of bytes")
    return int(found[1]) * _SIZES[found[2]]


def write_size(value: int) -> str:
    for unit in ("GiB", "MiB", "KiB"):
        if value % _SIZES[unit] == 0:
            return f"{value // _SIZES[unit]}{unit}"
    return str(value)


def _line(value: str) -> str:
    if not value or value != value.strip() or _CONTROL.search(value):
        raise expected("a text of one line, not empty, without blanks around it")
    return value


def _fragment(value: str) -> str:
    if _CONTROL.search(value):
        raise expected("a text of one line")
    return value


def _address(value: str) -> str:
    if not is_address(value):
        raise expected("a mail address such as support@company.example")
    return normal_address(value)


def normal_address(value: str) -> str:
    """Lower case, the domain in A-labels (RFC 5890): as addresses of mails are compared with those of the desk."""
    local, at, host = value.strip().rpartition("@")
    return f"{local.lower()}{at}{domain(host)}"


def _host(value: str) -> str:
    if not re.fullmatch(r"[^@\s<>()\[\],;:\\\"/]{1,253}", value):
        raise expected("the name of a host such as mx.company.example")
    return domain(value)


def _token_url(value: str) -> str:
    """In the clear only to this machine: client secrets are sent there."""
    try:
        parts = urlsplit(value)
        wrong = not parts.hostname or parts.username or parts.password or parts.fragment or parts.port == 0
    except ValueError:
        wrong = True
    if wrong or not (parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)):
        raise expected("the https:// address of a token endpoint")
    return value


def _forwarder(value: str) -> str:
    return _address(value) if "@" in value else _host(value)


def is_address(value: str) -> bool:
    return len(value) <= 320 and not _CONTROL.search(value) and _ADDRESS.fullmatch(value) is not None


def _plain_name(what: str) -> AfterValidator:
    def check(value: str) -> str:
        # A path here would let the desk read any file of the machine.
        if not _NAME.fullmatch(value) or len(value) > 128:
            raise expected(f"{what}, of letters, digits, '.', '_' and '-', without a folder")
        return value

    return AfterValidator(check)


def _system_id(value: Any) -> Any:
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not re.fullmatch(r"[0-9]{1,10}", text):
        raise expected("digits, such as 10")
    return text


def parse_start(value: object) -> object:
    """`now`, `all` or a date as ISO 8601 writes it."""
    if isinstance(value, date):
        return value
    text = value if isinstance(value, str) else ""
    try:
        return text if text in {"now", "all"} else date.fromisoformat(text)
    except ValueError:
        raise expected("now, all or a date such as 2026-01-31") from None


def _time_zone(value: str) -> str:
    if value not in available_timezones():
        raise expected("a time zone of the IANA list, such as America/Sao_Paulo or UTC")
    return value


def _pattern(value: str) -> str:
    text = value.removeprefix("EMAILADDRESS:")
    if not value or len(value) > LONGEST:
        raise expected(f"a regular expression of at most {LONGEST} characters")
    try:
        compiled(f"(?:{text})")
    except ValueError as error:
        raise expected(f"a regular expression that RE2 takes: {error}") from None
    return value


def _header_name(value: str) -> str:
    if not re.fullmatch(r"[!-9;-~]{1,200}", value):
        raise expected("the name of a header such as Subject or X-OTRS-Queue")
    return value


_DURATION_SCHEMA = {"type": "string", "pattern": "^[0-9]+[smhd]$"}
_SIZE_SCHEMA = {"anyOf": [{"type": "string", "pattern": "^[0-9]+ ?(KiB|MiB|GiB)?$"}, {"type": "integer", "minimum": 1}]}

Line = Annotated[str, AfterValidator(_line), WithJsonSchema({"type": "string", "minLength": 1})]
Fragment = Annotated[str, AfterValidator(_fragment)]
Address = Annotated[str, AfterValidator(_address), WithJsonSchema({"type": "string", "format": "email"})]
Host = Annotated[str, AfterValidator(_host), WithJsonSchema({"type": "string", "minLength": 1})]
Forwarder = Annotated[str, AfterValidator(_forwarder), WithJsonSchema({"type": "string", "minLength": 1})]
TokenUrl = Annotated[str, AfterValidator(_token_url), WithJsonSchema({"type": "string", "format": "uri"})]
Pattern = Annotated[str, AfterValidator(_pattern), WithJsonSchema({"type": "string", "minLength": 1})]
HeaderName = Annotated[str, AfterValidator(_header_name), WithJsonSchema({"type": "string", "minLength": 1})]
SecretName = Annotated[str, _plain_name("the name of a secret")]
TextFile = Annotated[str, _plain_name("the name of a file beside the desk")]
TimeZone = Annotated[str, AfterValidator(_time_zone)]
SystemId = Annotated[
    str,
    BeforeValidator(_system_id),
    WithJsonSchema({"anyOf": [{"type": "string", "pattern": "^[0-9]{1,10}$"}, {"type": "integer", "minimum": 0}]}),
]
StartFrom = Annotated[
    Literal["now", "all"] | date,
    BeforeValidator(parse_start),
    WithJsonSchema({"anyOf": [{"enum": ["now", "all"]}, {"type": "string", "format": "date"}]}),
]
Interval = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    _between("10s", "1d"),
    PlainSerializer(write_duration, return_type=str),
    WithJsonSchema(_DURATION_SCHEMA),
]
Period = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    _between("1h", "3650d"),
    PlainSerializer(write_duration, return_type=str),
    WithJsonSchema(_DURATION_SCHEMA),
]
Size = Annotated[
    int,
    BeforeValidator(parse_size),
    PlainSerializer(write_size, return_type=str),
    WithJsonSchema(_SIZE_SCHEMA),
]
