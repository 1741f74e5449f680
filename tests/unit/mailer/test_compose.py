import email
import email.policy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.mailer.compose import _CONTROLS, MAX_REFERENCES, Letter, _clean, compose, header_text, thread, valid_id
from shared.desk.model import Mailbox
from tests.unit.mailer.desks import MOMENT

SIMPLE = Letter(
    sender=Mailbox("Suporte", "suporte@empresa.example"),
    recipient=Mailbox("", "cliente@kunde.example"),
    subject="[Ticket#2026030110000017] Got it",
    text="Hello,\n\nthanks.\n",
    html="",
    message_id="<c1.17.5.abcdefghijklmnop@empresa.example>",
    in_reply_to="<m1@kunde.example>",
    references=["<m0@kunde.example>", "<m1@kunde.example>"],
    date=MOMENT,
    answer=True,
    loop_mark="10",
)
HEADERS = {
    "Date", "From", "To", "Subject", "Message-ID", "In-Reply-To", "References", "Auto-Submitted", "Precedence",
    "X-Auto-Response-Suppress", "X-Loop", "X-Carteiro-Loop", "MIME-Version", "Content-Type",
    "Content-Transfer-Encoding",
}  # fmt: skip


def written(**changes: Any) -> bytes:
    return compose(SIMPLE._replace(**changes))


def read(raw: bytes) -> Any:
    return email.message_from_bytes(raw, policy=email.policy.default)


def test_the_bytes_of_an_answer_are_these() -> None:
    assert written() == (
        b"Date: Sun, 01 Mar 2026 12:30:00 +0000\r\n"
        b"From: Suporte <suporte@empresa.example>\r\n"
        b"To: cliente@kunde.example\r\n"
        b"Subject: [Ticket#2026030110000017] Got it\r\n"
        b"Message-ID: <c1.17.5.abcdefghijklmnop@empresa.example>\r\n"
        b"In-Reply-To: <m1@kunde.example>\r\n"
        b"References: <m0@kunde.example>\r\n <m1@kunde.example>\r\n"
        b"Auto-Submitted: auto-replied\r\n"
        b"Precedence: bulk\r\n"
        b"X-Loop: yes\r\n"
        b"X-Auto-Response-Suppress: All\r\n"
        b"X-Carteiro-Loop: 10\r\n"
        b"MIME-Version: 1.0\r\n"
        b"Content-Type: text/plain; charset=utf-8\r\n"
        b"Content-Transfer-Encoding: 7bit\r\n"
        b"\r\n"
        b"Hello,\r\n\r\nthanks.\r\n"
    )


def test_what_no_mail_asked_for_is_generated_and_not_replied() -> None:
    assert read(written(answer=False))["Auto-Submitted"] == "auto-generated"


@pytest.mark.parametrize(
    "hostile",
    [
        "hi\r\nBcc: evil@x.example",
        "hi\nBcc: evil@x.example",
        "hi\rBcc: evil@x.example",
        "hi\u2028Bcc: evil@x.example",
        "hi\x85Bcc: evil@x.example",
        "hi\x00\x1b[2J",
        "hi \ud800",
        "olá\r\nBcc: evil@x.example",
    ],
)
def test_i1_no_value_makes_a_header_of_its_own(hostile: str) -> None:
    """CVE-2024-6923 and its kin: the mail is still sent, with the text on one line."""
    message = read(
        written(
            subject=hostile, sender=Mailbox(hostile, "s@empresa.example"), recipient=Mailbox(hostile, "a@b.example")
        )
    )
    assert set(message.keys()) <= HEADERS
    assert message["Bcc"] is None
    assert "hi" in message["Subject"] or "olá" in message["Subject"]


@pytest.mark.parametrize(
    "name",
    ['Quote " and \\ back', "Comma, Inc.", "Ação & Cia", "=?utf-8?q?x?=", "(comment)", "a@b", "名前" * 7, "x" * 300],
)
def test_i2_a_display_name_comes_through_and_the_address_stays(name: str) -> None:
    sender = read(written(sender=Mailbox(name, "suporte@empresa.example")))["From"].addresses
    assert [each.addr_spec for each in sender] == ["suporte@empresa.example"]
    assert sender[0].display_name == name


@given(st.text(max_size=2000), st.text(max_size=3000), st.text(max_size=300))
def test_f11_whatever_is_said_the_mail_is_7_bit_with_crlf_and_short_lines(subject: str, text: str, name: str) -> None:
    raw = written(subject=subject, text=text, sender=Mailbox(name, "suporte@empresa.example"))
    assert raw.isascii()
    assert b"\n" not in raw.replace(b"\r\n", b"")
    assert b"\r" not in raw.replace(b"\r\n", b"")
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    head = raw.split(b"\r\n\r\n", 1)[0].split(b"\r\n")
    assert {line.split(b":")[0].decode() for line in head if not line.startswith(b" ")} <= HEADERS


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("plain\n", "7bit"),
        ("", "7bit"),
        ("x" * 5000, "quoted-printable"),
        ("Olá, recebemos sua mensagem e vamos responder logo.\n.\nFrom here\ntrailing  \n", "quoted-printable"),
        ("без сомнения, мы получили ваше письмо\n" * 3, "base64"),
        ("名前が長いです\n", "base64"),
    ],
)
def test_a_body_comes_through_in_the_encoding_that_fits(text: str, encoding: str) -> None:
    message = read(written(text=text))
    assert message["Content-Transfer-Encoding"] == encoding
    assert message.get_content().replace("\r\n", "\n").rstrip() == text.rstrip()


@settings(deadline=None)
@given(st.text())
def test_what_is_printable_holds_no_control(text: str) -> None:
    assert _clean(text) == _CONTROLS.sub(" ", text).strip()


def test_a_body_loses_control_characters_and_keeps_tabs() -> None:
    assert read(written(text="a\tb\x00\x07c\r\nd\re")).get_content().splitlines() == ["a\tbc", "d", "e"]


@pytest.mark.parametrize("text", ["Ação " * 80, "é" * 700, "a" * 2000, "👩‍💻" * 100])
def test_encoded_words_are_whole_and_at_most_75_long(text: str) -> None:
    encoded = header_text(text)
    words = encoded.split("\r\n ")
    assert max(map(len, words)) <= 75
    assert read(f"Subject: {encoded}\r\n\r\n".encode())["Subject"].rstrip() == text.rstrip()


@pytest.mark.parametrize(
    ("message_id", "valid"),
    [
        ("<a@b.example>", True),
        ("<PH0PR12MB" + "x" * 100 + "@namprd12.prod.outlook.example>", True),
        ("<a b@c>", False),
        ("<a@b>\r\nBcc: x@y", False),
        ("<a\r\n@b>", False),
        ("<a@b@c>", False),
        ("<a<b@c>", False),
        ("<ação@b>", False),
        ("<nothing>", False),
        ("a@b.example", False),
        ("<a@b\x00>", False),
        ("<" + "a" * 260 + "@b>", False),
        ("", False),
    ],
)
def test_i3_only_a_clean_identifier_is_repeated(message_id: str, valid: bool) -> None:
    assert valid_id(message_id) is valid


STABLE = "<c1.17.0.abcdefghijklmnop@empresa.example>"


@pytest.mark.parametrize(
    ("references", "parent", "expected"),
    [
        ([], "", [STABLE]),
        (["<a@x>", "<p@x>"], "<p@x>", ["<a@x>", STABLE, "<p@x>"]),
        (["<a@x>", "<a@x>", STABLE, "<p@x>"], "<p@x>", ["<a@x>", STABLE, "<p@x>"]),
        (["<bad one>", "<a@x>"], "<also bad", ["<a@x>", STABLE]),
        (["<a@x>"], "", ["<a@x>", STABLE]),
    ],
)
def test_the_thread_is_continued(references: list[str], parent: str, expected: list[str]) -> None:
    assert thread(references, parent, STABLE) == expected


def test_a_long_thread_keeps_its_root_and_its_latest() -> None:
    ids = [f"<{number}@x>" for number in range(100)]
    kept = thread(ids, "<99@x>", STABLE)
    assert len(kept) == MAX_REFERENCES
    assert kept[0] == "<0@x>"
    assert kept[-3:] == ["<98@x>", STABLE, "<99@x>"]
