"""What each fact leads to, as rows of the outbound queue: pure, so that a batch is decided before it is written.

Mails are composed before the transaction (`drafts_of`), because composing takes longer than a transaction may; what
the database says about them then is put in by `rows_of`.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import NamedTuple

from services.mailer.audience import Absences, Notification, notifications_for
from services.mailer.compose import valid_id
from services.mailer.letters import Desktop, Mail, write_answer, write_notification
from services.mailer.loops import (
    Known,
    Verdict,
    Window,
    judge,
    judge_notification,
    standing,
    standing_notification,
    windows_of,
)
from services.mailer.recipients import Answer, MailKind, answer_for, deliverable
from services.mailer.states import State
from shared.desk.model import Desk
from shared.events import ArticleFact, Kind, TicketEvent
from shared.message_ids import key_of

_MAX_SHOWN = 320


class Plan(NamedTuple):
    """What a fact leads to, before the database is asked."""

    event_id: str
    fact: TicketEvent
    answer: Answer | None  # None: no mail caused it
    notifications: list[Notification]


class Draft(NamedTuple):
    """A mail that may be sent. `notification` None: the answer. `mail` None: it is not, whatever the database says."""

    plan: Plan
    notification: Notification | None
    mail: Mail | None


class Outbound(NamedTuple):
    """A row of the queue as it is written. `recipient` of a suppressed answer may be empty or no address at all;
    `due_at` is `datetime.max` for one that is held back."""

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
    attempts: int
    due_at: datetime
    claimed_by: str
    claimed_until: datetime | None
    queue: str
    owner: str
    responsible: str
    traceparent: str | None = None


class Birth(NamedTuple):
    """How rows come into the world: the database's time, the end of a claim that begins now, and before which moment
    facts are held back (None: none are). `room`: how many mails an outbound account takes at once."""

    holder: str
    now: datetime
    until: datetime
    held_before: datetime | None
    room: Mapping[str, int]


class Bounce(NamedTuple):
    """What a report says of a mail of ours: `status` (RFC 3463) behind a word; `flag`: its address is wrong."""

    ticket_id: int
    message_id: str
    status: str
    flag: bool


def bounces_of(facts: Iterable[TicketEvent]) -> list[Bounce]:
    """Reports of failures. A delay, and a report that names no mail, say nothing."""
    found = []
    for fact in facts:
        if not isinstance(fact, ArticleFact) or fact.kind is not Kind.BOUNCE or not valid_id(fact.bounce_of):
            continue
        failed = [each for each in fact.bounced if each.permanent]
        if failed or not fact.bounced:
            status = _storable(failed[0].status) if failed else ""
            found.append(Bounce(int(fact.ticket_id), fact.bounce_of, f"bounced {status}".strip(), bool(failed)))
    return found


def plan_for(event_id: str, fact: TicketEvent, desk: Desk, absences: Absences) -> Plan:
    answer = answer_for(fact, desk) if isinstance(fact, ArticleFact) else None
    return Plan(event_id, fact, answer, notifications_for(fact, desk, absences))


def windows_for(plans: Iterable[Plan], desk: Desk, now: datetime) -> set[Window]:
    """Windows whose counters decide."""
    return {window for plan in plans for window in windows_of(plan.fact, plan.answer, plan.notifications, desk, now)}


def drafts_of(plan: Plan, desktop: Desktop, now: datetime) -> Iterator[Draft]:
    """One at a time, so that the caller can do something else between them."""
    fact, answer = plan.fact, plan.answer
    if answer and isinstance(fact, ArticleFact):
        mail = None
        if not standing(fact, answer, desktop.desk, now).reason:
            address = deliverable(answer.recipient)
            delivery = delivery_key(plan.event_id, answer.rule, address)
            mail = write_answer(fact, answer, address, delivery, desktop)
        yield Draft(plan, None, mail)
    for each in plan.notifications:
        told = None
        if not standing_notification(plan.fact, each, desktop.desk, now).reason:
            delivery = delivery_key(plan.event_id, each.rule, each.reader.email)
            told = write_notification(plan.fact, each, delivery, desktop)
        yield Draft(plan, each, told)


def verdict_of(draft: Draft, desk: Desk, known: Known, now: datetime) -> Verdict:
    """Whether it is sent; if so, it is counted."""
    fact, answer = draft.plan.fact, draft.plan.answer
    if draft.notification is not None:
        return judge_notification(fact, draft.notification, desk, known, now)
    if answer is None or not isinstance(fact, ArticleFact):
        raise ValueError("a draft is an answer or a notification")
    return judge(fact, answer, desk, known, now)


def delivery_key(event_id: str, rule: str, recipient: str) -> str:
    """What names a mail of ours in its Message-ID: a fact leads to one mail for each rule and recipient."""
    return key_of("delivery", event_id, rule, recipient)


def rows_of(judged: Iterable[tuple[Draft, Verdict]], ids: Iterator[int], desk: Desk, birth: Birth) -> list[Outbound]:
    """A row for each draft, the suppressed ones too: why nothing was sent is asked more often than what was. Rows for
    which their account has room are claimed as they are written."""
    room = Counter(birth.room)
    return [_row(draft, verdict, next(ids), desk, birth=birth, room=room) for draft, verdict in judged]


def _row(draft: Draft, verdict: Verdict, row_id: int, desk: Desk, *, birth: Birth, room: Counter[str]) -> Outbound:
    fact = draft.plan.fact
    kind, rule, template, recipient, sender = _named(draft)
    mail = None if verdict.reason else draft.mail
    account = desk.outbound_for(sender)[0] if mail else ""
    held = birth.held_before is not None and fact.occurred_at < birth.held_before
    claimed = bool(mail) and not held and room[account] > 0
    if claimed:
        room[account] -= 1
    state = State.SENDING if claimed else State.QUEUED if mail else State.SUPPRESSED
    return Outbound(
        id=row_id,
        event_id=draft.plan.event_id,
        rule=rule,
        recipient=recipient,
        ticket_id=int(fact.ticket_id),
        ticket_number=fact.number,
        kind=kind,
        template=template,
        state=state,
        reason=_storable(str(verdict)),
        account=account,
        sender=sender,
        message_id=mail.message_id if mail else "",
        raw=mail.raw if mail else None,
        received_at=fact.received_at if isinstance(fact, ArticleFact) else fact.occurred_at,
        attempts=1 if claimed else 0,
        due_at=datetime.max if held else birth.now,  # noqa: DTZ901  # as asyncpg writes infinity
        claimed_by=birth.holder if claimed else "",
        claimed_until=birth.until if claimed else None,
        queue=_storable(fact.queue),
        owner=_storable(fact.owner),
        responsible=_storable(fact.responsible),
    )


def _named(draft: Draft) -> tuple[MailKind, str, str, str, str]:
    """Kind, rule, template, recipient and sender."""
    answer, notification = draft.plan.answer, draft.notification
    if notification is not None:
        rule, reader = notification.rule, notification.reader
        sender = notification.sender.address if notification.sender else ""
        return MailKind.NOTIFICATION, rule, f"{rule}/{reader.language}", reader.email, sender
    if answer is None:
        raise ValueError("a draft is an answer or a notification")
    recipient = deliverable(answer.recipient) or _storable(answer.recipient)
    sender = answer.sender.address if answer.sender else ""
    return MailKind.AUTO_RESPONSE, str(answer.rule), answer.name, recipient, sender


def _storable(text: str) -> str:
    """PostgreSQL takes no NUL (SQLSTATE 22021) and no lone surrogate."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()[:_MAX_SHOWN]
