"""The grammar of RFC 3501, with answers as servers really give them."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.fetcher.imap.syntax import (
    Untagged,
    listed,
    mailbox_name,
    members,
    parse_fetch,
    parse_internaldate,
    parse_search,
    response_code,
    uid_set,
)


def line(text: str, *literals: bytes) -> Untagged:
    return Untagged(text.encode(), literals)


def test_sizes_flags_and_dates_are_read_in_any_order() -> None:
    answer = line('* 4 FETCH (INTERNALDATE "17-Jul-1996 02:44:25 -0700" FLAGS (\\Seen $Odd) UID 12 RFC822.SIZE 4286)')
    (mail,) = listed([answer], [12])
    assert (mail.uid, mail.size, mail.flags) == (12, 4286, frozenset({"\\Seen", "$Odd"}))
    assert mail.internaldate == datetime(1996, 7, 17, 9, 44, 25, tzinfo=UTC)


def test_mails_nobody_asked_for_and_mails_without_a_size_are_not_listed() -> None:
    answers = [line("* 1 FETCH (UID 1 RFC822.SIZE 5)"), line("* 2 FETCH (UID 2 FLAGS ())"), line("* OK hi")]
    assert [mail.uid for mail in listed(answers, [2])] == []
    assert [mail.uid for mail in listed(answers, [1, 2])] == [1]


@pytest.mark.parametrize(
    ("text", "literals", "uid", "body"),
    [
        ("* 1 FETCH (UID 5 BODY[] {3})", [b"abc"], 5, b"abc"),
        ("* 1 FETCH (BODY[] {3} UID 5)", [b"abc"], 5, b"abc"),
        ("* 1 fetch (uid 5 body[]<0>{3} FLAGS (\\Seen))", [b"abc"], 5, b"abc"),
        ("* 1 FETCH (UID 5 BODY[HEADER]<0> {3})", [b"abc"], 5, b"abc"),
        ('* 1 FETCH (UID 5 BODY[] "a\\"b")', [], 5, b'a"b'),
        ('* 1 FETCH (UID 5 BODY[] "")', [], 5, b""),
        ("* 1 FETCH (UID 5 BODY[] NIL)", [], 5, None),
        ("* 1 FETCH (UID 5 FLAGS (BODY[]))", [], 5, None),
        ("* 1 FETCH (UID five BODY[] {3})", [b"abc"], None, b"abc"),
        ("* 1 FETCH (FLAGS ((\\Seen) x) UID 5)", [], 5, None),
    ],
)
def test_bodies_come_as_literal_or_string_or_not_at_all(
    text: str, literals: list[bytes], uid: int | None, body: bytes | None
) -> None:
    data = parse_fetch(line(text, *literals))
    assert data is not None
    assert (data.uid, data.body) == (uid, body)


@given(st.binary(max_size=200))
def test_no_answer_of_a_server_breaks_the_reader(noise: bytes) -> None:
    parse_fetch(Untagged(b"* 1 FETCH (" + noise, ()))
    parse_search([Untagged(b"* SEARCH " + noise, ())])
    response_code([noise], b"UIDNEXT")


def test_search_lines_add_up() -> None:
    assert parse_search([line("* SEARCH 4 2"), line("* 9 EXISTS"), line("* SEARCH"), line("* search 7")]) == [2, 4, 7]


@pytest.mark.parametrize(
    ("text", "code", "expected"),
    [
        ("* OK [UIDNEXT 17] next", b"UIDNEXT", b"17"),
        ("OK [COPYUID 7  ] none", b"COPYUID", b"7  "),
        ("NO [TRYCREATE] no folder", b"TRYCREATE", b""),
        ("* OK [UIDNEXTED 17]", b"UIDNEXT", None),
    ],
)
def test_response_codes_are_found_by_name(text: str, code: bytes, expected: bytes | None) -> None:
    assert response_code([b"* FLAGS ()", text.encode()], code) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b" 1-Feb-2026 00:00:00 +0100", datetime(2026, 1, 31, 23, tzinfo=UTC)),
        (b"01-FEB-2026 00:00:00 +0000", datetime(2026, 2, 1, tzinfo=UTC)),
        (b"31-Feb-2026 00:00:00 +0000", None),
        (b"01-Foo-2026 00:00:00 +0000", None),
        (b"yesterday", None),
        (b"01-Jan-0001 00:00:00 +1400", None),
        (None, None),
    ],
)
def test_internal_dates_are_utc_or_nothing(value: bytes | None, expected: datetime | None) -> None:
    assert parse_internaldate(value) == expected


@pytest.mark.parametrize(
    ("uids", "expected"), [([3, 1, 2, 7], "1:3,7"), ([5], "5"), ([1, 3, 5], "1,3,5"), ([4, 4, 5], "4:5")]
)
def test_uid_sets_are_short(uids: list[int], expected: str) -> None:
    assert uid_set(uids) == expected


@given(st.sets(st.integers(min_value=1, max_value=60), min_size=1))
def test_a_uid_set_names_exactly_its_members(uids: set[int]) -> None:
    assert members(uid_set(uids).encode(), range(1, 61)) == uids


def test_a_set_over_four_billion_uids_costs_nothing() -> None:
    assert members(b"4294967295:1,zwei", [1, 5]) == {1, 5}


@pytest.mark.parametrize(
    ("name", "encoded"),
    [
        ("INBOX", "INBOX"),
        ("Tom & Jerry", "Tom &- Jerry"),
        ("~peter/mail/台北/日本語", "~peter/mail/&U,BTFw-/&ZeVnLIqe-"),  # RFC 3501 §5.1.3
        ("Entwürfe", "Entw&APw-rfe"),
        ("😀", "&2D3eAA-"),
    ],
)
def test_folder_names_in_modified_utf7(name: str, encoded: str) -> None:
    assert mailbox_name(name) == encoded
