from collections import Counter
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import pytest

from services.mailer.letters import Desktop
from services.mailer.loops import Known
from services.mailer.plans import (
    Birth,
    Outbound,
    bounces_of,
    delivery_key,
    drafts_of,
    plan_for,
    rows_of,
    verdict_of,
    windows_for,
)
from services.mailer.states import State
from shared.desk.model import Desk
from shared.events import Answer, ArticleFact, BouncedRecipient, Kind
from shared.message_ids import Signed, key_of, verify
from shared.mime import parse
from tests.unit.mailer.desks import KEYS, MOMENT, REFUSING, TEXTS, TICKET, added, created, desk, refused, sign

BIRTH = Birth("mailer-0", MOMENT, MOMENT + timedelta(minutes=15), None, {})


def rows(*facts: ArticleFact, with_: Desk | None = None, **birth: Any) -> list[Outbound]:
    desk_ = with_ or desk()
    desktop = Desktop(desk_, TEXTS, sign)
    plans = [plan_for(f"e{number}", fact, desk_, {}) for number, fact in enumerate(facts)]
    drafts = [draft for plan in plans for draft in drafts_of(plan, desktop, MOMENT)]
    known = Known(Counter(), frozenset())
    judged = [(draft, verdict_of(draft, desk_, known, MOMENT)) for draft in drafts]
    assert set(known.counts) <= windows_for(plans, desk_, MOMENT), "what is counted was locked before"
    return rows_of(judged, count(100), desk_, BIRTH._replace(**birth))


def test_a_new_ticket_is_answered_once_and_told_to_each_agent() -> None:
    assert [(row.id, row.kind, row.rule, row.recipient, row.state) for row in rows(created())] == [
        (100, "auto_response", "auto_reply", "cliente@kunde.example", State.QUEUED),
        (101, "notification", "new_ticket", "ana@empresa.example", State.QUEUED),
        (102, "notification", "new_ticket", "bruno@empresa.example", State.QUEUED),
    ]


def test_each_mail_of_a_fact_has_an_identifier_of_its_own_and_the_same_one_again() -> None:
    first, again, other = (rows(fact) for fact in (created(), created(), created(ticket_key=key_of("another"))))
    assert len({row.message_id for row in first}) == 3
    assert [row.message_id for row in again] == [row.message_id for row in first]
    assert not {row.message_id for row in other} & {row.message_id for row in first}
    assert [verify(row.message_id, KEYS) for row in first] == [
        Signed(TICKET, delivery_key("e0", row.rule, row.recipient)) for row in first
    ]


def test_a_suppressed_answer_is_a_row_that_says_why() -> None:
    [answer, *_] = rows(created(answer=Answer(withheld="list-id")))
    assert (answer.state, answer.reason, answer.raw, answer.message_id) == (
        State.SUPPRESSED,
        "withheld: list-id",
        None,
        "",
    )


def test_what_the_database_cannot_hold_is_replaced() -> None:
    [answer, *_] = rows(created(answer=Answer(address="a\x00\ud800b")))
    assert (answer.recipient, answer.reason) == ("a?b", "invalid_address")


def test_a_row_knows_its_sender_and_the_envelope_is_decided_later() -> None:
    assert [row.sender for row in rows(created())] == ["suporte@empresa.example", *["chamados@empresa.example"] * 2]


def test_a_mail_leaves_by_the_account_of_its_address() -> None:
    outbound = {
        "padrao": {"type": "smtp", "host": "a.example", "default": True},
        "outro": {"type": "smtp", "host": "b.example"},
    }
    addresses = {"suporte@empresa.example": {"name": "S", "queue": "suporte", "outbound": "outro"}}
    found = rows(created(), with_=desk(outbound=outbound, system_addresses=addresses))
    assert [row.account for row in found] == ["outro", "padrao", "padrao"]


def test_only_answers_that_may_go_out_are_counted() -> None:
    facts = [created(), created(answer=Answer(withheld="x")), created(queue="comercial")]
    plans = [plan_for("e", fact, desk(), {}) for fact in facts]
    addresses = {window.of for window in windows_for(plans, desk(), MOMENT) if window.of.startswith("address")}
    assert addresses == {"address cliente@kunde.example"}


def test_rows_for_which_their_account_has_room_are_born_claimed() -> None:
    claimed, *waiting = rows(created(), room={"padrao": 1})
    assert (claimed.state, claimed.attempts, claimed.claimed_by) == (State.SENDING, 1, "mailer-0")
    assert claimed.claimed_until == MOMENT + timedelta(minutes=15)
    assert {(row.state, row.attempts, row.claimed_by, row.claimed_until) for row in waiting} == {
        (State.QUEUED, 0, "", None)
    }


def test_mails_of_facts_from_before_a_hold_wait_for_ever_and_are_claimed_by_nobody() -> None:
    found = rows(created(), room={"padrao": 9}, held_before=MOMENT + timedelta(seconds=1))
    assert {(row.state, row.due_at) for row in found} == {(State.QUEUED, datetime.max)}
    assert {row.due_at for row in rows(created(), held_before=MOMENT)} == {MOMENT}


def bounce(*bounced: BouncedRecipient, **changes: Any) -> ArticleFact:
    return added(kind=Kind.BOUNCE, bounced=list(bounced), **{"bounce_of": "<c1.a.b.c@empresa.example>", **changes})


GONE = BouncedRecipient("cliente@kunde.example", "5.1.1", permanent=True)


@pytest.mark.parametrize(
    ("fact", "expected"),
    [
        (bounce(GONE), ("bounced 5.1.1", True)),
        (bounce(), ("bounced", False)),
        (bounce(BouncedRecipient("cliente@kunde.example", "4.4.1", permanent=False)), None),
        (bounce(GONE, bounce_of=""), None),
        (bounce(GONE, bounce_of="<a b@c>"), None),
        (added(kind=Kind.AUTOMATIC, bounced=[GONE], bounce_of="<c1.a.b.c@empresa.example>"), None),
    ],
)
def test_what_a_report_says_of_a_mail_of_ours(fact: ArticleFact, expected: tuple[str, bool] | None) -> None:
    assert [(each.status, each.flag) for each in bounces_of([fact])] == ([expected] if expected else [])


def test_who_is_refused_gets_the_filters_notice_and_no_agent_is_told() -> None:
    [row] = rows(refused(), with_=desk(filters=REFUSING))
    assert (row.rule, row.template, row.recipient, row.state) == (
        "refusal", "portal", "cliente@kunde.example", State.QUEUED,
    )  # fmt: skip
    assert (row.ticket_id, row.ticket_number, row.sender) == (0, "", "suporte@empresa.example")
    mail = parse(row.raw or b"")
    assert (mail.subject, mail.text) == ("Não recebido", "Escreva pelo portal, cliente@kunde.example.\n")
    assert mail.in_reply_to == ["<m1@kunde.example>"]
    assert mail.header("Auto-Submitted") == "auto-replied"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"refused_by": "gone"}, "no_template"),
        ({"answer": Answer(withheld="list")}, "withheld: list"),
        ({"kind": Kind.AUTOMATIC}, "not_human"),
        ({"queue": "muda"}, "no_sender"),
    ],
)
def test_a_refusal_is_an_answer_like_any_other(changes: dict[str, Any], reason: str) -> None:
    [row] = rows(refused(**changes), with_=desk(filters=REFUSING))
    assert (row.state, row.reason) == (State.SUPPRESSED, reason)


def test_refusals_are_counted_for_no_ticket() -> None:
    """They have none: eleven senders in an hour would be one conversation."""
    facts = [refused(answer=Answer(address=f"c{n}@kunde.example")) for n in range(12)]
    assert {row.state for row in rows(*facts, with_=desk(filters=REFUSING))} == {State.QUEUED}
