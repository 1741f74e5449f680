"""The two handlers of ticketing: decisions become tickets, dead letters become rows."""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from services.ticketing import dead_letter_store, store
from services.ticketing.batch import Mail, Settlement, mail_of
from services.ticketing.settle import settle
from services.ticketing.ticket_numbers import counting_day
from shared import metrics, tracing
from shared.clock import monotonic, now
from shared.desk.model import Desk
from shared.desk.watch import DeskWatch
from shared.events import Action, DeadLetter
from shared.failures import NewerWriter, Permanent
from shared.kafka.dead_letters import dead_letter_of
from shared.kafka.record import Record
from shared.kafka.stored_offsets import take_offsets
from shared.logs import fields
from shared.postgres import Pool, transaction
from shared.topics import DEAD_LETTERS, DISPATCHED
from shared.wire import decode_dead_letter, decode_dispatched, of_newer_writer

log = logging.getLogger(__name__)

_ACTIONS = frozenset(Action)


@dataclass(frozen=True)
class MailHandler:
    """Settles a batch of `mail.dispatched.v1` in one transaction. `wake` is called after each commit."""

    pool: Pool
    desk: DeskWatch
    wake: Callable[[], None]

    async def __call__(self, records: Sequence[Record]) -> None:
        began = monotonic()
        mails = [decoded(position, record) for position, record in enumerate(records)]
        desk = await self._desk_for(mails)
        system_id = desk.ticket.system_id
        with tracing.batch("settle", (record.header("traceparent") for record in records)) as spans:
            async with store.batch(self.pool) as batch:
                await batch.take_offsets(DISPATCHED, records)
                moment = now()  # under the lock: the day of the numbers must not go back
                day = counting_day(desk.ticket, moment, desk.zone)
                snapshot = await batch.load(mails, day, system_id, moment, desk.agents_by_address)
                settled = settle(mails, snapshot, desk, moment, day)
                traceparents = {mail.event_id: spans.of(mail.position).decode() for mail in mails if tracing.on()}
                await batch.save(settled, day, system_id, moment, traceparents)
                await batch.save_letters([(_letter(records[m.position], m), m) for m in settled.quarantined], moment)
            if tracing.on():
                _note(spans, settled)
        self.wake()
        _count(settled, spans)
        metrics.stage_duration.labels("store").observe(monotonic() - began)

    async def _desk_for(self, mails: Sequence[Mail]) -> Desk:
        """The desk in use, looked at once more when a plan names a queue it does not know: the dispatcher may
        have a newer one."""
        desk = self.desk.current.desk
        if all(desk.queue(mail.event.new.queue) for mail in mails):
            return desk
        return (await self.desk.check()).desk


@dataclass(frozen=True)
class DeadLetterHandler:
    """Copies dead letters from their topic into the table. Whatever a record holds, it finds a place there."""

    pool: Pool

    async def __call__(self, records: Sequence[Record]) -> None:
        moment = now()
        rows = [dead_letter_store.row(_received_letter(record), moment) for record in records]
        async with transaction(self.pool) as connection:
            await take_offsets(connection, "ticketing", DEAD_LETTERS, records)
            await dead_letter_store.insert(connection, rows)
        metrics.unaccounted.labels(DEAD_LETTERS).dec(len(rows))


def decoded(position: int, record: Record) -> Mail:
    """Raises Permanent for bytes that are no decision, NewerWriter for a value that this version does not know."""
    try:
        event = decode_dispatched(record.value or b"")
        mail = mail_of(position, event)
    except msgspec.ValidationError as error:
        if of_newer_writer(error):
            raise NewerWriter("a value of a newer version") from error
        raise Permanent("undecodable", _field(error)) from error
    except (msgspec.DecodeError, ValueError) as error:
        raise Permanent("undecodable") from error
    if event.action not in _ACTIONS:
        raise NewerWriter("an action of a newer version")
    return mail


def origin_of(record: Record) -> str:
    """The sender's domain: what the fuse counts origins by."""
    try:
        address = decode_dispatched(record.value or b"").sender.address
    except msgspec.DecodeError:
        return (record.key or b"").hex()
    return address.rpartition("@")[2].lower()


def _field(error: msgspec.ValidationError) -> str:
    """The path of the field, which msgspec puts behind the last ` - at `."""
    return str(error).rpartition(" - at ")[2]


def _letter(record: Record, mail: Mail) -> DeadLetter:
    reason = mail.event.reason or "quarantine:unknown"  # the dispatcher's word, `quarantine:…`
    return dead_letter_of(record, Permanent(reason), "dispatcher")


def _received_letter(record: Record) -> DeadLetter:
    try:
        return decode_dead_letter(record.value, record.headers)
    except (KeyError, ValueError) as error:
        return dead_letter_of(record, Permanent("undecodable", type(error).__name__), "ticketing")


def _note(spans: tracing.Spans, settled: Settlement) -> None:
    """What became of each mail, and where it is to be found."""
    numbers = {ticket.id: ticket.number for ticket in (*settled.created, *settled.changed.values())}
    for article in settled.articles:
        spans.note(article.mail.position, ticket_number=numbers.get(article.ticket_id, ""))
    for mail, word in settled.outcomes:
        spans.note(mail.position, transport_key=mail.event.transport_key, outcome=word)


def _count(settled: Settlement, spans: tracing.Spans) -> None:
    """After the commit: a batch that comes again counts its mails as duplicates."""
    metrics.unaccounted.labels(DISPATCHED).dec(len(settled.outcomes))
    words = Counter(word for _, word in settled.outcomes)
    for word, mails in words.items():
        metrics.processed.labels(word).inc(mails)
    log.info("batch settled", extra=fields(action="batch_settled", **words))
    for mail, word in settled.outcomes:
        if word != "duplicate":
            for name in mail.event.filters:
                metrics.filter_hits.labels(name).inc()
    moment = now()
    for article in settled.articles:
        event = article.mail.event
        seconds = (moment - event.received_at).total_seconds()
        traced = tracing.exemplar(spans.of(article.mail.position).decode())
        metrics.mail_to_ticket.labels(event.origin, event.classification.kind).observe(max(0.0, seconds), traced)
