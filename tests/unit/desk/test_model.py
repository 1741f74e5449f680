import re
from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from shared.desk.model import Account, Desk, Mailbox, NotifiedAgent, Outbound, Queue

SECRET = {"secret": "p"}


def account(**fields: Any) -> Account:
    return Account.model_validate({"type": "imaps", "host": "h", "user": "u", "password": SECRET} | fields)


def desk(**sections: Any) -> Desk:
    return Desk.model_validate(sections)


FULL = desk(
    language="pt-BR",
    queues={
        "suporte": {"agents": ["bruno", "ana", "bruno"]},
        "comercial": {"system_address": "vendas@e.example"},
        "silent": {},
    },
    system_addresses={
        "Suporte@E.example": {"name": "Suporte", "queue": "suporte"},
        "ajuda@e.example": {"name": "Ajuda", "queue": "suporte", "outbound": "other"},
        "comercial@e.example": {"name": "Comercial", "queue": "comercial"},
        "vendas@e.example": {"name": "Vendas", "queue": "comercial"},
    },
    accounts={
        "a": {"type": "imaps", "host": "h", "user": "Caixa@E.example", "password": SECRET, "dispatch": "by_to"},
        "b": {"type": "pop3s", "host": "h", "user": "plain", "password": SECRET, "queue": "suporte"},
    },
    outbound={
        "other": {"type": "smtps", "host": "h", "user": "relay@e.example", "password": SECRET},
        "main": {"type": "smtptls", "host": "h", "default": True},
    },
    auto_responses={
        "r": {"type": "auto_reply", "queues": ["suporte"], "subject": "s", "text": "r.txt"},
        "f": {"type": "auto_follow_up", "queues": ["comercial", "suporte"], "subject": "s", "text": "f.txt"},
    },
    agents={
        "ana": {"name": "Ana", "email": "Ana@e.example"},
        "bruno": {"name": "Bruno", "email": "bruno@e.example", "language": "en"},
    },
    notifications={"sender_email": "chamados@e.example"},
    postmaster_max_emails_per_address={"Free@x.example": 0, "few@x.example": 2},
)


def test_the_defaults_are_those_of_otrs_and_safe() -> None:
    empty = Desk()
    assert (empty.ticket.hook, empty.ticket.hook_divider, empty.ticket.subject_format) == ("Ticket#", "", "left")
    assert (empty.ticket.subject_size, empty.ticket.subject_re, empty.ticket.subject_fwd) == (100, "Re", "Fwd")
    assert (empty.ticket.system_id, empty.ticket.check_system_id) == ("10", True)
    assert (Queue().follow_up, Queue().follow_up_from, Queue().follow_up_lock) == ("possible", "participants", False)
    assert (empty.default_queue, empty.postmaster_max_emails, empty.auto_responses) == ("Raw", 40, {})
    assert (empty.language, empty.time_zone) == ("en", "UTC")


def test_an_account_is_safe_unless_told_otherwise() -> None:
    mailbox = account()
    assert (mailbox.start_from, mailbox.after, mailbox.trusted, mailbox.tls_verify) == ("now", "seen", False, True)
    assert (mailbox.interval, mailbox.max_size) == (timedelta(minutes=10), 32_768 * 1024)
    assert (mailbox.folder, mailbox.idle) == ("INBOX", True)


@pytest.mark.parametrize(
    ("kind", "port", "after"),
    [
        ("imap", 143, "seen"),
        ("imaps", 993, "seen"),
        ("imaptls", 143, "seen"),
        ("pop3", 110, "keep"),
        ("pop3s", 995, "keep"),
        ("pop3tls", 110, "keep"),
    ],
)
def test_port_and_after_follow_the_type_of_the_account(kind: str, port: int, after: str) -> None:
    mailbox = account(type=kind)
    assert (mailbox.port, mailbox.after, mailbox.is_imap) == (port, after, kind.startswith("imap"))


@pytest.mark.parametrize(("kind", "port"), [("smtp", 25), ("smtps", 465), ("smtptls", 587)])
def test_the_port_of_a_way_out_follows_its_type(kind: str, port: int) -> None:
    assert Outbound.model_validate({"type": kind, "host": "h"}).port == port


def test_a_port_that_is_named_stands() -> None:
    assert account(port=10993).port == 10993


@pytest.mark.parametrize(
    ("address", "queue"),
    [
        ("suporte@e.example", "suporte"),
        ("SUPORTE@E.EXAMPLE", "suporte"),
        ("ajuda@e.example", "suporte"),
        ("vendas@e.example", "comercial"),
        ("ana@e.example", None),
        ("", None),
    ],
)
def test_a_recipient_leads_to_the_queue_of_its_system_address(address: str, queue: str | None) -> None:
    assert FULL.queue_for_recipient(address) == queue


@pytest.mark.parametrize(
    ("queue", "sender"),
    [
        ("suporte", Mailbox("Suporte", "suporte@e.example")),
        ("comercial", Mailbox("Vendas", "vendas@e.example")),
        ("silent", None),
        ("Raw", None),
        ("unknown", None),
    ],
)
def test_the_sender_of_a_queue_is_its_own_address_else_the_first_that_leads_to_it(
    queue: str, sender: Mailbox | None
) -> None:
    assert FULL.sender_of_queue(queue) == sender


def test_the_default_queue_exists_without_being_named() -> None:
    assert Desk().queue("Raw") == Queue()
    assert Desk().queue("unknown") is None
    assert desk(queues={"Raw": {"follow_up": "reject"}}).queue("Raw") == Queue(follow_up="reject")


@pytest.mark.parametrize(
    ("queue", "kind", "name"),
    [
        ("suporte", "auto_reply", "r"),
        ("suporte", "auto_follow_up", "f"),
        ("comercial", "auto_follow_up", "f"),
        ("comercial", "auto_reply", None),
        ("suporte", "auto_reject", None),
    ],
)
def test_a_queue_answers_by_type(queue: str, kind: Any, name: str | None) -> None:
    found = FULL.auto_response(queue, kind)
    assert found == (None if name is None else (name, FULL.auto_responses[name]))


def test_agents_of_a_queue_come_once_in_their_order_with_a_settled_language() -> None:
    assert FULL.agents_of_queue("suporte") == (
        NotifiedAgent("bruno", "Bruno", "bruno@e.example", "en"),
        NotifiedAgent("ana", "Ana", "ana@e.example", "pt-BR"),
    )
    assert FULL.agents_of_queue("comercial") == ()
    assert FULL.agents_of_queue("unknown") == ()


@pytest.mark.parametrize(
    ("sender", "name"),
    [("ajuda@e.example", "other"), ("AJUDA@e.example", "other"), ("suporte@e.example", "main"), ("x@y", "main")],
)
def test_mail_leaves_by_the_account_of_its_address_else_by_the_default(sender: str, name: str) -> None:
    assert FULL.outbound_for(sender) == (name, FULL.outbound[name])


@pytest.mark.parametrize("outbound", [{}, {"spare": {"type": "smtp", "host": "h"}}])
def test_without_a_default_account_nothing_leaves(outbound: Any) -> None:
    assert desk(outbound=outbound).outbound_for("a@b") == ("none", Outbound(type="none"))


def test_own_addresses_are_every_address_we_send_from_or_read() -> None:
    assert FULL.own_addresses == {
        "suporte@e.example",
        "ajuda@e.example",
        "comercial@e.example",
        "vendas@e.example",
        "caixa@e.example",
        "relay@e.example",
        "chamados@e.example",
    }


@pytest.mark.parametrize(
    ("address", "most"), [("a@b", 40), ("few@x.example", 2), ("FEW@x.example", 2), ("free@x.example", None)]
)
def test_answers_a_day_are_limited_unless_an_address_is_free(address: str, most: int | None) -> None:
    assert FULL.max_answers(address) == most


def test_the_zone_is_ready_for_use() -> None:
    assert desk(time_zone="America/Sao_Paulo").zone.key == "America/Sao_Paulo"


def test_a_desk_cannot_be_changed_in_use() -> None:
    with pytest.raises(ValidationError):
        Desk().language = "es"  # type: ignore[misc]  # the point of the test


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("(?=x)", "look-ahead, look-behind and the like are not available"),
        ("(?<!x)y", "look-ahead, look-behind and the like are not available"),
        ("(a)\\1", "no back-references"),
        ("a{1001}", "invalid repetition size"),
        ("[", "missing ]"),
        ("x" * 1001, "at most 1000 characters"),
        ("EMAILADDRESS:[", "missing ]"),
        ("\ud800", "half a character"),
    ],
)
def test_b13_a_pattern_that_cannot_be_had_in_linear_time_is_refused(pattern: str, why: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(why)):
        desk(filters={"spam": {"match": [{"header": "Subject", "pattern": pattern}]}})


@pytest.mark.parametrize(
    "address", ["suporte@müller.example", "Suporte@MÜLLER.example", "suporte@xn--mller-kva.example"]
)
def test_an_address_of_the_desk_is_in_a_labels_whatever_way_it_is_written(address: str) -> None:
    made = desk(queues={"q": {}}, system_addresses={address: {"name": "S", "queue": "q"}})
    assert list(made.system_addresses) == ["suporte@xn--mller-kva.example"]
    assert made.queue_for_recipient("suporte@xn--mller-kva.example") == "q"
    assert made.queue_for_recipient("suporte+17@xn--mller-kva.example") == "q"
    assert made.owns("suporte+17@xn--mller-kva.example")
    assert made.own_domains == {"xn--mller-kva.example"}
