"""Where a mail belongs: to a ticket that is there, or to one of its own. Pure.

The first of its candidates whose ticket exists now, and to which its sender may add, is its ticket; one that refuses
him is noted and hides no later one. Without any, a stored article may name the mail, or the same mail as it does.
"""

from collections.abc import Collection
from typing import NamedTuple

from services.ticketing import policy
from services.ticketing.batch import Kept, Mail, Ticket
from services.ticketing.known import LATE_PARENT, Found, Known, Named
from services.ticketing.policy import Effect
from shared.desk.model import Desk, Queue
from shared.events import Kind

_PUBLISHED = "published"


class Join(NamedTuple):
    """The mail becomes an article of this ticket. `takes_part`: its sender and recipients belong to the conversation.
    `claims`: number of another ticket, that its sender named first without belonging to it. `by_agent`: an agent of
    the ticket's queue wrote it, from his own mail program; `proved`: it is he. Anybody can write an agent's address
    into From: what proves nothing is a customer's text and brings nobody into the conversation. `sent_on`: it answers a
    notification that he got, so it goes to the customer."""

    ticket: Ticket
    check: str
    effect: Effect
    takes_part: bool
    claims: str = ""
    by_agent: bool = False
    proved: bool = False
    sent_on: bool = False


class Fresh(NamedTuple):
    """The mail becomes a ticket. `follows`: the closed ticket it continues; `claims`: number of a ticket its sender
    named without belonging to it; `related`: one that names it, of somebody else. `names`: those that the ticket had
    before the database went back."""

    follows: Ticket | None = None
    claims: str = ""
    related: Ticket | None = None
    names: Kept | None = None


def way_of(mail: Mail, known: Known, desk: Desk) -> Join | Fresh:
    """By its evidence; what was published of the mail before the database went back stands, whatever the order in
    which its mails come again."""
    way = _by_evidence(mail, known, desk)
    names = known.kept(mail)
    if names is None:
        return way
    ticket = known.with_key(names.ticket_key)
    if ticket is None:
        return way._replace(names=names) if isinstance(way, Fresh) else Fresh(names=names)
    effect = _effect(mail, ticket, known, desk)
    sent_on = _sent_on(mail, ticket, known, desk)
    return Join(
        ticket,
        _PUBLISHED,
        Effect.ADD_ONLY if effect is Effect.NEW_TICKET else effect,
        takes_part=names.created or mail.sender in known.participants(ticket),
        by_agent=sent_on or mail.sender in _agents(ticket.queue, desk),
        proved=mail.event.answer.verified or any(each.proves_sender for each in mail.event.candidates),
        sent_on=sent_on,
    )


def _by_evidence(mail: Mail, known: Known, desk: Desk) -> Join | Fresh:
    claims = ""
    for found in known.named_by(mail):
        if isinstance(found, Named):
            way: Join | Fresh | None = _of_names(mail, found, known, desk)
            number = found.names.number
        else:
            way, number = _of_ticket(mail, found, known, desk), found.ticket.number
        if way is not None:
            return way._replace(claims=claims)
        claims = claims or number
    if claims:
        return Fresh(claims=claims)
    child = known.child_of(mail)
    if child is not None:
        return _of_ticket(mail, child, known, desk) or Fresh(related=child.ticket)
    sibling = known.sibling_of(mail)
    return (sibling and _of_ticket(mail, sibling, known, desk)) or Fresh()


def _of_ticket(mail: Mail, found: Found, known: Known, desk: Desk) -> Join | Fresh | None:
    """None: its sender may not add to it."""
    ticket, check = found
    participants = known.participants(ticket)
    agents = _agents(ticket.queue, desk)
    signed = any(
        candidate.proves_sender and known.ticket_of(candidate, mail) is ticket for candidate in mail.event.candidates
    )
    if not _may_follow_up(mail, ticket.queue, participants | agents, desk, signed=signed):
        return None
    sent_on = _sent_on(mail, ticket, known, desk)
    by_agent = sent_on or (mail.sender in agents and mail.sender not in participants)
    effect = _effect(mail, ticket, known, desk)
    if check == LATE_PARENT or by_agent:  # what is older than its reply, or our own, opens nothing
        effect = Effect.ADD_ONLY
    if effect is Effect.NEW_TICKET:
        return Fresh(follows=ticket)
    proved = signed or mail.event.answer.verified
    takes_part = (by_agent and proved) or mail.sender in participants
    return Join(ticket, check, effect, takes_part=takes_part, by_agent=by_agent, proved=proved, sent_on=sent_on)


def _sent_on(mail: Mail, ticket: Ticket, known: Known, desk: Desk) -> bool:
    """May what he writes leave in our name? Anybody can put an agent's address into From; so his domain has to vouch
    for him, and he has to name a mail that we sent to nobody but him. What a machine of his wrote is no answer, and who
    is the ticket's customer himself speaks for himself."""
    return (
        mail.event.classification.kind is Kind.HUMAN
        and mail.event.answer.verified
        and desk.agent_of(mail.sender) is not None
        and mail.sender != ticket.customer_user.lower()
        and known.answers_notification(mail, ticket)
    )


def _of_names(mail: Mail, found: Named, known: Known, desk: Desk) -> Fresh | None:
    """A reply to a ticket that is still to come again makes it; None: its sender may not write to it."""
    names = found.names
    signed = any(
        candidate.proves_sender and (named := known.names_of(candidate)) and named.number == names.number
        for candidate in mail.event.candidates
    )
    senders = known.senders(names) | _agents(names.queue, desk)
    return Fresh(names=names) if _may_follow_up(mail, names.queue, senders, desk, signed=signed) else None


def _may_follow_up(mail: Mail, queue: str, participants: Collection[str], desk: Desk, *, signed: bool) -> bool:
    rule = (desk.queue(queue) or Queue()).follow_up_from
    verified = mail.event.answer.verified
    return policy.may_follow_up(rule, mail.sender, participants, signed=signed, verified=verified)


def _agents(queue: str, desk: Desk) -> set[str]:
    """Addresses of the agents of a queue: they belong to each of its conversations."""
    return {agent.email.lower() for agent in desk.agents_of_queue(queue)}


def _effect(mail: Mail, ticket: Ticket, known: Known, desk: Desk) -> Effect:
    queue = desk.queue(ticket.queue) or Queue()
    return policy.effect(
        queue.follow_up,
        closed=policy.is_closed(ticket.state_type),
        merged=ticket.state_type == "merged",
        automatic=mail.event.classification.automatic,
        reopen=mail.event.follow_up.reopen,
        late=policy.too_late(ticket.closed_at, queue.reopen_within, known.moment),
    )
