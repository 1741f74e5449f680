"""Bounces: what is one, whom it names, which mail it is about."""

import pytest

from services.dispatcher.bounces import Aside
from services.dispatcher.classify import Judged, classify
from shared.events import Kind
from shared.message_ids import key_of, sign
from shared.mime import parse
from tests.unit.dispatcher.test_classify import DESK, KEYS

OURS = sign(key_of("ticket"), key_of("delivery"), "empresa.example", KEYS)


def judged(raw: str, *, alone: bool = True) -> Judged:
    data = raw.replace("\n", "\r\n").encode()
    return classify(parse(data), data, DESK, KEYS, alone=alone)


def named(raw: str) -> list[tuple[str, str, bool]]:
    return [(each.address, each.status, each.permanent) for each in judged(raw).classification.bounced]


HEAD = "Return-Path: <>\nFrom: Mail Delivery System <MAILER-DAEMON@mx.example>\nTo: suporte@empresa.example\n"


def report(status: str, returned: str = "") -> str:
    return (
        f"{HEAD}Subject: Undelivered\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\n\n"
        "--b\nContent-Type: text/plain\n\nSorry.\n"
        f"--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx.example\n\n{status}\n"
        f"--b\nContent-Type: message/rfc822\n\n{returned or 'Message-ID: <answer@empresa.example>'}\n\nHi\n--b--\n"
    )


def test_a_delivery_status_names_whom_it_did_not_reach() -> None:
    status = (
        "Final-Recipient: rfc822; ana@kunde.example\nAction: failed\nStatus: 5.1.1\n\n"
        "Original-Recipient: rfc822;bob@kunde.example\nFinal-Recipient: rfc822; b@inner.example\nAction: failed\n"
        "Status: 4.4.7 (expired)\n\n"
        "Final-Recipient: rfc822; fine@kunde.example\nAction: relayed\nStatus: 2.0.0\n\n"
        "Final-Recipient: rfc822; later@kunde.example\nAction: delayed\nStatus: 4.4.1"
    )
    assert judged(report(status)).classification.kind is Kind.BOUNCE
    assert named(report(status)) == [("ana@kunde.example", "5.1.1", True), ("bob@kunde.example", "4.4.7", False)]


@pytest.mark.parametrize(
    ("fields", "status", "permanent"),
    [
        ("Action: failed\nStatus: 5.1.1", "5.1.1", True),
        ("Action: Failed (no such user)\nStatus: 5.2.2 (mailbox full)", "5.2.2", True),
        ("Action: failed\nStatus: 4.4.7", "4.4.7", False),
        ("Action: failed\nDiagnostic-Code: smtp; 550 5.7.1 refused", "5.7.1", True),
        ("Action: failed\nDiagnostic-Code: smtp;\n 452 mailbox full", "", False),
        ("Action: failed", "", True),
        ("", "", True),
    ],
)
def test_hard_or_soft_is_said_by_status_reply_or_action(fields: str, status: str, permanent: bool) -> None:
    found = named(report(f"Final-Recipient: rfc822;ana@kunde.example\n{fields}"))
    assert found == [("ana@kunde.example", status, permanent)]


def test_recipients_without_an_empty_line_between_them_are_told_apart() -> None:
    status = (
        "Final-Recipient: rfc822; um@x.example\nAction: failed\nStatus: 5.2.2\n"
        "Original-Recipient: rfc822; dois@x.example\nFinal-Recipient: rfc822; 2@x.example\nAction: failed\n"
        "Status: 5.1.1"
    )
    assert named(report(status)) == [("um@x.example", "5.2.2", True), ("dois@x.example", "5.1.1", True)]


@pytest.mark.parametrize("action", ["delayed", "delivered", "relayed", "expanded", "Delayed (will retry)"])
def test_a_report_of_delay_or_success_bounces_nobody(action: str) -> None:
    found = judged(report(f"Final-Recipient: rfc822; ana@kunde.example\nAction: {action}\nStatus: 4.4.1"))
    assert found.classification.kind is Kind.AUTOMATIC
    assert found.classification.bounced == []
    assert found.returned == ["<answer@empresa.example>"], "it is about a mail of ours all the same"


PERSON = "Return-Path: <rita@loja.example>\nFrom: Rita Prado <rita@loja.example>\nSubject: Nao consigo escrever\n"
FORWARDS = f"{PERSON}Content-Type: multipart/mixed; boundary=b\n\n--b\n\nVeja\n--b\n"
STATUS = "Reporting-MTA: dns; x\n\nFinal-Recipient: rfc822; a@b.example\nAction: failed"
QUOTED = (
    "> Undelivered Mail Returned to Sender\n> <a@b.example>: 550 5.1.1 unknown\n> Message-ID: <x@empresa.example>\n"
)


@pytest.mark.parametrize(
    "raw",
    [
        f"{FORWARDS}Content-Type: message/delivery-status\n\n{STATUS}\n--b--\n",
        f"{FORWARDS}Content-Type: message/rfc822\n\n"
        + report("Final-Recipient: rfc822; a@b.example\nAction: failed")
        + "\n--b--\n",
        f"{PERSON}\nVeja o que recebi:\n\n> From: MAILER-DAEMON@mx.example\n{QUOTED}",
    ],
    ids=["status part", "whole bounce", "quoted"],
)
def test_a_person_who_sends_us_a_bounce_is_a_person(raw: str) -> None:
    found = judged(raw)
    assert found.classification.kind is Kind.HUMAN
    assert found.classification.bounced == []
    assert found.returned == []


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        ("From: Mail Delivery Subsystem <MAILER-DAEMON>", Kind.BOUNCE),
        ("From: MAILER-DAEMON", Kind.BOUNCE),
        ("From: mailer-daemon@mx.example (Mail Delivery)", Kind.BOUNCE),
        ("From: MAILER-DAEMON (Mail Delivery System)", Kind.BOUNCE),
        ("From: MailerDaemon@mx.example", Kind.BOUNCE),
        ("From: mail_daemon@mx.example", Kind.BOUNCE),
        ("Return-Path: <>\nFrom: postmaster@mx.example", Kind.BOUNCE),
        ("Return-Path: <p@mx.example>\nFrom: postmaster@mx.example\nContent-Type: message/rfc822", Kind.BOUNCE),
        ("Return-Path: <p@mx.example>\nFrom: postmaster@mx.example", Kind.AUTOMATIC),
        ("Return-Path: <>\nFrom: Sistema <correio@mx.example>\nContent-Type: message/rfc822", Kind.BOUNCE),
        ("Return-Path: <MAILER-DAEMON>\nFrom: ana@kunde.example", Kind.AUTOMATIC),
        ("Return-Path: <>\nFrom: ana@kunde.example", Kind.AUTOMATIC),
        ("Return-Path: <rita>\nFrom: ana@kunde.example", Kind.HUMAN),
        ("From: The Daemon <ana@kunde.example>", Kind.HUMAN),
        ("From: Ana Mailer-Daemonova <ana@kunde.example>", Kind.HUMAN),
    ],
)
def test_l5_daemons_and_the_null_path(head: str, kind: Kind) -> None:
    assert judged(f"{head}\nSubject: x\n\nOi\n").classification.kind is kind


QMAIL = (
    f"{HEAD}Subject: failure notice\n\nHi. This is the qmail-send program at mx.example.\n"
    "I'm afraid I wasn't able to deliver your message to the following addresses.\n\n"
    "<ninguem@cliente.example>:\n192.0.2.7 does not like recipient.\nRemote host said: 550 5.1.1 unknown\n\n"
    "--- Below this line is a copy of the message.\n\nReturn-Path: <suporte@empresa.example>\n"
    "Message-ID: <t.17.abc@empresa.example>\nTo: Alguem <outra@cliente.example>\n\nBom dia\n"
)
WORDS = (
    f"{HEAD}Subject: Returned mail\n\nYour message could not be delivered to:\n\n  ninguem@cliente.example\n"
    "    452 4.2.2 mailbox full\n\n----- original -----\nFrom: suporte@empresa.example\n"
    "Message-Id: <t.17.abc@empresa.example>\nTo: outra@cliente.example\n\nOi\n"
)
PORTUGUESE = (
    f"{HEAD}Subject: Aviso\n\nA mensagem para ninguem@cliente.example nao foi entregue:\n"
    '"ninguem@cliente.example" 550 5.1.1 desconhecido\n'
)
SENTENCE = (
    "From: Mail Delivery Subsystem <MAILER-DAEMON>\nSubject: Returned mail\n\n"
    "The following address had a permanent error: <ninguem@cliente.example>\n"
)


ADDRESS_OF_A_HOST = (
    f"{HEAD}Subject: Undelivered Mail Returned to Sender\n\nThis is the mail system at host mx.example.\n\n"
    "<ninguem@cliente.example>: host mx2.cliente.example[1.2.3.4] said: 550 5.1.1\n    User unknown (from 550.2.3.4)\n"
)
BARE = f"{HEAD}Subject: Mail failure\n\nno such user ninguem@cliente.example.\nAsk admin@mx.example.\n"


@pytest.mark.parametrize(
    ("raw", "status", "permanent"),
    [
        (QMAIL, "5.1.1", True),
        (WORDS, "4.2.2", False),
        (PORTUGUESE, "5.1.1", True),
        (SENTENCE, "", True),
        (ADDRESS_OF_A_HOST, "5.1.1", True),
        (BARE, "", True),
    ],
    ids=["qmail", "words", "portuguese", "sentence", "address of a host", "bare"],
)
def test_a_bounce_in_words_names_its_recipient(raw: str, status: str, permanent: bool) -> None:
    assert judged(raw).classification.kind is Kind.BOUNCE
    assert named(raw) == [("ninguem@cliente.example", status, permanent)]


def test_words_are_recognised_only_where_the_process_may_be_killed() -> None:
    with pytest.raises(Aside):
        judged(QMAIL, alone=False)
    assert judged(report("Final-Recipient: rfc822; a@b.example"), alone=False).classification.bounced


def test_failed_recipients_are_named_by_their_header() -> None:
    raw = "From: ana@kunde.example\nX-Failed-Recipients: a@x.example,\n b@x.example, a@x.example\n\nSorry\n"
    assert [address for address, _, _ in named(raw)] == ["a@x.example", "b@x.example"]


@pytest.mark.parametrize("raw", [QMAIL, WORDS], ids=["qmail", "words"])
def test_the_returned_mail_is_found_in_the_text_behind_the_words(raw: str) -> None:
    assert judged(raw).returned == ["<t.17.abc@empresa.example>"]


def test_l6_our_signed_id_is_found_wherever_it_stands() -> None:
    raw = f"{HEAD}Subject: Delivery failure\n\nYour mail ({OURS.strip('<>').upper()}) was refused.\n"
    assert [each.lower() for each in judged(raw).returned] == [OURS]
    attached = (
        f"{HEAD}Subject: x\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nSorry\n--b\nContent-Type: "
        f"application/octet-stream; name=mail.eml\n\nReceived: by x\nMessage-ID: {OURS}\n--b--\n"
    )
    assert judged(attached).returned == [OURS]


def test_the_returned_mails_own_thread_comes_behind_it() -> None:
    returned = f"Message-ID: {OURS}\nReferences: <root@k.example>\n <newest@k.example>"
    assert judged(report("Final-Recipient: rfc822; a@b.example", returned)).returned == [
        OURS, "<newest@k.example>", "<root@k.example>",
    ]  # fmt: skip
