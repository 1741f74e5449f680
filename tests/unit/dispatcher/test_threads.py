"""Evidence of a thread: what is named, in which order, and what proves who wrote."""

from collections.abc import Sequence

import pytest

from services.dispatcher.bounces import original_ids
from services.dispatcher.threads import Seen, candidates
from shared.desk.model import Desk
from shared.events import Candidate, Check
from shared.message_ids import STABLE, key_of, sign
from shared.mime import Mail, parse

KEYS = [b"n" * 32, b"o" * 32]
NUMBER = "2026112410000012"
TICKET, OTHER, DELIVERY = key_of("t17"), key_of("t99"), key_of("d3")
OURS = sign(TICKET, DELIVERY, "empresa.example", KEYS)
REFERENCE = sign(TICKET, STABLE, "empresa.example", KEYS[1:])


def evidence_of(mail: Mail, bounced: Sequence[str] = (), desk: Desk | None = None, raw: bytes = b"") -> list[Candidate]:
    return candidates(Seen(mail, mail.subject, mail.text, bounced, raw=raw), desk or Desk(), KEYS)


def found(headers: str) -> list[Candidate]:
    raw = b"From: ana@kunde.example\r\n" + headers.replace("\n", "\r\n").encode() + b"\r\n\r\nOi\r\n"
    return evidence_of(parse(raw))


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


def test_f2_a_guessed_or_foreign_id_proves_nothing() -> None:
    forged = OURS.replace(TICKET, OTHER)
    foreign = sign(TICKET, DELIVERY, "empresa.example", [b"x" * 32])
    evidence = found(f"In-Reply-To: {forged}\nReferences: {foreign}")
    assert pairs(evidence) == [(Check.IN_REPLY_TO, forged), (Check.REFERENCES, foreign)]
    assert not any(one.proves_sender for one in evidence)


def test_f7_references_to_two_tickets_are_ordered_by_age() -> None:
    other = sign(OTHER, STABLE, "empresa.example", KEYS)
    evidence = found(f"References: {other} {OURS}")
    assert [one.value for one in evidence if one.check is Check.SIGNED_MESSAGE_ID] == [TICKET, OTHER]


def test_f7_and_ligero_5_11_a_number_inside_a_word_is_none() -> None:
    assert found(f"Subject: MyTicket#{NUMBER}") == []


def test_ligero_5_1_a_bounce_is_about_the_mail_it_brings_back() -> None:
    mail = parse(bounce_of(OURS, f"<root@kunde.example> {REFERENCE}"))
    evidence = evidence_of(mail, original_ids(mail, KEYS))
    assert pairs(evidence) == [(Check.BOUNCE, OURS), (Check.SIGNED_MESSAGE_ID, TICKET)]
    assert evidence_of(mail) == [], "a forwarded mail is no evidence"


def test_hostile_references_leave_a_hundred_candidates() -> None:
    many = " ".join(f"<{n}@x>" for n in range(3000))
    evidence = found(f"Subject: Ticket#{NUMBER}\nIn-Reply-To: {many}\nReferences: {many}")
    assert len(evidence) == 100
    assert evidence[0].check is Check.SUBJECT_NUMBER


# --- the order and the options --------------------------------------------------------------------------------------

OWN = {
    "queues": {"suporte": {}},
    "system_addresses": {"suporte@empresa.example": {"name": "S", "queue": "suporte"}},
}


def values(raw: str, **desk: object) -> list[tuple[str, str]]:
    data = raw.replace("\n", "\r\n").encode()
    evidence = evidence_of(parse(data), desk=Desk.model_validate(OWN | desk), raw=data)
    return [(one.check.value, one.value) for one in evidence]


@pytest.mark.parametrize(
    ("to", "expected"),
    [
        (f"suporte+{NUMBER}@empresa.example", [("plus_address", NUMBER)]),
        (f"Suporte <SUPORTE+{NUMBER}@Empresa.Example>, x@y.example", [("plus_address", NUMBER)]),
        (f"outro+{NUMBER}@empresa.example", []),
        ("suporte+17@empresa.example", []),
        (f"suporte+{NUMBER}x@empresa.example", []),
        ("suporte+2026112499000012@empresa.example", []),
    ],
)
def test_a_number_behind_the_plus_of_an_address_of_ours(to: str, expected: list[tuple[str, str]]) -> None:
    assert values(f"From: a@b.example\nTo: {to}\n\nOi\n") == expected


def test_a_plus_address_is_found_where_the_server_put_it() -> None:
    assert values(f"From: a@b.example\nTo: x@y.example\nDelivered-To: suporte+{NUMBER}@empresa.example\n\nOi\n")


def test_ligero_5_the_order_is_the_desks() -> None:
    raw = f"From: a@b.example\nSubject: [Ticket#{NUMBER}]\nIn-Reply-To: <old@k>\n\nOi\n"
    assert values(raw) == [("subject_number", NUMBER), ("in_reply_to", "<old@k>")]
    assert values(raw, thread_checks=["in_reply_to", "subject_number"]) == [
        ("in_reply_to", "<old@k>"), ("subject_number", NUMBER),
    ]  # fmt: skip
    assert values(raw, thread_checks=["references"]) == []


WITH_FILE = (
    "From: a@b.example\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nTicket#{0}\n"
    "--b\nContent-Type: text/plain\nContent-Disposition: attachment; filename=a.txt\n\nTicket#{1}\n--b--\n"
)


def test_ligero_5_4_and_5_5_numbers_in_texts_count_only_where_the_desk_says_so() -> None:
    other = "2026112410000021"
    raw = WITH_FILE.format(NUMBER, other)
    assert values(raw) == []
    assert values(raw, thread_checks=["body"]) == [("body", NUMBER)]
    assert values(raw, thread_checks=["attachments", "body"]) == [("attachments", other), ("body", NUMBER)]


def test_ligero_5_6_a_number_anywhere_in_the_mail_as_it_came_counts_only_where_the_desk_says_so() -> None:
    raw = f"From: a@b.example\nX-Caso: Ticket#{NUMBER}\n\nOi\n"
    assert values(raw) == []
    assert values(raw, thread_checks=["subject_number", "raw_mail"]) == [("raw_mail", NUMBER)]


def test_ligero_5_3_in_reply_to_comes_before_the_newest_reference_and_each_id_once() -> None:
    raw = "From: a@b.example\nIn-Reply-To: <b@x> <z@x>\nReferences: <a@x> <b@x>\n <c@x>\n\nOi\n"
    named = [value for _, value in values(raw)]
    assert named == ["<b@x>", "<z@x>", "<c@x>", "<a@x>"]


@pytest.mark.parametrize("word", ["RES", "ENC", "AW", "Re[3]", "RES: FW", "TR"])
def test_ligero_5_11_a_number_is_found_whatever_a_mail_program_put_before_it(word: str) -> None:
    assert values(f"From: a@b.example\nSubject: {word}: [Ticket#{NUMBER}] x\n\nOi\n") == [("subject_number", NUMBER)]


def test_ligero_5_10_a_number_of_another_system_is_none() -> None:
    other = "2026112477000012"
    raw = f"From: a@b.example\nSubject: [Ticket#{other}] x\n\nOi\n"
    assert values(raw) == []
    assert values(raw, ticket={"check_system_id": False}) == [("subject_number", other)]


def test_f2_a_forged_reference_proves_nothing_and_f4_a_number_behind_a_plus_proves_no_sender_either() -> None:
    raw = (
        f"From: confirm@service.example\nTo: suporte+{NUMBER}@empresa.example\nReferences: <guess@empresa.example>\n\n"
    )
    mail = parse(raw.encode())
    evidence = evidence_of(mail, desk=Desk.model_validate(OWN))
    assert pairs(evidence) == [(Check.PLUS_ADDRESS, NUMBER), (Check.REFERENCES, "<guess@empresa.example>")]
    assert not any(one.proves_sender for one in evidence)


@pytest.mark.parametrize(
    ("generator", "number", "none"),
    [
        ("auto_increment", "1000042", "2026112410000012"),
        ("date", "20261124107", "1000042"),
        ("date_checksum", "2026112410000012", "20261124107"),
    ],
)
def test_ligero_9_each_generator_has_its_own_numbers(generator: str, number: str, none: str) -> None:
    def found_in(text: str) -> list[tuple[str, str]]:
        return values(f"From: a@b.example\nSubject: [Ticket#{text}] x\n\nOi\n", ticket={"number_generator": generator})

    assert found_in(number) == [("subject_number", number)]
    assert found_in(none) == []
