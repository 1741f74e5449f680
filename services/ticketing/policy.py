"""What a reply may do to a ticket: who may add to it, what happens to its state. Pure.

The table is OTRS's follow-up option (`possible`, `reject`, `new_ticket`); two rules are our own: a sender who does
not belong to the conversation adds nothing, and automatic mail changes no state, so a machine reopens no ticket.
"""

from collections.abc import Collection
from datetime import datetime, timedelta
from enum import Enum, auto

from shared.desk.model import FollowUp, FollowUpFrom

STATE_TYPES = {
    "new": "new",
    "open": "open",
    "pending reminder": "pending reminder",
    "pending auto close+": "pending auto",
    "pending auto close-": "pending auto",
    "closed successful": "closed",
    "closed unsuccessful": "closed",
    "merged": "merged",
    "removed": "removed",
}
"""OTRS's states and their types."""


class Effect(Enum):
    """What a follow-up does."""

    ADD = auto()  # an article, the state as the plan says
    ADD_ONLY = auto()  # an article, the state stays
    REOPEN = auto()  # an article, and the closed ticket opens
    REJECT = auto()  # an article on a closed ticket that stays closed; the sender is told
    NEW_TICKET = auto()  # a ticket of its own, linked to the closed one


def known_state(name: str, default: str) -> str:
    """A state a sender or a rule names, or the default where there is none of that name."""
    return name if name in STATE_TYPES else default


def is_closed(state_type: str) -> bool:
    """OTRS: the state type begins with `removed` or `close`."""
    return state_type.lower().startswith(("removed", "close"))


def may_follow_up(
    rule: FollowUpFrom, sender: str, participants: Collection[str], *, signed: bool, verified: bool
) -> bool:
    """May this sender add to the ticket? `signed`: the mail carries a signed id of ours of this very ticket, so
    it answers a mail that we sent. `verified`: a server that the desk trusts vouched for the sender's address, which
    `authenticated` asks for besides a part in the conversation; a mail without a sender has neither."""
    if signed or rule == "anyone":
        return True
    return bool(sender) and sender in participants and (rule == "participants" or verified)


def too_late(closed_at: datetime | None, within: timedelta | None, moment: datetime) -> bool:
    """Is it too long since the ticket was closed for a mail to open it again? `within` is the queue's; a ticket closed
    before there was such a time opens."""
    return within is not None and closed_at is not None and moment - closed_at > within


def effect(
    option: FollowUp, *, closed: bool, automatic: bool, reopen: bool, merged: bool = False, late: bool = False
) -> Effect:
    """What a permitted follow-up does. `option` is the queue's, `reopen` the plan's, `late`: `too_late`. A merged
    ticket stays merged."""
    if automatic or merged:
        return Effect.ADD_ONLY
    if not closed:
        return Effect.ADD
    if option == "reject":
        return Effect.REJECT
    if option == "new_ticket" or late:
        return Effect.NEW_TICKET
    return Effect.REOPEN if reopen else Effect.ADD_ONLY


def state_after(effect: Effect, state: str, wanted: str, *, named: bool = False) -> str:
    """The ticket's state after the article. `wanted` is the plan's, empty keeps. A new ticket stays new until
    somebody works on it, unless a control header names its state; of a closed one only a reopening changes the
    state."""
    if effect is Effect.REOPEN:
        opened = known_state(wanted, "open")
        return "open" if is_closed(STATE_TYPES[opened]) and not named else opened
    if effect is Effect.ADD and wanted and (named or STATE_TYPES.get(state) != "new"):
        return known_state(wanted, state)
    return state
