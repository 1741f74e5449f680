"""What needs somebody: from the facts of an installation to sentences, each with the runbook that helps. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from ops.advice import advice
from shared.kafka.admin import Difference
from shared.kafka.groups import GroupState
from shared.topics import BY_NAME

Row = Mapping[str, Any]

STUCK = timedelta(minutes=5)
LATE = timedelta(minutes=2)
"""A look may take a while, and one that failed is tried again: beyond two intervals and this, something is wrong."""
INTERVAL = timedelta(minutes=10)
_RUNBOOKS = {
    "auth_failed": "CarteiroAccountAuthFailing",
    "mailbox_refused": "CarteiroAccountAuthFailing",
    "grant_refused": "CarteiroOauthGrantRefused",
}


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
    lacks: Sequence[str] = ()
    """Migrations that this version needs."""


@dataclass(frozen=True)
class Facts:
    """None: that server could not be reached. `topics`: how they differ from their declaration; `elsewhere`: other
    prefixes under which this Kafka has topics of Carteiro; `desk`: what is wrong with the file, a line each."""

    stored: Stored | None
    groups: Sequence[GroupState] | None
    topics: Sequence[Difference] = ()
    elsewhere: Sequence[str] = ()
    desk: Sequence[str] = ()


def problems(facts: Facts, now: datetime) -> list[Problem]:
    """In the order of a mail's way; empty when all is well."""
    found = [*_desk(facts.desk), *_schema(facts.stored), *_topics(facts.topics, facts.elsewhere)]
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


def _desk(findings: Sequence[str]) -> Iterator[Problem]:
    if findings:
        more = f" (and {len(findings) - 1} more: `carteiro desk check`)" if len(findings) > 1 else ""
        sentence = f"refused: {findings[0]}{more}. What runs goes on with the last good one, and does not start anew"
        yield Problem("desk", sentence, "CarteiroDeskReloadFailed")


def _schema(stored: Stored | None) -> Iterator[Problem]:
    if stored is not None and stored.lacks:
        yield Problem("schema", f"lacks {', '.join(stored.lacks)}: run `carteiro migrate`", "CarteiroMetricsAbsent")


def _topics(differences: Sequence[Difference], elsewhere: Sequence[str]) -> Iterator[Problem]:
    """One sentence where none is there: then it is the prefix, or nobody has made them."""
    missing = [each for each in differences if each.setting == "missing"]
    if len(missing) == len(BY_NAME):
        hint = (
            f"; there are some under {' and '.join(map(repr, elsewhere))}: is CARTEIRO_PREFIX right?"
            if elsewhere
            else ""
        )
        sentence = f"none is there, {missing[0].topic} for one: run `carteiro topics apply`{hint}"
        yield Problem("topics", sentence, "CarteiroMetricsAbsent")
        return
    for each in differences:
        if each.setting == "missing":
            sentence = "is missing: run `carteiro topics apply`"
        elif each.setting == "replicas":
            sentence = (
                f"has {each.found} replicas, CARTEIRO_KAFKA_REPLICAS wants {each.expected}: reassign its partitions"
            )
        else:
            sentence = f"{each.setting} is {each.found}, expected {each.expected}: run `carteiro topics apply`"
        yield Problem(f"topic {each.topic}", sentence, "CarteiroMetricsAbsent")


def _account(row: Row, now: datetime) -> Iterator[Problem]:
    about = f"account {row['account']}"
    success: datetime | None = row.get("last_success")
    if row["error"]:
        since = f" for {_for(row.get('error_since'), now)}" if row.get("error_since") else ""
        step = advice(row["error"], row["account"])
        sentence = f"fails{since}: {row['error_text'] or row['error']}{f'. Next: {step}' if step else ''}"
        yield Problem(about, sentence, _RUNBOOKS.get(row["error"], "CarteiroAccountNotPolled"))
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
