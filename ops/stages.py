"""A mail's way in stages: how much waits before each, and since when. Pure."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from ops.problems import Facts
from shared.topics import DISPATCHED, EVENTS, RECEIVED

_READERS = (("dispatch", RECEIVED), ("settle", DISPATCHED))


def stages(facts: Facts, moment: datetime) -> Iterator[dict[str, Any]]:
    """`waiting`: mails, records or events before the stage, None where nobody can count them (the mailbox);
    `oldest`: when the oldest of them came, of `fetch` the look that is longest ago; `age` in seconds. What a server
    that is away would say is left out."""
    for stage, waiting, oldest in _found(facts):
        age = None if oldest is None else max(0.0, (moment - oldest).total_seconds())
        yield {"stage": stage, "waiting": waiting, "oldest": oldest, "age": age}


def _found(facts: Facts) -> Iterator[tuple[str, int | None, datetime | None]]:
    stored = facts.stored
    if stored is not None:
        looks = [row["last_success"] for row in stored.accounts if row.get("last_success")]
        yield "fetch", None, min(looks, default=None)
    by_topic = {group.topic: group for group in facts.groups or ()}
    for stage, topic in _READERS:
        if topic in by_topic:
            yield stage, by_topic[topic].lag, by_topic[topic].oldest
    if stored is not None:
        yield "publish", stored.outbox["pending"], stored.outbox["oldest"]
    if EVENTS in by_topic:
        yield "compose", by_topic[EVENTS].lag, by_topic[EVENTS].oldest
    if stored is not None:
        mails = [row for row in stored.outbound if row["state"] != "held"]
        yield "send", sum(row["mails"] for row in mails), min((row["oldest"] for row in mails), default=None)
