"""Where the header ends and what its fields are."""
# ruff: noqa: N802  # a name carries the id of its threat

import pytest

from shared.mime import Limits, parse
from shared.mime.fields import header_fields


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_every_kind_of_line_end_is_read(end: bytes) -> None:
    raw = b"Subject: a" + end + b" folded" + end + b"From: a@b.example" + end + end + b"one" + end + b"two"
    mail = parse(raw)
    assert (mail.subject, mail.text) == ("a folded", "one\ntwo")
    assert mail.sender is not None


def test_the_first_empty_line_ends_the_header_whichever_kind_it_is() -> None:
    assert parse(b"Subject: a\n\nX: 1\r\n\r\ntext").text == "X: 1\n\ntext"
    assert parse(b"Subject: a\r\n\r\nX: 1\n\ntext").text == "X: 1\n\ntext"


def test_an_empty_line_far_behind_in_the_other_line_end_is_not_taken_for_the_first() -> None:
    raw = b"Subject: a\nX: " + b"x" * 65_500 + b"\n\nfirst\r\n\r\nsecond"
    assert parse(raw).text == "first\n\nsecond"


@pytest.mark.parametrize("before", [b"\r\n\r\n", b"\n", b" \t\n", b"From ana Tue Nov 24 2026\n", b"\n>From x y\n"])
def test_C7_blank_lines_and_an_mbox_line_before_the_header_are_skipped(before: bytes) -> None:
    mail = parse(before + b"Subject: s\n\ntext")
    assert (mail.subject, mail.text) == ("s", "text")


def test_C7_a_junk_line_is_broken_folding_and_does_not_end_the_header() -> None:
    mail = parse(b"Subject: one\njunk line\nFrom: a@b.example\n\ntext")
    assert (mail.subject, mail.text) == ("one junk line", "text")
    assert mail.sender is not None
    assert "header_junk_line" in mail.defects


def test_C7_a_forgotten_empty_line_before_a_boundary_ends_the_header() -> None:
    mail = parse(
        b"Subject: s\nContent-Type: multipart/mixed; boundary=b\n--b\nContent-Type: text/plain\n\nhello\n--b--\n"
    )
    assert (mail.subject, mail.text) == ("s", "hello")
    assert "header_end_missing" in mail.defects


def test_a_blank_before_the_colon_belongs_to_no_name() -> None:
    assert parse(b"Subject : s\nFrom\t: a@b.example\n\n").subject == "s"


def test_text_without_any_field_is_the_body() -> None:
    mail = parse(b"just some words\n\nand more")
    assert mail.text == "just some words\n\nand more"
    assert "header_missing" in mail.defects


def test_fields_are_kept_raw_in_their_order_under_lower_case_names() -> None:
    headers = header_fields(b"Received: a\nX-Loop: 1\nreceived: b\n\nReceived: c")
    assert headers.fields == {"received": [b"a", b"b"], "x-loop": [b"1"]}
    assert headers.first("x-none") is None
    assert headers.all("received") == [b"a", b"b"]


def test_header_access_is_decoded_and_on_one_line() -> None:
    mail = parse(b"Auto-Submitted: auto-replied\nX-A: =?utf-8?q?=C3=A1=0D=0Ab?=\nX-A: two\n\n")
    assert mail.header("Auto-Submitted") == "auto-replied"
    assert mail.header("x-none") is None
    assert mail.headers_all("X-A") == ["á b", "two"]


def test_subject_from_and_message_id_take_the_first_of_two() -> None:
    mail = parse(
        b"Subject: 1\nSubject: 2\nMessage-ID: <1@x>\nMessage-ID: <2@x>\nFrom: a@b.example\nFrom: c@d.example\n\n"
    )
    assert (mail.subject, mail.message_id) == ("1", "<1@x>")
    assert mail.sender is not None
    assert mail.sender.address == "a@b.example"


def test_a_header_block_and_a_field_beyond_their_limits_are_cut_and_marked() -> None:
    limits = Limits(header_block=1000, field=100, fields=5)
    long = parse(b"Subject: " + b"x" * 300 + b"\nFrom: a@b.example\n\ntext", limits)
    assert (long.subject, long.text) == ("x" * 100, "text")
    assert "field_cut" in long.defects
    block = parse(b"Subject: s\n" + b"X: y\n" * 2000 + b"\ntext", limits)
    assert (block.subject, block.text) == ("s", "text")
    assert "header_block_cut" in block.defects
    many = parse(b"Subject: s\n" + b"X: y\n" * 20 + b"\ntext", limits)
    assert many.subject == "s"
    assert "fields_cut" in many.defects


def test_the_fast_and_the_tolerant_way_read_the_same_fields() -> None:
    block = b"A: 1\nB: 2\n folded\r\n\tagain\nC:\nA: 3\n"
    ordinary = header_fields(block + b"\n").fields
    tolerant = header_fields(block + b"junk\n\n").fields
    tolerant["a"][-1] = tolerant["a"][-1].removesuffix(b" junk")
    assert ordinary == tolerant == {"a": [b"1", b"3"], "b": [b"2 folded\tagain"], "c": [b""]}


HEAD = b"From: rita@loja.example\r\nTo: a@e.example\r\nSubject: Pedido\r\n"


@pytest.mark.parametrize(
    ("behind", "text"),
    [
        (b" \r\nBom dia,\r\n\r\nobrigada", "Bom dia,\n\nobrigada"),
        (b"\t \r\nNome: Rita\r\nMensagem: onde?\r\n", "Nome: Rita\nMensagem: onde?\n"),
        (b" \r\nSegue:\r\nFrom: x@y.example\r\nSubject: z\r\n\r\nfim", "Segue:\nFrom: x@y.example\nSubject: z\n\nfim"),
        (b" \r\n\r\nBom dia", "Bom dia"),
        (b"Content-Type: text/html\r\n \r\n<p>oi\r\n", "oi\n"),
        (b"Bom dia\r\nhttp://x.example\r\n\r\nobrigada", "Bom dia\nhttp://x.example\n\nobrigada"),
        (b"http://x.example\r\nBom dia\r\n", "http://x.example\nBom dia\n"),
        (b"<html>oi</html>", "<html>oi</html>"),
        (b"Nome: Rita\r\nMensagem: onde?\r\n", "Nome: Rita\nMensagem: onde?\n"),
        (b"Nome: Rita\r\nE-mail: r@x.example\r\n\r\nonde?", "Nome: Rita\nE-mail: r@x.example\n\nonde?"),
        (b"X-Mailer: a\r\n folded\r\nNome: Rita\r\n continua\r\n", "Nome: Rita\n continua\n"),
    ],
)
def test_C7_what_a_person_wrote_behind_a_missing_or_blank_line_is_the_text(behind: bytes, text: str) -> None:
    mail = parse(HEAD + behind)
    assert (mail.subject, mail.text) == ("Pedido", text)
    assert ("header_end_missing" in mail.defects) == (behind[:4] != b" \r\n\r")


@pytest.mark.parametrize(
    ("behind", "name", "value"),
    [
        (b" \r\nDate: Tue, 3 Mar 2026 10:00:00 -0300\r\n\r\ntext", "date", "Tue, 3 Mar 2026 10:00:00 -0300"),
        (b" \r\nNobody-Knows: it\r\nDate: Tue, 3 Mar 2026\r\n\r\ntext", "nobody-knows", "it"),
        (b"Nobody-Knows: it\r\n\r\ntext", "nobody-knows", "it"),
        (b"X-Mailer: a\r\njunk\r\nDate: Tue, 3 Mar 2026\r\n\r\ntext", "x-mailer", "a junk"),
        (b'Content-Type: text/plain;\r\ncharset="utf-8"\r\n\r\ntext', "content-type", 'text/plain; charset="utf-8"'),
        (b"Cc: a@b.example,\r\nc@d.example\r\n\r\ntext", "cc", "a@b.example, c@d.example"),
        (b"X-Mailer: a\r\n>From x\r\n\r\ntext", "x-mailer", "a"),
    ],
)
def test_C7_fields_behind_a_blank_line_or_junk_stay_fields(behind: bytes, name: str, value: str) -> None:
    mail = parse(HEAD + behind)
    assert (mail.header(name), mail.text) == (value, "text")


@pytest.mark.parametrize("junk", [b'b.png"\r\n', b"Nome: x\r\nFone: y\r\n"])
def test_C7_nothing_is_put_before_the_bytes_of_a_file(junk: bytes) -> None:
    part = b'--b\r\nContent-Type: image/png; name="a\r\n' + junk + b"\r\npng\r\n--b--"
    (image,) = parse(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + part).attachments
    assert image.content == b"png"


def test_C7_one_unknown_field_at_the_end_is_no_form() -> None:
    assert parse(HEAD + b"Anything: x\r\n\r\ntext").text == "text"
    assert parse(HEAD + b"SpamDiagnosticOutput: 1\r\nSpamDiagnosticMetadata: NSPM\r\n\r\ntext").text == "text"


def test_C7_parts_without_an_empty_line_lose_nothing() -> None:
    parts = [b"Content-Type: text/plain\n \none: 1", b"two without a line", b"three: field"]
    raw = (
        b"Content-Type: multipart/mixed; boundary=b\n\n"
        + b"".join(b"--b\n" + part + b"\n" for part in parts)
        + b"--b--"
    )
    assert parse(raw).text == "one: 1\ntwo without a line\nthree: field\n"
