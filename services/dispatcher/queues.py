"""Which queue takes a mail: the account's, or that of the first recipient that is an address of ours."""

from collections.abc import Iterator
from typing import NamedTuple

from services.dispatcher.fields import addresses
from shared.desk.model import Desk
from shared.events import TraceStep
from shared.mime.model import Mail

_RECIPIENT_FIELDS = (
    *("resent-to", "envelope-to", "to", "cc", "delivered-to", "x-original-to"),
    *("x-envelope-to", "x-forwarded-to"),
)
"""OTRS's six in its order, then those of other servers; within one field in the order of its addresses."""
_SHOWN = 200


class Choice(NamedTuple):
    queue: str
    trace: list[TraceStep]


def queue_of(mail: Mail, account: str, desk: Desk) -> Choice:
    """A name the desk knows, always. An account it no longer knows (renamed while its mail was on the way) counts
    as one whose mail is dispatched by its recipients."""
    known = desk.accounts.get(account)
    trace = []
    if known is None:
        trace.append(TraceStep("account", account[:_SHOWN], "not in the desk: by recipient"))
    elif known.queue:
        return Choice(known.queue, [TraceStep("queue", f"account {account}"[:_SHOWN], known.queue)])
    for field, address in _recipients(mail):
        queue = desk.queue_for_recipient(address)
        if queue:
            return Choice(queue, [*trace, TraceStep("queue", f"{field}: {address}"[:_SHOWN], queue)])
    trace.append(TraceStep("queue", "no recipient is an address of ours", f"default queue {desk.default_queue}"))
    return Choice(desk.default_queue, trace)


def _recipients(mail: Mail) -> Iterator[tuple[str, str]]:
    for field in _RECIPIENT_FIELDS:
        for recipient in addresses(mail, field):
            yield field, recipient.address
