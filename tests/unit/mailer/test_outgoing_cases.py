"""What every mail of ours keeps to, point by point; the numbers are those of `tests/contract/test_cases.py`."""

from collections import Counter
from datetime import timedelta
from email import message_from_bytes
from email.policy import default
from typing import Any

import pytest

from services.mailer.audience import notifications_for
from services.mailer.compose import Letter, compose
from services.mailer.letters import Desktop, write_answer, write_notification
from services.mailer.loops import Known, Reason, judge
from services.mailer.recipients import answer_for, deliverable
from services.mailer.states import Outcome, Result, Retry, State, after
from shared.desk.model import Desk, Mailbox, Outbound
from shared.events import Answer, ArticleFact
from shared.message_ids import STABLE, Signed, key_of, verify
from tests.unit.mailer.desks import KEYS, MOMENT, TEXTS, TICKET, added, created, desk, sign
from tests.unit.mailer.test_loop_cases import decided

DESK = desk()


def answered(fact: ArticleFact, with_: Desk = DESK) -> bytes:
    answer = answer_for(fact, with_)
    return write_answer(fact, answer, fact.answer.address, key_of("a"), Desktop(with_, TEXTS, sign)).raw


def notified(fact: ArticleFact) -> bytes:
    [first, *_] = notifications_for(fact, DESK, {})
    return write_notification(fact, first, key_of("n"), Desktop(DESK, TEXTS, sign)).raw


def read(raw: bytes) -> Any:
    return message_from_bytes(raw, policy=default)


def test_outgoing_1_an_answer_is_replied_a_notification_generated_both_ask_for_silence() -> None:
    answer, notification = read(answered(created())), read(notified(created()))
    assert answer["Auto-Submitted"] == "auto-replied"
    assert notification["Auto-Submitted"] == "auto-generated"
    for mail in (answer, notification):
        assert mail["X-Auto-Response-Suppress"] == "All"
        assert mail["X-Carteiro-Loop"] == "10"
    assert (answer["Precedence"], notification["Precedence"]) == ("bulk", None)


def test_outgoing_2_the_envelope_sender_is_empty_unless_the_account_says_otherwise() -> None:
    assert Outbound(type="smtp", host="h").null_sender is True


def test_outgoing_3_the_thread_is_continued_also_where_its_ids_are_longer_than_a_line() -> None:
    long = "<PH0PR12MB" + "x" * 100 + "@namprd12.prod.outlook.example>"
    raw = answered(created(message_id=long, references=["<m0@kunde.example>", long]))
    assert b"\r\nIn-Reply-To: " + long.encode() + b"\r\n" in raw
    assert b"\r\n " + long.encode() + b"\r\n" in raw, "whole, never as an encoded word"
    assert read(raw)["References"].split()[0] == "<m0@kunde.example>"


def test_outgoing_4_the_id_is_signed_and_the_same_again_from_is_ours_and_there_is_one_date() -> None:
    raw = answered(created())
    mail = read(raw)
    assert raw == answered(created())
    assert verify(mail["Message-ID"], KEYS) == Signed(TICKET, key_of("a"))
    assert Signed(TICKET, STABLE) in [verify(each, KEYS) for each in mail["References"].split()]
    assert mail["From"].addresses[0].addr_spec == "suporte@empresa.example"
    assert len(mail.get_all("Date")) == 1
    assert mail["Reply-To"] is None


def test_outgoing_4_a_reply_to_the_plus_address_finds_its_ticket_without_subject_and_ids() -> None:
    with_ = desk(ticket={"plus_address": True})
    mail = read(answered(created(), with_))
    assert mail["Reply-To"] == "suporte+2026030110000017@empresa.example"
    raw = f"From: {created().answer.address}\r\nTo: {mail['Reply-To']}\r\nSubject: Oi\r\n\r\nBom dia\r\n".encode()
    [found, *_] = decided(raw, with_).candidates
    assert (found.check, found.value) == ("plus_address", created().number)
    [first, *_] = notifications_for(created(), with_, {})
    assert b"\r\nReply-To" not in write_notification(created(), first, key_of("n"), Desktop(with_, TEXTS, sign)).raw


@pytest.mark.parametrize("subject", ["[Ticket#2026030110000017] Oi", "Re: Ticket#2026030110000017 Oi", "Oi"])
def test_outgoing_5_the_number_stands_in_the_subject_once_and_no_line_end_does(subject: str) -> None:
    words = {"r": {"type": "auto_reply", "queues": ["suporte"], "subject": "<OTRS_CUSTOMER_SUBJECT>"}}
    fact = created(subject=f"{subject}\r\nBcc: x@y.example", answer=Answer(address="a@k.example", verified=True))
    mail = read(answered(fact, desk(auto_responses=words)))
    assert mail["Subject"].count("2026030110000017") == 1
    assert mail["Bcc"] is None


@pytest.mark.parametrize("control", "\u202e\u2066\u2069\u200b\u200e\u200f\ufeff\u2028")
def test_outgoing_5_no_control_of_direction_or_width_stands_in_a_header(control: str) -> None:
    letter = Letter(
        sender=Mailbox(f"Su{control}porte", "s@empresa.example"),
        recipient=Mailbox(f"An{control}a", "a@kunde.example"),
        subject=f"fatura{control}fdp.exe",
        text="Oi",
        html="",
        message_id="<c1.a.b.c@empresa.example>",
        in_reply_to="",
        references=[],
        date=MOMENT,
        answer=True,
        loop_mark="10",
    )
    mail = read(compose(letter))
    for field in ("From", "To", "Subject"):
        assert control not in str(mail[field])


def test_outgoing_6_html_stands_behind_a_text_in_seven_bits_and_short_lines() -> None:
    words = {
        "r": {"type": "auto_reply", "queues": ["suporte"], "subject": "s", "text": "recebido.txt", "html": "r.html"}
    }
    with_ = desk(auto_responses=words)
    fact = created()
    desktop = Desktop(with_, {**TEXTS, "r.html": "<p>" + "ação " * 500 + "</p>"}, sign)
    raw = write_answer(fact, answer_for(fact, with_), "a@k.example", key_of("a"), desktop).raw
    assert [part.get_content_type() for part in read(raw).iter_parts()] == ["text/plain", "text/html"]
    assert raw.isascii()
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    assert b"\n" not in raw.replace(b"\r\n", b"")


def test_outgoing_6_a_domain_is_in_a_labels_and_a_local_part_that_is_not_ascii_fails_visibly() -> None:
    assert deliverable("cliente@bücher.example") == "cliente@xn--bcher-kva.example"
    fact = created(answer=Answer(address="açaí@kunde.example"))
    assert verdict(fact) is Reason.INVALID_ADDRESS


def test_outgoing_8_no_mail_bears_the_marks_of_a_list() -> None:
    for raw in (answered(created()), answered(added()), notified(created())):
        assert not [name for name in read(raw).keys() if name.lower().startswith("list-")]  # noqa: SIM118


def verdict(fact: ArticleFact, bounced: frozenset[str] = frozenset()) -> Reason | None:
    return judge(fact, answer_for(fact, DESK), DESK, Known(Counter(), bounced), MOMENT).reason


def test_outgoing_9_bounced_and_own_addresses_are_never_mailed() -> None:
    assert verdict(created(), frozenset({"cliente@kunde.example"})) is Reason.BOUNCED_ADDRESS
    assert verdict(created(answer=Answer(address="suporte@empresa.example"))) is Reason.OWN_ADDRESS


@pytest.mark.parametrize(
    ("result", "age", "state"),
    [
        (Result.POSTPONED, timedelta(0), State.DEFERRED),
        (Result.POSTPONED, timedelta(days=5), State.FAILED),
        (Result.REFUSED, timedelta(0), State.FAILED),
        (Result.UNKNOWN, timedelta(0), State.UNKNOWN),
    ],
)
def test_outgoing_9_what_is_tried_again_and_what_is_not(result: Result, age: timedelta, state: State) -> None:
    assert after(Outcome(result, 450), attempts=1, age=age, rand=0.5, retry=Retry()).state is state
