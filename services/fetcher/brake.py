"""The brake: while mail already on Kafka is not read, no more is taken out of the mailboxes.

Kafka keeps a record for a fixed time. When the oldest unread one of a mail topic has waited half of it, the mailbox
is the safer place; an alert says so, and everything goes on by itself once the readers have caught up.
"""

import asyncio
import logging
import random
from collections.abc import Sequence
from datetime import datetime, timedelta

from services.fetcher.outlet import Outlet
from shared import metrics
from shared.clock import now
from shared.kafka.admin import KafkaUnreachable
from shared.kafka.connection import Kafka
from shared.kafka.groups import GroupState, group_states
from shared.logs import fields
from shared.topics import BY_NAME

log = logging.getLogger(__name__)

_LOOKED_EVERY = 60.0


def reason(states: Sequence[GroupState], moment: datetime) -> str:
    """Why nothing may be taken in at `moment`, in a sentence; empty: nothing speaks against it."""
    for state in states:
        topic = BY_NAME[state.topic]
        if not topic.mail or state.oldest is None:
            continue
        age, half = moment - state.oldest, timedelta(days=topic.retention_days) / 2
        if age > half:
            return (
                f"the brake is on: the oldest unread record of {topic.name} has waited {age.days} days of the "
                f"{topic.retention_days} that Kafka keeps it, so mail stays in the mailboxes; start its reader "
                f"({state.group}), it goes on by itself"
            )
    return ""


async def keep_watch(outlet: Outlet, kafka: Kafka, prefix: str, every: float = _LOOKED_EVERY) -> None:
    """Until cancelled. While the broker does not answer the brake stays as it is: nothing is taken then anyway."""
    while True:
        try:
            why = reason(await group_states(kafka, prefix), now())
        except KafkaUnreachable:
            why = outlet.brake
        if bool(why) != bool(outlet.brake):
            log.warning("the brake: %s", why or "off", extra=fields(action="brake"))
        outlet.brake = why
        metrics.brake.set(1 if why else 0)
        await asyncio.sleep(every * (1 + random.random() / 5))  # noqa: S311  # jitter
