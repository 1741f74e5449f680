"""A batch of facts about tickets: claimed, judged, written, enqueued, all in one transaction."""

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

import msgspec

from services.mailer.agent_replies import rows_of_reply
from services.mailer.letters import Desktop, Sign
from services.mailer.loops import WINDOWS, Reason, Verdict, counted
from services.mailer.plans import (
    Draft,
    Outbound,
    Plan,
    bounces_of,
    drafts_of,
    plan_for,
    rows_of,
    verdict_of,
    windows_for,
)
from services.mailer.queue_store import DOT_WITHIN, Batch, Claimed, QueueStore
from services.mailer.recipients import MailKind
from services.mailer.states import State
from shared import metrics, tracing
from shared.clock import boottime, monotonic, now
from shared.desk.load import LoadedDesk
from shared.desk.model import Desk
from shared.desk.model import Outbound as Way
from shared.desk.watch import DeskWatch
from shared.events import (
    AgentReplied,
    ArticleFact,
    NoteAdded,
    TicketEvent,
    TicketSplit,
    TicketUpdated,
    UnknownFact,
)
from shared.failures import NewerWriter, Permanent
from shared.kafka.record import Record
from shared.logs import fields
from shared.topics import EVENTS
from shared.wire import decode_fact, of_newer_writer

log = logging.getLogger(__name__)

SLICE_SECONDS = 0.01
_NOWHERE = Way(type="none")


class Doors(Protocol):
    """The sending side, as far as new mail concerns it."""

    def reserved(self) -> AbstractContextManager[Mapping[str, int]]:
        """How many mails each outbound account takes at once; kept free inside."""

    def hand_over(self, mails: Mapping[str, Sequence[Claimed]], /) -> None:
        """Mails that were written as claimed, by account; committed."""

    def wake(self) -> None:
        """Mail was queued."""


@dataclass(frozen=True)
class Handler:
    store: QueueStore
    desk: DeskWatch
    sign: Sign
    doors: Doors

    async def __call__(self, records: Sequence[Record]) -> None:
        began = monotonic()
        facts, replies, told, skipped = _decoded(records)
        desk = await self._desk_for(facts)
        with tracing.batch("compose", (record.header("traceparent") for record in records)) as spans:
            traceparents = _traced(records, {**facts, **replies}, spans)
            rows, verdicts, bounced = await self._written(records, facts, replies, desk, traceparents)
        self.doors.wake()
        metrics.unaccounted.labels(EVENTS).dec(told + skipped.total())
        _count(rows, verdicts, skipped, desk.desk)
        metrics.bounces.inc(bounced)
        metrics.stage_duration.labels("render").observe(monotonic() - began)

    async def _written(
        self,
        records: Sequence[Record],
        facts: Mapping[str, TicketEvent],
        replies: Mapping[str, AgentReplied],
        desk: LoadedDesk,
        traceparents: Mapping[str, str],
    ) -> tuple[list[Outbound], list[Verdict], int]:
        """The rows of a batch, with what was decided about each, and how many mails of ours came back; committed."""
        moment = now()
        absences = await self.store.absences() if facts else {}
        plans = [plan_for(event_id, fact, desk.desk, absences) for event_id, fact in facts.items()]
        desktop = Desktop(desk.desk, desk.texts, self.sign)
        drafts = await _composed(plans, desktop, moment)
        with self.doors.reserved() as room:
            claimed_since = boottime()
            async with self.store.batch() as batch:
                await batch.take_offsets(EVENTS, records)
                fresh = await batch.claim([*facts, *replies])
                drafts = [draft for draft in drafts if draft.plan.event_id in fresh]
                plans = [plan for plan in plans if plan.event_id in fresh]
                known = await batch.known(windows_for(plans, desk.desk, moment), _recipients(plans))
                verdicts = [verdict_of(draft, desk.desk, known, moment) for draft in drafts]
                ids, birth = await batch.birth(len(drafts), room)
                rows = rows_of(zip(drafts, verdicts, strict=True), iter(ids), desk.desk, birth)
                if traceparents:
                    rows = [row._replace(traceparent=traceparents[row.event_id]) for row in rows]
                await batch.enqueue(rows)
                answers = {each: replies[each] for each in replies if each in fresh}
                await _enqueue_replies(batch, answers, desktop, traceparents)
                bounced = await batch.bounce(bounces_of(plan.fact for plan in plans))
                await batch.save_counts(known.counts)
            self.doors.hand_over(born_claimed(rows, claimed_since))
        return rows, verdicts, bounced

    async def _desk_for(self, facts: Mapping[str, TicketEvent]) -> LoadedDesk:
        """The desk in use; looked at once more when a fact names a queue it does not know: the writer may have
        read a newer one."""
        desk = self.desk.current
        if any(desk.desk.queue(fact.queue) is None for fact in facts.values()):
            return await self.desk.check()
        return desk


async def _composed(plans: Sequence[Plan], desktop: Desktop, moment: datetime) -> list[Draft]:
    """In slices: hundreds of agents are seconds of composing, and the loop has mails to send and leases to keep."""
    drafts: list[Draft] = []
    began = monotonic()
    for plan in plans:
        for draft in drafts_of(plan, desktop, moment):
            drafts.append(draft)
            if monotonic() - began > SLICE_SECONDS:
                await asyncio.sleep(0)
                began = monotonic()
    return drafts


async def _enqueue_replies(
    batch: Batch, replies: Mapping[str, AgentReplied], desktop: Desktop, traceparents: Mapping[str, str]
) -> None:
    if not replies:
        return
    texts = await batch.texts([int(fact.article_id) for fact in replies.values()])
    ids, birth = await batch.birth(sum(len(fact.to) + len(fact.cc) for fact in replies.values()), {})
    numbers = iter(ids)
    for event_id, fact in replies.items():
        text = texts.get(int(fact.article_id))
        rows = rows_of_reply(event_id, fact, text, desktop=desktop, ids=numbers, birth=birth)
        await batch.enqueue([row._replace(traceparent=traceparents.get(event_id)) for row in rows])


def _traced(records: Sequence[Record], facts: Mapping[str, TicketEvent], spans: tracing.Spans) -> dict[str, str]:
    """Event id -> the trace that its mails go on; empty where nothing is traced."""
    found: dict[str, str] = {}
    for position, record in enumerate(records if tracing.on() else ()):
        event_id = record.header("ce_id").decode("utf-8", "replace")
        if event_id in facts:
            spans.note(position, ticket_number=facts[event_id].number)
            found.setdefault(event_id, spans.of(position).decode())
    return found


def _recipients(plans: Sequence[Plan]) -> list[str]:
    return [counted(plan.answer) for plan in plans if plan.answer]


def born_claimed(rows: Sequence[Outbound], since: float) -> dict[str, list[Claimed]]:
    """What this process may send at once. `since`: a `boottime` before the transaction's time."""
    found: dict[str, list[Claimed]] = {}
    for row in rows:
        if row.state is State.SENDING and row.raw is not None:
            found.setdefault(row.account, []).append(
                Claimed(
                    id=row.id,
                    kind=row.kind,
                    template=row.template,
                    ticket_id=row.ticket_id,
                    recipient=row.recipient,
                    sender=row.sender,
                    raw=row.raw,
                    attempts=row.attempts,
                    age=timedelta(0),
                    received_at=row.received_at,
                    traceparent=row.traceparent,
                    dot_before=since + DOT_WITHIN.total_seconds(),
                )
            )
    return found


def _count(rows: Sequence[Outbound], verdicts: Sequence[Verdict], skipped: Counter[str], desk: Desk) -> None:
    for kind, number in skipped.items():
        metrics.events_skipped.labels(kind).inc(number)
    withheld: Counter[tuple[MailKind, Reason]] = Counter()
    for row, verdict in zip(rows, verdicts, strict=True):
        if verdict.reason:
            withheld[row.kind, verdict.reason] += 1
        elif row.kind == MailKind.AUTO_RESPONSE and desk.outbound.get(row.account, _NOWHERE).type != "none":
            metrics.responses_due.inc()
    for (kind_, reason), number in withheld.items():
        (
            metrics.autoresponse_suppressed if kind_ is MailKind.AUTO_RESPONSE else metrics.notification_suppressed
        ).labels(reason).inc(number)
        if reason in WINDOWS:
            metrics.window_full.labels(reason).set_to_current_time()
            log.warning("mail is withheld: too many went out", extra=fields(action="window_full", cause=reason))
    if rows:
        suppressed = sum(withheld.values())
        log.info(
            "mails queued", extra=fields(action="mails_queued", queued=len(rows) - suppressed, suppressed=suppressed)
        )


def origin_of(record: Record) -> str:
    """What the fuse tells records apart by: the ticket."""
    return (record.key or b"").decode("ascii", "replace")


def _decoded(
    records: Sequence[Record],
) -> tuple[dict[str, TicketEvent], dict[str, AgentReplied], int, Counter[str]]:
    """Facts by event id, agents' answers by event id, how many records told them (some come twice), and how many of
    which type are not for us. Raises Permanent for what is no event."""
    facts: dict[str, TicketEvent] = {}
    replies: dict[str, AgentReplied] = {}
    told = 0
    skipped: Counter[str] = Counter()
    for record in records:
        event_id = record.header("ce_id").decode("utf-8", "replace")
        try:
            fact = decode_fact(record.header("ce_type"), record.value or b"")
        except UnknownFact:
            skipped["unknown"] += 1
            continue
        except msgspec.MsgspecError as error:
            if of_newer_writer(error):
                raise NewerWriter("a value of a newer version") from error
            raise Permanent("decode", _field(error)) from error
        if not isinstance(fact, ArticleFact | TicketUpdated | NoteAdded | TicketSplit | AgentReplied):
            skipped[fact.TYPE] += 1
        elif not event_id:
            raise Permanent("decode", "ce_id")
        elif not fact.ticket_id.isdecimal():
            raise Permanent("decode", "$.ticket_id")
        elif isinstance(fact, AgentReplied):
            told += 1
            replies.setdefault(event_id, fact)
        else:
            told += 1
            facts.setdefault(event_id, fact)  # the first: a repeat is of a later moment, and others may have read it
    return facts, replies, told, skipped


def _field(error: msgspec.MsgspecError) -> str:
    """The path msgspec puts at the end of its message, without the rest, which may hold a value."""
    _, found, path = str(error).rpartition(" - at `")
    return path.rstrip("`") if found else "$"
