import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.mailer.audience import notifications_for
from services.mailer.placeholders import render, render_html, values_of, values_of_failure
from shared.desk.model import NotifiedAgent
from shared.desk.placeholders import ANSWERS, NOTIFICATIONS
from shared.events import Answer, ArticleFact, Party
from tests.unit.mailer.desks import created, desk

AGENT = NotifiedAgent("ana", "Ana Lima", "ana@empresa.example", "pt-BR")
VERIFIED = created(answer=Answer(address="cliente@kunde.example", verified=True))


def rendered(text: str, fact: ArticleFact | None = None, agent: NotifiedAgent | None = None) -> str:
    return render(text, values_of(fact or created(), desk(), agent))


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("<OTRS_TICKET_TicketNumber>", "2026030110000017"),
        ("<OTRS_TICKET_TICKETNUMBER>", "2026030110000017"),
        ("<OTRS_TICKET_TicketID>/<OTRS_TICKET_Queue>/<OTRS_TICKET_State>", "17/suporte/new"),
        ("<OTRS_CONFIG_Ticket::Hook><OTRS_CONFIG_Ticket::HookDivider>", "Ticket#"),
        ("<OTRS_CONFIG_NotificationSenderEmail>", "chamados@empresa.example"),
        ("<OTRS_CONFIG_SendmailModule::AuthPassword>", "-"),
        ("<OTRS_TICKET_DynamicField_X>", "-"),
        ("<OTRS_CUSTOMER_BODY[5]>", "-"),
        ("<OTRS_EMAIL_DATE>", "2026-03-01 09:30:00 (-03)"),
        ("<OTRS_EMAIL_DATE[Europe/Berlin]>", "2026-03-01 13:30:00 (CET)"),
        ("<OTRS_EMAIL_DATE[Nowhere/At_all]>", "2026-03-01 09:30:00 (-03)"),
        ("<OTRS_> <OTRS <b>", "<OTRS_> <OTRS <b>"),
        ("{{7*7}} #{x} %s", "{{7*7}} #{x} %s"),
    ],
)
def test_what_stands_for_what(text: str, result: str) -> None:
    assert rendered(text) == result


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("<OTRS_CUSTOMER_SUBJECT>", "-"),
        ("<OTRS_CUSTOMER_SUBJECT[24]>", "-"),
        ("<OTRS_TICKET_Title>", "-"),
        ("<OTRS_CUSTOMER_REALNAME>", "cliente@kunde.example"),
        ("<OTRS_CUSTOMER_From>", "cliente@kunde.example"),
    ],
)
def test_f1_and_l10_an_answer_repeats_nothing_that_an_unverified_sender_wrote(text: str, result: str) -> None:
    fact = created(subject="BUY NOW", title="BUY NOW", sender=Party("BUY NOW", "cliente@kunde.example"))
    assert rendered(text, fact) == result
    assert "BUY" in rendered(text, fact, AGENT), "agents see it"


_SLOW = re.compile(r"<OTRS_([A-Za-z0-9_:]{1,100})(?:\[([A-Za-z0-9_/+-]{1,64})\])?>")
PIECES = st.sampled_from(
    ["<OTRS_", ">", "TICKET_TicketNumber", "<OTRS_CUSTOMER_SUBJECT[9]>", "<OTRS_TICKET_State>", "<OTRS_X>", "[", "]",
     "<otrs_ticket_state>", "\n", "é", "<<OTRS_TICKET_Queue>>", "<OTRS_EMAIL_DATE[UTC]>"]
)  # fmt: skip


@settings(deadline=None)
@given(st.lists(PIECES | st.text(max_size=5)).map("".join))
def test_a_text_filled_in_is_the_text_with_each_placeholder_replaced(text: str) -> None:
    values = values_of(VERIFIED, desk(), None)

    def replaced(match: re.Match[str]) -> str:
        value = values.get(match[1].lower(), "-")
        return value if isinstance(value, str) else value(match[2] or "")

    assert render(text, values) == _SLOW.sub(replaced, text)


@pytest.mark.parametrize(
    ("subject", "text", "result"),
    [
        ("Re: [Ticket#2026030110000017] Fatura", "<OTRS_CUSTOMER_SUBJECT>", "Fatura"),
        ("A subject of many words", "<OTRS_CUSTOMER_SUBJECT[9]>", "A subject [...]"),
        ("Exactly 9", "<OTRS_CUSTOMER_SUBJECT[9]>", "Exactly 9 [...]"),
        ("Short", "<OTRS_CUSTOMER_SUBJECT[9]>", "Short"),
        ("", "<OTRS_CUSTOMER_SUBJECT[9]>", ""),
    ],
)
def test_a_verified_sender_reads_his_own_subject(subject: str, text: str, result: str) -> None:
    fact = created(subject=subject, answer=VERIFIED.answer)
    assert rendered(text, fact) == result


def test_i7_a_value_is_never_rendered_again() -> None:
    fact = created(subject="<OTRS_TICKET_TicketNumber> {{x}}", sender=Party("<OTRS_CONFIG_SystemID>", "a@b.example"))
    assert rendered("<OTRS_CUSTOMER_SUBJECT>|<OTRS_CUSTOMER_REALNAME>", fact, AGENT) == (
        "<OTRS_TICKET_TicketNumber> {{x}}|<OTRS_CONFIG_SystemID>"
    )


def test_an_agent_is_addressed_by_name() -> None:
    text = "<OTRS_NOTIFICATION_RECIPIENT_UserFirstname> <OTRS_NOTIFICATION_RECIPIENT_UserLogin>"
    assert rendered(text, agent=AGENT) == "Ana ana"
    assert rendered(text) == "- -"


def test_the_desks_check_knows_the_placeholders_that_there_are() -> None:
    [told, *_] = notifications_for(created(), desk(), {})
    vouched = created(answer=Answer(address="a@b.example", verified=True))
    assert set(values_of(vouched, desk(), None)) == ANSWERS
    assert set(values_of(created(), desk(), told.reader)) == NOTIFICATIONS
    assert set(values_of_failure("1", "a@b.example", "why", desk(), told.reader)) <= NOTIFICATIONS


def test_a_value_in_html_is_text() -> None:
    values = values_of(created(title="<b>&</b>"), desk(), notifications_for(created(), desk(), {})[0].reader)
    assert render_html("<p>&lt;OTRS_TICKET_Title&gt; <OTRS_Ticket_Title> <OTRS_X></p>", values) == (
        "<p>&lt;b&gt;&amp;&lt;/b&gt; &lt;b&gt;&amp;&lt;/b&gt; -</p>"
    )
