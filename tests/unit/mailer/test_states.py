from datetime import timedelta

import pytest

from services.mailer.states import TRANSITIONS, IllegalTransition, Outcome, Result, Retry, State, after, move

RETRY = Retry(first=timedelta(minutes=1), cap=timedelta(hours=2), give_up=timedelta(days=5), unknown_attempts=5)
FRESH, OLD = timedelta(minutes=3), timedelta(days=5)


@pytest.mark.parametrize(
    ("result", "attempts", "age", "state"),
    [
        (Result.ACCEPTED, 1, FRESH, State.SENT),
        (Result.ACCEPTED, 9, OLD, State.SENT),
        (Result.REFUSED, 1, FRESH, State.FAILED),
        (Result.POSTPONED, 1, FRESH, State.DEFERRED),
        (Result.POSTPONED, 80, FRESH, State.DEFERRED),
        (Result.POSTPONED, 80, OLD, State.FAILED),
        (Result.UNKNOWN, 4, FRESH, State.UNKNOWN),
        (Result.UNKNOWN, 5, FRESH, State.FAILED),
        (Result.UNKNOWN, 1, OLD, State.FAILED),
        (Result.UNTRIED, 1, OLD, State.QUEUED),
        (Result.SUPPRESSED, 1, FRESH, State.SUPPRESSED),
    ],
)
def test_what_a_try_comes_to(result: Result, attempts: int, age: timedelta, state: State) -> None:
    assert after(Outcome(result, 0, "w"), attempts=attempts, age=age, rand=1, retry=RETRY).state is state


@pytest.mark.parametrize(
    ("attempts", "rand", "minutes"), [(1, 1.0, 1), (1, 0.0, 0.5), (2, 1.0, 2), (4, 1.0, 8), (50, 1.0, 120)]
)
def test_the_pause_doubles_up_to_its_cap_with_jitter_below(attempts: int, rand: float, minutes: float) -> None:
    step = after(Outcome(Result.POSTPONED, 451), attempts=attempts, age=FRESH, rand=rand, retry=RETRY)
    assert step.delay == timedelta(minutes=minutes)
    assert step.code == 451


def test_giving_up_says_so() -> None:
    step = after(Outcome(Result.POSTPONED, 450, "recipient"), attempts=90, age=OLD, rand=1, retry=RETRY)
    assert step.word == "gave up: recipient"


@pytest.mark.parametrize("state", State)
def test_only_listed_transitions_are_allowed(state: State) -> None:
    for to in State:
        if to in TRANSITIONS[state]:
            assert move(state, to) is to
        else:
            with pytest.raises(IllegalTransition):
                move(state, to)


def test_what_is_over_stays_over() -> None:
    assert not (TRANSITIONS[State.SUPPRESSED] | TRANSITIONS[State.BOUNCED])
    assert TRANSITIONS[State.FAILED] == {State.QUEUED}, "an operator may send it again"
    assert TRANSITIONS[State.SENT] == {State.BOUNCED}
