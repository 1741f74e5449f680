"""The one place where a process asks what time it is.

Decisions take the time as an argument; the rim passes `now()` in. `monotonic()` measures durations and
never jumps with the wall clock.
"""

import time
from datetime import UTC, datetime

monotonic = time.monotonic

_BOOTTIME = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def boottime() -> float:
    """Seconds of a clock that runs on while the machine sleeps, where the system has one: for what ends elsewhere."""
    return time.clock_gettime(_BOOTTIME)


def now() -> datetime:
    """Current time, UTC, aware."""
    return datetime.now(UTC)  # noqa: TID251  # the one permitted call


def rfc3339(moment: datetime) -> str:
    """RFC 3339 in UTC with milliseconds, e.g. `2026-11-24T12:30:00.123Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
