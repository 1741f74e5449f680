"""A batch of facts about tickets: claimed, judged, written, enqueued, all in one transaction."""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from services.mailer.letters import Desktop, Sign
from services.mailer.loops import Verdict, judge
from services.mailer.plans import Outbound, counted_addresses, deliveries, plan_for, rows_of
from services.mailer.queue_store import QueueStore
from services.mailer.states import State
from shared import metrics
from shared.clock import now
from shared.desk.load import LoadedDesk
from shared.desk.watch import DeskWatch
from shared.events import ArticleFact, MailOversize, UnknownFact
from shared.failures import NewerWriter, Permanent
from shared.kafka.consumer import next_offsets
from shared.kafka.record import Record
from shared.logs import fields
from shared.topics import EVENTS
from shared.wire import decode_fact, of_newer_writer

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Handler:
    """`wake` is called after each commit that queued mail."""

    store: QueueStore
    desk: DeskWatch
    sign: Sign
    wake: Callable[[], None]

    async def __call__(self, records: Sequence[Record]) -> None:
        facts, skipped = _decoded(records)
        desk = await self._desk_for(facts)
        moment = now()
        day = moment.astimezone(desk.desk.zone).date()
        async with self.store.batch() as batch:
            fresh = await batch.claim(facts)
            plans = [plan_for(event_id, fact, desk.desk) for event_id, fact in facts.items() if event_id in fresh]
            counts = await batch.answers_of(counted_addresses(plans, desk.desk), day)
            verdicts = [judge(plan.fact, plan.answer, desk.desk, counts) for plan in plans]
            ids = await batch.delivery_ids(deliveries(plans))
            desktop = Desktop(desk.desk, desk.texts, self.sign)
            rows = rows_of(zip(plans, verdicts, strict=True), iter(ids), desktop)
            await batch.enqueue(rows)
            await batch.save_answers_of(counts, day)
            await batch.save_offsets(EVENTS, next_offsets(records))
        self.wake()
        _count(rows, verdicts, skipped)

    async def _desk_for(self, facts: dict[str, ArticleFact]) -> LoadedDesk:
        """The desk in use; looked at once more when a fact names a queue it does not know: the writer may have
        read a newer one."""
        desk = self.desk.current
        if any(desk.desk.queue(fact.queue) is None for fact in facts.values()):
            return await self.desk.check()
        return desk


def _count(rows: Sequence[Outbound], verdicts: Sequence[Verdict], skipped: Counter[str]) -> None:
    for kind, number in skipped.items():
        metrics.events_skipped.labels(kind).inc(number)
    for reason, number in Counter(verdict.reason for verdict in verdicts).items():
        if reason:
            metrics.autoresponse_suppressed.labels(reason).inc(number)
    queued = sum(row.state is State.QUEUED for row in rows)
    if rows:
        log.info("mails queued", extra=fields(action="mails_queued", queued=queued, suppressed=len(rows) - queued))


def origin_of(record: Record) -> str:
    """What the fuse tells records apart by: the ticket."""
    return (record.key or b"").decode("ascii", "replace")


def _decoded(records: Sequence[Record]) -> tuple[dict[str, ArticleFact], Counter[str]]:
    """Facts by event id, and how many of which type are not for us. Raises Permanent for what is no event."""
    facts: dict[str, ArticleFact] = {}
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
        if isinstance(fact, MailOversize):
            skipped[fact.TYPE] += 1
        elif not event_id:
            raise Permanent("decode", "ce_id")
        elif not fact.ticket_id.isdecimal():
            raise Permanent("decode", "$.ticket_id")
        else:
            facts.setdefault(event_id, fact)  # the first: a repeat is of a later moment, and others may have read it
    return facts, skipped


def _field(error: msgspec.MsgspecError) -> str:
    """The path msgspec puts at the end of its message, without the rest, which may hold a value."""
    _, found, path = str(error).rpartition(" - at `")
    return path.rstrip("`") if found else "$"
