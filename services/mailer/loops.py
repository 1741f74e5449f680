"""Why a mail is not sent: for answers the reasons of OTRS in OTRS's order, then how many went out already.

An answer to a sender nobody vouched for may go to a victim whose address was forged. Such answers have windows of an
hour for the domain and for all of them together: beyond them nobody is answered, and an alert says so. A window for
each ticket ends what two machines say to each other when every mark of a machine is lost on the way.
"""

import re
from collections import Counter
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from services.mailer.audience import Notification
from services.mailer.recipients import Answer, deliverable
from shared.desk.model import Desk
from shared.events import ArticleFact, Kind, Origin, TicketEvent

STALE = timedelta(days=60)
# OTRS's SendNoAutoResponseRegExp; found anywhere in the address, as there
_NO_RESPONSE = re.compile(r"(MAILER-DAEMON|postmaster|abuse)@.+?\..+?", re.IGNORECASE)
_MAX_DETAIL = 100


class Reason(StrEnum):
    NO_TEMPLATE = "no_template"
    NO_SENDER = "no_sender"
    CLOSED = "closed"
    WITHHELD = "withheld"
    BACKFILL = "backfill"
    STALE = "stale"
    NOT_HUMAN = "not_human"
    OWN_ADDRESS = "own_address"
    INVALID_ADDRESS = "invalid_address"
    BOUNCED_ADDRESS = "bounced_address"
    DAILY_LIMIT = "daily_limit"
    TICKET_LIMIT = "ticket_limit"
    DOMAIN_LIMIT = "domain_limit"
    TOTAL_LIMIT = "total_limit"
    AGENT_LIMIT = "agent_limit"
    TEXT_GONE = "text_gone"
    NO_RESPONSE_REGEXP = "no_response_regexp"
    ACTOR = "actor"
    OUT_OF_OFFICE = "out_of_office"
    ONCE_PER_DAY = "once_per_day"


WINDOWS = frozenset(
    {Reason.DAILY_LIMIT, Reason.TICKET_LIMIT, Reason.DOMAIN_LIMIT, Reason.TOTAL_LIMIT, Reason.AGENT_LIMIT}
)


class Verdict(NamedTuple):
    """`reason` None: the mail is sent. `detail`: the dispatcher's word for what it withheld."""

    reason: Reason | None = None
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}" if self.detail else str(self.reason or "")


class Window(NamedTuple):
    """What is counted together, and since when."""

    of: str
    starts: datetime


class Known(NamedTuple):
    """What the database knows: mails by window, and addresses (lower case) that bounced for good."""

    counts: Counter[Window]
    bounced: frozenset[str]


def judge(fact: ArticleFact, answer: Answer, desk: Desk, known: Known, now: datetime) -> Verdict:
    """Whether the answer is sent. One within its limits is counted, also one that only the regular expression stops
    then, as in OTRS."""
    verdict = standing(fact, answer, desk, now)
    if verdict.reason:
        return verdict
    address = counted(answer)
    if address in known.bounced and not fact.answer.verified:  # who writes from it, and is vouched for, reads it again
        return Verdict(Reason.BOUNCED_ADDRESS)
    verdict = _count(_windows_of_answer(fact, address, desk, now), known.counts)
    if verdict.reason:
        return verdict
    return Verdict(Reason.NO_RESPONSE_REGEXP) if _NO_RESPONSE.search(address) else Verdict()


def judge_notification(
    fact: TicketEvent, notification: Notification, desk: Desk, known: Known, now: datetime
) -> Verdict:
    """Whether the reader is told; if so, it is counted."""
    verdict = standing_notification(fact, notification, desk, now)
    if verdict.reason:
        return verdict
    verified = isinstance(fact, ArticleFact) and fact.answer.verified
    if notification.customer and notification.reader.email.lower() in known.bounced and not verified:
        return Verdict(Reason.BOUNCED_ADDRESS)
    return _count(_windows_of_notification(fact, notification, desk, now), known.counts)


def standing_notification(fact: TicketEvent, notification: Notification, desk: Desk, now: datetime) -> Verdict:
    """The reasons that need no database. A customer is told where he would be answered."""
    if notification.skip:
        return Verdict(Reason(notification.skip))
    if notification.sender is None:
        return Verdict(Reason.NO_SENDER)
    if notification.customer and isinstance(fact, ArticleFact):
        unwanted = _unwanted(fact, now)
        if unwanted:
            return unwanted
    elif now - fact.occurred_at > STALE:
        return Verdict(Reason.STALE)
    return _unreachable(notification.reader.email.lower(), desk)


def windows_of(
    fact: TicketEvent, answer: Answer | None, notifications: list[Notification], desk: Desk, now: datetime
) -> set[Window]:
    """The windows that decide about what a fact leads to."""
    found = [
        window
        for each in notifications
        if not standing_notification(fact, each, desk, now).reason
        for window, _, _ in _windows_of_notification(fact, each, desk, now)
    ]
    if answer and isinstance(fact, ArticleFact) and not standing(fact, answer, desk, now).reason:
        found += [window for window, _, _ in _windows_of_answer(fact, counted(answer), desk, now)]
    return set(found)


def counted(answer: Answer) -> str:
    """The address under which answers are counted."""
    return deliverable(answer.recipient).lower()


def standing(fact: ArticleFact, answer: Answer, desk: Desk, now: datetime) -> Verdict:
    """The reasons that need no database, the first that holds."""
    if answer.response is None:
        return Verdict(Reason.NO_TEMPLATE)
    if answer.sender is None:
        return Verdict(Reason.NO_SENDER)
    if answer.rule == "auto_reply" and fact.state.startswith(("closed", "removed")):
        return Verdict(Reason.CLOSED)
    return _unwanted(fact, now) or _unreachable(counted(answer), desk)


def _unwanted(fact: ArticleFact, now: datetime) -> Verdict | None:
    if fact.answer.withheld:
        return Verdict(Reason.WITHHELD, fact.answer.withheld[:_MAX_DETAIL])
    if fact.origin is Origin.BACKFILL:
        return Verdict(Reason.BACKFILL)
    if now - fact.occurred_at > STALE:
        return Verdict(Reason.STALE)
    if fact.kind is not Kind.HUMAN:  # the dispatcher withholds these; a second lock on the door to a mail loop
        return Verdict(Reason.NOT_HUMAN)
    return None


def _unreachable(address: str, desk: Desk) -> Verdict:
    if not address:
        return Verdict(Reason.INVALID_ADDRESS)
    return Verdict(Reason.OWN_ADDRESS) if address in desk.own_addresses else Verdict()


_Limited = tuple[Window, int | None, Reason]


def _windows_of_answer(fact: ArticleFact, address: str, desk: Desk, now: datetime) -> list[_Limited]:
    """In OTRS's order, its own first."""
    hour = _hour(now)
    limits = desk.limits
    found: list[_Limited] = [
        (Window(f"address {address}", _day(now, desk)), desk.max_answers(address), Reason.DAILY_LIMIT),
    ]
    if fact.number:  # what was refused has no ticket
        window = Window(f"ticket {fact.ticket_id}", hour)
        found.append((window, limits.answers_per_ticket or None, Reason.TICKET_LIMIT))
    if not fact.answer.verified:
        domain = address.rpartition("@")[2]
        found += [
            (Window(f"domain {domain}", hour), limits.answers_per_domain or None, Reason.DOMAIN_LIMIT),
            (Window("all", hour), limits.answers_in_all or None, Reason.TOTAL_LIMIT),
        ]
    return found


def _windows_of_notification(
    fact: TicketEvent, notification: Notification, desk: Desk, now: datetime
) -> list[_Limited]:
    hour = _hour(now)
    limits = desk.limits
    address = notification.reader.email.lower()
    found: list[_Limited] = []
    if notification.once_per_day:
        window = Window(f"ticket {fact.ticket_id} rule {notification.rule} {address}", _day(now, desk))
        found.append((window, 1, Reason.ONCE_PER_DAY))
    if notification.customer and isinstance(fact, ArticleFact):
        return found + _windows_of_answer(fact, address, desk, now)
    return [
        *found,
        (
            Window(f"ticket {fact.ticket_id} agent {address}", hour),
            limits.notifications_per_ticket or None,
            Reason.TICKET_LIMIT,
        ),
        (Window(f"agent {address}", hour), limits.notifications_per_agent or None, Reason.AGENT_LIMIT),
    ]


def _count(windows: list[_Limited], counts: Counter[Window]) -> Verdict:
    """Counted in all of them, or in none."""
    for window, limit, reason in windows:
        if limit is not None and counts[window] >= limit:
            return Verdict(reason)
    for window, _, _ in windows:
        counts[window] += 1
    return Verdict()


def _hour(now: datetime) -> datetime:
    return now.replace(minute=0, second=0, microsecond=0)


def _day(now: datetime, desk: Desk) -> datetime:
    return now.astimezone(desk.zone).replace(hour=0, minute=0, second=0, microsecond=0)
