"""Whole decisions: mails in, what ticketing gets of them."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from services.dispatcher.decide import HTML_BYTES, TEXT_BYTES, Setting, decide, dispatch, quarantined
from services.dispatcher.handlers import origin_of, received_of
from shared.desk.load import load_desk
from shared.events import Action, Kind, MailDispatched, Origin, ReceivedMail
from shared.failures import NewerWriter, Permanent
from shared.kafka.record import Record
from shared.mime import parse
from shared.wire import MAX_EVENT_BYTES, decode_dispatched, encode_received
from tests.e2e import mails

LOADED = load_desk(Path(__file__).resolve().parents[3] / "examples" / "desk.yaml")
SETTING = Setting(LOADED.desk, LOADED.sha256, [b"k" * 32])
ARRIVED = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
SUPPORT = "suporte@empresa.example"
NUMBER = "2026030110000017"


def received(raw: bytes, **changes: Any) -> ReceivedMail:
    digest = hashlib.sha256(raw).hexdigest()
    mail = ReceivedMail("caixa", "INBOX", 17, "42", len(raw), digest, ARRIVED, Origin.LIVE, raw)
    return mail._replace(**changes)


def decided(raw: bytes, **changes: Any) -> MailDispatched:
    mail = received(raw, **changes)
    encoded = dispatch(mail, "1/abc.zst", SETTING)
    assert len(encoded) <= MAX_EVENT_BYTES
    return decode_dispatched(encoded)


def with_path(raw: bytes, path: str = "ana@kunde.example") -> bytes:
    return f"Return-Path: <{path}>\r\n".encode() + raw


def plain(subject: str = "Oi", headers: str = "", text: str = "Bom dia.") -> bytes:
    sent = mails.plain(
        "Ana Lima <ana@kunde.example>", SUPPORT, "<m1@kunde.example>", subject, headers=headers, text=text
    )
    return with_path(sent.raw)


def test_the_reply_travels_beside_the_text_that_quotes_and_only_then() -> None:
    quoting = "Sim.\n\nEm 03/03/2026 10:00, Suporte escreveu:\n> Resolvido?\n"
    event = decided(plain(text=quoting))
    assert (event.text.strip(), event.reply_text) == (quoting.strip(), "Sim.\n")
    assert decided(plain()).reply_text == ""
    long = decided(plain(text="x" * 100_000 + "\n> q\n"))
    assert len(long.reply_text) == TEXT_BYTES


def test_a_first_mail_of_a_person() -> None:
    event = decided(plain())
    assert event.action == Action.DISPATCH
    assert event.classification.kind is Kind.HUMAN
    assert event.candidates == []
    assert (event.new.queue, event.new.title, event.new.customer_user) == ("suporte", "Oi", "ana@kunde.example")
    assert (event.new.state, event.follow_up.state, event.follow_up.reopen) == ("new", "open", True)
    assert event.answer.address == "ana@kunde.example"
    assert event.text.strip() == "Bom dia."
    assert (event.original, event.desk, event.account, event.uid) == ("1/abc.zst", LOADED.sha256, "caixa", "42")
    assert event.transport_key == received(plain()).transport_key
    assert event.date == "Tue, 3 Mar 2026 10:00:00 -0300"
    assert [(step.check, step.saw, step.result) for step in event.trace] == [
        ("classification", "no mark of a machine", "human"),
        ("queue", f"to: {SUPPORT}", "suporte"),
        ("filters", "account not trusted", "not applied"),
        ("thread", "no number, no reference", "no candidate"),
        ("authentication", "nothing", "not vouched for"),
        (
            "answer",
            "From <ana@kunde.example>, Return-Path <ana@kunde.example>: Return-Path is of its domain",
            "ana@kunde.example",
        ),
    ]


def test_a_machines_mail_keeps_the_state_and_is_not_answered() -> None:
    event = decided(plain(f"[Ticket#{NUMBER}]", "Auto-Submitted: auto-replied"))
    assert (event.follow_up.state, event.follow_up.reopen) == ("", False)
    assert event.answer.withheld == "out_of_office"
    assert [one.value for one in event.candidates] == [NUMBER]
    assert event.trace[0].saw == "auto_submitted (Auto-Submitted: auto-replied)"
    assert event.trace[-1].result == "withheld: out_of_office"


def test_two_deliveries_of_one_mail_agree_on_its_content() -> None:
    one, other = decided(plain()), decided(b"Received: by x\r\n" + plain(), uid="43")
    assert one.content_key == other.content_key
    assert one.transport_key != other.transport_key


def test_two_equal_mails_without_an_id_are_two() -> None:
    raw = b"From: monitor@kunde.example\r\n\r\nDisk full\r\n"
    first, second = decided(raw), decided(raw, received_at=datetime(2026, 3, 1, 12, 31, tzinfo=UTC))
    assert first.content_key != second.content_key


@pytest.mark.parametrize("kind", mails.KINDS, ids=lambda kind: kind.__name__)
def test_every_kind_of_mail_keeps_its_words(kind: object) -> None:
    assert callable(kind)
    event = decided(with_path(kind("c@kunde.example", SUPPORT, "<m@kunde.example>", "Impressao").raw))
    assert event.subject == "Impressao"
    assert len(event.text.strip()) > 5
    assert "\ufffd" not in event.text


def test_an_attachment_is_told_by_its_metadata_alone() -> None:
    event = decided(mails.with_attachment("c@kunde.example", SUPPORT, "<m@kunde.example>", "Nota").raw)
    found = event.attachments[0]
    assert (found.filename, found.content_type, found.size) == ("nota.pdf", "application/pdf", len(mails.PDF))


def test_a_mail_without_words_says_so() -> None:
    assert decided(plain(text=" ")).text == "-"
    only = b'Content-Type: application/pdf\r\nContent-Disposition: attachment; filename="a.pdf"\r\n\r\nx'
    assert decided(b"From: a@kunde.example\r\n" + only).text == "- no text message => see attachment -"


def test_long_text_and_html_are_cut_and_marked() -> None:
    text = decided(long_mail())
    assert text.cut == ["text", "html"]
    assert TEXT_BYTES - 4 < len(text.text.encode()) <= TEXT_BYTES
    assert HTML_BYTES - 100 < len(text.html.encode()) <= HTML_BYTES
    assert text.html.endswith(">")


def long_mail() -> bytes:
    return (
        b"From: a@kunde.example\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\n"
        b"Content-Type: text/plain; charset=utf-8\r\n\r\n" + "ação ".encode() * 30_000 + b"\r\n--b\r\n"
        b"Content-Type: text/html; charset=utf-8\r\n\r\n" + b'<p class="words">a</p>' * 20_000 + b"\r\n--b--\r\n"
    )


def hostile() -> bytes:
    name = "\x01" * 900
    many = ", ".join(f'"{name}" <a{n}@kunde.example>' for n in range(60))
    ids = " ".join(f"<{n}{chr(34) * 900}@x>" for n in range(60))
    head = (
        f"From: {many}\r\nTo: {many}\r\nCc: {many}\r\nReply-To: {many}\r\nReferences: {ids}\r\nIn-Reply-To: {ids}\r\n"
    )
    return head.encode() + b"Subject: " + b"\x01" * 900 + b"\r\n\r\n" + b"\x01" * 100_000


def test_a_mail_made_to_exceed_the_event_is_shortened_not_refused() -> None:
    event = decided(hostile())
    assert event.cut
    assert event.sender.address == "a0@kunde.example"
    assert event.new.queue == "Raw"


def test_only_the_header_of_an_oversize_mail_is_judged() -> None:
    event = decided(plain().partition(b"\r\n\r\n")[0] + b"\r\n\r\n", oversize=True, size=90_000_000)
    assert event.action == Action.OVERSIZE
    assert event.size == 90_000_000
    assert event.answer.withheld == "oversize"
    assert event.subject == "Oi"


def test_a_bomb_goes_to_quarantine_with_nothing_of_its_content() -> None:
    bomb = (
        b"From: a@kunde.example\r\nSubject: x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
        + b"--b\r\n\r\n" * 2000
    )
    event = decided(bomb)
    assert (event.action, event.reason) == (Action.QUARANTINE, "quarantine:too_many_parts")
    assert (event.subject, event.text, event.sender.address) == ("", "", "")
    assert event.answer.withheld == "quarantine"
    assert event.transport_key == received(bomb).transport_key
    assert quarantined(received(b"x"), SETTING, "cpu").reason == "quarantine:cpu"


@pytest.mark.parametrize(
    "raw", [b"", b"\0" * 1000, bytes(range(256)) * 40, b"\r\n\r\n", b"From:\r\nTo:\r\n\r\n", b"-" * 70_000]
)
def test_whatever_the_bytes_there_is_a_decision(raw: bytes) -> None:
    event = decided(raw)
    assert event.action == Action.DISPATCH
    assert event.new.queue == "Raw"
    assert event.answer.withheld == "sender_unknown"


def test_a_replay_and_a_backfill_stay_what_they_are() -> None:
    event = decided(plain(), replay_of="mail.received.v1/3/17", origin=Origin.BACKFILL)
    assert event.replay_of == "mail.received.v1/3/17"
    assert event.origin is Origin.BACKFILL
    assert event.answer.withheld == "backfill"


def test_a_decision_needs_nothing_but_its_arguments() -> None:
    mail = received(plain())
    assert decide(parse(mail.raw), mail, SETTING) == decide(parse(mail.raw), mail, SETTING)


# --- records ---------------------------------------------------------------------------------------------------------


def record(value: bytes | None, headers: dict[str, bytes]) -> Record:
    return Record("mail.received.v1", 0, 7, b"key", value, tuple(headers.items()), 0)


def test_a_record_is_read_back_as_it_was_written() -> None:
    mail = received(plain())
    value, headers = encode_received(mail)
    assert received_of(record(value, dict(headers))) == mail
    assert origin_of(record(value, dict(headers))) == "kunde.example"


@pytest.mark.parametrize(
    ("changes", "detail"),
    [
        ({"size": b"many"}, "ValueError"),
        ({"account": b"\xff"}, "UnicodeDecodeError"),
        ({"received-at": b"yesterday"}, "ValueError"),
        ({"origin": b"\x00?"}, "ValueError"),
    ],
)
def test_a_malformed_record_is_permanent_and_names_no_value(changes: dict[str, bytes], detail: str) -> None:
    value, headers = encode_received(received(plain()))
    with pytest.raises(Permanent) as caught:
        received_of(record(value, dict(headers) | changes))
    assert str(caught.value) == f"malformed: {detail}"


def test_a_record_without_headers_is_permanent() -> None:
    with pytest.raises(Permanent, match="is missing"):
        received_of(record(b"x", {}))


def test_an_origin_of_a_newer_version_waits() -> None:
    value, headers = encode_received(received(plain()))
    with pytest.raises(NewerWriter):
        received_of(record(value, dict(headers) | {"origin": b"imported"}))
