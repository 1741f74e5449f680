"""One outbound account: a feeder that claims what is due and a few workers that deliver it.

A fault of the account pauses the lane and gives the mails back unspent. At the start and after a pause a single mail
finds out whether the account works, because every refused log-in counts towards a lock-out.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from services.mailer.ledger import Ledger
from services.mailer.queue_store import Claimed, QueueStore, Report
from services.mailer.recipients import MailKind
from services.mailer.states import Outcome, Result, Retry, after, code_class
from services.mailer.throttle import Throttle
from services.mailer.transports.choice import Transport
from services.mailer.transports.faults import AccountFault, Busy, Expired
from shared import metrics, tracing
from shared.clock import monotonic, now
from shared.desk.model import Outbound
from shared.failures import Transient
from shared.logs import fields

log = logging.getLogger(__name__)

_MOST_SUSPECTS = 1000
_QUEUE_SECONDS = 2.0
_DEEPEST = 32  # mails waiting for each connection


class Pace(NamedTuple):
    """Seconds. `fault_cap` and `slow_cap` end the doubling of an account's pauses."""

    poll: float = 1.0
    idle: float = 30.0
    fault_first: float = 1.0
    fault_cap: float = 30.0
    slow_first: float = 30.0
    slow_cap: float = 900.0
    retry: Retry = Retry()


@dataclass
class Lane:
    """`stop` ends it: mails in hand are finished, those not begun are given back."""

    name: str
    account: Outbound
    make: Callable[[], Transport]
    store: QueueStore
    ledger: Ledger
    pace: Pace
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    wake: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._queue: asyncio.Queue[Claimed | None] = asyncio.Queue()
        self.held: set[int] = set()  # claimed and not reported yet
        self.throttle = Throttle(self.account.connections, self.account.per_minute or 0)
        self._more = False  # the last claim was as large as it could be
        self._proven = False  # the last try reached the server and was let in
        self._faults = 0  # in a row
        self.fault = ""  # our word for the last one
        self._paused_until = 0.0
        self._passed = 0  # mails that the account let through
        self._suspects: dict[int, int] = {}  # mail -> how many had passed when it met a fault of the account
        self._widened = asyncio.Event()
        self._reserved = 0  # places kept for mails that are being written
        self._seconds = 1.0  # a delivery takes, of late

    async def run(self) -> None:
        """Raises what a worker died of: without it mails would stay in hand, and the process would look well."""
        workers = [
            asyncio.create_task(self._work(number), name=f"smtp-{self.name}-{number}")
            for number in range(self.throttle.connections)
        ]
        for worker in workers:
            worker.add_done_callback(lambda _: self.wake.set())
        try:
            while not self.stop.is_set():
                self.wake.clear()
                await self._feed()
                await self._rest()
                for worker in workers:
                    if worker.done():
                        worker.result()
            await self._give_back()
            for _ in workers:
                self._queue.put_nowait(None)
            self._widened.set()
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()

    def end(self) -> None:
        self.stop.set()
        self.wake.set()

    # --- the feeder -------------------------------------------------------------------------------------------

    async def _feed(self) -> None:
        room = self._room()
        if not room:
            return
        try:
            mails = await self.store.claim_due(self.name, room)
        except Transient as error:
            self._more = False
            log.warning("the queue cannot be read", extra=fields(action="claim_retry", cause=str(error)))
            return
        self._more = len(mails) == room
        self._take(mails)

    def _room(self) -> int:
        """A queue of what is delivered in two seconds: long enough to claim many at once, and so short that none
        outlives its claim behind others. It is filled when half of it is gone."""
        waiting = min(_DEEPEST, max(1, int(_QUEUE_SECONDS / self._seconds)))
        most = self.throttle.allowed * (1 + waiting) if self._proven else 1
        taken = len(self.held) + self._reserved
        if self.stop.is_set() or monotonic() < self._paused_until or taken > most // 2:
            return 0
        return self.throttle.ration(monotonic(), most - taken)

    def reserve(self) -> int:
        """Places for mails that are claimed as they are written; none while older ones wait. Given back by `accept`
        or `release`."""
        room = 0 if self._more or not self._proven else self._room()
        self._reserved += room
        return room

    def release(self, places: int) -> None:
        self._reserved -= places

    def accept(self, mails: Sequence[Claimed]) -> None:
        """Mails in places that were reserved. A lane that has ended meanwhile leaves them to `take_back`."""
        if not self.stop.is_set():
            self._take(mails)

    def _take(self, mails: Sequence[Claimed]) -> None:
        self.throttle.spend(len(mails))
        self.held.update(mail.id for mail in mails)
        for mail in mails:
            self._queue.put_nowait(mail)

    async def _rest(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.pace.poll):
                await self.wake.wait()

    async def _give_back(self) -> None:
        waiting = []
        while not self._queue.empty():
            mail = self._queue.get_nowait()
            if mail is not None:
                waiting.append(self._report(mail, Outcome(Result.UNTRIED)))
        await asyncio.gather(*waiting)

    # --- the workers ------------------------------------------------------------------------------------------

    async def _work(self, number: int) -> None:
        transport = self.make()
        try:
            while (mail := await self._next(transport, number)) is not None:
                await self._report(mail, await self._try(transport, mail))
        finally:
            await transport.close()

    async def _next(self, transport: Transport, number: int) -> Claimed | None:
        while True:
            if number >= self.throttle.allowed and not self.stop.is_set():
                await transport.close()  # the server wants fewer connections
                self._widened.clear()
                await self._widened.wait()
                continue
            try:
                async with asyncio.timeout(self.pace.idle):
                    mail = await self._queue.get()
            except TimeoutError:
                await transport.close()
                continue
            if number < self.throttle.allowed or self.stop.is_set():
                return mail
            self._queue.put_nowait(mail)  # for one of those who may go on

    async def _try(self, transport: Transport, mail: Claimed) -> Outcome:
        if monotonic() < self._paused_until:
            return Outcome(Result.UNTRIED)
        # RFC 3834 section 3.3: no bounce of automatic mail comes back; that of a person's answer does
        automatic = mail.kind != MailKind.REPLY
        envelope_from = "" if self.account.null_sender and automatic else mail.sender
        try:
            began = monotonic()
            with tracing.one("send", mail.traceparent) as spans:
                outcome = await transport.deliver(envelope_from, mail.recipient, mail.raw, mail.dot_before)
                spans.note(0, delivery=mail.id, result=outcome.result, code=outcome.code)
        except Expired:
            log.warning("a claim ended before its mail was sent", extra=fields(action="claim_late", delivery=mail.id))
            return Outcome(Result.UNTRIED)
        except AccountFault as fault:
            return self._faulty(mail, fault)
        took = monotonic() - began
        metrics.stage_duration.labels("send").observe(took)
        self._seconds += (took - self._seconds) / 8
        self._proven = True
        self._passed += 1
        self._suspects.pop(mail.id, None)
        if self.throttle.passed(monotonic()):
            self._widened.set()
        if self._faults:
            self._faults = 0
            log.info("the outbound account works again", extra=fields(action="account_resumed", account=self.name))
        return outcome

    def _faulty(self, mail: Claimed, fault: AccountFault) -> Outcome:
        """A mail that meets a fault of the account again, while others have passed, is the fault."""
        suspected = self._suspects.get(mail.id)
        if fault.named and suspected is not None and suspected < self._passed:
            return Outcome(Result.POSTPONED, fault.code, fault.word)
        if fault.named:
            if len(self._suspects) > _MOST_SUSPECTS:
                self._suspects.clear()
            self._suspects[mail.id] = self._passed
        if isinstance(fault, Busy):
            self.throttle.busy(monotonic())
        self._pause(fault)
        return Outcome(Result.UNTRIED)

    def _pause(self, fault: AccountFault) -> None:
        metrics.smtp_attempts.labels("account_fault", fault.word).inc()
        moment = monotonic()
        if moment < self._paused_until:
            return  # another worker met the same fault
        first, cap = (
            (self.pace.slow_first, self.pace.slow_cap) if fault.slow else (self.pace.fault_first, self.pace.fault_cap)
        )
        self._proven = False
        self._faults += 1
        self.fault = fault.word
        seconds = min(cap, first * 2.0 ** min(self._faults - 1, 16)) * random.uniform(0.75, 1.0)  # noqa: S311  # jitter
        self._paused_until = moment + seconds
        log.error(
            "the outbound account does not work; its mails wait",
            extra=fields(
                action="account_paused",
                account=self.name,
                cause=fault.word,
                code=fault.code,
                connections=self.throttle.allowed,
                seconds=round(seconds, 1),
            ),
        )

    async def _report(self, mail: Claimed, outcome: Outcome) -> None:
        step = after(
            outcome,
            attempts=mail.attempts,
            age=mail.age,
            rand=random.random(),  # noqa: S311  # jitter
            retry=self.pace.retry,
        )
        await self.ledger.record(Report(mail.id, mail.attempts, step))
        self.held.discard(mail.id)
        _count(mail, outcome)
        if outcome.result is not Result.ACCEPTED and outcome.result is not Result.UNTRIED:
            log.info(
                "a mail was not delivered",
                extra=fields(
                    action="mail_not_delivered",
                    delivery=mail.id,
                    ticket=mail.ticket_id,
                    state=step.state,
                    code=step.code,
                    cause=step.word,
                ),
            )
        if self._more and self._room():
            self.wake.set()


def _count(mail: Claimed, outcome: Outcome) -> None:
    if outcome.result is Result.UNTRIED:
        return
    if outcome.result is Result.SUPPRESSED:
        if mail.kind == MailKind.AUTO_RESPONSE:
            metrics.autoresponse_suppressed.labels(outcome.word).inc()
        return
    metrics.smtp_attempts.labels(outcome.result, code_class(outcome.code)).inc()
    if outcome.result is Result.ACCEPTED and mail.kind == MailKind.AUTO_RESPONSE:
        seconds = max(0.0, (now() - mail.received_at).total_seconds())
        metrics.mail_to_response.labels(mail.template).observe(seconds, tracing.exemplar(mail.traceparent or ""))
