"""Signed Message-IDs: who has one proves that a mail of ours reached him."""

import base64
import hashlib
import hmac
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.message_ids import MOST_CHARACTERS, Signed, load_keys, sign, verify

OLD, NEW = b"the older key of the two", b"the newer key of the two"


def test_an_id_is_built_as_documented() -> None:
    mac = base64.b32encode(hmac.new(NEW, b"c1.17.3", hashlib.sha256).digest())[:16].decode().lower()
    assert sign(17, 3, "empresa.example", [NEW]) == f"<c1.17.3.{mac}@empresa.example>"


@given(st.integers(0, 2**63 - 1), st.integers(0, 999))
@settings(max_examples=100, derandomize=True, deadline=None)
def test_what_was_signed_is_verified(ticket: int, delivery: int) -> None:
    assert verify(sign(ticket, delivery, "x.example", [NEW]), [NEW]) == Signed(ticket, delivery)


def test_the_first_key_signs_and_all_verify() -> None:
    old = sign(1, 0, "x.example", [OLD])
    assert sign(1, 0, "x.example", [NEW, OLD]) == sign(1, 0, "x.example", [NEW]) != old
    assert verify(old, [NEW, OLD]) == Signed(1, 0)
    assert verify(old, [NEW]) is None
    assert verify(old, []) is None


def test_case_brackets_blanks_and_the_domain_do_not_count() -> None:
    signed = sign(17, 3, "x.example", [NEW])
    for written in (
        signed.upper(),
        signed.strip("<>"),
        f" {signed}\n",
        signed.replace("x.example", "rewritten.invalid"),
    ):
        assert verify(written, [NEW]) == Signed(17, 3)


@pytest.mark.parametrize("at", range(1, 25))
def test_any_other_character_makes_it_a_strangers_id(at: int) -> None:
    signed = sign(17, 3, "x.example", [NEW])
    assert signed.index("@") == 24 + 1
    other = "z" if signed[at] != "z" else "y"
    assert verify(signed[:at] + other + signed[at + 1 :], [NEW]) is None


@pytest.mark.parametrize(
    "written",
    [
        "",
        "<>",
        "<c1.1.1.@x>",
        "<c1.01.1.aaaaaaaaaaaaaaaa@x>",
        "<c1.-1.1.aaaaaaaaaaaaaaaa@x>",
        "<c2.1.1.aaaaaaaaaaaaaaaa@x>",
        "<c1.١.1.aaaaaaaaaaaaaaaa@x>",
        "<c1.1.1.aaaaaaaaaaaaaaaK@x>",
        "<c1." + "9" * 100000 + ".1.aaaaaaaaaaaaaaaa@x>",
    ],
)
def test_malformed_ids_are_no_ids_of_ours(written: str) -> None:
    assert verify(written, [NEW]) is None


def test_an_id_of_another_ticket_cannot_be_made_from_a_signed_one() -> None:
    signed = sign(17, 3, "x.example", [NEW])
    assert verify(signed.replace("c1.17.", "c1.18."), [NEW]) is None
    assert verify(signed.replace(".3.", ".0."), [NEW]) is None


def test_the_domain_is_an_a_label_in_lower_case() -> None:
    assert sign(1, 0, "Bücher.Example", [NEW]).endswith("@xn--bcher-kva.example>")
    assert sign(1, 0, "X.EXAMPLE.", [NEW]).endswith("@x.example>")


@pytest.mark.parametrize("domain", ["", "a b", "a>b", "a@b", "x\r\ny", "ü" * 200])
def test_what_is_no_domain_is_refused(domain: str) -> None:
    with pytest.raises(ValueError, match="domain"):
        sign(1, 0, domain, [NEW])


def test_an_id_never_exceeds_78_characters() -> None:
    room = MOST_CHARACTERS - len(sign(1, 0, "x", [NEW])) + 1
    assert len(sign(1, 0, "d" * room, [NEW])) == MOST_CHARACTERS
    with pytest.raises(ValueError, match="78"):
        sign(1, 0, "d" * (room + 1), [NEW])


def test_nothing_is_signed_without_a_key_or_for_a_negative_number() -> None:
    with pytest.raises(ValueError, match="key"):
        sign(1, 0, "x.example", [])
    with pytest.raises(ValueError, match="negative"):
        sign(-1, 0, "x.example", [NEW])


def test_keys_are_lines_the_newest_first() -> None:
    assert load_keys(f"# rotated\n{NEW.decode()}\n\n  {OLD.decode()}  \n") == [NEW, OLD]


@pytest.mark.parametrize("text", ["", "\n# only a comment\n", "short", f"{'k' * 16}\nshort"])
def test_a_missing_or_short_key_is_refused_without_being_named(text: str) -> None:
    with pytest.raises(ValueError, match="key") as refused:
        load_keys(text)
    assert "short\n" not in str(refused.value)
    assert "kkkk" not in str(refused.value)


@given(st.text(string.printable, max_size=120))
@settings(max_examples=200, derandomize=True, deadline=None)
def test_no_text_of_a_stranger_is_verified_or_raises(text: str) -> None:
    assert verify(text, [NEW, OLD]) is None
