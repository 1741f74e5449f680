"""What a command does to its ticket, or why it does nothing. Pure.

A command that changes something raises one fact of each ticket that it changes, so a ticket's `sequence` is also its
version; one that changes nothing raises none.
"""

from collections.abc import Mapping
from datetime import datetime
from functools import singledispatchmethod
from typing import Any

from services.ticketing import policy
from services.ticketing.batch import History, Link, OutgoingFact, Ticket
from services.ticketing.commands import (
    LINKS,
    AddNote,
    Command,
    Decided,
    Given,
    Merge,
    Note,
    Order,
    Refusal,
    Refused,
    Reply,
    Set,
    SetLink,
    Split,
    Tag,
    Watch,
)
from services.ticketing.facts import LONGEST_SUBJECT, of_ticket, reply_of
from services.ticketing.replies import addressed, sent_to
from services.ticketing.ticket_fields import LOCKS, PRIORITIES
from shared.desk.model import Desk
from shared.events import AgentReplied, Change, NoteAdded, Party, TicketMerged, TicketSplit, TicketUpdated

LONGEST_TEXT = 256 * 1024
_Raised = TicketUpdated | NoteAdded | AgentReplied | TicketMerged | TicketSplit
_LONGEST_TAG, _MOST_TAGS, _MOST_WATCHERS = 64, 50, 100


def decide(command: Command, order: Order, given: Given, desk: Desk, moment: datetime) -> Decided:
    """Raises Refused. The given tickets are changed."""
    ticket = given.ticket
    if order.version is not None and order.version != ticket.sequence:
        raise Refused(Refusal.CHANGED, f"the ticket is at version {ticket.sequence}, not {order.version}")
    if order.agent not in desk.agents:
        raise Refused(Refusal.UNKNOWN, f"the desk has no agent {order.agent}")
    _readable("why", order.why, LONGEST_SUBJECT)
    if ticket.merged_into is not None:
        raise Refused(Refusal.MERGED, "the ticket was merged into another one")
    decision = _Decision(order, given, desk, moment)
    decision.take(command)
    return decision.out


class _Decision:
    def __init__(self, order: Order, given: Given, desk: Desk, moment: datetime) -> None:
        self._order, self._given, self._desk, self._moment = order, given, desk, moment
        self.out = Decided()

    @singledispatchmethod
    def take(self, command: Command) -> None:
        raise NotImplementedError(type(command))

    # --- fields -----------------------------------------------------------------------------------------------

    @take.register
    def _(self, command: Set) -> None:
        ticket, desk = self._given.ticket, self._desk
        changes = [
            *self._state(ticket, command),
            *self._name(ticket, "priority", command.priority, PRIORITIES, "PriorityUpdate"),
            *self._name(ticket, "owner", command.owner, ("", *desk.agents), "OwnerUpdate"),
            *self._name(ticket, "responsible", command.responsible, ("", *desk.agents), "ResponsibleUpdate"),
        ]
        lock = command.lock
        if command.queue is not None:
            if desk.queue(command.queue) is None:
                raise Refused(Refusal.UNKNOWN, f"the desk has no queue {command.queue}")
            moved = self._put(ticket, "queue", command.queue, "Move")
            changes += moved
            if moved and lock is None and command.owner is None:  # OTRS: ForceUnlockOnMove; who gets it has it free
                lock = "unlock"
        changes += self._name(ticket, "lock", lock, LOCKS, "Lock" if lock != "unlock" else "Unlock")
        if lock in ("lock", "tmp_lock") and not ticket.owner:  # whoever locks a ticket of nobody works on it
            changes += self._put(ticket, "owner", self._order.agent, "OwnerUpdate")
        if command.title is not None:
            _readable("title", command.title.strip(), LONGEST_SUBJECT, empty=False)
            changes += self._put(ticket, "title", command.title.strip(), "TitleUpdate")
        self._updated(ticket, changes)

    def _state(self, ticket: Ticket, command: Set) -> list[Change]:
        wanted = ticket.state if command.state is None else command.state
        if policy.STATE_TYPES.get(wanted, "merged") == "merged":
            raise Refused(Refusal.UNKNOWN, f"{wanted} is no state that a ticket can be given")
        pending = policy.STATE_TYPES[wanted].startswith("pending")
        until = command.pending_until or (ticket.pending_until if pending else None)
        if pending and until is None:
            raise Refused(Refusal.INVALID, f"the state {wanted} needs a time until which it is pending")
        if until is not None and not pending:
            raise Refused(Refusal.INVALID, f"the state {wanted} is not pending until a time")
        changes = self._put(ticket, "state", wanted, "StateUpdate")
        if changes:
            ticket.state_type = policy.STATE_TYPES[wanted]
            ticket.closed_at = self._moment if policy.is_closed(ticket.state_type) else None
        if until != ticket.pending_until:
            before, ticket.pending_until = ticket.pending_until, until
            changes.append(Change("pending_until", _time(before), _time(until)))
            self._note(ticket, "SetPendingTime", f"Pending until {_time(until)}." if until else "Pending no more.")
        return changes

    def _name(self, ticket: Ticket, name: str, wanted: str | None, among: tuple[str, ...], kind: str) -> list[Change]:
        if wanted is None:
            return []
        if wanted not in among:
            raise Refused(Refusal.UNKNOWN, f"there is no {name} {wanted}")
        return self._put(ticket, name, wanted, kind)

    def _put(self, ticket: Ticket, name: str, wanted: str, kind: str) -> list[Change]:
        before: str = getattr(ticket, name)
        if before == wanted:
            return []
        setattr(ticket, name, wanted)
        self._note(ticket, kind, f"{name.capitalize()} from {before or 'none'} to {wanted or 'none'}.")
        return [Change(name, before, wanted)]

    @take.register
    def _(self, command: Watch) -> None:
        ticket = self._given.ticket
        if not command.gone and command.agent not in self._desk.agents:
            raise Refused(Refusal.UNKNOWN, f"the desk has no agent {command.agent}")
        after = [each for each in ticket.watchers if each != command.agent]
        if not command.gone:
            after = ticket.watchers if command.agent in ticket.watchers else [*after, command.agent]
        if len(after) > _MOST_WATCHERS:
            raise Refused(Refusal.INVALID, f"a ticket has at most {_MOST_WATCHERS} watchers")
        kind = "Unsubscribe" if command.gone else "Subscribe"
        self._updated(ticket, self._put_list(ticket, "watchers", after, kind))

    @take.register
    def _(self, command: Tag) -> None:
        ticket = self._given.ticket
        for tag in command.add:
            _readable("tag", tag, _LONGEST_TAG, empty=False)
            if "," in tag or tag != tag.strip():
                raise Refused(Refusal.INVALID, "a tag has no comma, and no blank around it")
        after = [tag for tag in dict.fromkeys([*ticket.tags, *command.add]) if tag not in command.drop]
        if len(after) > _MOST_TAGS:
            raise Refused(Refusal.INVALID, f"a ticket has at most {_MOST_TAGS} tags")
        self._updated(ticket, self._put_list(ticket, "tags", after, "Misc"))

    def _put_list(self, ticket: Ticket, name: str, after: list[str], kind: str) -> list[Change]:
        before: list[str] = getattr(ticket, name)
        if before == after:
            return []
        setattr(ticket, name, after)
        change = Change(name, ",".join(before), ",".join(after))
        self._note(ticket, kind, f"{name.capitalize()} from {change.before or 'none'} to {change.after or 'none'}.")
        return [change]

    # --- articles and other tickets ---------------------------------------------------------------------------

    @take.register
    def _(self, command: AddNote) -> None:
        ticket = self._given.ticket
        _readable("text", command.text, LONGEST_TEXT, empty=False)
        _readable("subject", command.subject, LONGEST_SUBJECT)
        note = Note(self._given.article_id, ticket.id, command.subject or "Note", command.text, command.visible)
        self.out.note = note
        self.out.history.append(
            History(ticket.id, note.id, "AddNote", "Note added.", self._order.agent, self._order.why)
        )
        more = {"article_id": str(note.id), "subject": note.subject, "visible": note.visible}
        self._raise(ticket, NoteAdded, more)

    @take.register
    def _(self, command: Reply) -> None:
        ticket = self._given.ticket
        _readable("text", command.text, LONGEST_TEXT, empty=False)
        _readable("subject", command.subject, LONGEST_SUBJECT)
        for address in (*command.to, *command.cc):
            _readable("address", address, LONGEST_SUBJECT)
        to, cc = ([Party("", each) for each in named] for named in (command.to, command.cc))
        head = addressed(ticket, self._given.last, self._desk, to=to, cc=cc, subject=command.subject)
        if head is None:
            raise Refused(Refusal.INVALID, "there is no address of ours to write from, or nobody else to write to")
        note = Note(self._given.article_id, ticket.id, head.subject, command.text, True, head)
        self.out.note = note
        self.out.history.append(
            History(ticket.id, note.id, "SendAnswer", sent_to(head), self._order.agent, self._order.why)
        )
        if ticket.state == "new":  # somebody works on it
            self._put(ticket, "state", "open", "StateUpdate")
            ticket.state_type = "open"
        self._raise(ticket, AgentReplied, reply_of(note.id, head))

    @take.register
    def _(self, command: Merge) -> None:
        ticket, into = self._given.ticket, self._other(command.into)
        if into.state_type == "removed":
            raise Refused(Refusal.INVALID, f"ticket {into.number} is removed")
        self._note(ticket, "Merged", f"Merged into ticket {into.number}.")
        ticket.state, ticket.state_type, ticket.lock = "merged", "merged", "unlock"
        ticket.merged_into, ticket.pending_until = into.id, None
        self.out.merged = ticket.id, into.id
        self.out.linked.append(Link(into.id, ticket.id, "ParentChild"))
        more = {"into_id": str(into.id), "into_key": into.key, "into_number": into.number}
        self._raise(ticket, TicketMerged, more)
        self._note(into, "Merged", f"Ticket {ticket.number} was merged into this one.")
        changes = [
            Change("merged_from", "", ticket.number),
            *self._put_list(into, "watchers", _united(into.watchers, ticket.watchers, _MOST_WATCHERS), "Subscribe"),
            *self._put_list(into, "tags", _united(into.tags, ticket.tags, _MOST_TAGS), "Misc"),
        ]
        self._updated(into, changes)

    @take.register
    def _(self, command: Split) -> None:
        origin, article = self._given.ticket, self._given.article
        if article is None:
            raise Refused(Refusal.UNKNOWN, f"the ticket has no article {command.article_id}")
        queue = origin.queue if command.queue is None else command.queue
        if self._desk.queue(queue) is None:
            raise Refused(Refusal.UNKNOWN, f"the desk has no queue {queue}")
        title = article.subject if command.title is None else command.title.strip()
        _readable("title", title, max(LONGEST_SUBJECT, len(article.subject)))
        by_customer = article.sender_type == "customer" and bool(article.from_address)
        made = self.out.created = Ticket(
            id=self._given.ticket_id,
            number=self._given.number,
            queue=queue,
            state="open",
            state_type="open",
            lock="unlock",
            title=title or origin.title,
            sequence=0,
            priority=origin.priority,
            customer_user=article.from_address.lower() if by_customer else origin.customer_user,
            key=self._given.key,
        )
        self.out.copied = article.id, self._given.article_id
        self.out.linked.append(Link(origin.id, made.id, "ParentChild"))
        self._note(made, "NewTicket", f"New ticket {made.number} in {queue}, of an article of {origin.number}.")
        more = {"from_id": str(origin.id), "from_key": origin.key, "from_number": origin.number}
        made.sequence = 1
        self._fact(self._order.split_id, made, TicketSplit, {"article_id": str(self._given.article_id), **more})
        self._note(origin, "TicketLinkAdd", f"Ticket {made.number} was split off.")
        self._updated(origin, [Change("links", "", f"ParentChild {made.number}")])

    @take.register
    def _(self, command: SetLink) -> None:
        ticket, to = self._given.ticket, self._other(command.to, merged=True)
        if command.type not in LINKS:
            raise Refused(Refusal.UNKNOWN, f"there is no link of type {command.type}")
        if self._given.linked is not command.gone:
            return
        link = Link(ticket.id, to.id, command.type)
        (self.out.unlinked if command.gone else self.out.linked).append(link)
        for this, that in ((ticket, to), (to, ticket)):
            named = f"{command.type} {that.number}"
            before, after = (named, "") if command.gone else ("", named)
            kind, verb = ("TicketLinkDelete", "Link removed") if command.gone else ("TicketLinkAdd", "Linked")
            self._note(this, kind, f"{verb}: {named}.")
            self._updated(this, [Change("links", before, after)])

    def _other(self, number: str, *, merged: bool = False) -> Ticket:
        other = self._given.other
        if other is None:
            raise Refused(Refusal.NO_TICKET, f"there is no ticket {number}")
        if other.id == self._given.ticket.id:
            raise Refused(Refusal.INVALID, "a ticket is neither merged with itself nor linked to itself")
        if other.merged_into is not None and not merged:
            raise Refused(Refusal.MERGED, f"ticket {number} was merged into another one")
        return other

    # --- what all of them leave -------------------------------------------------------------------------------

    def _note(self, ticket: Ticket, kind: str, text: str) -> None:
        self.out.history.append(History(ticket.id, None, kind, text, self._order.agent, self._order.why))

    def _updated(self, ticket: Ticket, changes: list[Change]) -> None:
        if changes:
            self._raise(ticket, TicketUpdated, {"changes": changes})

    def _raise(self, ticket: Ticket, fact: type[_Raised], more: Mapping[str, Any]) -> None:
        ticket.sequence += 1
        self.out.changed.append(ticket)
        self._fact(self._order.event_id(str(ticket.id)), ticket, fact, more)

    def _fact(self, event_id: str, ticket: Ticket, fact: type[_Raised], more: Mapping[str, Any]) -> None:
        raised = fact(**of_ticket(ticket, self._moment), agent=self._order.agent, why=self._order.why, **more)
        self.out.facts.append(OutgoingFact(event_id, ticket.key or str(ticket.id), raised))


def _united(mine: list[str], others: list[str], most: int) -> list[str]:
    return list(dict.fromkeys([*mine, *others]))[: max(most, len(mine))]


def _time(moment: datetime | None) -> str:
    return moment.isoformat() if moment else ""


def _readable(what: str, text: str, most: int, *, empty: bool = True) -> None:
    """PostgreSQL takes no NUL and no lone surrogate."""
    if not text and not empty:
        raise Refused(Refusal.INVALID, f"the {what} is empty")
    if len(text) > most:
        raise Refused(Refusal.INVALID, f"the {what} has more than {most} characters")
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise Refused(Refusal.INVALID, f"the {what} holds characters that are none")
