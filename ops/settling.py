"""What the candidates of a decision would settle to now: asked of ticketing's tables, judged by its own rules."""

from typing import NamedTuple

from services.ticketing import policy
from services.ticketing.batch import sought
from services.ticketing.queries import Holder, holders, takes_part
from shared.desk.model import Desk, Queue
from shared.events import Candidate, MailDispatched, TraceStep
from shared.postgres import Connection

_WORDS = {
    policy.Effect.ADD: "an article is added",
    policy.Effect.ADD_ONLY: "an article is added, its state stays",
    policy.Effect.REOPEN: "an article is added and the ticket opens",
    policy.Effect.REJECT: "an article is added, the sender is told that it is closed",
    policy.Effect.NEW_TICKET: "it is closed: a new ticket, linked with it",
}


class Settled(NamedTuple):
    """`action` and `ticket` of the decision; `steps` for the trace."""

    action: str
    ticket: str
    reason: str
    steps: list[TraceStep]


async def settle_now(connection: Connection, event: MailDispatched, desk: Desk) -> Settled:
    """The first candidate that exists now, whether its sender may write to it, and what would be done."""
    steps: list[TraceStep] = []
    for candidate in event.candidates:
        holder, saw = await _holder(connection, candidate)
        if holder is None:
            steps.append(TraceStep(f"ticketing:{candidate.check}", candidate.value[:200], saw))
            continue
        steps.append(TraceStep(f"ticketing:{candidate.check}", candidate.value[:200], f"ticket {holder.number}"))
        return await _judged(connection, event, desk, (holder, candidate), steps)
    return Settled("new", "", "no candidate is a ticket now" if event.candidates else "nothing names a ticket", steps)


async def _holder(connection: Connection, candidate: Candidate) -> tuple[Holder | None, str]:
    found = await holders(connection, sought(candidate.check, candidate.value))
    if len(found) > 1:
        return None, "ambiguous: articles of several tickets carry it"
    return (found[0], "") if found else (None, "no such ticket")


async def _judged(
    connection: Connection, event: MailDispatched, desk: Desk, found: tuple[Holder, Candidate], steps: list[TraceStep]
) -> Settled:
    holder, candidate = found
    queue = desk.queue(holder.queue) or Queue()
    sender = event.sender.address.lower()
    agents = {agent.email.lower() for agent in desk.agents_of_queue(holder.queue)}
    belongs = sender in agents or await takes_part(connection, holder.id, sender)
    # ticketing asks every candidate for the proof; the first signed one is enough to show it
    signed = False
    for each in event.candidates:
        if each.proves_sender and not signed:
            proved, _ = await _holder(connection, each)
            signed = proved is not None and proved.id == holder.id
    allowed = policy.may_follow_up(
        queue.follow_up_from, sender, {sender} if belongs else (), signed=signed, verified=event.answer.verified
    )
    who = "has a signed id of ours" if signed else "takes part" if belongs else "has no part in it"
    saw = f"{sender or 'nobody'} {who}; {holder.queue} takes {queue.follow_up_from}"
    steps.append(TraceStep("ticketing:sender", saw, "may follow up" if allowed else "may not follow up"))
    if not allowed:
        return Settled("new", "", f"claims ticket {holder.number}, whose queue does not take this sender", steps)
    effect = policy.effect(
        queue.follow_up,
        closed=policy.is_closed(holder.state_type),
        automatic=event.classification.automatic,
        reopen=event.follow_up.reopen,
    )
    action = (
        "new" if effect is policy.Effect.NEW_TICKET else "reject" if effect is policy.Effect.REJECT else "follow_up"
    )
    reason = f"{candidate.check} finds ticket {holder.number} ({holder.state}, {holder.queue}): {_WORDS[effect]}"
    return Settled(action, holder.number, reason, steps)
