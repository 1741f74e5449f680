import pytest

from services.ticketing.policy import STATE_TYPES, Effect, effect, is_closed, may_follow_up, state_after
from shared.desk.model import FollowUp, FollowUpFrom


@pytest.mark.parametrize(
    ("option", "closed", "automatic", "reopen", "expected"),
    [
        ("possible", False, False, True, Effect.ADD),
        ("reject", False, False, True, Effect.ADD),
        ("new_ticket", False, False, True, Effect.ADD),
        ("possible", True, False, True, Effect.REOPEN),
        ("possible", True, False, False, Effect.ADD_ONLY),
        ("reject", True, False, True, Effect.REJECT),
        ("new_ticket", True, False, True, Effect.NEW_TICKET),
        ("possible", True, True, True, Effect.ADD_ONLY),
        ("reject", True, True, True, Effect.ADD_ONLY),
        ("new_ticket", True, True, True, Effect.ADD_ONLY),
        ("possible", False, True, True, Effect.ADD_ONLY),
    ],
)
def test_ligero_6_what_a_follow_up_does(
    option: FollowUp, *, closed: bool, automatic: bool, reopen: bool, expected: Effect
) -> None:
    assert effect(option, closed=closed, automatic=automatic, reopen=reopen) is expected


@pytest.mark.parametrize(
    ("rule", "sender", "signed", "expected"),
    [
        ("anyone", "mallory@evil.example", False, True),
        ("participants", "ana@kunde.example", False, True),
        ("participants", "mallory@evil.example", False, False),
        ("participants", "mallory@evil.example", True, True),
        ("participants", "", False, False),
        ("authenticated", "ana@kunde.example", False, False),
        ("authenticated", "ana@kunde.example", True, True),
    ],
)
def test_ligero_6_4_who_may_add_to_a_ticket(rule: FollowUpFrom, sender: str, *, signed: bool, expected: bool) -> None:
    assert may_follow_up(rule, sender, {"ana@kunde.example"}, signed=signed, verified=False) is expected


def test_a_participant_without_an_address_is_nobody() -> None:
    assert not may_follow_up("participants", "", {""}, signed=False, verified=False)


@pytest.mark.parametrize(
    ("rule", "sender", "expected"),
    [
        ("authenticated", "ana@kunde.example", True),
        ("authenticated", "mallory@evil.example", False),
        ("authenticated", "", False),
        ("participants", "mallory@evil.example", False),
    ],
)
def test_a_proven_address_counts_only_with_a_part_in_the_conversation(
    rule: FollowUpFrom, sender: str, *, expected: bool
) -> None:
    assert may_follow_up(rule, sender, {"ana@kunde.example"}, signed=False, verified=True) is expected


@pytest.mark.parametrize(
    ("what", "state", "wanted", "after"),
    [
        (Effect.ADD, "new", "open", "new"),
        (Effect.ADD, "pending reminder", "open", "open"),
        (Effect.ADD, "pending reminder", "", "pending reminder"),
        (Effect.ADD, "open", "no such state", "open"),
        (Effect.ADD_ONLY, "pending reminder", "open", "pending reminder"),
        (Effect.ADD_ONLY, "closed successful", "open", "closed successful"),
        (Effect.REJECT, "closed successful", "open", "closed successful"),
        (Effect.REOPEN, "closed successful", "open", "open"),
        (Effect.REOPEN, "closed successful", "", "open"),
        (Effect.REOPEN, "closed successful", "closed unsuccessful", "open"),
    ],
)
def test_ligero_6_1_the_state_after_a_follow_up(what: Effect, state: str, wanted: str, after: str) -> None:
    assert state_after(what, state, wanted) == after


def test_ligero_6_removed_and_closed_tickets_are_closed() -> None:
    closed = {state for state, kind in STATE_TYPES.items() if is_closed(kind)}
    assert closed == {"closed successful", "closed unsuccessful", "removed"}


def test_ligero_6_1_a_state_that_a_header_names_is_taken_also_by_a_new_ticket_and_a_closed_one() -> None:
    assert state_after(Effect.ADD, "new", "open", named=True) == "open"
    assert state_after(Effect.ADD, "new", "open") == "new"
    assert state_after(Effect.REOPEN, "closed successful", "closed unsuccessful", named=True) == "closed unsuccessful"
    assert state_after(Effect.ADD_ONLY, "open", "closed successful", named=True) == "open"
