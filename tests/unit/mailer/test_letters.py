"""Whole mails as they go out. The golden files are written anew by deleting them, and then read by a person."""

import email
import email.policy
import email.utils
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args

import pytest

from services.mailer.audience import Notification, notifications_for
from services.mailer.letters import Desktop, Failed, Mail, write_answer, write_failure, write_notification
from services.mailer.notices import told_of_failure
from services.mailer.recipients import answer_for
from services.mailer.texts import shipped
from shared.desk.model import AutoResponse, AutoResponseType, Language, NotificationEvent
from shared.events import Answer, ArticleFact
from shared.message_ids import STABLE, Signed, key_of, verify
from tests.unit.mailer.desks import KEYS, MOMENT, TEXTS, TICKET, added, created, desk, rejected, sign

ANSWER, NOTIFICATION = key_of("answer"), key_of("notification")
GOLDEN = Path(__file__).parent / "golden"
DESK = desk()
DESKTOP = Desktop(DESK, TEXTS | {"r.html": "<p>Olá <b>&lt;OTRS_CUSTOMER_REALNAME&gt;</b></p>\n"}, sign)


def answered(fact: ArticleFact) -> Mail:
    return write_answer(fact, answer_for(fact, DESK), fact.answer.address, ANSWER, DESKTOP)


def notified(fact: ArticleFact, language: Language) -> Mail:
    [notification, *_] = notifications_for(fact, DESK, {})
    reader = notification.reader._replace(language=language)
    return write_notification(fact, notification._replace(reader=reader), NOTIFICATION, DESKTOP)


HTML = answer_for(created(), DESK)._replace(
    response=AutoResponse(
        type="auto_reply", queues=("suporte",), subject="Recebido", text="recebido.txt", html="r.html"
    )
)
FAILED = Failed(
    "e1", "cliente@kunde.example", 17, created().number, "suporte@empresa.example",
    sign(TICKET, ANSWER, "empresa.example"), "recipient 550", MOMENT,
    "suporte", "", "",
)  # fmt: skip


def failure(language: Language) -> Notification:
    [told, *_] = told_of_failure(FAILED, DESK, {})
    return told._replace(reader=told.reader._replace(language=language))


def test_a_failure_is_told_to_the_tickets_own_people_first() -> None:
    told = told_of_failure(FAILED._replace(owner="bruno", responsible="gone"), DESK, {})
    assert [each.reader.login for each in told] == ["bruno", "ana"]
    assert [each.reader.login for each in told_of_failure(FAILED._replace(queue="comercial"), DESK, {})] == ["ana"]


MAILS: dict[str, Mail] = {
    "answer": answered(created()),
    **{f"new_ticket.{language}": notified(created(), language) for language in get_args(Language)},
    "answer_html": write_answer(created(), HTML, "cliente@kunde.example", ANSWER, DESKTOP),
    "reject": answered(rejected()),
    **{
        f"delivery_failure.{language}": write_failure(FAILED, failure(language), ANSWER, DESKTOP)
        for language in get_args(Language)
    },
    **{f"follow_up.{language}": notified(added(state="open"), language) for language in get_args(Language)},
}


@pytest.mark.parametrize("name", MAILS)
def test_the_mail_is_the_one_on_file(name: str) -> None:
    assert (GOLDEN / f"{name}.eml").read_bytes() == MAILS[name].raw


@pytest.mark.parametrize("language", get_args(Language))
@pytest.mark.parametrize("occasion", [*get_args(NotificationEvent), *get_args(AutoResponseType)])
def test_every_occasion_has_its_text_in_every_language(occasion: str, language: str) -> None:
    text = shipped(occasion, language)
    assert text.subject
    assert "<OTRS_TICKET_TicketNumber>" in text.body


ANSWERED: dict[AutoResponseType, ArticleFact] = {
    "auto_reply": created(),
    "auto_reply_new_ticket": created(follows="9"),
    "auto_reject": rejected(),
    "auto_follow_up": added(),
    "auto_remove": added(state="removed"),
}


@pytest.mark.parametrize("language", get_args(Language))
@pytest.mark.parametrize("kind", get_args(AutoResponseType))
def test_an_answer_without_words_of_its_own_has_the_shipped_ones(kind: AutoResponseType, language: Language) -> None:
    queues = {"suporte": {"language": language}}
    plain = desk(queues=queues, auto_responses={"r": {"type": kind, "queues": ["suporte"]}})
    fact = ANSWERED[kind]
    mail = write_answer(fact, answer_for(fact, plain), "c@k.example", ANSWER, Desktop(plain, {}, sign))
    message = read(mail)
    own = shipped(kind, language)
    assert message["Subject"] == f"[Ticket#{fact.number}] {own.subject}"
    assert message.get_content().startswith(own.body.partition("<")[0].splitlines()[0])
    assert f"Ticket#{fact.number}" in message.get_content()


def test_the_shipped_words_of_two_languages_or_types_are_never_the_same() -> None:
    texts = [shipped(kind, language) for kind in get_args(AutoResponseType) for language in get_args(Language)]
    assert len({text.subject for text in texts}) == len({text.body for text in texts}) == 15


def test_an_answer_stands_between_the_queues_salutation_and_signature() -> None:
    queues = {"suporte": {"salutation": "ola.txt", "signature": "tchau.txt"}}
    both = desk(queues=queues)
    texts = {
        **TEXTS,
        "ola.txt": "Olá <OTRS_CUSTOMER_REALNAME>,\n",
        "tchau.txt": "Suporte & Cia\n<OTRS_CONFIG_SystemID>\n",
        "r.html": "<b>ok</b>\n",
    }
    answer = answer_for(created(), both)
    text = write_answer(created(), answer, "c@k.example", ANSWER, Desktop(both, texts, sign))
    assert read(text).get_content().replace("\r\n", "\n") == (
        "Olá cliente@kunde.example,\n\n"
        "Olá cliente@kunde.example,\n\nseu chamado é 2026030110000017.\n\n"
        "Suporte & Cia\n10\n"
    )
    rich = answer._replace(response=HTML.response)
    mail = read(write_answer(created(), rich, "c@k.example", ANSWER, Desktop(both, texts, sign)))
    assert mail.get_body(("html",)).get_content().replace("\r\n", "\n") == (
        "<p>Olá cliente@kunde.example,</p>\n<b>ok</b>\n<p>Suporte &amp; Cia<br>\n10</p>"
    )


def read(mail: Mail) -> Any:
    return email.message_from_bytes(mail.raw, policy=email.policy.default)


def test_a_reply_to_the_answer_proves_its_ticket() -> None:
    message = read(answered(created()))
    assert verify(message["Message-ID"], KEYS) == Signed(TICKET, ANSWER)
    assert Signed(TICKET, STABLE) in [verify(each, KEYS) for each in message["References"].split()]
    assert message["In-Reply-To"] == "<m1@kunde.example>"


def test_a_notification_hangs_on_the_tickets_own_reference() -> None:
    message = read(notified(created(), "en"))
    assert [verify(each, KEYS) for each in message["References"].split()] == [Signed(TICKET, STABLE)]
    assert message["To"] == "Ana Lima <ana@empresa.example>"


def test_i3_a_hostile_message_id_is_not_repeated() -> None:
    message = read(answered(created(message_id="<a b@c>", references=["<a\r\nBcc: x@y>"])))
    assert message["In-Reply-To"] is None
    assert message["Bcc"] is None
    assert [verify(each, KEYS) for each in message["References"].split()] == [Signed(TICKET, STABLE)]


def test_a_domain_too_long_for_a_message_id_is_shortened() -> None:
    long = "suporte@" + "a-very-long-label-of-a-company." * 3 + "example"
    addresses = {long: {"name": "Suporte", "queue": "suporte"}}
    wide = desk(system_addresses=addresses)
    fact = created()
    mail = write_answer(fact, answer_for(fact, wide), "c@k.example", ANSWER, Desktop(wide, TEXTS, sign))
    assert len(mail.message_id) <= 78
    assert verify(mail.message_id, KEYS) == Signed(TICKET, ANSWER)


def test_a_mail_is_dated_by_its_fact_so_a_repeat_has_the_same_bytes() -> None:
    assert answered(created()) == answered(created())
    later = created(occurred_at=MOMENT + timedelta(hours=1))
    assert email.utils.parsedate_to_datetime(read(answered(later))["Date"]) == later.occurred_at


def test_a_fact_from_before_there_were_keys_is_signed_by_its_tickets_id() -> None:
    signed = verify(answered(created(ticket_key="")).message_id, KEYS)
    assert signed == Signed(key_of("ticket", "17"), ANSWER)


def test_an_answer_names_no_stranger_beside_the_recipient() -> None:
    fact = created(answer=Answer(address="victim@other.example"))
    raw = answered(fact).raw
    assert b"Cliente Um" not in raw
    assert read(answered(fact))["To"] == "victim@other.example"
