"""What each fact leads to, as rows of the outbound queue: pure, so that a batch is decided before it is written."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from services.mailer.letters import Desktop, Mail, write_answer, write_notification
from services.mailer.loops import Verdict, counted, standing
from services.mailer.recipients import (
    Answer,
    MailKind,
    Notification,
    answer_for,
    deliverable,
    notifications_for,
)
from services.mailer.states import State
from shared.desk.model import Desk
from shared.events import ArticleFact
from shared.message_ids import key_of

_MAX_SHOWN = 320


class Plan(NamedTuple):
    """What a fact leads to, before the counters are asked."""

    event_id: str
    fact: ArticleFact
    answer: Answer
    notifications: list[Notification]


class Outbound(NamedTuple):
    """A row of the queue as it is written. `recipient` of a suppressed answer may be empty or no address at all."""

    id: int
    event_id: str
    rule: str
    recipient: str
    ticket_id: int
    ticket_number: str
    kind: MailKind
    template: str
    state: State
    reason: str
    account: str
    sender: str
    message_id: str
    raw: bytes | None
    received_at: datetime


def plan_for(event_id: str, fact: ArticleFact, desk: Desk) -> Plan:
    return Plan(event_id, fact, answer_for(fact, desk), notifications_for(fact, desk))


def counted_addresses(plans: Sequence[Plan], desk: Desk) -> list[str]:
    """Addresses whose counters decide."""
    return [counted(plan.answer) for plan in plans if not standing(plan.fact, plan.answer, desk).reason]


def deliveries(plans: Sequence[Plan]) -> int:
    """How many rows these plans become."""
    return sum(1 + len(plan.notifications) for plan in plans)


def rows_of(judged: Iterable[tuple[Plan, Verdict]], ids: Iterator[int], desktop: Desktop) -> list[Outbound]:
    """A row for each mail, the suppressed answers too: why nothing was sent is asked more often than what was."""
    rows = []
    for plan, verdict in judged:
        rows.append(_answer(plan, verdict, next(ids), desktop))
        rows += [_notification(plan, each, next(ids), desktop) for each in plan.notifications]
    return rows


def delivery_key(event_id: str, rule: str, recipient: str) -> str:
    """What names a mail of ours in its Message-ID: a fact leads to one mail for each rule and recipient."""
    return key_of("delivery", event_id, rule, recipient)


def _answer(plan: Plan, verdict: Verdict, row_id: int, desktop: Desktop) -> Outbound:
    answer = plan.answer
    address = deliverable(answer.recipient)
    delivery = delivery_key(plan.event_id, answer.rule, address)
    mail = None if verdict.reason else write_answer(plan.fact, answer, address, delivery, desktop)
    return _row(
        plan.fact,
        mail,
        answer.sender.address if answer.sender else "",
        desktop.desk,
        id=row_id,
        event_id=plan.event_id,
        rule=answer.rule,
        recipient=address or _storable(answer.recipient),
        kind=MailKind.AUTO_RESPONSE,
        template=answer.name,
        reason=_storable(str(verdict)),
    )


def _notification(plan: Plan, notification: Notification, row_id: int, desktop: Desktop) -> Outbound:
    agent = notification.agent
    delivery = delivery_key(plan.event_id, notification.occasion, agent.email)
    return _row(
        plan.fact,
        write_notification(plan.fact, notification, delivery, desktop),
        notification.sender.address,
        desktop.desk,
        id=row_id,
        event_id=plan.event_id,
        rule=notification.occasion,
        recipient=agent.email,
        kind=MailKind.NOTIFICATION,
        template=f"{notification.occasion}/{agent.language}",
        reason="",
    )


def _row(
    fact: ArticleFact,
    mail: Mail | None,
    sender: str,
    desk: Desk,
    *,
    id: int,  # noqa: A002  # the column
    event_id: str,
    rule: str,
    recipient: str,
    kind: MailKind,
    template: str,
    reason: str,
) -> Outbound:
    account, _ = desk.outbound_for(sender)
    return Outbound(
        id=id,
        event_id=event_id,
        rule=rule,
        recipient=recipient,
        ticket_id=int(fact.ticket_id),
        ticket_number=fact.number,
        kind=kind,
        template=template,
        state=State.QUEUED if mail else State.SUPPRESSED,
        reason=reason,
        account=account if mail else "",
        sender=sender,
        message_id=mail.message_id if mail else "",
        raw=mail.raw if mail else None,
        received_at=fact.received_at,
    )


def _storable(text: str) -> str:
    """PostgreSQL takes no NUL (SQLSTATE 22021) and no lone surrogate."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()[:_MAX_SHOWN]
