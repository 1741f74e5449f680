"""The Date field, only for display: mails are ordered by the time they were received."""

import re
from datetime import UTC, datetime, timedelta, timezone

_MONTHS = {m: n for n, m in enumerate(b"jan feb mar apr may jun jul aug sep oct nov dec".split(), 1)}
_DATE = re.compile(
    rb"(?<!\d)(\d{1,2})[ \t-]{1,9}([A-Za-z]{3})[a-z]{0,6}\.?[ \t,-]{1,9}(\d{2,4}),?[ \t]{1,9}"
    rb"(\d{1,2})[:.](\d{2})(?:[:.](\d{2}))?(?:\.\d{1,9})?[ \t]{0,9}([+-]\d{4}|[A-Za-z]{1,5})?"
)
_ZONES = {b"EST": -300, b"EDT": -240, b"CST": -360, b"CDT": -300, b"MST": -420, b"MDT": -360, b"PST": -480}
_ZONES |= {b"PDT": -420, b"CET": 60, b"CEST": 120, b"BST": 60, b"BRT": -180}
_LOOKED_AT = 200


def date(value: bytes | None) -> datetime | None:
    """Aware time of a Date field (RFC 5322 3.3, tolerant), None where none can be read. A bad zone counts as UTC."""
    match = _DATE.search(value[:_LOOKED_AT]) if value else None
    month = _MONTHS.get(match[2].lower()) if match else None
    if match is None or month is None:
        return None
    year = int(match[3])
    if len(match[3]) < 4:  # RFC 5322 4.3
        year += 2000 if year < 50 else 1900
    try:
        return datetime(
            year,
            month,
            int(match[1]),
            int(match[4]),
            int(match[5]),
            min(int(match[6] or 0), 59),
            tzinfo=_zone(match[7]),
        )
    except ValueError:
        return None


def _zone(text: bytes | None) -> timezone:
    if not text:
        return UTC
    if text[:1] in b"+-":
        minutes = int(text[1:3]) * 60 + int(text[3:5])
        minutes = -minutes if text[:1] == b"-" else minutes
    else:
        minutes = _ZONES.get(text.upper(), 0)
    return timezone(timedelta(minutes=minutes)) if minutes and abs(minutes) < 1440 else UTC
