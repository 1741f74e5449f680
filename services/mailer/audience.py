"""Whom the desk's notification rules tell of a fact: agents, customers, addresses. Nobody is told the same twice.

What a rule would tell, but must not, is a notification that says why: the mailer writes a row for it.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from services.mailer.recipients import ascii_sender, deliverable, queue_of
from shared.desk.model import Desk, Mailbox, NotificationEvent, NotifiedAgent, Rule, Wording
from shared.events import (
    ArticleFact,
    Kind,
    MailRefused,
    NoteAdded,
    Origin,
    TicketCreated,
    TicketEvent,
    TicketSplit,
    TicketUpdated,
)

_NOBODY = NotifiedAgent("", "", "", "en")


class Skip(StrEnum):
    """Why a reader is not told, whatever the database says."""

    ACTOR = "actor"  # he wrote the mail
    OUT_OF_OFFICE = "out_of_office"


class Notification(NamedTuple):
    """A mail to a reader by a rule; `event` is a folder of `templates/`, which `wording` (the desk's own) replaces.

    `customer`: it goes where an answer would go, and under the same conditions.
    """

    rule: str
    event: NotificationEvent
    reader: NotifiedAgent
    sender: Mailbox | None
    wording: Wording | None = None
    customer: bool = False
    skip: Skip | None = None
    once_per_day: bool = False


class Absence(NamedTuple):
    """When an agent is out of office."""

    since: datetime
    until: datetime


Absences = Mapping[str, Absence]
"""By agent's name in the desk."""


class About(NamedTuple):
    """What rules look at. Who caused the event: `actor`, an agent's name, or `author`, a lower-case address; `human`:
    and he is no machine. `customer`: where an answer would go."""

    event: NotificationEvent
    moment: datetime
    queue: str
    state: str = ""
    priority: str = ""
    lock: str = ""
    owner: str = ""
    responsible: str = ""
    watchers: tuple[str, ...] = ()
    actor: str = ""
    author: str = ""
    human: bool = True
    customer: str = ""


_UPDATES: Mapping[str, NotificationEvent] = {
    "owner": "owner_update",
    "responsible": "responsible_update",
    "queue": "queue_update",
}


def notifications_for(fact: TicketEvent, desk: Desk, absences: Absences) -> list[Notification]:
    """Whom the fact is told, each by one mail however many events it is."""
    return once(each for about in _abouts(fact, desk) for each in told(about, desk, absences))


def _abouts(fact: TicketEvent, desk: Desk) -> Iterator[About]:
    about = About(
        event="new_ticket",
        moment=fact.occurred_at,
        queue=queue_of(fact, desk),
        state=fact.state,
        priority=fact.priority,
        lock=fact.lock if fact.owner else "unlock",  # a lock of nobody keeps nobody off
        owner=fact.owner,
        responsible=fact.responsible,
        watchers=tuple(fact.watchers),
    )
    match fact:
        case MailRefused():  # no ticket, and nobody's work
            return
        case ArticleFact():
            yield from _about_mail(fact, about, desk)
        case TicketSplit():
            yield about._replace(actor=fact.agent)
        case NoteAdded():
            yield about._replace(event="note", actor=fact.agent)
        case TicketUpdated():
            for change in fact.changes:
                if change.field in _UPDATES:
                    yield about._replace(event=_UPDATES[change.field], actor=fact.agent)


def _about_mail(fact: ArticleFact, about: About, desk: Desk) -> Iterator[About]:
    """Silent: floods, backfill, loops, mail from an address of ours, and bounces, which may be those of notifications.
    Other automatic mail is told, but never to the agent it comes from: his absence note would answer the notification,
    and be notified, for ever."""
    if fact.silent or fact.origin is Origin.BACKFILL or fact.kind in (Kind.LOOP, Kind.BOUNCE):
        return
    author = fact.sender.address.lower()
    if author not in desk.own_addresses:
        event: NotificationEvent = "new_ticket" if isinstance(fact, TicketCreated) else "follow_up"
        human = fact.kind is Kind.HUMAN
        yield about._replace(event=event, author=author, human=human, customer=fact.answer.address)


def told(about: About, desk: Desk, absences: Absences) -> Iterator[Notification]:
    """Whom the rules name, in their order."""
    sender = ascii_sender(Mailbox(desk.notifications.sender_name, desk.notifications.sender_email))
    for name, rule in desk.notification_rules.items():
        if about.event in rule.events and _matches(rule, about):
            yield from _readers(Named(name, rule, sender), about, desk, absences)


def once(told: Iterable[Notification]) -> list[Notification]:
    """Each reader by the first rule that names him."""
    found: dict[str, Notification] = {}
    for each in told:
        found.setdefault(each.reader.email.lower(), each)
    return list(found.values())


def _matches(rule: Rule, about: About) -> bool:
    """Whether the rule is about such a ticket; an empty filter takes every one."""
    looked_at = (
        (rule.queues, about.queue),
        (rule.states, about.state),
        (rule.priorities, about.priority),
        (rule.locks, about.lock),
    )
    return all(not wanted or found in wanted for wanted, found in looked_at)


class Named(NamedTuple):
    """A rule with its name, and whom agents hear from."""

    name: str
    rule: Rule
    sender: Mailbox | None


def _readers(named: Named, about: About, desk: Desk, absences: Absences) -> Iterator[Notification]:
    name, rule, sender = named
    language = rule.language or desk.language
    common = Notification(name, about.event, _NOBODY, sender, once_per_day=rule.once_per_day)
    if sender is not None:
        for agent in _agents(rule, about, desk):
            if address := deliverable(agent.email):
                reader = agent._replace(email=address)
                wording, skip = _wording(rule, reader, desk), _skip(rule, about, agent, desk, absences)
                yield common._replace(reader=reader, wording=wording, skip=skip)
        for address in filter(None, map(deliverable, rule.addresses)):
            reader = NotifiedAgent("", address, address, language)
            skip = Skip.ACTOR if address.lower() == about.author else None
            yield common._replace(reader=reader, wording=_wording(rule, reader, desk), skip=skip)
    if "customer" in rule.recipients:
        reader = NotifiedAgent("", "", deliverable(about.customer), language)
        own = ascii_sender(desk.sender_of_queue(about.queue))
        yield common._replace(reader=reader, sender=own, wording=_wording(rule, reader, desk), customer=True)


def _wording(rule: Rule, reader: NotifiedAgent, desk: Desk) -> Wording | None:
    texts = rule.texts
    found = (texts.get(language) for language in (reader.language, desk.language, "en"))
    return next((each for each in (*found, *texts.values()) if each), None)


def _agents(rule: Rule, about: About, desk: Desk) -> Iterator[NotifiedAgent]:
    logins: list[str] = []
    for audience in rule.recipients:
        match audience:
            case "owner":
                logins.append(about.owner)
            case "responsible":
                logins.append(about.responsible)
            case "watchers":
                logins += about.watchers
            case "queue_agents":
                queue = desk.queue(about.queue)
                logins += queue.agents if queue else ()
            case "customer":
                pass
    for login in dict.fromkeys(logins):
        agent = desk.agent(login)  # None: nobody, or one that this desk does not know
        if agent:
            yield agent


def _skip(rule: Rule, about: About, agent: NotifiedAgent, desk: Desk, absences: Absences) -> Skip | None:
    caused = agent.email.lower() == about.author or agent.login == about.actor
    if caused and not (about.human and desk.notifications.self_notify):
        return Skip.ACTOR
    absence = absences.get(agent.login)
    if absence and absence.since <= about.moment < absence.until and not rule.out_of_office:
        return Skip.OUT_OF_OFFICE
    return None
