"""What is dear is known before it is read: whatever is read in the loop takes well under 200 ms."""

import base64
import time

import pytest

from bench.dispatch import raws
from services.dispatcher.cost import dear
from shared.mime import parse
from shared.mime.content_key import content_key
from tests.unit.dispatcher.test_decide import received

HEAD = b"From: a@kunde.example\r\nTo: suporte@empresa.example\r\nSubject: x\r\n"
SIZE = 230_000
WORDS = b"=?utf-8?q?a?= " * 15


def html(body: bytes, encoding: bytes = b"8bit", charset: bytes = b"utf-8") -> bytes:
    kind = b"Content-Type: text/html; charset=" + charset + b"\r\nContent-Transfer-Encoding: " + encoding
    return HEAD + kind + b"\r\n\r\n" + body


PARAGRAPHS = b"<p>" * (SIZE // 3)
BOMBS = {
    "paragraphs": html(PARAGRAPHS),
    "paragraphs in base64": html(base64.encodebytes(PARAGRAPHS[: SIZE * 3 // 4]), b"base64"),
    "paragraphs in quoted-printable": html(b"=3Cp=3E" * (SIZE // 7), b"quoted-printable"),
    "paragraphs in UTF-7": html(b"+ADw-p+AD4-" * (SIZE // 11), b"7bit", b"utf-7"),
    "list items": html(b"<ul>" + b"<li>a" * (SIZE // 5)),
    "line breaks": html(b"<br>" * (SIZE // 4)),
    "nested again and again": html((b"<div>" * 50 + b"</div>" * 50) * (SIZE // 550)),
    "behind a delimiter inside a comment": HEAD
    + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n<!--\r\n--c-->"
    + PARAGRAPHS,
    "in a signed part": HEAD
    + b"Content-Type: application/pkcs7-mime; smime-type=signed-data\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    + b"MIIG" * (SIZE // 4),
}  # fmt: skip


@pytest.mark.parametrize("raw", BOMBS.values(), ids=BOMBS)
def test_a_mail_that_is_dear_to_read_is_known_before(raw: bytes) -> None:
    assert dear(raw)


OTHERS = {
    "angles": html(b"<" * 5_000 + b"words " * 40_000),
    "entities": html(b"&amp;" * (SIZE // 5)),
    "comments without an end": html(b"<!--" * 2_000 + b"x" * 200_000),
    "attributes": html(b"<p " + b"a=1 " * (SIZE // 4) + b">"),
    "unlabelled bytes": HEAD + b"\r\n" + b"\xe1\xe9 " * (SIZE // 3),
    "a thousand parts": HEAD
    + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
    + b"--b\r\nContent-Type: a/b; name*0*=u''x; name*1=y\r\n\r\nx\r\n" * 900,
    "a thousand fields": HEAD + b"".join(b"List-%d: %s\r\n" % (n, WORDS) for n in range(990)) + b"\r\nx",
    "recipients": HEAD + b"To: " + b", ".join(b'"x" <a%d@\xc3\xa9.example>' % n for n in range(2000)) + b"\r\n\r\nx",
    "text": HEAD + b"\r\n" + b"palavras \r\n> citadas\r\n" * (SIZE // 22),
}  # fmt: skip


@pytest.mark.parametrize("raw", [*OTHERS.values(), *raws(10)], ids=[*OTHERS, *map(str, range(10))])
def test_what_is_read_in_the_loop_does_not_hold_it(raw: bytes) -> None:
    assert any(spent(raw) < 0.2 for _ in range(3))  # a neighbour may slow one reading


def spent(raw: bytes) -> float:
    """Seconds of CPU in the loop."""
    began = time.process_time()
    if not dear(raw):
        content_key(raw, parse(raw), received(raw).received_at)
    return time.process_time() - began


@pytest.mark.parametrize("raw", raws(10), ids=map(str, range(10)))
def test_an_ordinary_mail_needs_no_process_of_its_own(raw: bytes) -> None:
    assert not dear(raw)


def test_a_large_mail_is_always_dear() -> None:
    assert dear(b"x" * (1024 * 1024 + 1))
