"""`carteiro audit`: every offset that was passed has its outcome.

Records are read from Kafka outside of any group and looked up where their outcome must be: the mail's claim, the
event's claim, the dead letter. What was passed is asked before anything is read, so that what is done meanwhile is
found.
"""

import sys
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from ops.backtest import moment_of
from ops.database import connected
from ops.show import lines, one_line, say
from services.mailer import queries as mailer
from services.ticketing import queries as ticketing
from shared.clock import now
from shared.events import AgentReplied, ArticleFact
from shared.kafka.admin import group_lags
from shared.kafka.reader import reading
from shared.kafka.record import Record
from shared.postgres import Connection
from shared.settings import Settings
from shared.topics import DEAD_LETTERS, DISPATCHED, EVENTS, GROUPS, RECEIVED
from shared.wire import FACTS, decode_dead_letter

_COLUMNS = ("topic", "partition", "first", "next", "passed", "recorded", "missing", "outcomes")
_WRONG_USAGE = 2


class Missing(NamedTuple):
    """A record without an outcome. `id`: transport key of a mail, id of an event."""

    topic: str
    partition: int
    offset: int
    id: str


@dataclass
class Span:
    """A partition: offsets from `first` to `next` (without it) were passed."""

    topic: str
    partition: int
    first: int
    next: int
    outcomes: Counter[str] = field(default_factory=Counter)

    @property
    def row(self) -> dict[str, Any]:
        passed, recorded = self.next - self.first, self.outcomes.total()
        shown = {"topic": self.topic, "partition": self.partition, "first": self.first, "next": self.next}
        return shown | {"passed": passed, "recorded": recorded, "missing": passed - recorded, "outcomes": self.outcomes}


@dataclass
class Ahead:
    """What is published and not read yet: where the outcome of an earlier stage may still be."""

    mails: set[str] = field(default_factory=set)
    letters: set[tuple[str, int, int]] = field(default_factory=set)


Outcomes = Callable[[Sequence[Record]], Awaitable[Mapping[tuple[int, int], str]]]


async def audit(since: str, *, as_json: bool) -> int:
    """1 when a record has no outcome, 2 for a time that cannot be read. Raises PostgresUnreachable, KafkaUnreachable,
    ReadFailed."""
    settings = Settings()
    try:
        start = moment_of(since, now())
    except ValueError:
        print(f"--since {since}: expected 2d, 12h, or a date such as 2026-01-31", file=sys.stderr)
        return _WRONG_USAGE
    async with connected(settings) as connection:
        spans, missing = await _audited(settings, connection, start)
    rows = [span.row for span in spans]
    named = [{"missing": True, **each._asdict()} for each in missing]
    if as_json:
        say("\n".join(one_line(row) for row in [*rows, *named]))
    else:
        say(_screen(rows, missing))
    return 1 if any(row["missing"] for row in rows) else 0


async def _audited(settings: Settings, connection: Connection, start: datetime) -> tuple[list[Span], list[Missing]]:
    lags = await group_lags(settings.cluster, settings.prefix)
    passed: dict[str, Mapping[int, int]] = {
        RECEIVED: {lag.partition: lag.committed or 0 for lag in lags if lag.group == GROUPS["dispatcher"][0]},
        DISPATCHED: await ticketing.next_offsets(connection, DISPATCHED),
        EVENTS: await mailer.next_offsets(connection, EVENTS),
        DEAD_LETTERS: await ticketing.next_offsets(connection, DEAD_LETTERS),
    }
    ahead = Ahead()
    auditor = _Auditor(settings, connection, start, ahead)
    spans: list[Span] = []
    for topic in (DEAD_LETTERS, DISPATCHED, RECEIVED, EVENTS):  # what is ahead of a stage is known before it
        spans += await auditor.topic(topic, passed[topic])
    return spans, auditor.missing


@dataclass
class _Auditor:
    settings: Settings
    connection: Connection
    start: datetime
    ahead: Ahead
    missing: list[Missing] = field(default_factory=list)

    async def topic(self, topic: str, passed: Mapping[int, int]) -> list[Span]:
        outcomes: Outcomes = {
            RECEIVED: self._of_mails,
            DISPATCHED: self._of_mails,
            EVENTS: self._of_events,
            DEAD_LETTERS: self._of_letters,
        }[topic]
        async with reading(self.settings.cluster, self.settings.prefix, topic) as reader:
            begin = await reader.offsets_at(self.start)
            begin = {partition: max(first, reader.beginnings[partition]) for partition, first in begin.items()}
            spans = {p: Span(topic, p, min(begin[p], passed[p]), passed[p]) for p in sorted(begin) if p in passed}
            async for records in reader.since({p: min(begin[p], passed.get(p, reader.beginnings[p])) for p in begin}):
                done = [r for r in records if r.partition in spans and r.offset < spans[r.partition].next]
                self._remember(topic, records[len(done) :])
                found = await outcomes(done)
                for record in done:
                    self._enter(spans[record.partition], record, found)
        return list(spans.values())

    def _enter(self, span: Span, record: Record, found: Mapping[tuple[int, int], str]) -> None:
        word = found.get((record.partition, record.offset))
        if word is None:
            name = record.header("ce_id").decode("ascii", "replace")
            self.missing.append(Missing(span.topic, record.partition, record.offset, name))
        else:
            span.outcomes[word] += 1

    def _remember(self, topic: str, records: Sequence[Record]) -> None:
        if topic == DISPATCHED:
            self.ahead.mails.update(record.header("ce_id").decode("ascii", "replace") for record in records)
        if topic == DEAD_LETTERS:
            self.ahead.letters.update(place for place in map(_origin, records) if place)

    async def _of_mails(self, records: Sequence[Record]) -> Mapping[tuple[int, int], str]:
        keys = {(r.partition, r.offset): _hex(r.header("ce_id")) for r in records}
        settled = await ticketing.outcomes(self.connection, [key for key in keys.values() if key])
        found = {place: settled[key] for place, key in keys.items() if key in settled}
        topic = records[0].topic if records else ""
        if topic == RECEIVED:
            ahead = self.ahead.mails
            waiting = {p: "to_be_settled" for p, key in keys.items() if key and key.hex() in ahead and p not in found}
            found |= waiting
        return found | await self._dead(topic, [place for place in keys if place not in found])

    async def _of_events(self, records: Sequence[Record]) -> Mapping[tuple[int, int], str]:
        ids = {(r.partition, r.offset): r.header("ce_id").decode("ascii", "replace") for r in records}
        done = await mailer.claimed(self.connection, list(ids.values()))
        found = {place: "claimed" for place, name in ids.items() if name in done}
        for record in records:
            kind = record.header("ce_type").decode("ascii", "replace")
            if kind not in FACTS or not issubclass(
                FACTS[kind], (ArticleFact, AgentReplied)
            ):  # the mailer passes it over
                found[record.partition, record.offset] = "skipped"
        return found | await self._dead(EVENTS, [place for place in ids if place not in found])

    async def _of_letters(self, records: Sequence[Record]) -> Mapping[tuple[int, int], str]:
        """Those whose origin is in the table; what is no letter has a row under its own place."""
        found: dict[tuple[int, int], str] = {}
        by_origin: dict[str, dict[tuple[int, int], list[tuple[int, int]]]] = defaultdict(lambda: defaultdict(list))
        for record in records:
            origin = _origin(record) or (DEAD_LETTERS, record.partition, record.offset)
            by_origin[origin[0]][origin[1:]].append((record.partition, record.offset))
        for topic, places in by_origin.items():
            for origin_place in await ticketing.set_aside(self.connection, topic, list(places)):
                found |= dict.fromkeys(places[origin_place], "kept")
        return found

    async def _dead(self, topic: str, places: Sequence[tuple[int, int]]) -> dict[tuple[int, int], str]:
        if not places:
            return {}
        kept = await ticketing.set_aside(self.connection, topic, places)
        coming = {place for place in places if (topic, *place) in self.ahead.letters}
        return dict.fromkeys(kept | coming, "dead_lettered")


def _origin(record: Record) -> tuple[str, int, int] | None:
    try:
        letter = decode_dead_letter(record.value, record.headers)
    except (KeyError, ValueError):
        return None
    return letter.origin_topic, letter.origin_partition, letter.origin_offset


def _hex(written: bytes) -> bytes | None:
    try:
        return bytes.fromhex(written.decode("ascii"))
    except ValueError:
        return None


def _screen(rows: Sequence[dict[str, Any]], missing: Sequence[Missing]) -> str:
    shown = [
        row | {"outcomes": ", ".join(f"{number} {word}" for word, number in sorted(row["outcomes"].items()))}
        for row in rows
        if row["passed"]
    ]
    table = lines(shown, _COLUMNS, as_json=False, empty="nothing was passed in this time")
    if not any(row["missing"] for row in rows):
        return f"{table}\n\nevery offset that was passed has its outcome"
    said = [f"  {each.topic}, partition {each.partition}, offset {each.offset}: {each.id}" for each in missing]
    return "\n".join([table, "", "NO OUTCOME (docs/runbooks/CarteiroRecordsUnaccounted.md)", *said])
