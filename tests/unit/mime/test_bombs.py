"""Mails made to stall or to kill a parser. The bounds are many times what a quiet machine needs."""
# ruff: noqa: N802  # a name carries the id of its threat

import base64
import resource
import time
import tracemalloc
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import pytest

from shared.mime import Mail, parse
from shared.mime.fields import header_fields
from tests.unit.mime.packed import attribute, file_of, properties, signed, winmail

BOUND = 5.0
T = TypeVar("T")


def within(seconds: float, call: Callable[[], T]) -> T:
    start = time.process_time()
    result = call()
    spent = time.process_time() - start
    assert spent < seconds, f"{spent:.1f} s of CPU"
    return result


def decided(raw: bytes, seconds: float = BOUND) -> Mail:
    mail = within(seconds, lambda: parse(raw))
    assert "parser_failed" not in mail.defects
    return mail


def test_B1_multiparts_nested_two_thousand_deep_end_at_the_limit() -> None:
    raw = b"From: a@b.example\n"
    for depth in range(2000):
        raw += b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (depth, depth)
    mail = decided(raw + b"\nthe text")
    assert len(mail.attachments) == 1
    assert mail.attachments[0].content.endswith(b"the text")
    assert "nested_too_deep" in mail.defects


def test_B1_multiparts_that_share_one_boundary_cost_nothing_extra() -> None:
    raw = b"Content-Type: multipart/mixed; boundary=b\n\n--b\n" * 2000
    assert decided(raw + b"\ntext").quarantine == "too_many_parts"


def test_B2_messages_nested_five_thousand_deep_are_one_attachment() -> None:
    raw = b"Subject: outer\n" + b"Content-Type: message/rfc822\n\n" * 5000 + b"text"
    mail = decided(raw)
    assert [part.content_type for part in mail.attachments] == ["message/rfc822"]


def test_B3_a_hundred_thousand_parts_go_to_quarantine() -> None:
    raw = b"Subject: s\nContent-Type: multipart/mixed; boundary=b\n\n" + b"--b\n\nx\n" * 100_000 + b"--b--\n"
    mail = decided(raw)
    assert mail.quarantine == "too_many_parts"
    assert len(mail.attachments) <= 1000


def test_B3_a_thousand_html_parts_and_charset_riddles_are_decided() -> None:
    part = b"--b\nContent-Type: text/html\n\n<p>" + bytes(range(128, 256)) * 8 + b"\n"
    decided(b"Content-Type: multipart/mixed; boundary=b\n\n" + part * 999 + b"--b--\n")


def test_B4_a_hundred_thousand_recipients_are_cut() -> None:
    mail = decided(b"Subject: s\nTo: " + b", ".join(b"a%d@x.example" % n for n in range(100_000)) + b"\n\ntext")
    assert len(mail.to) == 1000
    assert {"field_cut", "to_cut"} & set(mail.defects)
    assert mail.text == "text"


def test_B5_a_subject_of_a_megabyte_is_cut() -> None:
    mail = decided(b"Subject: " + b"word " * 200_000 + b"\n\ntext")
    assert len(mail.subject) <= 998
    assert mail.text == "text"


def test_B6_twenty_thousand_encoded_words_are_cut() -> None:
    mail = decided(b"Subject: " + b"=?utf-8?q?word?=\n " * 20_000 + b"\n\ntext")
    assert len(mail.subject) <= 998
    assert "encoded_words_cut" in mail.defects


def test_B7_two_hundred_thousand_semicolons_in_content_type_are_read_past() -> None:
    mail = decided(b"Content-Type: text/plain" + b";" * 200_000 + b"charset=utf-8\n\ntext")
    assert mail.text == "text"
    decided(b"Content-Type: text/plain" + b';a="b' * 50_000 + b"\n\ntext")
    many = decided(b"Content-Type: text/plain" + b"".join(b";p%d=1" % number for number in range(5000)) + b"\n\ntext")
    assert "parameters_cut" in many.defects


@pytest.mark.parametrize(
    "piece", [b'"', b'\\"', b'"\\', b"(", b"<", b"<(", b"a@", b"@", b"a" * 50, b"=?", b"a,", b":", b'"a@b" ']
)
def test_B8_a_hundred_thousand_quotes_and_their_like_in_an_address_field_are_decided(piece: bytes) -> None:
    for end in (b"", b" a@b.example", b"@", b" @ <x"):
        decided(b"From: " + piece * (20_000 // len(piece)) + b"\nTo: " + piece * 100_000 + end + b"\n\ntext")


def test_B9_comments_nested_two_thousand_deep_are_no_recursion() -> None:
    mail = decided(b"To: " + b"(" * 2000 + b")" * 2000 + b" a@b.example, c@d.example\n\n")
    assert [address.address for address in mail.to] == ["a@b.example", "c@d.example"]


def test_B9_five_thousand_groups_are_no_recursion() -> None:
    mail = decided(b"To: " + b"g: " * 5000 + b"a@b.example;\n\n")
    assert [address.address for address in mail.to] == ["a@b.example"]


@pytest.mark.parametrize("piece", [b"=?", b"=?a?q?", b"=?a?b?YQ", b"?=", b"=?a?q?=?=", b"=?a?q?b?=", b"=?a?b?Y?="])
def test_B10_hundreds_of_thousands_of_word_beginnings_are_decided(piece: bytes) -> None:
    decided(b"Subject: " + piece * (600_000 // len(piece)) + b"\nFrom: " + piece * (60_000 // len(piece)) + b"\n\n")


def test_B11_fifty_megabytes_of_base64_are_decided_without_being_decoded() -> None:
    line = base64.b64encode(b"x" * 57) + b"\r\n"
    raw = b"Content-Type: a/b\r\nContent-Transfer-Encoding: base64\r\n\r\n" + line * (50 * 1024 * 1024 // len(line))
    tracemalloc.start()
    mail = decided(raw)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2 * 1024 * 1024
    assert mail.attachments[0].size > 35_000_000


@pytest.mark.parametrize(
    "head", [b"", b"Subject: s\n\n", b"Subject: ", b"Content-Transfer-Encoding: quoted-printable\n\n"]
)
def test_B11_a_line_of_fifty_megabytes_is_decided(head: bytes) -> None:
    tracemalloc.start()
    mail = decided(head + b"x" * (50 * 1024 * 1024))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(mail.text) <= 1024 * 1024
    assert peak < 128 * 1024 * 1024


HTML_BOMBS = {
    "nested div": b"<div>" * 200_000,
    "entities": b"&amp;" * 2_000_000,
    "comments": b"<!--" * 300_000,
    "unclosed tags": b"<" * 1_000_000,
    "styles": b"<style>" * 100_000,
    "open list": b"<ul>" * 12 + b"<li>x" * 50_000,
    "open lists": b"<ul>" * 90 + b"<li>x" * 50_000,
    "margins": b'<div style="margin-top:99999em">x</div>' * 10_000,
    "wide table": b"<table><tr><td>" + b"A" * 100_000 + b"</td></tr>" + b"<tr><td>b</td></tr>" * 7_000,
    "nested tables": b"<table><tr><td>" * 20_000,
    "cells": b"<td>x" * 50_000,
    "rows": b"<tr><td>x" * 25_000,
    "tables that only end": b"</table>" * 30_000,
    "pictures": b"data:image/png;base64," * 10_000,
    "short pictures": (b"data:image/png;base64," + b"A" * 41 + b" ") * 4_000,
    "paragraphs": b"<p>" * 83_000,
    "quotations": b"<blockquote>" * 90 + b"</blockquote>" * 20_000,
    "links": b"<a href=x>y</a>" * 17_000,
    "attributes": b"<a " + b"b=c " * 60_000 + b">x</a>",
    "blank": b" " * 1_000_000,
    "new lines": b"<br>\n \n" * 40_000,
}


@pytest.mark.parametrize("bomb", HTML_BOMBS)
def test_B12_html_bombs_are_decided(bomb: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    mail = decided(b"Content-Type: text/html\n\nseen " + HTML_BOMBS[bomb])
    assert len(mail.text) <= 1024 * 1024 + 1
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024 < 256
    assert "seen" in mail.text


@pytest.mark.parametrize("bomb", ["cells", "rows", "paragraphs", "links"])
def test_B12_html_of_many_elements_loses_only_its_tags(bomb: str) -> None:
    mail = decided(b"Content-Type: text/html\n\nseen " + HTML_BOMBS[bomb])
    assert "html_not_laid_out" in mail.defects
    assert mail.text.startswith("seen")


def test_B14_an_archive_is_never_unpacked() -> None:
    zipped = b"PK\x03\x04" + b"\0" * 1000
    raw = b"Content-Type: application/zip\nContent-Transfer-Encoding: base64\n\n" + base64.encodebytes(zipped)
    (part,) = parse(raw).attachments
    assert (part.size, part.content) == (len(zipped), zipped)


LONG = {
    "blanks": b" " * 300_000,
    "blank lines": b" \n" * 300_000,
    "junk lines": b"junk\n" * 50_000,
    "one field a byte": b"a:\n" * 100_000,
    "folded bytes": b"a: b\n" + b" c\n" * 100_000,
    "line ends": b"\r" * 300_000,
    "mixed line ends": b"\r\n\r" * 100_000,
    "colons": b":" * 300_000,
    "dashes": b"--" * 150_000,
}


@pytest.mark.parametrize("kind", LONG)
def test_the_header_block_is_read_in_linear_time(kind: str) -> None:
    for head in (b"", b"Subject: s\n"):
        within(BOUND, partial(header_fields, head + LONG[kind]))
        decided(head + LONG[kind])


BODIES = {
    "blanks": b" " * 1_000_000,
    "soft breaks": b"= " * 500_000,
    "equals": b"=" * 1_000_000,
    "blank lines": b" \t\r\n" * 250_000,
    "begin": b"begin 644 x\n" * 80_000,
    "base64 blocks": b"YQ==\n" * 200_000,
    "dashes": b"-\n" * 500_000,
    "escapes": b"\x1b$B" * 300_000,
}


@pytest.mark.parametrize("kind", BODIES)
@pytest.mark.parametrize("encoding", ["base64", "quoted-printable", "x-uuencode", "7bit"])
def test_bodies_are_decoded_in_linear_time(kind: str, encoding: str) -> None:
    header = f"Content-Type: text/plain; charset=iso-2022-jp\nContent-Transfer-Encoding: {encoding}\n\n".encode()
    decided(header + BODIES[kind], 5.0)


@pytest.mark.parametrize("near", [b"\n--a", b"\n--" + b"a" * 30, b"\n--" + b"a" * 40 + b"b"])
def test_lines_that_are_nearly_delimiters_cost_linear_time(near: bytes) -> None:
    raw = b"Content-Type: multipart/mixed; boundary=" + b"a" * 40 + b"\n\n" + near * (4_000_000 // len(near))
    decided(raw)


MIB = 1024 * 1024
CHARSET_BOMBS = {
    "strays": b"\xe9a",
    "characters and strays": b"\xc3\xa3\xe9",
    "surrogates": b"\xed\xa0\xbd\xed\xb8\x80",
    "halves": b"\xe2\x82\n",
    "folded": b"\xc3\r\n\xa3",
    "folded wrongly": b"\xc3\r\n",
    "undefined": b"\x81",
    "escapes": b"\x1b$B",
    "Shift_JIS": b"\x82\xa0",
}


@pytest.mark.parametrize("piece", CHARSET_BOMBS)
@pytest.mark.parametrize("label", [b"", b"; charset=utf-8", b"; charset=iso-2022-jp", b"; charset=gb2312"])
def test_B11_a_megabyte_of_riddles_of_charsets_is_decided(piece: str, label: bytes) -> None:
    data = CHARSET_BOMBS[piece]
    decided(b"Content-Type: text/plain" + label + b"\n\n" + data * (MIB // len(data)))


def cms(*tags: bytes) -> bytes:
    """The beginning of a SignedData of indefinite length, then `tags`."""
    head = "3080 06092a864886f70d010702 a080 3080 020101 3180 0000 3080 06092a864886f70d010701 a080"
    return b"Content-Type: application/pkcs7-mime\nContent-Transfer-Encoding: binary\n\n" + b"".join(
        [bytes.fromhex(head), *tags]
    )


TNEF = b"Content-Type: application/ms-tnef\nContent-Transfer-Encoding: binary\n\n"
NESTED = b"Content-Type: application/pkcs7-mime\nContent-Transfer-Encoding: binary\n\n"
MANY_PARTS = signed(b"Content-Type: multipart/mixed; boundary=c\n\n" + b"--c\nContent-Type: a/b\n\nx\n" * 900)
PACKED_BOMBS = {
    "begin lines": b"\n\nS: s\n\n" + b"begin 644 x\n" * 80_000,
    "begun files": b"S: s\n\n" + b"begin 644 x\n#86)C\n" * 50_000,
    "small files": b"S: s\n\n" + b"begin 644 x\n#86)C\nend\n" * 50_000,
    "a large file": b"S: s\n\nbegin 644 x\n" + (b"M" + b"A" * 60 + b"\n") * 200_000 + b"end\n",
    "flowed": b"Content-Type: text/plain; format=flowed\n\n" + b"a \n" * 300_000,
    "flowed quotes": b"Content-Type: text/plain; format=flowed\n\n" + (b">" * 1000 + b" \n") * 1000,
    "endless octets": cms(b"\x24\x80" * 500_000),
    "endless elements": NESTED + b"\x30\x80" * 1_000_000,
    "signatures of many parts": b"Content-Type: multipart/mixed; boundary=b\n\n"
    + (b"--b\n" + NESTED + MANY_PARTS + b"\n") * 300,
    "attributes": TNEF + winmail(*[attribute(1, 0x9003, b"")] * 200_000),
    "files": TNEF + winmail(*[file_of(b"", b"")] * 60_000),
    "properties without end": TNEF + winmail(attribute(1, 0x9003, b"\xff" * 4 + b"\x03\x10\x00\x37" + b"\0" * 800_000)),
    "values without end": TNEF + winmail(attribute(1, 0x9003, b"\1\0\0\0\x1e\x10\0\x37\xff\xff\3\0" + b"\0" * 800_000)),
    "names": TNEF
    + winmail(attribute(2, 0x9002, b""), *[attribute(2, 0x9005, properties((0x1F, 0x3707, b"a\0")))] * 50_000),
    "words in base64": b"Content-Transfer-Encoding: base64\n\n" + b"ab cd " * 200_000,
    "words behind base64": b"Content-Transfer-Encoding: base64\n\nYWJj\n" + b"a b " * 300_000,
}


@pytest.mark.parametrize("bomb", PACKED_BOMBS)
def test_B14_bombs_inside_of_parts_are_decided(bomb: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    mail = decided(PACKED_BOMBS[bomb])
    assert within(BOUND, lambda: sum(part.size for part in mail.attachments)) <= 4 * len(PACKED_BOMBS[bomb])
    within(BOUND, lambda: mail.reply_text)
    assert len(mail.attachments) <= 2000
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024 < 256


def test_C9_a_stream_that_promises_four_billion_properties_ends() -> None:
    small = TNEF + winmail(attribute(1, 0x9003, b"\xff\xff\xff\xff"), file_of(b"a", b"A"))
    assert [part.content for part in decided(small, 0.5).attachments] == [b"A"]


QUOTES = {
    "quotes": b"> q\n",
    "openings": b"On 3 Mar 2026\n",
    "attributions": b"wrote:\n",
    "fields": b"From: x\nTo: y\n",
    "rules": b"-" * 300 + b"\n",
    "long openings": b"On " + b"x" * 390 + b"\n",
    "equals": b"= " * 190 + b"\n",
    "empty": b"\n",
}


@pytest.mark.parametrize("piece", QUOTES)
def test_B12_the_reply_is_found_in_linear_time(piece: str) -> None:
    mail = decided(b"S: s\n\nwrote ---\n" + QUOTES[piece] * (MIB // len(QUOTES[piece])))
    within(BOUND, lambda: mail.reply_text)
    marked = b"Content-Type: text/html\n\n" + b"<blockquote>" * 20_000 + b'<div id="' + b"x" * 190 + b'divRplyFwdMsg"'
    within(BOUND, lambda: parse(marked).reply_text)


def test_B15_five_thousand_links_are_a_text_with_a_bounded_number_of_words() -> None:
    links = b"".join(b'<a href="https://evil.example/%d">x%d</a> ' % (n, n) for n in range(5001))
    mail = decided(b"Content-Type: text/html\n\nseen " + links)
    assert mail.text.startswith("seen x0")
    assert "x5000" in mail.text
