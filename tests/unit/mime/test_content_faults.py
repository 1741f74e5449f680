"""Missing, doubled and absurd contents still make a mail."""
# ruff: noqa: N802  # a name carries the id of its threat

import hashlib
from datetime import UTC, datetime, timedelta, timezone

import pytest

from shared.mime import parse
from shared.mime.content_key import content_key
from shared.mime.conversation import kafka_key, named_root
from shared.mime.fields import header_fields

RECEIVED = datetime(2026, 11, 24, 12, 30, tzinfo=UTC)


@pytest.mark.parametrize("raw", [b"", b"\n", b"\r\n\r\n", b"X: 1\n\n", b"\0", bytes(range(256))])
def test_C3_a_mail_without_anything_is_a_mail(raw: bytes) -> None:
    mail = parse(raw)
    assert mail.sender is None
    assert mail.sender_source == "none"
    assert mail.date is None
    assert mail.message_id == f"<{hashlib.sha256(raw).hexdigest()}@missing.invalid>"
    assert mail.message_id_derived
    assert {"sender_missing", "date_missing", "message_id_missing"} <= set(mail.defects)


def test_C3_a_mail_that_is_only_an_attachment_has_no_text() -> None:
    mail = parse(b"From: a@b.example\nContent-Type: application/pdf\n\n%PDF")
    assert (mail.text, mail.html, mail.attachments[0].content) == ("", "", b"%PDF")


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("Tue, 24 Nov 2026 09:30:00 -0300", datetime(2026, 11, 24, 12, 30, tzinfo=UTC)),
        ("24 Nov 2026 12:30 GMT", datetime(2026, 11, 24, 12, 30, tzinfo=UTC)),
        ("Tue, 24-Nov-26 12:30:00 +0000 (UTC)", datetime(2026, 11, 24, 12, 30, tzinfo=UTC)),
        ("24 November 2026 12:30:00 EST", datetime(2026, 11, 24, 17, 30, tzinfo=UTC)),
        ("Thu, 1 Jan 1970 00:00:00 +0000", datetime(1970, 1, 1, tzinfo=UTC)),
        ("31 Dec 2099 23:59:60 +0000", datetime(2099, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("24 Nov 2026 12:30:00 +9999", datetime(2026, 11, 24, 12, 30, tzinfo=UTC)),
        ("24 Nov 2026 12:30:00 NOWHERE", datetime(2026, 11, 24, 12, 30, tzinfo=UTC)),
        ("1 Jan 99 00:00 +0000", datetime(1999, 1, 1, tzinfo=UTC)),
        ("31 Feb 2026 12:30:00 +0000", None),
        ("24 Foo 2026 12:30:00 +0000", None),
        ("24 Nov 0000 12:30:00 +0000", None),
        ("yesterday", None),
        ("9" * 300, None),
    ],
)
def test_C6_a_date_is_read_tolerantly_and_its_absence_is_a_defect(written: str, read: object) -> None:
    mail = parse(f"Date: {written}\n\n".encode())
    assert mail.date == read
    assert ("date_unreadable" in mail.defects) == (read is None)


def test_the_zone_of_a_date_is_kept() -> None:
    date = parse(b"Date: Tue, 24 Nov 2026 09:30:00 -0330\n\n").date
    assert date is not None
    assert date.tzinfo == timezone(timedelta(hours=-3, minutes=-30))


HEADER = (
    b"From: a@b.example\r\nTo: c@d.example\r\nSubject: s\r\n"
    b"Date: Tue, 24 Nov 2026 09:30:00 -0300\r\nMessage-ID: <1@x>\r\n"
)


def key(raw: bytes, received: datetime = RECEIVED) -> str:
    assert content_key(raw, parse(raw), received) == content_key(raw, header_fields(raw), received)
    return content_key(raw, parse(raw), received)


def test_C5_two_deliveries_of_one_mail_agree_on_the_content_key() -> None:
    first = b"Received: one\r\n" + HEADER + b"\r\nbody\r\n"
    second = b"Delivered-To: two\n" + HEADER.replace(b"\r\n", b"\n").replace(b"To: c", b"To:\n c") + b"\nbody\n\n\n"
    assert key(first) == key(second, RECEIVED + timedelta(hours=1))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"body", b"other"),
        (b": s\r", b": t\r"),
        (b"<1@x>", b"<2@x>"),
        (b"a@b", b"z@b"),
        (b"09:30", b"09:31"),
        (b"To: c", b"Cc: c"),
    ],
)
def test_C4_other_content_under_the_same_message_id_has_another_key(old: bytes, new: bytes) -> None:
    raw = HEADER + b"\r\nbody\r\n"
    assert key(raw) != key(raw.replace(old, new))


def test_C4_without_a_message_id_two_equal_alerts_are_two_mails() -> None:
    raw = HEADER.replace(b"Message-ID: <1@x>\r\n", b"") + b"\r\ndisk full\r\n"
    assert key(raw) == key(raw)
    assert key(raw) == key(raw, RECEIVED.astimezone(timezone(timedelta(hours=-3))))
    assert key(raw) != key(raw, RECEIVED + timedelta(seconds=1))
    assert key(raw) != key(b"Received: x\r\n" + raw)


@pytest.mark.parametrize(
    ("header", "root"),
    [
        (b"References: <a@x> <b@x>\nIn-Reply-To: <c@x>\nMessage-ID: <d@x>\n", "a@x"),
        (b"References: <a b@x>\nIn-Reply-To: <c@x>\nMessage-ID: <d@x>\n", "c@x"),
        (b"Message-ID: <d@x>\n", "d@x"),
        (b"Subject: none\n", ""),
    ],
)
def test_the_conversation_root_is_named_by_the_header_alone(header: bytes, root: str) -> None:
    raw = header + b"\nbody"
    assert named_root(header_fields(raw)) == named_root(parse(raw)) == root


def test_the_kafka_key_is_half_a_hash_in_hex() -> None:
    assert kafka_key("a@x") == hashlib.sha256(b"a@x").hexdigest()[:32].encode()
