"""An agent's answer to a customer: from whom, to whom, under what subject. Pure.

It leaves from the address that the customer wrote to, so that his answer comes back to the same desk, and never goes to
an address of ours: that would be a mail loop.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from services.ticketing.batch import LastMail, Ticket
from shared.desk.model import Desk, Mailbox, plain_address
from shared.events import Party

_MOST_RECIPIENTS = 50
_LONGEST = 320  # RFC 5321 section 4.5.3.1: 64 + 1 + 255


class Addressed(NamedTuple):
    """The head of an agent's answer. `references`: the customer's mail's, oldest first, and its own id last."""

    sender: Mailbox
    to: list[Party]
    cc: list[Party]
    subject: str
    in_reply_to: str
    references: list[str]


def addressed(
    ticket: Ticket,
    last: LastMail | None,
    desk: Desk,
    *,
    to: Sequence[Party] = (),
    cc: Sequence[Party] = (),
    subject: str = "",
) -> Addressed | None:
    """To the requester where nobody is named. None: the desk has no address to write from, or nobody is left to write
    to. `last`: the customer's last mail."""
    sender = _sender(ticket, last, desk)
    found = list(_others(to or [_requester(ticket, last)], desk, set()))
    copies = list(_others(cc, desk, {each.address.lower() for each in found}))
    if sender is None or not found:
        return None
    title = subject or (last.subject if last else "") or ticket.title
    if last is None:
        return Addressed(sender, found, copies, title, "", [])
    known = [*last.references, *([last.message_id] if last.message_id else [])]
    return Addressed(sender, found, copies, title, last.message_id, known)


def sent_to(head: Addressed) -> str:
    """A line for the history."""
    return f"Answer to {', '.join(each.address for each in (*head.to, *head.cc))}, from {head.sender.address}."


def _requester(ticket: Ticket, last: LastMail | None) -> Party:
    """By the ticket's customer; by the mail where the customer is a name and no address."""
    if last and ("@" not in ticket.customer_user or last.sender.address.lower() == ticket.customer_user.lower()):
        return last.sender
    return Party("", ticket.customer_user)


def _sender(ticket: Ticket, last: LastMail | None, desk: Desk) -> Mailbox | None:
    for address in last.recipients if last else ():
        for each in (address.lower(), plain_address(address)):
            if each in desk.system_addresses:
                return Mailbox(desk.system_addresses[each].name, each)
    return desk.sender_of_queue(ticket.queue)


def _others(parties: Iterable[Party], desk: Desk, told: set[str]) -> Iterable[Party]:
    for party in parties:
        address = party.address.lower()
        if "@" not in address or len(address) > _LONGEST or desk.owns(address) or address in told:
            continue
        told.add(address)
        if len(told) > _MOST_RECIPIENTS:
            return
        yield party
