"""An agent's answer as rows of the queue: one for each recipient, who all see each other. Pure.

It is a person's mail: nothing marks it as automatic, no limit withholds it, and its bounce comes back to the desk.
"""

from collections.abc import Iterator
from datetime import datetime

from services.mailer.letters import Desktop, write_reply
from services.mailer.loops import STALE, Reason
from services.mailer.plans import Birth, Outbound, delivery_key
from services.mailer.recipients import MailKind, deliverable
from services.mailer.states import State
from shared.events import AgentReplied

RULE = "agent_reply"


def rows_of_reply(
    event_id: str, fact: AgentReplied, text: str | None, *, desktop: Desktop, ids: Iterator[int], birth: Birth
) -> Iterator[Outbound]:
    """`text`: the article's; None where it is gone, because the database went back behind it."""
    held = birth.held_before is not None and fact.occurred_at < birth.held_before
    sender = deliverable(fact.sender.address)
    for party in (*fact.to, *fact.cc):
        recipient = deliverable(party.address)
        reason = _withheld(fact, text, (sender, recipient), desktop, birth.now)
        delivery = delivery_key(event_id, RULE, recipient)
        mail = None if reason or text is None else write_reply(fact, text, recipient, delivery, desktop)
        yield Outbound(
            id=next(ids),
            event_id=event_id,
            rule=RULE,
            recipient=recipient or party.address,
            ticket_id=int(fact.ticket_id),
            ticket_number=fact.number,
            kind=MailKind.REPLY,
            template="",
            state=State.QUEUED if mail else State.SUPPRESSED,
            reason=str(reason or ""),
            account=desktop.desk.outbound_for(sender)[0] if mail else "",
            sender=sender,
            message_id=mail.message_id if mail else "",
            raw=mail.raw if mail else None,
            received_at=fact.occurred_at,
            attempts=0,
            due_at=datetime.max if held else birth.now,  # noqa: DTZ901  # as asyncpg writes infinity
            claimed_by="",
            claimed_until=None,
            queue=fact.queue,
            owner=fact.owner,
            responsible=fact.responsible,
        )


def _withheld(
    fact: AgentReplied, text: str | None, envelope: tuple[str, str], desktop: Desktop, now: datetime
) -> Reason | None:
    sender, recipient = envelope
    if text is None:
        return Reason.TEXT_GONE
    if not sender:
        return Reason.NO_SENDER
    if not recipient:
        return Reason.INVALID_ADDRESS
    if desktop.desk.owns(recipient):
        return Reason.OWN_ADDRESS
    return Reason.STALE if now - fact.occurred_at > STALE else None
