"""How a mail falls into its parts."""

from shared.mime import Limits, parse


def mixed(*parts: bytes, boundary: bytes = b"b", end: bytes = b"--b--\n") -> bytes:
    return (
        b"Subject: s\nContent-Type: multipart/mixed; boundary=" + boundary + b"\n\npreamble\n"
        + b"".join(b"--" + boundary + b"\n" + part + b"\n" for part in parts)
        + end
    )  # fmt: skip


def test_a_delimiter_is_a_whole_line_so_an_outer_boundary_may_be_a_prefix_of_an_inner_one() -> None:
    inner = (
        b"Content-Type: multipart/alternative; boundary=bb\n\n--bb\n\nplain\n"
        b"--bb\nContent-Type: text/html\n\n<p>html\n--bb--"
    )
    mail = parse(mixed(inner, b"Content-Type: image/png\n\npng"))
    assert (mail.text, mail.html) == ("plain", "<p>html")
    assert [part.content for part in mail.attachments] == [b"png"]


def test_a_missing_closing_delimiter_ends_the_part_at_its_parents_end() -> None:
    inner = b"Content-Type: multipart/alternative; boundary=i\n\n--i\n\nplain\n--i\nContent-Type: text/html\n\n<p>html"
    mail = parse(mixed(inner, b"Content-Type: image/png\n\npng", end=b""))
    assert (mail.text, mail.html) == ("plain", "<p>html")
    assert [part.content for part in mail.attachments] == [b"png\n"]


def test_blanks_behind_a_delimiter_are_ignored_and_other_text_makes_it_none() -> None:
    assert (
        parse(b"Content-Type: multipart/mixed; boundary=b\n\n--b \t\n\none\n--bx\ntwo\n--b-- \n").text
        == "one\n--bx\ntwo"
    )


def test_the_line_end_before_a_delimiter_belongs_to_it_and_all_other_bytes_to_the_part() -> None:
    raw = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: a/b\r\n\r\n\x00\r\n\r\n\r\n--b--\r\n"
    assert parse(raw).attachments[0].content == b"\x00\r\n\r\n"


def test_empty_parts_are_kept() -> None:
    mail = parse(mixed(b"Content-Type: a/b\n\n", b"Content-Type: c/d\n"))
    assert [(part.content_type, part.content) for part in mail.attachments] == [("a/b", b""), ("c/d", b"")]


def test_a_part_without_a_header_is_text() -> None:
    assert parse(mixed(b"\nhello")).text == "hello"
    assert parse(mixed(b"hello, without even the empty line")).text == "hello, without even the empty line"


def test_two_delimiters_in_a_row_make_an_empty_part() -> None:
    assert parse(b"Content-Type: multipart/mixed; boundary=b\n\n--b\n--b\n\ntext\n--b--\n").text.strip() == "text"


def test_a_digest_holds_messages() -> None:
    raw = b"Content-Type: multipart/digest; boundary=b\n\n--b\n\nSubject: inner\n\ntext\n--b--\n"
    assert [part.content_type for part in parse(raw).attachments] == ["message/rfc822"]


def test_what_lies_deeper_than_the_limit_stays_one_attachment() -> None:
    raw = b""
    for depth in range(5):
        raw += b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (depth, depth)
    mail = parse(raw + b"\nthe text", Limits(depth=3))
    (rest,) = mail.attachments
    assert rest.content_type == "multipart/mixed"
    assert rest.content.endswith(b"the text")
    assert "nested_too_deep" in mail.defects


def test_parts_beyond_the_limit_stay_one_piece_and_the_mail_goes_to_quarantine() -> None:
    mail = parse(mixed(*(b"Content-Type: a/b\n\n%d" % number for number in range(20))), Limits(parts=10))
    assert len(mail.attachments) == 10
    assert mail.attachments[-1].content.startswith(b"9\n--b\n")
    assert mail.quarantine == "too_many_parts"
    assert parse(mixed(b"\nx")).quarantine == ""


def test_attachments_are_views_that_are_decoded_when_asked_for() -> None:
    mail = parse(mixed(b"Content-Type: a/b\nContent-Transfer-Encoding: base64\n\n" + b"QUJD\n" * 50 + b"QQ=="))
    (part,) = mail.attachments
    assert part.content == b"ABC" * 50 + b"A"
    assert part.size == len(part.content)
