"""Encoded words (RFC 2047) as senders really write them."""

import pytest

from shared.mime import Limits, parse


def subject(value: str) -> str:
    return parse(f"Subject: {value}\n\n".encode()).subject


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("=?utf-8?Q?a_b=C3=A9?=", "a bé"),
        ("=?UTF-8?B?w6k=?=", "é"),
        ("=?utf-8*pt-br?q?=C3=A9?=", "é"),
        ("=?iso-8859-1?q?=E9?= =?iso-8859-1?q?=E8?=", "éè"),
        ("=?iso-8859-1?q?=E9?=\n \t=?utf-8?q?=C3=A8?=", "éè"),
        ("=?utf-8?q?a?= b =?utf-8?q?c?=", "a b c"),
        ('"=?utf-8?q?=C3=A9?="', '"é"'),
        ("x=?utf-8?q?=C3=A9?=y", "xéy"),
        ("=?utf-8?q?with blanks?=", "with blanks"),
        ("=?utf-8?b?w 6 k?=", "é"),
        ("=?utf-8?b?w6k?=", "é"),
        ("=?utf-8?b?w6lh*YmN?=", "éabc"),
        ("=?utf-8?b?YWJjZ?=", "abc"),
        ("=?utf-8?b?YQ==?==?utf-8?b?Yg==?=", "ab"),
        ("=?utf-8?q??=x", "x"),
        ("=?utf-8?q?never closed", "=?utf-8?q?never closed"),
        ("=?utf-8?q?never closed =?utf-8?q?closed?=", "=?utf-8?q?never closed closed"),
        ("=?utf-8?x?a?=", "=?utf-8?x?a?="),
        ("=?utf-8?b?***?=", "=?utf-8?b?***?="),
        ("=?utf-8?q?=ZZ=4?=", "=ZZ=4"),
        ("=??q?a?=", "=??q?a?="),
        ("=?x?", "=?x?"),
    ],
)
def test_words_are_decoded_wherever_they_stand_and_broken_ones_stay_as_written(written: str, text: str) -> None:
    assert subject(written) == text


def test_words_beyond_the_limit_stay_as_written() -> None:
    mail = parse(b"Subject: " + b"=?utf-8?q?a?= " * 4 + b"\n\n", Limits(encoded_words=2))
    assert mail.subject == "aa =?utf-8?q?a?= =?utf-8?q?a?="
    assert "encoded_words_cut" in mail.defects


def test_raw_8_bit_bytes_beside_a_word_are_read() -> None:
    assert parse("Subject: é =?utf-8?q?=C3=A9?=\n\n".encode()).subject == "é é"


def test_a_long_subject_is_cut_and_marked() -> None:
    mail = parse(b"Subject: " + b"x" * 2000 + b"\n\n")
    assert mail.subject == "x" * 998
    assert "subject_cut" in mail.defects


@pytest.mark.parametrize(
    "written",
    [
        b"=?utf-8?Q?=D0=97=D0=B0=D1=8F=D0?= =?utf-8?B?stC60LA=?=",
        b"=?utf-8?B?0JfQsNGP0A==?=\n =?UTF8?Q?=B2=D0=BA=D0=B0?=",
    ],
)
def test_a_character_split_over_a_q_and_a_b_word_is_whole(written: bytes) -> None:
    assert parse(b"Subject: " + written + b"\n\n").subject == "Заявка"


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (b"Re: =?utf-8?Q?Emiss=C3=A3o_da", "Re: Emissão da"),
        (b"=?utf-8?B?RW1pc3PDo28g", "Emissão"),
        (b"=?utf-8?Q?Emiss=C3=A3o?= =?utf-8?Q?_da_nota_n=C3=A3", "Emissão da nota nã"),
        (b"=?utf-8?Q?Emiss=C3=A3o da", "=?utf-8?Q?Emiss=C3=A3o da"),
        (b"is =?utf-8?q? a word?", "is =?utf-8?q? a word?"),
    ],
)
def test_a_word_that_was_cut_at_the_end_of_its_field_is_read(written: bytes, read: str) -> None:
    assert parse(b"Subject: " + written + b"\n\n").subject == read
