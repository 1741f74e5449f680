"""Filters and control headers: the rules of OTRS, each by its number (ligero 8.3 and 8.1)."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from services.dispatcher.decide import Setting, decide
from services.dispatcher.plans import pending_time
from shared.desk.model import Desk
from shared.events import Action, Kind, MailDispatched
from shared.mime import parse
from tests.unit.dispatcher.test_decide import ARRIVED, received

ACCOUNT = {"type": "imaps", "host": "h", "user": "u", "password": {"secret": "s"}, "dispatch": "by_to", "trusted": True}
BASE: dict[str, Any] = {
    "queues": {"suporte": {}, "spam": {}, "vip": {}, "42": {}},
    "system_addresses": {"suporte@empresa.example": {"name": "S", "queue": "suporte"}},
    "accounts": {"caixa": ACCOUNT},
}
HEAD = "Return-Path: <ana@kunde.example>\nFrom: Ana <ana@kunde.example>\nTo: suporte@empresa.example\n"


def decided(
    raw: str, filters: dict[str, Any] | None = None, account: dict[str, Any] | None = None, **more: Any
) -> MailDispatched:
    accounts = {"caixa": ACCOUNT | (account or {}), "outra": ACCOUNT | {"user": "o"}}
    desk = Desk.model_validate(BASE | {"accounts": accounts, "filters": filters or {}} | more)
    data = raw.replace("\n", "\r\n").encode()
    return decide(parse(data), received(data), Setting(desk, "", [b"k" * 32]))


def rule(header: str, pattern: str, sets: dict[str, str], **more: Any) -> dict[str, Any]:
    negate = more.pop("negate", False)
    return {"match": [{"header": header, "pattern": pattern, "negate": negate}], "set": sets, **more}


TO_VIP = {"X-OTRS-Queue": "vip"}


def queue(raw: str, **filters: Any) -> str:
    return decided(raw, filters).new.queue


MAIL = f"{HEAD}Subject: Fatura 4711 urgente\nX-Spam-Flag: \n\nBom dia, o pedido 99 falta.\n"


def test_ligero_8_3_1_filters_run_in_the_order_of_their_names() -> None:
    first, last = rule("Subject", "fatura", TO_VIP), rule("Subject", "fatura", {"X-OTRS-Queue": "spam"})
    assert decided(MAIL, {"b": last, "a": first}).new.queue == "spam"
    assert decided(MAIL, {"10": last, "9": first}).new.queue == "vip", "strings, not numbers"
    assert decided(MAIL, {"Z": last, "a": first}).new.queue == "vip"


@pytest.mark.parametrize(
    ("rows", "hit"),
    [
        ([("Subject", "fatura", False), ("From", "ana@", False)], True),
        ([("Subject", "fatura", False), ("From", "bruno@", False)], False),
        ([("Subject", "boleto", True)], True),
        ([("Subject", "boleto", True), ("From", "bruno", True)], True),
        ([("Subject", "fatura", True)], False),
        ([("Subject", "fatura", False), ("From", "ana", True)], False),
    ],
)
def test_ligero_8_3_2_every_row_has_to_hold_negated_ones_too(rows: list[tuple[str, str, bool]], *, hit: bool) -> None:
    match = [{"header": h, "pattern": p, "negate": n} for h, p, n in rows]
    assert (queue(MAIL, f={"match": match, "set": TO_VIP}) == "vip") is hit


@pytest.mark.parametrize(
    ("header", "pattern", "hit"),
    [
        ("Subject", "FATURA", True),
        ("Subject", "^fatura \\d+", True),
        ("Subject", "^4711", False),
        ("Subject", "urgente$", True),
        ("subject", "urgente", True),
        ("Body", "pedido (\\d+)", True),
        ("Body", "falta\\.$", True),
        ("Body", "^Bom dia", True),
        ("From", "EMAILADDRESS:ana@kunde\\.example", True),
        ("From", "EMAILADDRESS:ana@kunde", False),
        ("From", "EMAILADDRESS:.*@KUNDE.example", True),
        ("To", "EMAILADDRESS:suporte@.+", True),
        ("X-Sender", "ana@kunde.example", True),
        ("X-OTRS-AttachmentExists", "no", True),
        ("X-OTRS-AttachmentCount", "^0$", True),
    ],
)
def test_ligero_8_3_3_a_value_is_found_anywhere_in_any_case_or_an_address_as_a_whole(
    header: str, pattern: str, *, hit: bool
) -> None:
    assert (queue(MAIL, f=rule(header, pattern, TO_VIP)) == "vip") is hit


@pytest.mark.parametrize(
    ("header", "pattern", "negate", "hit"),
    [
        ("X-Spam-Status", "yes", True, False),
        ("X-Spam-Status", ".*", False, False),
        ("X-Spam-Flag", "yes", True, True),
        ("X-Spam-Flag", "^$", False, True),
        ("Cc", "EMAILADDRESS:.*", True, False),
    ],
)
def test_ligero_8_3_4_an_absent_header_never_matches_and_an_empty_one_is_there(
    header: str, pattern: str, *, negate: bool, hit: bool
) -> None:
    assert (queue(MAIL, f=rule(header, pattern, TO_VIP, negate=negate)) == "vip") is hit


@pytest.mark.parametrize(
    ("rows", "value", "expected"),
    [
        ([("Subject", "fatura (\\d+)")], "N [***] [***]", "N 4711 [***]"),
        ([("Subject", "fatura (\\d+)"), ("Body", "pedido (\\d+)")], "[***]", "99"),
        ([("Subject", "fatura (\\d+)"), ("From", "ana")], "[***]", "4711"),
        ([("From", "EMAILADDRESS:.*@kunde.example")], "[***]/[**\\email**]", ".*@kunde.example/.*@kunde.example"),
        ([("Subject", "(?<what>\\w+) (?<n>\\d+)")], "[**\\n**]-[**\\what**]-[**\\n**]", "4711-Fatura-4711"),
        ([("Subject", "fatura")], "[**\\none**]x", "x"),
        ([("Subject", "fatura")], "[***]x", "x"),
        ([("Subject", "4711 ?(0?)")], "[***]", ""),
        ([("Subject", "\\Q4711\\E (u)")], "[***]", "u"),
    ],
)
def test_ligero_8_3_5_captures_stand_in_values(rows: list[tuple[str, str]], value: str, expected: str) -> None:
    match = [{"header": h, "pattern": p} for h, p in rows]
    event = decided(MAIL, {"f": {"match": match, "set": {"X-OTRS-DynamicField-Found": value}}})
    assert event.new.dynamic_fields == {"Found": expected}


SEEN = (
    "From", "To", "Cc", "Reply-To", "ReplyTo", "Subject", "Message-ID", "Message-Id", "Resent-To", "Resent-From",
    "Precedence", "Mailing-List", "List-Id", "List-Archive", "Errors-To", "References", "In-Reply-To",
    "Auto-Submitted", "X-Loop", "X-Spam", "X-Spam-Flag", "X-Spam-Level", "X-Spam-Score", "X-Spam-Status", "X-No-Loop",
    "X-Priority", "Importance", "X-Mailer", "User-Agent", "Organization", "X-Original-To", "Delivered-To",
    "Envelope-To", "X-Envelope-To", "Return-Path",
)  # fmt: skip


@pytest.mark.parametrize("header", SEEN)
def test_ligero_8_2_filters_see_every_header_of_otrs_and_the_text(header: str) -> None:
    name = "Reply-To" if header == "ReplyTo" else header
    written = "" if name == "From" else "From: a@b.example\n"
    raw = f"{written}{name}: <zebra@kunde.example>\nX-Own: q\n\nOi, girafa\n"
    assert queue(raw, f=rule(header, "zebra", TO_VIP)) == "vip"
    assert queue(raw, f=rule(header, "girafa", TO_VIP)) != "vip"
    assert queue(raw, f=rule("Body", "girafa", TO_VIP)) == "vip"


def test_ligero_8_2_what_the_mail_says_of_its_files_is_not_believed() -> None:
    raw = MAIL.replace("Subject:", "X-OTRS-AttachmentExists: yes\nX-OTRS-AttachmentCount: 3\nSubject:")
    assert queue(raw, f=rule("X-OTRS-AttachmentExists", "no", TO_VIP)) == "vip"
    assert queue(raw, f=rule("X-OTRS-AttachmentCount", "3", TO_VIP)) == "suporte"


def test_a_capture_that_is_0_is_kept() -> None:
    event = decided(f"{HEAD}Subject: prio 0\n\nOi\n", {"f": rule("Subject", "prio (\\d)", {"X-OTRS-SLA": "[***]"})})
    assert event.new.sla == "0"


def test_ligero_8_3_6_later_filters_see_what_earlier_ones_set() -> None:
    filters = {
        "1": rule("Subject", "fatura", {"X-Kind": "money", "X-OTRS-Priority": "5 very high"}),
        "2": rule("X-Kind", "^money$", TO_VIP),
        "3": rule("X-OTRS-Priority", "5", {"X-OTRS-Owner": "ana"}),
    }
    event = decided(MAIL, filters)
    assert (event.new.queue, event.new.priority, event.new.owner) == ("vip", "5 very high", "ana")
    assert event.filters == ["1", "2", "3"]


def test_ligero_8_3_7_stop_ends_the_list_where_its_filter_matched() -> None:
    last = rule("Subject", "fatura", {"X-OTRS-Queue": "spam"})
    assert queue(MAIL, a=rule("Subject", "fatura", TO_VIP, stop=True), b=last) == "vip"
    assert queue(MAIL, a=rule("Subject", "boleto", TO_VIP, stop=True), b=last) == "spam"


def test_a_rewritten_subject_is_what_names_the_ticket_and_its_title() -> None:
    number = "2026030110000017"
    event = decided(MAIL, {"f": rule("Subject", "(\\d{4})", {"Subject": f"[Ticket#{number}] [***]"})})
    assert event.subject == f"[Ticket#{number}] 4711"
    assert event.new.title == f"[Ticket#{number}] 4711"
    assert [each.value for each in event.candidates] == [number]


def test_ligero_5_7_a_number_that_a_filter_recognised_is_evidence() -> None:
    sets = {"X-OTRS-FollowUp-RecognizedTicketNumber": "[***]"}
    event = decided(f"{HEAD}Subject: caso 2026030110000017\n\nOi\n", {"f": rule("Subject", "caso (\\d+)", sets)})
    assert [(each.check, each.value) for each in event.candidates] == [("external_number", "2026030110000017")]


# --- whose mail -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("account", "headers", "filters"),
    [
        ({"trusted": True}, True, True),
        ({"trusted": False}, False, False),
        ({"trusted": False, "apply_filters": True}, False, True),
        ({"trusted": False, "trust_headers": True}, True, False),
        ({"trusted": True, "trust_headers": False}, False, True),
        ({"trusted": True, "apply_filters": False}, True, False),
    ],
)
def test_ligero_r8_trusted_means_filters_and_headers_and_each_can_be_said_apart(
    account: dict[str, Any], *, headers: bool, filters: bool
) -> None:
    raw = MAIL.replace("Subject:", "X-OTRS-Priority: 1 very low\nSubject:")
    event = decided(raw, {"f": rule("Subject", "fatura", TO_VIP)}, account)
    assert (event.new.priority == "1 very low") is headers
    assert (event.new.queue == "vip") is filters
    said = {(step.check, step.result) for step in event.trace}
    assert (("control_header", "taken") in said) is headers
    assert (("control_header", "dropped (account not trusted)") in said) is not headers
    assert (("filters", "not applied") in said) is not filters


def test_f6_a_stranger_sets_no_field() -> None:
    raw = MAIL.replace("Subject:", "X-OTRS-Queue: vip\nX-OTRS-Ignore: yes\nX-OTRS-DynamicField-A: b\nSubject:")
    event = decided(raw, account={"trusted": False})
    assert (event.action, event.new.queue, event.new.dynamic_fields) == (Action.DISPATCH, "suporte", {})


@pytest.mark.parametrize(
    ("more", "hit"),
    [
        ({}, True),
        ({"accounts": ["caixa"]}, True),
        ({"accounts": ["outra"]}, False),
        ({"direction": "new"}, True),
        ({"direction": "follow_up"}, False),
    ],
)
def test_a_filter_can_be_for_accounts_and_for_a_direction(more: dict[str, Any], *, hit: bool) -> None:
    assert (queue(MAIL, f=rule("Subject", "fatura", TO_VIP, **more)) == "vip") is hit


def test_a_filter_for_follow_ups_sees_what_names_another_mail() -> None:
    raw = MAIL.replace("Subject:", "In-Reply-To: <x@y.example>\nSubject:")
    assert queue(raw, f=rule("Subject", "fatura", TO_VIP, direction="follow_up")) == "vip"
    assert queue(raw, f=rule("Subject", "fatura", TO_VIP, direction="new")) == "suporte"


def test_every_filter_says_what_it_saw() -> None:
    event = decided(MAIL, {"a": rule("Subject", "boleto", TO_VIP), "b": rule("Subject", "fatura", TO_VIP, stop=True)})
    steps = [(s.check, s.saw, s.result) for s in event.trace if s.check.startswith("filter")]
    assert steps == [
        ("filter:a", "Subject ~ boleto", "no match"),
        ("filter:b", "Subject ~ fatura", "matched: X-OTRS-Queue=vip"),
        ("filters", "stop after b", "the rest is left out"),
    ]


# --- control headers ------------------------------------------------------------------------------------------------

SAID = """X-OTRS-Queue: vip
X-OTRS-State: pending reminder
X-OTRS-State-PendingTime: + 2 d
X-OTRS-Priority: 4 high
X-OTRS-Lock: lock
X-OTRS-Type: Incidente
X-OTRS-Service: Impressoras
X-OTRS-SLA: Ouro
X-OTRS-Owner: ana
X-OTRS-Responsible: bruno
X-OTRS-Title: Um titulo
X-OTRS-CustomerNo: 77
X-OTRS-CustomerUser: marta
X-OTRS-SenderType: system
X-OTRS-IsVisibleForCustomer: 0
X-OTRS-DynamicField-PedidoNumero: 4711
X-OTRS-TicketKey3: cor
X-OTRS-TicketValue3: azul
X-OTRS-TicketTime1: 2026-01-01 00:00:00
X-OTRS-ArticleKey1: k
"""


def test_ligero_8_1_every_header_of_a_new_ticket_is_in_its_plan() -> None:
    plan = decided(MAIL.replace("Subject:", f"{SAID}Subject:")).new
    assert (plan.queue, plan.state, plan.priority, plan.lock) == ("vip", "pending reminder", "4 high", "lock")
    assert plan.pending_until == ARRIVED + timedelta(days=2)
    assert (plan.type, plan.service, plan.sla) == ("Incidente", "Impressoras", "Ouro")
    assert (plan.owner, plan.responsible, plan.title) == ("ana", "bruno", "Um titulo")
    assert (plan.customer_no, plan.customer_user) == ("77", "marta")
    assert (plan.sender_type, plan.visible) == ("system", False)
    assert plan.dynamic_fields == {
        "PedidoNumero": "4711", "TicketFreeKey3": "cor", "TicketFreeText3": "azul",
        "TicketFreeTime1": "2026-01-01 00:00:00", "ArticleFreeKey1": "k",
    }  # fmt: skip


def test_ligero_8_1_every_header_of_a_follow_up_is_in_the_other_plan() -> None:
    said = SAID.replace("X-OTRS-", "X-OTRS-FollowUp-")
    event = decided(MAIL.replace("Subject:", f"{said}Subject:"))
    plan = event.follow_up
    assert (plan.queue, plan.state, plan.priority, plan.lock) == ("vip", "pending reminder", "4 high", "lock")
    assert (plan.state_named, plan.state_closed, plan.reopen) == (True, "pending reminder", True)
    assert plan.pending_until == ARRIVED + timedelta(days=2)
    assert (plan.type, plan.service, plan.sla) == ("Incidente", "Impressoras", "Ouro")
    assert (plan.owner, plan.responsible, plan.title) == ("ana", "bruno", "Um titulo")
    assert (plan.sender_type, plan.visible) == ("system", False)
    assert plan.dynamic_fields["PedidoNumero"] == "4711"
    assert plan.dynamic_fields["TicketFreeText3"] == "azul"
    assert (event.new.queue, event.new.state, event.new.dynamic_fields) == ("suporte", "new", {})


def test_ligero_6_1_state_keep_wins_over_the_state() -> None:
    raw = MAIL.replace("Subject:", "X-OTRS-FollowUp-State: open\nX-OTRS-FollowUp-State-Keep: 1\nSubject:")
    plan = decided(raw).follow_up
    assert (plan.state, plan.state_closed, plan.state_named, plan.reopen) == ("", "", False, False)


def test_ligero_6_1_the_desk_says_the_states_of_follow_ups() -> None:
    more: dict[str, Any] = {
        "postmaster_follow_up_state": "pending reminder",
        "postmaster_follow_up_state_closed": "open",
    }
    plan = decided(MAIL, **more).follow_up
    assert (plan.state, plan.state_closed, plan.state_named) == ("pending reminder", "open", False)
    new = decided(MAIL, postmaster_default_state="open", postmaster_default_priority="2 low").new
    assert (new.state, new.priority) == ("open", "2 low")


def test_ligero_7_4_a_control_header_wins_over_the_accounts_queue_and_an_unknown_name_counts_as_absent() -> None:
    fixed = {"dispatch": None, "queue": "suporte"}
    assert decided(MAIL, {"f": rule("Subject", "fatura", TO_VIP)}, fixed).new.queue == "vip"
    event = decided(MAIL, {"f": rule("Subject", "fatura", {"X-OTRS-Queue": "nenhuma"})}, fixed)
    assert event.new.queue == "suporte"
    assert ("queue", "X-OTRS-Queue: nenhuma", "no such queue") in {(s.check, s.saw, s.result) for s in event.trace}


@pytest.mark.parametrize(
    "header", ["X-OTRS-Bounce: 1", "X-OTRS-FollowUp-RecognizedTicketNumber: 1", "X-OTRS-Nothing: 1", "X-OTRS-Loop: no"]
)
def test_ligero_8_1_internal_and_unknown_headers_are_never_read_from_a_mail(header: str) -> None:
    event = decided(MAIL.replace("Subject:", f"{header}\nSubject:"))
    assert ("control_header", "dropped (not one that a mail may carry)") in {(s.check, s.result) for s in event.trace}
    assert event.candidates == []


def test_the_other_prefix_means_the_same() -> None:
    assert decided(MAIL.replace("Subject:", "X-OTOBO-Queue: vip\nSubject:")).new.queue == "vip"


@pytest.mark.parametrize(
    ("value", "action"), [("yes", "ignore"), ("TRUE", "ignore"), ("no", "dispatch"), ("", "dispatch")]
)
def test_ligero_3_4_ignored_mail_keeps_its_decision_and_original(value: str, action: str) -> None:
    event = decided(MAIL, {"junk": rule("Subject", "fatura", {"X-OTRS-Ignore": value})})
    assert event.action == action
    if action == "ignore":
        assert event.reason == "ignored: filter junk"
        assert event.answer.withheld == "ignored"
        assert event.trace


def test_a_trusted_mail_can_ask_to_be_ignored() -> None:
    assert decided(MAIL.replace("Subject:", "X-OTRS-Ignore: yes\nSubject:")).reason == "ignored: header X-OTRS-Ignore"


def test_only_a_filter_says_that_a_machines_mail_is_answered() -> None:
    raw = MAIL.replace("Subject:", "Precedence: bulk\nSubject:")
    assert decided(raw).classification.kind is Kind.AUTOMATIC
    event = decided(raw, {"form": rule("X-OTRS-Loop", "yes", {"X-OTRS-Loop": "no"})})
    assert (event.classification.kind, event.answer.address) == (Kind.HUMAN, "ana@kunde.example")
    assert "filter (X-OTRS-Loop: no)" in event.classification.reasons
    event = decided(MAIL, {"quiet": rule("Subject", "fatura", {"X-OTRS-Loop": "yes"})})
    assert (event.classification.kind, event.answer.withheld) == (Kind.HUMAN, "filter_loop")


def test_no_filter_has_a_bounce_or_our_own_mail_answered() -> None:
    raw = MAIL.replace("ana@kunde.example>\nTo", "mailer-daemon@kunde.example>\nTo")
    event = decided(raw, {"f": rule("Subject", "fatura", {"X-OTRS-Loop": "no"})})
    assert event.classification.kind is Kind.BOUNCE
    assert not event.answer.address


def test_no_filter_has_an_address_of_ours_or_the_null_path_answered() -> None:
    """Whatever a filter says of loops: a form of ours, and a mail whose envelope asks for no report."""
    loops = {"f": rule("Subject", ".", {"X-OTRS-Loop": "no"})}
    form = "From: suporte@empresa.example\nReply-To: ana@kunde.example\nSubject: s\n\nOi\n"
    assert decided(form, loops).answer.withheld == "own_address"
    results = "Authentication-Results: mx.empresa.example; dmarc=pass header.from=kunde.example\n"
    null = f"{results}{MAIL}".replace("Return-Path: <ana@kunde.example>", "Return-Path: <>")
    found = decided(null, loops, authserv_ids=["mx.empresa.example"])
    assert (found.classification.kind, found.answer.withheld) == (Kind.HUMAN, "null_return_path")


def test_ligero_8_4_a_bounce_shows_filters_what_it_says() -> None:
    raw = (
        "Return-Path: <>\nFrom: MAILER-DAEMON@mx.example\nSubject: failure\nX-Failed-Recipients: a@b.example\n\n"
        "550 5.1.1 unknown a@b.example\n\nMessage-ID: <x@empresa.example>\n"
    )
    filters = {
        "f": {
            "match": [
                {"header": "X-OTRS-Bounce", "pattern": "1"},
                {"header": "X-OTRS-Bounce-OriginalMessageID", "pattern": "<x@"},
                {"header": "X-OTRS-Bounce-ErrorMessage", "pattern": "a@b"},
            ],
            "set": TO_VIP,
        }
    }
    assert decided(raw, filters).new.queue == "vip"


def test_ligero_8_4_new_mail_can_be_refused_with_a_notice() -> None:
    refuse = {"subject": "Recusado", "text": "Escreva pelo portal."}
    event = decided(MAIL, {"portal": rule("From", "kunde", {}, refuse=refuse)})
    assert (event.action, event.new.refused_by) == (Action.DISPATCH, "portal")


EXTERNAL = {"monitor": {"senders": "kunde", "number": "PD-(\\d+)", "subject": True, "dynamic_field": "Alarme"}}


def test_ligero_8_4_the_number_of_another_system_is_evidence_and_kept() -> None:
    event = decided(f"{HEAD}Subject: alarme PD-812 aberto\n\nOi\n", external_numbers=EXTERNAL)
    assert [(each.check, each.value) for each in event.candidates] == [("external_number", "Alarme=812")]
    assert event.new.dynamic_fields == {"Alarme": "812"}
    assert decided(f"{HEAD}Subject: x\n\nPD-812\n", external_numbers=EXTERNAL).candidates == []
    assert decided(f"{HEAD.replace('kunde', 'b')}Subject: PD-812\n\nx\n", external_numbers=EXTERNAL).candidates == []


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-03-02 08:00:00", datetime(2026, 3, 2, 8, tzinfo=ZoneInfo("America/Sao_Paulo"))),
        ("+ 2 d", ARRIVED + timedelta(days=2)),
        ("3600", ARRIVED + timedelta(hours=1)),
        ("-5m", ARRIVED - timedelta(minutes=5)),
        ("2H", ARRIVED + timedelta(hours=2)),
        ("1d2h", None),
        ("tomorrow", None),
        ("2026-02-31 08:00:00", None),
        ("999999999 d", None),
        ("", None),
    ],
)
def test_ligero_4_1_pending_times(value: str, expected: datetime | None) -> None:
    assert pending_time(value, Desk(time_zone="America/Sao_Paulo"), ARRIVED) == expected
    assert ARRIVED.tzinfo is UTC


def test_b13_a_pattern_that_kills_other_engines_costs_nothing() -> None:
    raw = f"{HEAD}Subject: {'a' * 900}b\n\n{'a' * 60000}b\n"
    assert queue(raw, f=rule("Body", "(a+)+$", TO_VIP)) == "suporte"
