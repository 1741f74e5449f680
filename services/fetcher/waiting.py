"""How long to wait after a failure, and between two looks: decisions, no I/O."""

_BACK_OFF = {  # result of the failure: first delay, longest delay, seconds
    "busy": (30.0, 300.0),
    "throttled": (300.0, 3600.0),
    "held_back": (1.0, 10.0),  # Kafka, the object store or the database: nobody minds being asked
    "not_taken": (30.0, 600.0),  # they answered when asked, and did not take the mail: each try is a download
}
_ORDINARY = (2.0, 300.0)
_REFUSED_LOG_IN = (900.0, 21_600.0)
_LOG_INS = {"auth_failed", "mailbox_refused", "grant_refused"}  # nothing of it passes by itself
LOG_INS_BEFORE_WAITING = 3


def back_off(result: str, failures: int, jitter: float) -> float:
    """Seconds until the next attempt.

    `result` is the class of the last failure, `failures` how many of this class came in a row (1 or more),
    `jitter` in [0, 1) stretches the delay by up to a fifth, so that accounts do not return as a herd. The
    third refused log-in in a row waits 15 minutes, doubling to 6 hours: providers lock accounts.
    """
    first, longest = _BACK_OFF.get(result, _ORDINARY)
    doublings = failures - 1
    if result in _LOG_INS and failures >= LOG_INS_BEFORE_WAITING:
        first, longest = _REFUSED_LOG_IN
        doublings = failures - LOG_INS_BEFORE_WAITING
    return min(first * 2.0 ** min(doublings, 30), longest) * (1 + jitter / 5)


CALM = 60.0
"""Seconds a session must have lived for its end to count as the first failure of a row."""

_DISTANCES = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
HASTY = 1.0


def hasty_looks(before: int, *, waited: float, found: bool) -> int:
    """How many looks in a row were called for at once and brought nothing: IDLE that ends by itself, or tells of
    mail that is not there. `waited`: seconds from the end of the look before to the call for this one."""
    return before + 1 if waited < HASTY and not found else 0


def distance(hasty: int) -> float:
    """Seconds to let pass before the next look: none while looks bring mail, then a second, growing to half a
    minute."""
    return _DISTANCES[min(hasty, len(_DISTANCES) - 1)]
