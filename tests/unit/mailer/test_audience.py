"""Notification rules: which events about which tickets are told to whom, in which words, and who is skipped."""

from collections import Counter
from datetime import timedelta
from email import message_from_bytes
from email.policy import default
from itertools import count
from typing import Any

import msgspec
import pytest

from services.mailer.audience import Absence, Skip, notifications_for
from services.mailer.letters import Desktop, write_notification
from services.mailer.loops import Known, Reason, judge_notification, windows_of
from services.mailer.plans import Birth, drafts_of, plan_for, rows_of, verdict_of, windows_for
from services.mailer.recipients import answer_for
from shared.desk.model import Desk
from shared.events import (
    Answer,
    ArticleFact,
    Change,
    Kind,
    NoteAdded,
    Origin,
    Party,
    TicketEvent,
    TicketMerged,
    TicketSplit,
    TicketUpdated,
)
from shared.message_ids import key_of
from tests.unit.mailer.desks import MOMENT, TEXTS, added, created, desk, rejected, sign

AGENTS = {name: {"name": name.title(), "email": f"{name}@empresa.example"} for name in ("ana", "bruno", "caio", "dora")}
PEOPLE = {"owner": "bruno", "responsible": "caio", "watchers": ["dora", "gone"]}


def with_rules(agents: Any = AGENTS, **rules: Any) -> Desk:
    return desk(
        agents=agents,
        queues={"suporte": {"agents": ["ana"]}, "comercial": {"agents": ["ana", "bruno"]}},
        notifications={
            "sender_name": "Central", "sender_email": "chamados@empresa.example", "rules": rules,
        },
    )  # fmt: skip


def told(fact: TicketEvent, desk_: Desk | None = None) -> list[str]:
    found = notifications_for(fact, desk_ or with_rules(), {})
    return [f"{each.rule} {each.reader.login or each.reader.email} {each.skip or ''}".strip() for each in found]


@pytest.mark.parametrize(
    ("fact", "expected"),
    [
        (created(), ["new_ticket ana pt-BR", "new_ticket bruno en"]),
        (added(), ["follow_up_unlocked ana pt-BR", "follow_up_unlocked bruno en"]),
        (rejected(), ["follow_up_unlocked ana pt-BR", "follow_up_unlocked bruno en"]),
        (created(queue="muda"), []),
        (created(kind=Kind.AUTOMATIC), ["new_ticket ana pt-BR", "new_ticket bruno en"]),
        (created(kind=Kind.LOOP), []),
        (created(kind=Kind.BOUNCE), []),
        (added(kind=Kind.BOUNCE), []),
        (created(origin=Origin.BACKFILL), []),
        (created(silent=True), []),
        (created(sender=Party("", "Suporte@empresa.example")), []),
        (created(sender=Party("", "chamados@empresa.example")), []),
    ],
)
def test_the_agents_of_the_queue_are_told(fact: ArticleFact, expected: list[str]) -> None:
    found = notifications_for(fact, desk(), {})
    assert [f"{each.rule} {each.reader.login} {each.reader.language}" for each in found] == expected


@pytest.mark.parametrize(
    ("fact", "expected"),
    [
        (created(**PEOPLE), ["new_ticket ana"]),
        (added(**PEOPLE), ["follow_up_unlocked bruno", "follow_up_unlocked dora", "follow_up_unlocked ana"]),
        (
            added(lock="lock", **PEOPLE),
            ["follow_up_locked bruno", "follow_up_locked caio", "follow_up_locked dora"],
        ),
        (added(lock="tmp_lock", owner="bruno"), ["follow_up_locked bruno"]),
        (added(lock="lock"), ["follow_up_unlocked ana"]),
    ],
)
def test_the_default_set_of_the_lineage(fact: ArticleFact, expected: list[str]) -> None:
    assert told(fact) == expected


@pytest.mark.parametrize(
    ("rule", "fact", "expected"),
    [
        ({"queues": ["comercial"]}, created(), []),
        ({"queues": ["comercial"]}, created(queue="comercial"), ["r caio"]),
        ({"states": ["new"]}, created(state="open"), []),
        ({"states": ["new", "open"]}, created(state="open"), ["r caio"]),
        ({"priorities": ["5 very high"]}, created(), []),
        ({"priorities": ["5 very high"]}, created(priority="5 very high"), ["r caio"]),
        ({"locks": ["lock"]}, created(owner="bruno"), []),
        ({"locks": ["lock"]}, created(owner="bruno", lock="lock"), ["r caio"]),
        ({"events": ["follow_up"]}, created(), []),
        ({"valid": False}, created(), []),
        ({"recipients": [], "addresses": ["Chefe@outra.example"]}, created(), ["r chefe@outra.example"]),
    ],
)
def test_a_rule_takes_the_tickets_of_its_filters(rule: dict[str, Any], fact: ArticleFact, expected: list[str]) -> None:
    plain = {"events": ["new_ticket"], "recipients": ["responsible"]}
    desk_ = with_rules(r={**plain, **rule}, new_ticket={"valid": False})
    assert told(msgspec.structs.replace(fact, responsible="caio"), desk_) == expected


def test_a_rule_named_as_one_of_the_default_set_stands_in_its_place() -> None:
    mine = {"events": ["new_ticket"], "recipients": ["owner"]}
    assert told(created(owner="bruno"), with_rules(new_ticket=mine)) == ["new_ticket bruno"]
    assert told(added(), with_rules(new_ticket=mine)) == ["follow_up_unlocked ana"]


def test_nobody_is_told_the_same_twice_and_the_first_rule_tells() -> None:
    agents = {**AGENTS, "bruno": {"name": "Bruno", "email": "Ana@empresa.example"}}
    also = {"events": ["new_ticket"], "recipients": ["owner"], "addresses": ["ana@empresa.example"]}
    assert told(created(owner="bruno"), with_rules(agents, also=also)) == ["new_ticket ana"]


ANA = Party("", "Ana@empresa.example")


@pytest.mark.parametrize(
    ("kind", "self_notify", "expected"),
    [
        (Kind.HUMAN, False, ["new_ticket ana actor"]),
        (Kind.HUMAN, True, ["new_ticket ana"]),
        (Kind.OUT_OF_OFFICE, False, ["new_ticket ana actor"]),
        (Kind.OUT_OF_OFFICE, True, ["new_ticket ana actor"]),
    ],
)
def test_who_caused_the_event_is_skipped(kind: Kind, self_notify: bool, expected: list[str]) -> None:
    base = with_rules()
    sender = base.notifications.model_copy(update={"self_notify": self_notify})
    assert told(created(sender=ANA, kind=kind), base.model_copy(update={"notifications": sender})) == expected


def test_a_fixed_address_is_not_told_of_its_own_mail() -> None:
    rule = {"events": ["new_ticket"], "addresses": ["chefe@outra.example"]}
    fact = created(sender=Party("", "chefe@outra.example"), kind=Kind.AUTOMATIC)
    assert told(fact, with_rules(r=rule)) == ["new_ticket ana", "r chefe@outra.example actor"]


@pytest.mark.parametrize(
    ("since", "until", "also", "skipped"),
    [(0, 1, False, True), (-9, 0, False, False), (1, 9, False, False), (-9, 9, True, False), (-9, 9, False, True)],
)
def test_who_is_away_is_told_where_the_rule_says_so(since: int, until: int, also: bool, skipped: bool) -> None:
    rule = {"events": ["new_ticket"], "recipients": ["queue_agents"], "out_of_office": also}
    absences = {"ana": Absence(MOMENT + timedelta(hours=since), MOMENT + timedelta(hours=until))}
    [found] = notifications_for(created(), with_rules(new_ticket=rule), absences)
    assert found.skip == (Skip.OUT_OF_OFFICE if skipped else None)


COMMAND: dict[str, Any] = {
    name: getattr(created(), name)
    for name in ("ticket_id", "ticket_key", "number", "sequence", "queue", "title", "state", "occurred_at")
} | {**PEOPLE, "agent": "ana", "why": "because"}


def updated(*fields: str, **changes: Any) -> TicketUpdated:
    return TicketUpdated(**{**COMMAND, **changes}, changes=[Change(each, "", "x") for each in fields])


@pytest.mark.parametrize(
    ("fact", "expected"),
    [
        (updated("owner"), ["owner_update bruno"]),
        (updated("owner", agent="bruno"), ["owner_update bruno actor"]),
        (updated("responsible"), ["responsible_update caio"]),
        (updated("owner", "responsible", responsible="bruno"), ["owner_update bruno"]),
        (updated("owner", "responsible"), ["owner_update bruno", "responsible_update caio"]),
        (updated("queue", agent="bruno"), ["queue_update ana"]),
        (updated("queue"), ["queue_update ana actor"]),
        (updated("title", "state", "tags"), []),
        (NoteAdded(**COMMAND, article_id="9"), ["note bruno", "note caio", "note dora"]),
        (
            TicketSplit(**COMMAND, article_id="9", from_id="1", from_key="", from_number="1"),
            ["new_ticket ana actor"],
        ),
        (TicketMerged(**COMMAND, into_id="1", into_key="", into_number="1"), []),
    ],
)
def test_what_an_agent_did_is_told_to_the_others(fact: TicketEvent, expected: list[str]) -> None:
    assert told(fact) == expected


@pytest.mark.parametrize("fact", [updated("owner"), NoteAdded(**COMMAND, article_id="9", subject="Peça <OTRS_X>")])
def test_a_command_leads_to_notifications_and_no_answer(fact: TicketEvent) -> None:
    desk_ = with_rules()
    plan = plan_for("e", fact, desk_, {})
    drafts = list(drafts_of(plan, Desktop(desk_, TEXTS, sign), MOMENT))
    assert plan.answer is None
    assert all(draft.notification and draft.mail for draft in drafts)
    known = Known(Counter(), frozenset())
    judged = [(draft, verdict_of(draft, desk_, known, MOMENT)) for draft in drafts]
    assert set(known.counts) <= windows_for([plan], desk_, MOMENT)
    rows = rows_of(judged, count(1), desk_, Birth("m", MOMENT, MOMENT, None, {}))
    assert {(row.kind, row.state, row.received_at) for row in rows} == {("notification", "queued", MOMENT)}


def test_a_note_is_told_with_its_subject_its_author_and_why() -> None:
    desk_ = with_rules()
    fact = NoteAdded(**COMMAND, article_id="9", subject="Peça <OTRS_TICKET_State>")
    [first, *_] = notifications_for(fact, desk_, {})
    mail = message_from_bytes(
        write_notification(fact, first, key_of("n"), Desktop(desk_, TEXTS, sign)).raw, policy=default
    )
    assert mail["Subject"] == f"[Ticket#{fact.number}] Nova nota: Peça <OTRS_TICKET_State>"
    assert "Por:     Ana\r\nMotivo:  because".replace("\r", "") in mail.get_content().replace("\r", "")
    assert "X-Loop" not in mail


def reasons(fact: ArticleFact, desk_: Desk, known: Known, moment: Any = MOMENT) -> list[Reason | None]:
    plan = notifications_for(fact, desk_, {})
    windows = windows_of(fact, answer_for(fact, desk_), plan, desk_, moment)
    found = [judge_notification(fact, each, desk_, known, moment).reason for each in plan]
    assert set(known.counts) <= windows, "what is counted was locked before"
    return found


def test_once_a_day_means_once_for_a_ticket_a_rule_and_a_reader() -> None:
    rule = {"events": ["new_ticket"], "recipients": ["queue_agents"], "once_per_day": True}
    desk_ = with_rules(new_ticket=rule)
    counts = Known(Counter(), frozenset())
    said = [
        judge_notification(fact, each, desk_, counts, moment).reason
        for fact, moment in (
            (created(), MOMENT),
            (created(), MOMENT + timedelta(hours=9)),
            (created(ticket_id="18"), MOMENT),
            (created(), MOMENT + timedelta(days=1)),
        )
        for each in notifications_for(fact, desk_, {})
    ]
    assert said == [None, Reason.ONCE_PER_DAY, None, None]


WORDS = {"pt-BR": {"subject": "Recebido", "text": "recebido.txt"}}
CUSTOMER = {"events": ["follow_up"], "recipients": ["customer"], "texts": WORDS}


@pytest.mark.parametrize(
    ("fact", "expected"),
    [
        (added(), None),
        (added(answer=Answer(withheld="list-id")), Reason.WITHHELD),
        (added(kind=Kind.AUTOMATIC), Reason.NOT_HUMAN),
        (added(answer=Answer(address="nobody")), Reason.INVALID_ADDRESS),
        (added(answer=Answer(address="suporte@empresa.example")), Reason.OWN_ADDRESS),
        (added(occurred_at=MOMENT - timedelta(days=61)), Reason.STALE),
        (added(queue="gone"), Reason.NO_SENDER),
    ],
)
def test_a_customer_is_told_only_where_he_would_be_answered(fact: ArticleFact, expected: Reason | None) -> None:
    desk_ = with_rules(r=CUSTOMER, follow_up_unlocked={"valid": False})
    assert reasons(fact, desk_, Known(Counter(), frozenset())) == [expected]
    if expected is None:
        assert reasons(fact, desk_, Known(Counter(), frozenset({"cliente@kunde.example"}))) == [Reason.BOUNCED_ADDRESS]


def test_a_customers_notification_counts_as_an_answer_does() -> None:
    desk_ = with_rules(r=CUSTOMER, follow_up_unlocked={"valid": False})
    known = Known(Counter(), frozenset())
    found = [reasons(added(), desk_, known)[0] for _ in range(11)]
    assert found == [None] * 10 + [Reason.TICKET_LIMIT]


def test_a_customers_notification_comes_from_the_queue_and_hangs_on_his_mail() -> None:
    desk_ = with_rules(r=CUSTOMER, follow_up_unlocked={"valid": False})
    [found] = notifications_for(added(), desk_, {})
    raw = write_notification(added(), found, key_of("n"), Desktop(desk_, TEXTS, sign)).raw
    for line in (
        b"From: Suporte Empresa <suporte@empresa.example>",
        b"To: cliente@kunde.example",
        b"In-Reply-To: <m1@kunde.example>",
        b"Auto-Submitted: auto-replied",
    ):
        assert line in raw.splitlines()


def test_the_words_of_a_rule_are_in_the_readers_language_or_the_next_best() -> None:
    texts = {"es": {"subject": "s-es", "text": "t"}, "en": {"subject": "s-en", "text": "t"}}
    agents = {
        "ana": {**AGENTS["ana"], "language": "es"},
        "bruno": {**AGENTS["bruno"], "language": "pt-BR"},
    }
    rule = {"events": ["new_ticket"], "recipients": ["queue_agents"], "texts": texts}
    found = notifications_for(created(queue="comercial"), with_rules(agents, new_ticket=rule), {})
    assert [each.wording and each.wording.subject for each in found] == ["s-es", "s-en"]
