"""What an exception says about a record, and what may be told of it."""

from enum import Enum, auto


class Permanent(Exception):
    """The data proves that no retry helps. `reason` is a word (metric label); `detail` names a field, never a value."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class Transient(Exception):
    """A dependency did not serve; the same again later may succeed."""


class NewerWriter(Transient):
    """The record is of a version newer than this consumer: it waits for the roll-out, it is never a dead letter."""


class Verdict(Enum):
    PERMANENT = auto()
    AGAIN = auto()  # deadlock or serialisation failure: at once
    WAIT = auto()


_PROVEN = ("23502", "23514")  # not-null and check violations; class 22 besides
_AT_ONCE = ("40P01", "40001")


def verdict(error: BaseException) -> Verdict:
    """What an exception says about the record. asyncpg's client-side DataError carries SQLSTATE 22000."""
    if isinstance(error, Permanent):
        return Verdict.PERMANENT
    sqlstate = str(getattr(error, "sqlstate", None) or "")
    if sqlstate.startswith("22") or sqlstate in _PROVEN:
        return Verdict.PERMANENT
    return Verdict.AGAIN if sqlstate in _AT_ONCE else Verdict.WAIT


def reason_of(error: BaseException) -> str:
    if isinstance(error, Permanent):
        return error.reason
    return "data" if getattr(error, "sqlstate", None) else "stuck"


def describe(error: BaseException) -> str:
    """Type, SQLSTATE, column or field, and of our own exceptions what they say. Never a library's message: it may hold
    values."""
    parts = [type(error).__name__]
    for name in ("sqlstate", "column_name", "constraint_name"):
        value = getattr(error, name, None)
        if value:
            parts.append(f"{name}={value}")
    if isinstance(error, Permanent) and error.detail:
        parts.append(error.detail)
    if isinstance(error, Transient) and str(error):
        parts.append(str(error))
    return " ".join(parts)


def backoff(attempt: int, rand: float, cap: float = 10.0) -> float:
    """Seconds before attempt `attempt` (from 1): 0.1, 0.2, 0.4 … capped; `rand` (0..1) jitters the upper half."""
    return min(cap, 0.1 * 2.0 ** min(attempt - 1, 10)) * (0.5 + rand / 2)
