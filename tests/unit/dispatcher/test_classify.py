"""What a mail is: one row for each mark, with the header that says it."""

import pytest

from services.dispatcher.classify import classify, is_no_reply
from shared.events import Kind
from shared.mime import parse

OWN = frozenset(("suporte@empresa.example",))


def mail(headers: str, sender: str = "Ana <ana@kunde.example>", path: str = "ana@kunde.example") -> bytes:
    extra = "".join(f"{line}\r\n" for line in headers.splitlines())
    return f"Return-Path: <{path}>\r\nFrom: {sender}\r\nSubject: Oi\r\n{extra}\r\nBom dia\r\n".encode()


@pytest.mark.parametrize(
    "headers",
    [
        "",
        "Auto-Submitted: no",
        "Auto-Submitted: NO (a person wrote this)",
        "auto-submitted: no; owner-email=a@b",
        "Precedence: first-class",
        "Precedence: normal",
        "X-Auto-Response-Suppress: DR",
        "X-Auto-Response-Suppress: DR, NDR, RN, NRN",
        "X-Mailer: list-id",
        "Listing: something",
        "X-Priority: 1",
    ],
)
def test_a_persons_mail_is_a_persons(headers: str) -> None:
    found = classify(parse(mail(headers)), OWN)
    assert (found.kind, found.reasons) == (Kind.HUMAN, [])
    assert not found.automatic


@pytest.mark.parametrize(
    ("headers", "kind", "rule"),
    [
        ("Auto-Submitted: auto-generated", Kind.AUTOMATIC, "auto_submitted (Auto-Submitted: auto-generated)"),
        ("AUTO-SUBMITTED: Auto-Replied", Kind.OUT_OF_OFFICE, "auto_submitted (Auto-Submitted: Auto-Replied)"),
        ("Auto-Submitted: auto-replied (vacation)", Kind.OUT_OF_OFFICE, "auto_submitted"),
        ("Auto-Submitted: auto-notified; owner-email=a@b", Kind.AUTOMATIC, "auto_submitted"),
        ("Auto-Submitted: (no) yes", Kind.AUTOMATIC, "auto_submitted"),
        ("Auto-Submitted: no\nAuto-Submitted: auto-generated", Kind.AUTOMATIC, "auto_submitted"),
        ("Auto-Submitted: something-new", Kind.AUTOMATIC, "auto_submitted"),
        ("Precedence: bulk", Kind.AUTOMATIC, "precedence (Precedence: bulk)"),
        ("Precedence: LIST", Kind.LIST, "precedence"),
        ("Precedence: junk", Kind.AUTOMATIC, "precedence"),
        ("Precedence: auto_reply", Kind.OUT_OF_OFFICE, "precedence"),
        ("X-Auto-Response-Suppress: All", Kind.AUTOMATIC, "response_suppressed"),
        ("X-Auto-Response-Suppress: DR, oof", Kind.AUTOMATIC, "response_suppressed"),
        ("X-Auto-Response-Suppress: AutoReply", Kind.AUTOMATIC, "response_suppressed"),
        ("List-Id: <news.example>", Kind.LIST, "mailing_list (List-Id: <news.example>)"),
        ("List-Unsubscribe: <mailto:leave@news.example>", Kind.LIST, "mailing_list (List-Unsubscribe"),
        ("list-help: x", Kind.LIST, "mailing_list"),
        ("Mailing-List: contact x", Kind.LIST, "machine (Mailing-List"),
        ("X-Loop: yes", Kind.AUTOMATIC, "loop_header (X-Loop: yes)"),
        ("X-No-Loop: yes", Kind.AUTOMATIC, "loop_header"),
        ("X-Autoreply: yes", Kind.OUT_OF_OFFICE, "machine"),
        ("X-Autorespond: hello", Kind.OUT_OF_OFFICE, "machine"),
        ("X-FC-Machinegenerated: true", Kind.AUTOMATIC, "machine"),
        ("X-Carteiro-Loop: 6f6f", Kind.LOOP, "loop_header (X-Carteiro-Loop: 6f6f)"),
        ("X-OTRS-Loop: no", Kind.LOOP, "loop_header"),
        ("X-Failed-Recipients: bob@there.example", Kind.BOUNCE, "failed_recipients"),
        ("Content-Type: multipart/report; report-type=delivery-status; boundary=b", Kind.BOUNCE, "report"),
        ('Content-Type: multipart/report; boundary=b; report-type="Delivery-Status"', Kind.BOUNCE, "report"),
        ("Content-Type: multipart/report; boundary=b", Kind.BOUNCE, "report"),
        ("Content-Type: multipart/report; report-type=disposition-notification", Kind.AUTOMATIC, "report"),
        ("Content-Type: multipart/report; report-type=feedback-report", Kind.AUTOMATIC, "report"),
    ],
)
def test_a_mark_names_the_kind_and_its_header(headers: str, kind: Kind, rule: str) -> None:
    found = classify(parse(mail(headers)), OWN)
    assert found.kind is kind
    assert len(found.reasons) == 1
    assert found.reasons[0].startswith(rule)
    assert found.automatic


@pytest.mark.parametrize(
    ("sender", "path", "kind", "rule"),
    [
        ("ana@kunde.example", "", Kind.AUTOMATIC, "null_return_path (Return-Path: <>)"),
        ("Mail Delivery <MAILER-DAEMON@mx.example>", "x@mx.example", Kind.BOUNCE, "mailer_daemon"),
        ("Postmaster <postmaster@mx.example>", "postmaster@mx.example", Kind.AUTOMATIC, "postmaster"),
        ("postmaster@mx.example", "", Kind.BOUNCE, "postmaster"),
        ("Suporte <Suporte@Empresa.example>", "x@empresa.example", Kind.LOOP, "own_address"),
        ("Ana <ana@kunde.example>, suporte@empresa.example", "ana@kunde.example", Kind.LOOP, "own_address"),
        ("Shop <no-reply@shop.example>", "no-reply@shop.example", Kind.AUTOMATIC, "no_reply"),
    ],
)
def test_the_sender_can_be_the_mark(sender: str, path: str, kind: Kind, rule: str) -> None:
    found = classify(parse(mail("", sender, path)), OWN)
    assert found.kind is kind
    assert any(reason.startswith(rule) for reason in found.reasons)


def test_the_strongest_mark_names_the_kind_and_all_are_reasons() -> None:
    found = classify(parse(mail("Precedence: bulk\nList-Id: <a>\nX-Failed-Recipients: b@c.example", path="")), OWN)
    assert found.kind is Kind.BOUNCE
    assert len(found.reasons) == 4


@pytest.mark.parametrize(
    "address",
    ["no-reply@x.example", "noreply@x.example", "NoReply@x.example", "do_not_reply@x.example", "donotreply@x.example",
     "nao-responda@x.example", "naoresponda@x.example", "no.reply@x.example", "shop-noreply@x.example",
     "noreply+42@x.example", "no-responder@x.example", "not-reply@x.example"],
)  # fmt: skip
def test_an_address_that_nobody_reads_says_so(address: str) -> None:
    assert is_no_reply(address)


@pytest.mark.parametrize(
    "address", ["nora@x.example", "noreen.ply@x.example", "reply@x.example", "ana@noreply.example"]
)
def test_a_persons_address_does_not(address: str) -> None:
    assert not is_no_reply(address)


def test_a_thousand_list_headers_leave_a_bounded_number_of_reasons() -> None:
    found = classify(parse(mail("\n".join(f"List-{n}: {'x' * 500}" for n in range(900)))), OWN)
    assert found.kind is Kind.LIST
    assert len(found.reasons) == 20
    assert max(map(len, found.reasons)) < 200


DSN = (
    b"Return-Path: <>\r\nFrom: Mail Delivery System <MAILER-DAEMON@mx.example>\r\nTo: suporte@empresa.example\r\n"
    b"Subject: Undelivered\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n"
    b"--b\r\nContent-Type: text/plain\r\n\r\nSorry.\r\n"
    b"--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example\r\n\r\n"
    b"Final-Recipient: rfc822; ana@kunde.example\r\nAction: failed\r\nStatus: 5.1.1\r\n\r\n"
    b"Original-Recipient: rfc822;bob@kunde.example\r\nFinal-Recipient: rfc822; b@inner.example\r\nAction: delayed\r\n"
    b"Status: 4.4.1 (busy)\r\n\r\nFinal-Recipient: rfc822; fine@kunde.example\r\nAction: relayed\r\nStatus: 2.0.0\r\n"
    b"--b\r\nContent-Type: message/rfc822\r\n\r\nMessage-ID: <answer@empresa.example>\r\n"
    b"References: <root@kunde.example>\r\n <newest@kunde.example>\r\nSubject: Re\r\n\r\nHi\r\n--b--\r\n"
)


def test_a_delivery_status_names_whom_it_did_not_reach() -> None:
    found = classify(parse(DSN), OWN)
    assert found.kind is Kind.BOUNCE
    assert [(one.address, one.status, one.permanent) for one in found.bounced] == [
        ("ana@kunde.example", "5.1.1", True),
        ("bob@kunde.example", "4.4.1", False),
    ]


def test_failed_recipients_are_named_by_their_header() -> None:
    found = classify(parse(mail("X-Failed-Recipients: a@x.example,\n b@x.example, a@x.example")), OWN)
    assert [one.address for one in found.bounced] == ["a@x.example", "b@x.example"]
