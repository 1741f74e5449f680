"""What an outbound mail can be, and what a try to send it makes of it: one table of transitions, one of outcomes."""

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import NamedTuple


class State(StrEnum):
    QUEUED = "queued"
    SENDING = "sending"
    SENT = "sent"
    DEFERRED = "deferred"
    FAILED = "failed"
    UNKNOWN = "unknown"
    SUPPRESSED = "suppressed"
    BOUNCED = "bounced"


TRANSITIONS: Mapping[State, frozenset[State]] = {
    State.QUEUED: frozenset({State.SENDING}),
    # back to queued: claimed, but the account failed before the server saw the mail
    State.SENDING: frozenset({State.QUEUED, State.SENT, State.DEFERRED, State.FAILED, State.UNKNOWN, State.SUPPRESSED}),
    State.DEFERRED: frozenset({State.SENDING}),
    State.UNKNOWN: frozenset({State.SENDING}),
    State.SENT: frozenset({State.BOUNCED}),
    State.FAILED: frozenset({State.QUEUED}),  # by an operator
    State.SUPPRESSED: frozenset(),
    State.BOUNCED: frozenset(),
}
WAITING = tuple(state for state, following in TRANSITIONS.items() if State.SENDING in following)


class IllegalTransition(Exception):
    """A mail cannot become that: a fault of the program."""


def move(state: State, to: State) -> State:
    """`to`, if that is allowed. Raises IllegalTransition."""
    if to not in TRANSITIONS[state]:
        raise IllegalTransition(f"{state} -> {to}")
    return to


class Result(StrEnum):
    """What one try came to."""

    ACCEPTED = "accepted"  # the server's 250
    REFUSED = "refused"  # 5xx for this recipient or this mail
    POSTPONED = "postponed"  # 4xx, or the server fell silent before it had the mail
    UNKNOWN = "unknown"  # the connection ended behind DATA: the mail may have been taken
    UNTRIED = "untried"  # given back: the account failed, or the process stops
    SUPPRESSED = "suppressed"  # a transport that delivers to nobody


class Outcome(NamedTuple):
    """`code` is the SMTP reply (0: none), `word` our class of it: servers' texts hold addresses."""

    result: Result
    code: int = 0
    word: str = ""


class Retry(NamedTuple):
    """How long is tried. RFC 5321 section 4.5.4.1 asks for four to five days. Of an unknown outcome each repeat may
    be a second copy for the recipient, so these are few."""

    first: timedelta = timedelta(seconds=60)
    cap: timedelta = timedelta(hours=2)
    give_up: timedelta = timedelta(days=5)
    unknown_attempts: int = 5


class Step(NamedTuple):
    """The mail's next state; `delay` until it is due again (waiting states), `word` for the ledger."""

    state: State
    delay: timedelta
    code: int
    word: str


def after(outcome: Outcome, *, attempts: int, age: timedelta, rand: float, retry: Retry) -> Step:
    """What follows a try. `attempts` counts this one; `age` since the mail was queued; `rand` (0..1) jitters."""
    now = timedelta(0)
    delay = min(retry.cap, retry.first * 2.0 ** min(attempts - 1, 16)) * (0.5 + rand / 2)
    word = outcome.word or outcome.result.value
    match outcome.result:
        case Result.ACCEPTED:
            state, delay = State.SENT, now
        case Result.REFUSED:
            state, delay = State.FAILED, now
        case Result.SUPPRESSED:
            state, delay = State.SUPPRESSED, now
        case Result.UNTRIED:
            state, delay = State.QUEUED, now
        case Result.UNKNOWN if attempts < retry.unknown_attempts and age < retry.give_up:
            state = State.UNKNOWN
        case Result.POSTPONED if age < retry.give_up:
            state = State.DEFERRED
        case _:
            state, delay, word = State.FAILED, now, f"gave up: {word}"
    return Step(move(State.SENDING, state), delay, outcome.code, word)


def code_class(code: int) -> str:
    """Metric label of an SMTP reply."""
    return f"{code // 100}xx" if code else "none"
