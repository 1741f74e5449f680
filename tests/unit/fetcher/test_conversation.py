"""The key of a mail is that of its conversation's first mail."""

import hashlib

import pytest

from services.fetcher.conversation import conversation_key


def key(root: bytes) -> bytes:
    return hashlib.sha256(root).hexdigest()[:32].encode()


@pytest.mark.parametrize(
    ("raw", "root"),
    [
        (b"Message-ID: <a@x>\r\n\r\nbody", b"a@x"),
        (b"message-id:<a@x>\n\nbody", b"a@x"),
        (b"Message-ID: <c@x>\r\nIn-Reply-To: <b@x>\r\n\r\n", b"b@x"),
        (b"Message-ID: <c@x>\r\nIn-Reply-To: <b@x>\r\nReferences: <a@x> <b@x>\r\n\r\n", b"a@x"),
        (b"References:\r\n <a@x>\r\n\t<b@x>\r\nMessage-ID: <c@x>\r\n\r\n", b"a@x"),
        (b"References: nothing useful\r\nMessage-ID: <c@x>\r\n\r\n", b"c@x"),
        (b"Message-ID: <a@x>\r\nMessage-ID: <b@x>\r\n\r\n", b"a@x"),
        (b"Subject: none\r\n\r\nMessage-ID: <a@x>\r\n", b"Subject: none\r\n\r\nMessage-ID: <a@x>\r\n"),
        (b"", b""),
        (b"\xff\x00<\r\n", b"\xff\x00<\r\n"),
    ],
)
def test_the_root_is_the_first_reference_else_what_it_answers_else_itself(raw: bytes, root: bytes) -> None:
    assert conversation_key(raw) == key(root)


def test_a_header_block_without_end_is_looked_at_only_at_its_beginning() -> None:
    raw = b"X: " + b"x" * 100_000 + b"\r\nMessage-ID: <late@x>\r\n\r\n"
    assert conversation_key(raw) == key(raw)


def test_a_reply_has_the_key_of_the_mail_it_answers() -> None:
    first = b"Message-ID: <a@x>\r\n\r\n"
    reply = b"Message-ID: <b@y>\r\nIn-Reply-To: <a@x>\r\nReferences: <a@x>\r\n\r\n"
    assert conversation_key(first) == conversation_key(reply)
