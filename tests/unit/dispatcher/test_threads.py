"""Evidence of a thread: what is named, in which order, and what proves who wrote."""

from services.dispatcher.bounces import original_ids
from services.dispatcher.threads import candidates
from shared.desk.model import Ticket
from shared.events import Candidate, Check
from shared.message_ids import STABLE, key_of, sign
from shared.mime import parse

KEYS = [b"n" * 32, b"o" * 32]
NUMBER = "2026112410000012"
TICKET, OTHER, DELIVERY = key_of("t17"), key_of("t99"), key_of("d3")
OURS = sign(TICKET, DELIVERY, "empresa.example", KEYS)
REFERENCE = sign(TICKET, STABLE, "empresa.example", KEYS[1:])


def found(headers: str) -> list[Candidate]:
    raw = b"From: ana@kunde.example\r\n" + headers.replace("\n", "\r\n").encode() + b"\r\n\r\nOi\r\n"
    return candidates(parse(raw), [], Ticket(), KEYS)


def bounce_of(message_id: str, references: str) -> bytes:
    return (
        "Return-Path: <>\r\nFrom: MAILER-DAEMON@mx.example\r\nSubject: Undelivered\r\n"
        "Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n"
        "--b\r\nContent-Type: text/plain\r\n\r\nSorry.\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n"
        f"Message-ID: {message_id}\r\nReferences: {references}\r\n\r\nHi\r\n--b--\r\n"
    ).encode()


def pairs(evidence: list[Candidate]) -> list[tuple[Check, str]]:
    return [(one.check, one.value) for one in evidence]


def test_a_first_mail_has_no_evidence() -> None:
    assert found("Subject: Impressora 2026112410000012\nMessage-ID: <a@b>") == []


def test_the_number_comes_before_the_proof_before_what_is_only_named() -> None:
    evidence = found(
        f"Subject: RES: [Ticket#{NUMBER}] Oi\nIn-Reply-To: {OURS}\nReferences: <root@k> {REFERENCE} <old@k> {OURS}"
    )
    assert pairs(evidence) == [
        (Check.SUBJECT_NUMBER, NUMBER),
        (Check.SIGNED_MESSAGE_ID, TICKET),
        (Check.IN_REPLY_TO, OURS),
        (Check.REFERENCES, "<old@k>"),
        (Check.REFERENCES, REFERENCE),
        (Check.REFERENCES, "<root@k>"),
    ]
    assert [one.proves_sender for one in evidence] == [False, True, False, False, False, False]


def test_a_guessed_or_foreign_id_proves_nothing() -> None:
    forged = OURS.replace(TICKET, OTHER)
    foreign = sign(TICKET, DELIVERY, "empresa.example", [b"x" * 32])
    evidence = found(f"In-Reply-To: {forged}\nReferences: {foreign}")
    assert pairs(evidence) == [(Check.IN_REPLY_TO, forged), (Check.REFERENCES, foreign)]
    assert not any(one.proves_sender for one in evidence)


def test_references_to_two_tickets_are_ordered_by_age() -> None:
    other = sign(OTHER, STABLE, "empresa.example", KEYS)
    evidence = found(f"References: {other} {OURS}")
    assert [one.value for one in evidence if one.check is Check.SIGNED_MESSAGE_ID] == [TICKET, OTHER]


def test_a_number_inside_a_word_is_none() -> None:
    assert found(f"Subject: MyTicket#{NUMBER}") == []


def test_a_bounce_is_about_the_mail_it_brings_back() -> None:
    mail = parse(bounce_of(OURS, f"<root@kunde.example> {REFERENCE}"))
    evidence = candidates(mail, original_ids(mail, KEYS), Ticket(), KEYS)
    assert pairs(evidence) == [(Check.BOUNCE, OURS), (Check.SIGNED_MESSAGE_ID, TICKET)]
    assert candidates(mail, [], Ticket(), KEYS) == [], "a forwarded mail is no evidence"


def test_hostile_references_leave_a_hundred_candidates() -> None:
    many = " ".join(f"<{n}@x>" for n in range(3000))
    evidence = found(f"Subject: Ticket#{NUMBER}\nIn-Reply-To: {many}\nReferences: {many}")
    assert len(evidence) == 100
    assert evidence[0].check is Check.SUBJECT_NUMBER
