"""A mail's way as steps with their times, and where it is now: from what the servers know of it. Pure."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from shared.kafka.record import Record
from shared.topics import DISPATCHED, RECEIVED

Row = Mapping[str, Any]

_TOLD = frozenset({"ticket_created", "article_added", "follow_up_rejected"})
_UNSENT = ("queued", "sending", "deferred", "unknown")
_READER = {RECEIVED: "dispatcher", DISPATCHED: "ticketing"}


class Step(NamedTuple):
    """`step`: arrived, fetched, dispatched, settled, event, delivery or dead_letter."""

    at: datetime | None
    step: str
    what: str


@dataclass(frozen=True)
class Mail:
    """`settled`: its claim; None: not settled. `records`: topic -> its record there, if it was found. `published`: its
    event left the outbox; `claimed`: when the mailer took it; rows of services.mailer.queries and
    services.ticketing.queries else."""

    id: str
    settled: Row | None = None
    records: Mapping[str, Record] = field(default_factory=dict)
    published: bool = True
    claimed: datetime | None = None
    deliveries: Sequence[Row] = ()
    letters: Sequence[Row] = ()


def steps(mail: Mail) -> list[Step]:
    """In order of time; what has no time stands last."""
    found = [*_way(mail), *map(_delivery, mail.deliveries), *map(_letter, mail.letters)]
    return sorted(found, key=lambda step: step.at or datetime.max.replace(tzinfo=UTC))


def place(mail: Mail) -> str:
    """Where the mail is now, and what comes next, in a sentence."""
    open_ = [letter for letter in mail.letters if letter["state"] == "open"]
    if open_:
        return (
            f"set aside ({open_[-1]['reason']}) and waits for a decision: `carteiro deadletters show {open_[-1]['id']}`"
        )
    if mail.settled is None:
        return _before(mail)
    became = mail.settled["outcome"] + (f", ticket {mail.settled['number']}" if mail.settled["number"] else "")
    if mail.settled["outcome"] not in _TOLD:
        return f"done: {became}"
    if not mail.published:
        return f"{became}; its event waits in the outbox for the relay"
    if mail.claimed is None:
        return f"{became}; its event waits on ticket.events.v1 for the mailer"
    states = Counter(delivery["state"] for delivery in mail.deliveries)
    mails = ", ".join(f"{number} {state}" for state, number in states.items()) or "none"
    waiting = any(states[state] for state in _UNSENT)
    return f"{became}; mails of ours: {mails}" if waiting else f"done: {became}; mails of ours: {mails}"


def _before(mail: Mail) -> str:
    for topic in (DISPATCHED, RECEIVED):
        if topic in mail.records:
            return f"waits on {topic} for the {_READER[topic]}: see `carteiro status`"
    decided = ", ".join(f"{letter['id']} {letter['state']}" for letter in mail.letters)
    return f"not settled; dead letter {decided}" if decided else "not settled, and not found on Kafka"


def _way(mail: Mail) -> Iterator[Step]:
    for topic, name in ((RECEIVED, "fetched"), (DISPATCHED, "dispatched")):
        record = mail.records.get(topic)
        if record is not None:
            at = datetime.fromtimestamp(record.timestamp / 1000, UTC)
            yield Step(at, name, f"{topic}, partition {record.partition}, offset {record.offset}")
    claim = mail.settled
    if claim is None:
        return
    if claim["received_at"] is not None:  # else its decision was erased
        yield Step(claim["received_at"], "arrived", f"account {claim['account']}, {claim['folder']}, {claim['uid']}")
    why = ", ".join(part for part in (claim["action"], claim["kind"], claim["reason"]) if part)
    ticket = f" {claim['number']} in {claim['queue']}" if claim["number"] else ""
    yield Step(claim["settled_at"], "settled", f"{claim['outcome']}{ticket}" + (f" ({why})" if why else ""))
    if claim["outcome"] in _TOLD:
        told = "claimed by the mailer" if mail.claimed else "published" if mail.published else "in the outbox"
        yield Step(mail.claimed, "event", f"{claim['event_id']}: {told}")


def _delivery(row: Row) -> Step:
    at = row["sent_at"] or row["failed_at"] or row["created_at"]
    code = " ".join(str(part) for part in (row["smtp_class"], row["smtp_code"]) if part)
    why = row["reason"] or code
    tried = f", {row['attempts']} attempts" if row["attempts"] else ""
    next_ = f", next {row['due_at']:%Y-%m-%d %H:%M:%S} UTC" if row["state"] == "deferred" and row["due_at"] else ""
    what = f"{row['delivery_id']}: {row['kind']} {row['rule']} to {row['recipient']}: {row['state']}"
    return Step(at, "delivery", what + (f" ({why}{tried}{next_})" if why or tried else ""))


def _letter(row: Row) -> Step:
    decided = f", {row['state']} by {row['decided_by']}" if row["state"] != "open" else ", open"
    where = f"{row['topic']}, partition {row['partition']}, offset {row['offset']}"
    return Step(row["received_at"], "dead_letter", f"{row['id']}: {row['reason']} ({where}{decided})")
