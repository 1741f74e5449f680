"""Ticket numbers in subjects: the vectors of OTRS's own behaviour, and the bounds."""

import time

import pytest

from shared.desk.model import Ticket
from shared.subjects import SubjectAction, build, clean, find_numbers

N = "2004040510440485"
OTRS = Ticket(hook="H", hook_divider="", subject_re="RE", subject_fwd="AW", system_id="51")
DEFAULT = Ticket()
NUMBER = "2026112410000012"


@pytest.mark.parametrize(
    ("subject", "settings", "expected"),
    [
        (f"Re: [H: {N}] Re: RE: Some Subject", OTRS, "Some Subject"),
        (f"Re[5]: [H: {N}] Re: RE: WG: Some Subject", OTRS, "WG: Some Subject"),
        (
            f"RE: [H: {N}] Antwort: Antwort: S2",
            OTRS.model_copy(update={"subject_re": ""}),
            "RE: Antwort: Antwort: S2",
        ),
        (f"[H:{N}] a [ H{N} ]  b H: {N} c", OTRS, "a b c"),
        (f"re: [h:{N}] a", OTRS, "a"),
        (f"[H {N}] a", OTRS.model_copy(update={"hook_divider": " "}), "a"),
        (f"[H: {N}9] another ticket", OTRS, f"[H: {N}9] another ticket"),
        (f"OH{N} is no hook", OTRS, f"OH{N} is no hook"),
        ("  RE: AW: padded \t", OTRS, "padded"),
        ("Regular words: stay", OTRS, "Regular words: stay"),
        ("", OTRS, ""),
    ],
)
def test_ligero_9_cleaning_takes_this_tickets_number_and_the_words_of_replies(
    subject: str, settings: Ticket, expected: str
) -> None:
    assert clean(subject, N, settings) == expected


@pytest.mark.parametrize(
    ("length", "expected"), [(99, "x" * 99), (100, "x" * 100 + " [...]"), (101, "x" * 100 + " [...]")]
)
def test_ligero_9_a_subject_as_long_as_the_limit_gets_the_mark_of_a_cut_too(length: int, expected: str) -> None:
    assert clean("x" * length, N, OTRS) == expected


@pytest.mark.parametrize(
    ("side", "action", "changes", "expected"),
    [
        ("left", "reply", {}, f"RE: [H{N}] WG: Some Subject"),
        ("right", "reply", {}, f"RE: WG: Some Subject [H{N}]"),
        ("none", "reply", {}, "RE: WG: Some Subject"),
        ("left", "forward", {"subject_fwd": "FWD"}, f"FWD: [H{N}] WG: Some Subject"),
        ("left", "new", {}, f"[H{N}] WG: Some Subject"),
        ("right", "new", {}, f"WG: Some Subject [H{N}]"),
        ("none", "new", {}, "WG: Some Subject"),
        ("left", "reply", {"subject_re": ""}, f"[H{N}] Re[5]: Re: RE: WG: Some Subject"),
        ("left", "reply", {"hook_divider": ": "}, f"RE: [H: {N}] WG: Some Subject"),
    ],
)
def test_ligero_9_building_puts_the_number_where_the_desk_says(
    side: str, action: SubjectAction, changes: dict[str, str], expected: str
) -> None:
    settings = OTRS.model_copy(update={"subject_format": side, **changes})
    assert build(f"Re[5]: [H: {N}] Re: RE: WG: Some Subject", N, settings, action=action) == expected


def test_a_subject_without_words_is_the_number_alone() -> None:
    assert build("Re: ", NUMBER, DEFAULT, action="reply") == f"Re: [Ticket#{NUMBER}]"


@pytest.mark.parametrize("action", ["new", "reply", "forward"])
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("divider", ["", ": ", "-", " "])
def test_what_was_built_is_found_again_and_does_not_grow(action: SubjectAction, side: str, divider: str) -> None:
    settings = DEFAULT.model_copy(update={"subject_format": side, "hook_divider": divider})
    built = build("A printer", NUMBER, settings, action=action)
    assert find_numbers(f"RES: ENC: {built}", settings) == [NUMBER]
    assert build(built, NUMBER, settings, action=action) == built


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        (f"[Ticket#{NUMBER}] Oi", [NUMBER]),
        (f"RES: [Ticket#{NUMBER}] Oi", [NUMBER]),
        (f"ENC: AW: Re[3]: [TICKET#{NUMBER}]", [NUMBER]),
        (f"(Ticket#{NUMBER})", [NUMBER]),
        (f"Ticket#{NUMBER}: oi", [NUMBER]),
        (f"Ticket#:{NUMBER}", [NUMBER]),
        (f"ticket#:  {NUMBER}", [NUMBER]),
        (f"Ticket#:   {NUMBER}", []),
        (f"Ticket# {NUMBER}", []),
        (NUMBER, []),
        (f"#{NUMBER}", []),
        (f"MyTicket#{NUMBER}", []),
        (f"xTicket#:{NUMBER}", []),
        (f"çTicket#{NUMBER}", []),
        ("Ticket#2026112477000012", []),
        ("Ticket#202611241012", []),
        ("Ticket#2026112410123", []),
        ("Ticket#20261124101234", ["20261124101234"]),
        (f"Ticket#{NUMBER}" + "9" * 60, []),
        ("Ticket#٢٠٢٦١١٢٤١٠٠٠٠٠١٢", []),
        (f"Ticket#: {NUMBER} and [Ticket#2026112410000020]", ["2026112410000020", NUMBER]),
        (f"[Ticket#{NUMBER}] [Ticket#{NUMBER}]", [NUMBER]),
        ("", []),
    ],
)
def test_ligero_9_and_5_11_a_number_is_found_behind_a_hook_that_stands_alone(subject: str, expected: list[str]) -> None:
    assert find_numbers(subject, DEFAULT) == expected


def test_ligero_5_10_without_the_check_a_number_of_another_system_counts() -> None:
    anybody = DEFAULT.model_copy(update={"check_system_id": False})
    assert find_numbers("[Ticket#2026112477000012]", anybody) == ["2026112477000012"]


def test_a_hook_of_pattern_characters_is_taken_as_it_stands() -> None:
    odd = Ticket(hook="(.*)+", hook_divider="[")
    assert find_numbers(f"x (.*)+[{NUMBER}", odd) == [NUMBER]
    assert find_numbers(f"abc{NUMBER}", odd) == []


def test_a_hostile_subject_costs_little() -> None:
    began = time.process_time()
    for hostile in (
        "Ticket#" * 500_000,
        "Re: " * 500_000,
        "[" * 2_000_000,
        "Ticket#" + "1" * 2_000_000,
        " " * 2_000_000,
    ):
        find_numbers(hostile, DEFAULT)
        build(hostile, NUMBER, DEFAULT, action="reply")
    assert time.process_time() - began < 1.0


def test_no_more_than_ten_numbers_are_candidates() -> None:
    many = " ".join(f"Ticket#20261124100{n:05d}" for n in range(30))
    assert len(find_numbers(many, DEFAULT)) == 10


def test_ligero_9_every_number_goes_where_the_desk_says_so() -> None:
    other = "2026112410000012"
    subject = f"Re: [Ticket#{other}] [Ticket#2004040510440485] Oi"
    assert clean(subject, "2004040510440485", Ticket()) == f"[Ticket#{other}] Oi"
    assert clean(subject, "2004040510440485", Ticket(subject_clean_all_numbers=True)) == "Oi"
