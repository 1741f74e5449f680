"""Signed Message-IDs: who has one proves that a mail of ours reached him."""

import base64
import hashlib
import hmac
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.message_ids import (
    LONG_KEY_CHARACTERS,
    MOST_CHARACTERS,
    STABLE,
    Signed,
    _base32,
    key_of,
    load_keys,
    sign,
    verify,
)

OLD, NEW = b"the older key of the two", b"the newer key of the two"
T17, T18, D3 = key_of("t17"), key_of("t18"), key_of("d3")


def test_an_id_is_built_as_documented() -> None:
    mac = base64.b32encode(hmac.new(NEW, f"c1.{T17}.{D3}".encode(), hashlib.sha256).digest())[:13].decode().lower()
    assert sign(T17, D3, "empresa.example", [NEW]) == f"<c1.{T17}.{D3}.{mac}@empresa.example>"
    assert len(f"{T17}{D3}") == 20


def test_a_key_is_fifty_bits_of_the_hash_of_its_cause() -> None:
    hashed = base64.b32encode(hashlib.sha256(b"ticket\x00e1").digest()).decode().lower()
    assert key_of("ticket", "e1") == hashed[:10]
    assert key_of("ticket", "e1", characters=LONG_KEY_CHARACTERS) == hashed[:16]
    assert key_of("ticket", "e", "1") != key_of("ticket", "e1")
    assert key_of("bad surrogate \udcff")


@given(st.text(), st.sampled_from([STABLE, key_of("d"), key_of("d", characters=LONG_KEY_CHARACTERS)]))
@settings(max_examples=100, derandomize=True, deadline=None)
def test_what_was_signed_is_verified(cause: str, delivery: str) -> None:
    for ticket in (key_of(cause), key_of(cause, characters=LONG_KEY_CHARACTERS)):
        assert verify(sign(ticket, delivery, "x.example", [NEW]), [NEW]) == Signed(ticket, delivery)


def test_the_first_key_signs_and_all_verify() -> None:
    old = sign(T17, STABLE, "x.example", [OLD])
    assert sign(T17, STABLE, "x.example", [NEW, OLD]) == sign(T17, STABLE, "x.example", [NEW]) != old
    assert verify(old, [NEW, OLD]) == Signed(T17, STABLE)
    assert verify(old, [NEW]) is None
    assert verify(old, []) is None


def test_case_brackets_blanks_and_the_domain_do_not_count() -> None:
    signed = sign(T17, D3, "x.example", [NEW])
    for written in (
        signed.upper(),
        signed.strip("<>"),
        f" {signed}\n",
        signed.replace("x.example", "rewritten.invalid"),
    ):
        assert verify(written, [NEW]) == Signed(T17, D3)


@pytest.mark.parametrize("at", range(1, 39))
def test_any_other_character_makes_it_a_strangers_id(at: int) -> None:
    signed = sign(T17, D3, "x.example", [NEW])
    assert signed.index("@") == 38 + 1
    other = "z" if signed[at] != "z" else "y"
    assert verify(signed[:at] + other + signed[at + 1 :], [NEW]) is None


@pytest.mark.parametrize(
    "written",
    [
        "",
        "<>",
        f"<c1.{T17}.{D3}.@x>",
        "<c1.17.3.aaaaaaaaaaaaa@x>",
        f"<c1.{T17}a.{D3}.aaaaaaaaaaaaa@x>",
        f"<c1.{STABLE}.{D3}.aaaaaaaaaaaaa@x>",
        f"<c2.{T17}.{D3}.aaaaaaaaaaaaa@x>",
        f"<c1.{T17}.{D3}.aaaaaaaaaaaaK@x>",
        f"<c1.{T17}.{D3}.aaaaaaaaaaaaſ@x>",
        "<c1." + "a" * 100000 + ".0.aaaaaaaaaaaaa@x>",
    ],
)
def test_malformed_ids_are_no_ids_of_ours(written: str) -> None:
    assert verify(written, [NEW]) is None


def test_an_id_of_another_ticket_cannot_be_made_from_a_signed_one() -> None:
    signed = sign(T17, D3, "x.example", [NEW])
    assert verify(signed.replace(T17, T18), [NEW]) is None
    assert verify(signed.replace(f".{D3}.", ".0."), [NEW]) is None


def test_the_domain_is_an_a_label_in_lower_case() -> None:
    assert sign(T17, STABLE, "Bücher.Example", [NEW]).endswith("@xn--bcher-kva.example>")
    assert sign(T17, STABLE, "X.EXAMPLE.", [NEW]).endswith("@x.example>")


@pytest.mark.parametrize("domain", ["", "a b", "a>b", "a@b", "x\r\ny", "ü" * 200])
def test_what_is_no_domain_is_refused(domain: str) -> None:
    with pytest.raises(ValueError, match="domain"):
        sign(T17, STABLE, domain, [NEW])


def test_an_id_never_exceeds_78_characters() -> None:
    room = MOST_CHARACTERS - len(sign(T17, STABLE, "x", [NEW])) + 1
    assert len(sign(T17, STABLE, "d" * room, [NEW])) == MOST_CHARACTERS
    with pytest.raises(ValueError, match="78"):
        sign(T17, STABLE, "d" * (room + 1), [NEW])


def test_nothing_is_signed_without_a_secret_or_for_what_is_no_key() -> None:
    with pytest.raises(ValueError, match="key"):
        sign(T17, STABLE, "x.example", [])
    for ticket, delivery in (("17", STABLE), (STABLE, D3), (T17, "3"), (T17.upper(), D3), (T17, "")):
        with pytest.raises(ValueError, match="no key"):
            sign(ticket, delivery, "x.example", [NEW])


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


@settings(deadline=None)
@given(st.binary(min_size=10, max_size=32), st.integers(1, 16))
def test_the_characters_are_those_of_base32(digest: bytes, characters: int) -> None:
    assert _base32(digest, characters) == base64.b32encode(digest[:10]).decode().lower()[:characters]
