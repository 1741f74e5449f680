"""What a plan says of a ticket's fields: taken where the name is known, else noted in its history. Pure."""

from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

from services.ticketing import policy
from services.ticketing.batch import Ticket
from shared.desk.model import Desk, Queue
from shared.events import FollowUpPlan, NewTicketPlan

PRIORITIES = ("1 very low", "2 low", "3 normal", "4 high", "5 very high")
LOCKS = ("unlock", "lock", "tmp_lock")


class Note(NamedTuple):
    """A line of the history: its type in OTRS's words, and the text."""

    type: str
    text: str


def of_new(plan: NewTicketPlan, desk: Desk) -> tuple[dict[str, Any], list[Note]]:
    """The fields of a new ticket, and what is to be noted of them."""
    notes: list[Note] = []

    def known(what: str, name: str, among: Any, default: str) -> str:
        if name and name not in among:
            notes.append(Note("Misc", f"The {what} {name} is unknown; it is {default or 'left empty'}."))
        return name if name in among else default

    state = known("state", plan.state, policy.STATE_TYPES, "new")
    found = {
        "state": state,
        "state_type": policy.STATE_TYPES[state],
        "priority": known("priority", plan.priority, PRIORITIES, "3 normal"),
        "lock": known("lock", plan.lock, LOCKS, "unlock"),
        "owner": known("owner", plan.owner, desk.agents, ""),
        "responsible": known("responsible", plan.responsible, desk.agents, ""),
        "type": plan.type,
        "service": plan.service,
        "sla": plan.sla,
        "customer_no": plan.customer_no,
        "pending_until": plan.pending_until,
        "dynamic_fields": dict(plan.dynamic_fields),
    }
    return found, notes


def changed(
    ticket: Ticket, plan: FollowUpPlan, desk: Desk, *, was_closed: bool, absent: Collection[str] = ()
) -> Iterator[Note]:
    """Changes the ticket as a follow-up says, with a line of history for each change. Its state is another matter
    (`policy.state_after`). OTRS's rule of locks comes first: a ticket without an owner, or whose owner has left or is
    out of office, is free; one that was closed is locked to its owner where the queue says so."""
    if ticket.owner not in desk.agents or ticket.owner in absent:
        yield from _set(ticket, "lock", "unlock", "Unlock")
    elif was_closed and (desk.queue(ticket.queue) or Queue()).follow_up_lock:
        yield from _set(ticket, "lock", "lock", "Lock")
    for field, wanted, among, kind in (
        ("queue", plan.queue, None, "Move"),
        ("title", plan.title, None, "TitleUpdate"),
        ("priority", plan.priority, PRIORITIES, "PriorityUpdate"),
        ("lock", plan.lock, LOCKS, "Lock" if plan.lock != "unlock" else "Unlock"),
        ("owner", plan.owner, desk.agents, "OwnerUpdate"),
        ("responsible", plan.responsible, desk.agents, "ResponsibleUpdate"),
        ("type", plan.type, None, "TypeUpdate"),
        ("service", plan.service, None, "ServiceUpdate"),
        ("sla", plan.sla, None, "SLAUpdate"),
    ):
        if not wanted:
            continue
        if (among is not None and wanted not in among) or (field == "queue" and desk.queue(wanted) is None):
            yield Note("Misc", f"The {field} {wanted} is unknown; it stays as it was.")
            continue
        yield from _set(ticket, field, wanted, kind)
    if plan.pending_until is not None and plan.pending_until != ticket.pending_until:
        ticket.pending_until = plan.pending_until
        yield Note("SetPendingTime", f"Pending until {plan.pending_until.isoformat()}.")
    for name, value in plan.dynamic_fields.items():
        if ticket.dynamic_fields.get(name) != value:
            ticket.dynamic_fields = ticket.dynamic_fields | {name: value}
            yield Note("TicketDynamicFieldUpdate", f"Field {name} is set.")


def _set(ticket: Ticket, field: str, wanted: str, kind: str) -> Iterator[Note]:
    before = getattr(ticket, field)
    if before != wanted:
        setattr(ticket, field, wanted)
        yield Note(kind, f"{field.capitalize()} from {before or 'none'} to {wanted}.")
