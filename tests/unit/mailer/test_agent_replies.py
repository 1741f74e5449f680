"""An agent's answer as mail: a person's, to all of its recipients, in the customer's thread."""

import email
import email.policy
from datetime import timedelta
from email.message import EmailMessage
from typing import Any

import msgspec
import pytest

from services.mailer.agent_replies import rows_of_reply
from services.mailer.letters import Desktop
from services.mailer.plans import Birth, Outbound
from services.mailer.states import State
from shared import message_ids
from shared.events import AgentReplied, Party
from tests.unit.mailer.desks import KEYS, MOMENT, TEXTS, desk

FACT = AgentReplied(
    ticket_id="17",
    ticket_key=message_ids.key_of("ticket", "17"),
    number="2026030110000017",
    sequence=3,
    queue="suporte",
    title="Fatura",
    state="open",
    occurred_at=MOMENT,
    agent="ana",
    article_id="5",
    sender=Party("Suporte Empresa", "suporte@empresa.example"),
    to=[Party("Zé", "ze@kunde.example")],
    cc=[Party("", "chefe@kunde.example")],
    subject="Re: Fatura",
    in_reply_to="<m1@kunde.example>",
    references=["<m0@kunde.example>", "<m1@kunde.example>"],
)


def sign(ticket: str, delivery: str, domain: str) -> str:
    return message_ids.sign(ticket, delivery, domain, KEYS)


def rows(
    text: str | None = "Olá, está pronto.", held: Any = None, later: Any = timedelta(0), **more: Any
) -> list[Outbound]:
    birth = Birth("mailer-0", MOMENT + later, MOMENT, held, {})
    fact = msgspec.structs.replace(FACT, **more)
    desktop = Desktop(desk(), TEXTS, sign)
    return list(rows_of_reply("e1", fact, text, desktop=desktop, ids=iter(range(9)), birth=birth))


def mail(row: Outbound) -> EmailMessage:
    found = email.message_from_bytes(row.raw or b"", policy=email.policy.default)
    assert isinstance(found, EmailMessage)
    return found


def test_each_recipient_gets_the_mail_and_sees_the_others() -> None:
    first, second = rows()
    assert [each.recipient for each in (first, second)] == ["ze@kunde.example", "chefe@kunde.example"]
    assert {each.state for each in (first, second)} == {State.QUEUED}
    assert first.message_id != second.message_id
    for row in (first, second):
        seen = mail(row)
        assert (seen["To"], seen["Cc"]) == ("Zé <ze@kunde.example>", "chefe@kunde.example")
        assert seen["From"] == "Suporte Empresa <suporte@empresa.example>"
        assert seen["Subject"] == "Re: [Ticket#2026030110000017] Fatura"
        assert seen.get_content() == "Olá, está pronto.\r\n"


def test_it_continues_the_thread_and_proves_the_ticket() -> None:
    seen = mail(rows()[0])
    stable = sign(FACT.ticket_key, "0", "empresa.example")
    assert seen["In-Reply-To"] == "<m1@kunde.example>"
    assert seen["References"].split() == ["<m0@kunde.example>", stable, "<m1@kunde.example>"]
    signed = message_ids.verify(seen["Message-ID"], KEYS)
    assert signed is not None
    assert signed.ticket == FACT.ticket_key


def test_a_persons_mail_bears_no_mark_of_a_machine() -> None:
    seen = mail(rows()[0])
    marks = ("Auto-Submitted", "Precedence", "X-Loop", "X-Auto-Response-Suppress")
    assert [name for name in marks if name in seen] == []


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"text": None}, "text_gone"),
        ({"sender": Party("", "nowhere")}, "no_sender"),
        ({"to": [Party("", "ze@[1.2.3.4]")], "cc": []}, "invalid_address"),
        ({"to": [Party("", "Suporte+7@empresa.example")], "cc": []}, "own_address"),
        ({"later": timedelta(days=61)}, "stale"),
    ],
)
def test_what_cannot_be_sent_says_why(more: dict[str, Any], reason: str) -> None:
    row = rows(**more)[0]
    assert (row.state, row.reason, row.raw) == (State.SUPPRESSED, reason, None)


def test_what_is_held_back_after_a_restore_waits() -> None:
    assert rows(held=MOMENT + timedelta(hours=1))[0].due_at.year == 9999
    assert rows(held=MOMENT - timedelta(hours=1))[0].due_at == MOMENT
