"""Hostile values of the header leave as harmless data."""
# ruff: noqa: N802  # a name carries the id of its threat

import pytest

from shared.mime import parse


def test_I1_a_line_end_encoded_in_the_subject_becomes_a_blank() -> None:
    mail = parse(b"Subject: =?utf-8?q?hi=0D=0ABcc:_evil@x.y?=\n\n")
    assert mail.subject == "hi Bcc: evil@x.y"


@pytest.mark.parametrize("line_end", ["\r", "\n", "\r\n", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029"])
def test_I1_nothing_that_any_program_takes_for_a_line_end_survives_in_a_one_line_field(line_end: str) -> None:
    word = "=?utf-8?q?" + "".join(f"={byte:02X}" for byte in f"a{line_end}b".encode()) + "?="
    mail = parse(f"Subject: {word}\nFrom: {word} <a@b.example>\nX-A: {word}\n\n".encode())
    assert mail.sender is not None
    for value in (mail.subject, mail.sender.name, mail.header("x-a") or ""):
        assert len(value.splitlines()) == 1
        assert value == "a b"


def test_I1_blanks_of_other_scripts_are_kept() -> None:
    assert parse("Subject: a\u00a0b\u3000c\n\n".encode()).subject == "a\u00a0b\u3000c"


@pytest.mark.parametrize(
    "hostile", [b"<a b@c>", b"<a\rX: y@c>", b"<a\x00@c>", b"<a \tb@c>", b"<>", b"a b@c", b"<" + b"a" * 2000 + b"@c>"]
)
def test_I3_an_invalid_message_id_is_never_taken_over(hostile: bytes) -> None:
    mail = parse(b"Message-ID: " + hostile + b"\nReferences: " + hostile + b" <good@x> " + hostile + b"\n\n")
    assert mail.message_id_derived
    assert "message_id_unreadable" in mail.defects
    assert mail.references == ["<good@x>"]


def test_ids_keep_their_brackets_and_order_and_of_too_many_the_first_and_the_last_stay() -> None:
    ids = " ".join(f"<{number}@x>" for number in range(150))
    mail = parse(f"Message-ID: (c) <own@x> <second@x>\nIn-Reply-To: <a@x>, <b@x>\nReferences: {ids}\n\n".encode())
    assert mail.message_id == "<own@x>"
    assert mail.in_reply_to == ["<a@x>", "<b@x>"]
    assert len(mail.references) == 100
    assert (mail.references[0], mail.references[1], mail.references[-1]) == ("<0@x>", "<51@x>", "<149@x>")


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (b"20261110.0900.77@cliente.example", "<20261110.0900.77@cliente.example>"),
        (b"<a@x.example", "<a@x.example>"),
        (b"a@x.example>", "<a@x.example>"),
        (b"<<a@x.example>>", "<a@x.example>"),
        (b"no-at-sign", "<no-at-sign>"),
        (b"<a\r\n b@x.example>", "<ab@x.example>"),
        (b"<a@x\n\t.example>", "<a@x.example>"),
        (b"=?utf-8?q?=3Ca=40x=2Eexample=3E?=", "<a@x.example>"),
        (b"=?us-ascii?B?PGFAeC5leGFtcGxlPg==?=", "<a@x.example>"),
        (b"=?utf-8?q?=3Ca=40x=2E?=\n =?utf-8?q?example=3E?=", "<a@x.example>"),
        (b"=?utf-8?q?=3Ca=20b=40x=2E?=", ""),
        (b"two words", ""),
        (b"", ""),
    ],
)
def test_I3_ids_without_brackets_with_a_fold_inside_or_as_encoded_words_are_read(written: bytes, read: str) -> None:
    mail = parse(b"Message-ID: " + written + b"\n\n")
    assert mail.message_id_derived == (read == "")
    assert read in ("", mail.message_id)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (b"base@x.example", ["<base@x.example>"]),
        (b"a@x.example b@x.example,c@x.example", ["<a@x.example>", "<b@x.example>", "<c@x.example>"]),
        (b"base@x.example <b@x.example>", ["<base@x.example>", "<b@x.example>"]),
        (b"<a@x.example><b\r\n c@x.example>\r\n\t<d@x.example>", ["<a@x.example>", "<bc@x.example>", "<d@x.example>"]),
        (b"=?utf-8?q?=3Ca=40x=3E_=3Cb=40x=3E?=", ["<a@x>", "<b@x>"]),
        (b"Your message of Tue, 3 Mar 2026 <a@x.example>", ["<a@x.example>"]),
        (b"Message from ana@x.example of yesterday", []),
        (b"<a b@x.example> <c@x.example>", ["<c@x.example>"]),
    ],
)
def test_references_are_read_as_they_are_written_and_none_is_made_up(written: bytes, read: list[str]) -> None:
    mail = parse(b"In-Reply-To: " + written + b"\nReferences: " + written + b"\n\n")
    assert (mail.in_reply_to, mail.references) == (read, read)
