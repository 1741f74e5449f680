"""One outbound account: a feeder that claims what is due and a few workers that deliver it.

A fault of the account pauses the lane and gives the mails back unspent. At the start and after a pause a single mail
finds out whether the account works, because every refused log-in counts towards a lock-out.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from services.mailer.ledger import Ledger
from services.mailer.queue_store import Claimed, QueueStore, Report
from services.mailer.recipients import MailKind
from services.mailer.states import Outcome, Result, Retry, after, code_class
from services.mailer.transports.choice import Transport
from services.mailer.transports.faults import AccountFault
from shared import metrics
from shared.clock import monotonic, now
from shared.failures import Transient
from shared.logs import fields

log = logging.getLogger(__name__)


class Pace(NamedTuple):
    """Seconds, but for `connections`. `fault_cap` and `login_cap` end the doubling of an account's pauses."""

    connections: int = 8
    poll: float = 1.0
    idle: float = 30.0
    fault_first: float = 1.0
    fault_cap: float = 30.0
    login_first: float = 30.0
    login_cap: float = 900.0
    retry: Retry = Retry()


@dataclass
class Lane:
    """`stop` ends it: mails in hand are finished, those not begun are given back."""

    name: str
    make: Callable[[], Transport]
    store: QueueStore
    ledger: Ledger
    pace: Pace
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    wake: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._queue: asyncio.Queue[Claimed | None] = asyncio.Queue()
        self.held: set[int] = set()  # claimed and not reported yet
        self._more = False  # the last claim was as large as it could be
        self._proven = False  # the last try reached the server and was let in
        self._faults = 0  # in a row
        self._paused_until = 0.0

    async def run(self) -> None:
        workers = [
            asyncio.create_task(self._work(), name=f"smtp-{self.name}-{number}")
            for number in range(self.pace.connections)
        ]
        try:
            while not self.stop.is_set():
                self.wake.clear()
                await self._feed()
                await self._rest()
            await self._give_back()
            for _ in workers:
                self._queue.put_nowait(None)
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()

    def end(self) -> None:
        self.stop.set()
        self.wake.set()

    # --- the feeder -------------------------------------------------------------------------------------------

    async def _feed(self) -> None:
        """A queue of as many mails as there are workers: waiting behind one delivery, none outlives its claim."""
        room = (2 * self.pace.connections if self._proven else 1) - len(self.held)
        if monotonic() < self._paused_until or room <= 0 or len(self.held) > self.pace.connections:
            return
        try:
            mails = await self.store.claim_due(self.name, room)
        except Transient as error:
            self._more = False
            log.warning("the queue cannot be read", extra=fields(action="claim_retry", cause=str(error)))
            return
        self._more = len(mails) == room
        self.held.update(mail.id for mail in mails)
        for mail in mails:
            self._queue.put_nowait(mail)

    async def _rest(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.pace.poll):
                await self.wake.wait()

    async def _give_back(self) -> None:
        while not self._queue.empty():
            mail = self._queue.get_nowait()
            if mail is not None:
                await self._report(mail, Outcome(Result.UNTRIED))

    # --- the workers ------------------------------------------------------------------------------------------

    async def _work(self) -> None:
        transport = self.make()
        try:
            while (mail := await self._next(transport)) is not None:
                await self._report(mail, await self._try(transport, mail))
        finally:
            await transport.close()

    async def _next(self, transport: Transport) -> Claimed | None:
        while True:
            try:
                async with asyncio.timeout(self.pace.idle):
                    return await self._queue.get()
            except TimeoutError:
                await transport.close()

    async def _try(self, transport: Transport, mail: Claimed) -> Outcome:
        if monotonic() < self._paused_until:
            return Outcome(Result.UNTRIED)
        try:
            outcome = await transport.deliver(mail.envelope_from, mail.recipient, mail.raw)
        except AccountFault as fault:
            self._pause(fault)
            return Outcome(Result.UNTRIED)
        self._proven = True
        if self._faults:
            self._faults = 0
            log.info("the outbound account works again", extra=fields(action="account_resumed", account=self.name))
        return outcome

    def _pause(self, fault: AccountFault) -> None:
        metrics.smtp_attempts.labels("account_fault", fault.word).inc()
        moment = monotonic()
        if moment < self._paused_until:
            return  # another worker met the same fault
        first, cap = (
            (self.pace.login_first, self.pace.login_cap)
            if fault.login
            else (self.pace.fault_first, self.pace.fault_cap)
        )
        self._proven = False
        self._faults += 1
        seconds = min(cap, first * 2.0 ** min(self._faults - 1, 16)) * random.uniform(0.75, 1.0)  # noqa: S311  # jitter
        self._paused_until = moment + seconds
        log.error(
            "the outbound account does not work; its mails wait",
            extra=fields(action="account_paused", account=self.name, cause=fault.word, seconds=round(seconds, 1)),
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
        if self._more and len(self.held) <= self.pace.connections:
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
        metrics.mail_to_response.labels(mail.template).observe(max(0.0, (now() - mail.received_at).total_seconds()))
