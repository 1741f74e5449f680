"""A batch of raw mails becomes a batch of decisions: decode, keep the originals, decide, publish."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

from services.dispatcher.bounces import Aside
from services.dispatcher.cost import dear
from services.dispatcher.decide import Setting, dispatch, quarantined
from services.dispatcher.worker import JobFailed, Killed, Worker
from shared import metrics, tracing
from shared.clock import monotonic, now, rfc3339
from shared.desk.watch import DeskWatch
from shared.events import MailDispatched, Origin, ReceivedMail
from shared.failures import NewerWriter, Permanent
from shared.kafka.producer import Outgoing, Producer
from shared.kafka.record import Record
from shared.mime.fields import header_fields
from shared.originals import Originals, Reference, packed
from shared.topics import DISPATCHED, RECEIVED
from shared.wire import cloud_headers, decode_received, encode_dispatched

_HEADER = 1024 * 1024
_SENT_AT_ONCE = 8 * 1024 * 1024
_HELD_SECONDS = 0.05
"""How long mails are decided before everybody else in this process has a turn."""
_RECEIVED = b"carteiro.mail-received.v1"


class Handler:
    """Decisions of a batch that comes again differ in nothing but where the original is; ticketing takes the first."""

    def __init__(
        self,
        desk: DeskWatch,
        keys: Sequence[bytes],
        originals: Originals,
        producer: Producer,
        worker: Worker,
    ) -> None:
        self._desk = desk
        self._keys = keys
        self._originals = originals
        self._producer = producer
        self._worker = worker
        self.progress: Callable[[], None] = lambda: None
        """Called with each dear mail: a batch of them takes long, and hangs not."""
        self._kept: tuple[list[str], list[Reference]] = ([], [])

    async def handle(self, records: Sequence[Record]) -> None:
        """Returns when every decision is confirmed by the broker. Raises Permanent for a record that is no mail."""
        began = monotonic()
        loaded = self._desk.current  # once a batch: it may change at every await
        setting = Setting(loaded.desk, loaded.sha256, self._keys, alone=False)
        mails = [received_of(record) for record in records]
        with tracing.batch("dispatch", (mail.traceparent for mail in mails)) as spans:
            if tracing.on():
                mails = [_traced(mail, position, spans) for position, mail in enumerate(mails)]
            references, keeping = await self._keep([mail for mail in mails if not mail.raw_ref])
            try:
                sent = await self._decide_and_send(records, mails, _references(mails, references), setting, keeping)
            finally:
                keeping.cancel()
        self._kept = ([], [])
        metrics.unaccounted.labels(RECEIVED).dec(sent)
        metrics.stage_duration.labels("dispatch").observe(monotonic() - began)

    async def _keep(self, mails: Sequence[ReceivedMail]) -> tuple[list[Reference], asyncio.Task[None]]:
        """Where the originals are, and the task that makes them durable: it writes in a thread while this one decides,
        and nothing is published before it is done. Large mail is kept by the fetcher before it names it."""
        hashes = [mail.sha256 for mail in mails]
        if hashes == self._kept[0]:  # a batch that could not be published comes again: no second pack of it
            return self._kept[1], asyncio.create_task(asyncio.sleep(0))
        # in a thread: compressing a batch takes longer than the loop may be held
        pack = await asyncio.to_thread(packed, [mail.raw for mail in mails], now())

        async def put() -> None:
            await self._originals.put(pack)
            self._kept = (hashes, pack.references)

        keeping = asyncio.create_task(put())
        await asyncio.sleep(0)
        return pack.references, keeping

    async def _decide_and_send(
        self,
        records: Sequence[Record],
        mails: Sequence[ReceivedMail],
        references: Sequence[str],
        setting: Setting,
        keeping: asyncio.Task[None],
    ) -> int:
        """How many decisions the broker has confirmed."""
        ready: list[Outgoing] = []
        size = sent = 0
        turn = monotonic()
        for record, mail, reference in zip(records, mails, references, strict=True):
            if monotonic() - turn > _HELD_SECONDS:
                await asyncio.sleep(0)
                turn = monotonic()
            value = await self._decided(mail, reference, setting)
            ready.append(Outgoing(DISPATCHED, record.key, value, _headers(mail)))
            size += len(value)
            if size > _SENT_AT_ONCE:
                await keeping
                await self._producer.send_all(ready)
                sent += len(ready)
                ready, size = [], 0
        await keeping
        await self._producer.send_all(ready)
        return sent + len(ready)

    async def _decided(self, mail: ReceivedMail, reference: str, setting: Setting) -> bytes:
        if mail.raw_ref:
            mail = mail._replace(raw=await self._originals.get(reference))
        if not dear(mail.raw):
            with suppress(Aside):
                return _dispatched(mail, reference, setting)
        self.progress()
        try:
            return await self._worker.run(dispatch, mail, reference, setting._replace(alone=True))
        except Killed as killed:
            return encode_dispatched(quarantined(mail, setting, killed.reason, original=reference))
        except JobFailed as error:
            raise Permanent("undecided", str(error)) from error


def _references(mails: Sequence[ReceivedMail], kept: Sequence[Reference]) -> list[str]:
    """Where each original is, or is about to be. Raises Permanent where the bytes are not what the header says."""
    inline = iter(kept)
    references: list[str] = []
    for mail in mails:
        try:
            reference = Reference.parse(mail.raw_ref) if mail.raw_ref else next(inline)
        except ValueError as error:
            raise Permanent("malformed", "raw-ref") from error
        if reference.sha256 != mail.sha256:
            raise Permanent("malformed", "sha256")
        references.append(str(reference))
    return references


def _dispatched(mail: ReceivedMail, reference: str, setting: Setting) -> bytes:
    try:
        return dispatch(mail, reference, setting)
    except (MemoryError, Aside):
        raise
    except Exception as error:
        # deciding is pure: the same bytes would fail again, and hold up the partition
        raise Permanent("undecided", type(error).__name__) from error


def _traced(mail: ReceivedMail, position: int, spans: tracing.Spans) -> ReceivedMail:
    """The decision's record goes on the trace from here."""
    spans.note(position, transport_key=mail.transport_key)
    return mail._replace(traceparent=spans.of(position))


def received_of(record: Record) -> ReceivedMail:
    """The mail of a record. Raises Permanent for a malformed one, NewerWriter for a newer version's."""
    headers = dict(record.headers)
    origin = headers.get("origin", b"")
    try:
        if origin.isalpha() and origin not in _ORIGINS and headers["ce_type"] == _RECEIVED:
            decode_received(record.value, headers | {"origin": Origin.LIVE.encode()})
            raise NewerWriter("an origin this version does not know")
        return decode_received(record.value, headers)
    except KeyError as error:
        raise Permanent("malformed", f"header {error.args[0]} is missing") from error
    except ValueError as error:
        raise Permanent("malformed", type(error).__name__) from error


def origin_of(record: Record) -> str:
    """The sender's domain, for the fuse; of a record without one its account."""
    written = header_fields((record.value or b"")[:_HEADER]).first("from") or b""
    domain = written.rpartition(b"@")[2].rstrip(b"> \t").lower()
    return (domain or record.header("account"))[:253].decode("utf-8", "replace")


_ORIGINS = frozenset(origin.encode() for origin in Origin)


def _headers(mail: ReceivedMail) -> list[tuple[str, bytes]]:
    return cloud_headers(
        ce_id=mail.transport_key,
        ce_type=MailDispatched.TYPE,
        source="carteiro/dispatcher",
        time=rfc3339(now()),
        content_type="application/json",
        traceparent=mail.traceparent or None,
    )
