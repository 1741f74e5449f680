"""What needs somebody: from the facts of an installation to sentences, each with the runbook that helps. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from ops.advice import advice
from shared.kafka.groups import GroupState
from shared.topics import BY_NAME

Row = Mapping[str, Any]

STUCK = timedelta(minutes=5)
LATE = timedelta(minutes=2)
"""A look may take a while, and one that failed is tried again: beyond two intervals and this, something is wrong."""
INTERVAL = timedelta(minutes=10)


class Problem(NamedTuple):
    """`runbook` is a page of docs/runbooks."""

    about: str
    sentence: str
    runbook: str


@dataclass(frozen=True)
class Stored:
    """What PostgreSQL knows: rows of `account list`, of services.ticketing.queries and services.mailer.queries."""

    accounts: Sequence[Row] = ()
    queues: Sequence[Row] = ()
    outbound: Sequence[Row] = ()
    failed: Sequence[Row] = ()
    outbox: Row = field(default_factory=lambda: {"pending": 0, "oldest": None, "led": True, "to_come": 0})
    letters: Sequence[Row] = ()
    gaps: Sequence[Row] = ()


@dataclass(frozen=True)
class Facts:
    """None: that server could not be reached."""

    stored: Stored | None
    groups: Sequence[GroupState] | None


def problems(facts: Facts, now: datetime) -> list[Problem]:
    """In the order of a mail's way; empty when all is well."""
    found: list[Problem] = []
    if facts.stored is not None:
        found += [problem for row in facts.stored.accounts for problem in _account(row, now)]
    found += [problem for group in facts.groups or () for problem in _group(group, now)]
    if facts.stored is not None:
        found += _outbox(facts.stored.outbox, now)
        found += [problem for row in facts.stored.outbound for problem in _outbound(row, now)]
        found += [_failed(row, now) for row in facts.stored.failed]
        found += [_letters(row, now) for row in facts.stored.letters]
        found += [_gap(row, now) for row in facts.stored.gaps]
    return found


def _account(row: Row, now: datetime) -> Iterator[Problem]:
    about = f"account {row['account']}"
    success: datetime | None = row.get("last_success")
    if row["error"]:
        since = f" for {_for(row.get('error_since'), now)}" if row.get("error_since") else ""
        step = advice(row["error"], row["account"])
        sentence = f"fails{since}: {row['error_text'] or row['error']}{f'. Next: {step}' if step else ''}"
        yield Problem(about, sentence, "CarteiroAccountNotPolled")
    elif row.get("holder") is None:
        yield Problem(about, "nobody reads it: is a fetcher running?", "CarteiroAccountUnowned")
    elif success is not None and now - success > 2 * row.get("interval", INTERVAL) + LATE:
        yield Problem(about, f"no look has succeeded for {_for(success, now)}", "CarteiroAccountNotPolled")


def _group(group: GroupState, now: datetime) -> Iterator[Problem]:
    about = f"group {group.group}"
    waiting = f"{group.lag} records wait on {group.topic}"
    if not group.members:
        what = f"nobody reads, {waiting}" if group.lag else f"nobody reads {group.topic}"
        yield Problem(about, f"{what}: is {service_of(group.group)} running?", "CarteiroMetricsAbsent")
    elif group.oldest is not None and BY_NAME[group.topic].mail and now - group.oldest > half_kept(group.topic):
        sentence = f"{waiting}, the oldest for {_for(group.oldest, now)}: no more mail is taken in until it is read"
        yield Problem(about, sentence, "CarteiroBrake")
    elif group.oldest is not None and now - group.oldest > STUCK:
        yield Problem(about, f"{waiting}, the oldest for {_for(group.oldest, now)}", "CarteiroPartitionWaits")


def half_kept(topic: str) -> timedelta:
    """Half of the time that Kafka keeps a record: beyond it the fetchers' brake is on."""
    return timedelta(days=BY_NAME[topic].retention_days) / 2


def service_of(group: str) -> str:
    """`carteiro-mailer-events` is the mailer's."""
    return group.split("-")[1]


def _outbox(row: Row, now: datetime) -> Iterator[Problem]:
    if not row["led"]:
        sentence = "no ticketing process has compared this database with the topic and leads: nothing becomes a ticket"
        yield Problem("outbox", sentence, "CarteiroOutboxUnled")
    if row["oldest"] is not None and now - row["oldest"] > STUCK:
        sentence = f"{row['pending']} events wait to be published, the oldest for {_for(row['oldest'], now)}"
        yield Problem("outbox", sentence, "CarteiroOutboxStuck")


def _outbound(row: Row, now: datetime) -> Iterator[Problem]:
    # one that the recipient's server postponed is in time until it is due; a queued one is due at once, and is
    # given back with a new time whenever our own account fails
    if row["state"] == "held":
        sentence = f"{_mails(row['mails'])} held back until `carteiro mail release`"
        yield Problem(f"outbound account {row['account']}", sentence, "CarteiroOutboundStuck")
        return
    since: datetime = row["oldest"] if row["state"] == "queued" else row["due"]
    if now - since > STUCK:
        number = "1 mail waits" if row["mails"] == 1 else f"{row['mails']} mails wait"
        sentence = f"{number} to be sent ({row['state']}), the oldest for {_for(row['oldest'], now)}"
        yield Problem(f"outbound account {row['account']}", sentence, "CarteiroOutboundStuck")


def _failed(row: Row, now: datetime) -> Problem:
    code = f" {row['code']}" if row["code"] else ""
    sentence = (
        f"{_mails(row['mails'])} failed ({row['kind']}: {row['cause']}{code}), the first {_for(row['oldest'], now)} ago"
    )
    return Problem(f"outbound account {row['account']}", sentence, "CarteiroMailFailed")


def _mails(number: int) -> str:
    return "1 mail" if number == 1 else f"{number} mails"


def _letters(row: Row, now: datetime) -> Problem:
    number = "1 waits" if row["letters"] == 1 else f"{row['letters']} wait"
    sentence = f"{number} for a decision ({row['reason']}), the oldest for {_for(row['oldest'], now)}"
    return Problem(f"dead letters of {row['topic']}", sentence, "CarteiroDeadLettersPresent")


def _gap(row: Row, now: datetime) -> Problem:
    what = "had expired before they were read" if row["reason"] == "expired" else "went with the topic's end"
    number = "1 record" if row["records"] == 1 else f"{row['records']} records"
    sentence = f"{number} {what}, noticed {_for(row['noticed'], now)} ago"
    return Problem(f"topic {row['topic']}", sentence, "CarteiroRecordsMissing")


def _for(since: datetime | None, now: datetime) -> str:
    seconds = max(0, int((now - since).total_seconds())) if since else 0
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
