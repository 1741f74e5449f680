"""The sending side: a lane for each outbound account of the desk, and the care of the queue.

Woken by the handler after each commit; polling is the net, for what other processes queued and what falls due.
"""

import asyncio
import contextlib
import logging
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import idna

from services.mailer.lane import Lane, Pace
from services.mailer.ledger import Ledger
from services.mailer.notices import Notices
from services.mailer.queue_store import Claimed, QueueStore
from services.mailer.transports.choice import Transport, transport_for
from shared import metrics
from shared.clock import monotonic
from shared.desk.model import Desk, Outbound
from shared.desk.watch import DeskWatch
from shared.failures import Transient
from shared.logs import fields
from shared.settings import Settings

log = logging.getLogger(__name__)

CARE_SECONDS = 5.0
DRAIN_SECONDS = 20.0
_NONE = "none"


@dataclass
class Sending:
    store: QueueStore
    desk: DeskWatch
    settings: Settings
    pace: Pace = field(default_factory=Pace)
    notices: Notices | None = None
    transport_for: Callable[[Outbound, Settings, str], Callable[[], Transport]] = transport_for
    last_progress: float = field(default_factory=monotonic)

    def __post_init__(self) -> None:
        self._ledger = Ledger(self.store)
        self._lanes: dict[str, tuple[Outbound, Lane]] = {}
        self._all_lanes: list[Lane] = []  # those that end with what they have included
        self._tasks: set[asyncio.Task[None]] = set()

        self.cares = 0  # rounds

    def wake(self) -> None:
        """Mail was queued."""
        for _, lane in self._lanes.values():
            lane.wake.set()

    @contextlib.contextmanager
    def reserved(self) -> Iterator[Mapping[str, int]]:
        """How many mails each lane takes at once; the places are kept inside."""
        places = {name: (lane, lane.reserve()) for name, (_, lane) in self._lanes.items()}
        try:
            yield {name: room for name, (_, room) in places.items()}
        finally:
            for lane, room in places.values():
                lane.release(room)

    def hand_over(self, mails: Mapping[str, Sequence[Claimed]]) -> None:
        """Mails that were written as claimed by this process, by account."""
        for name, claimed in mails.items():
            if name in self._lanes:
                self._lanes[name][1].accept(claimed)

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`, then at most 20 s for the mails in hand. What is cut off goes out again, as it is."""
        ledger = asyncio.create_task(self._ledger.run(), name="ledger")
        try:
            # before the first claim: what this instance seems to be sending is what it was killed with
            desk = self.desk.current.desk
            while not stop.is_set() and not await self._care(desk, own=True):
                self.last_progress = monotonic()
                await _within(stop, self.pace.poll)
            while not stop.is_set():
                self._align(desk)
                self._watch_tasks(ledger)
                await _within(stop, min(CARE_SECONDS, self.pace.poll * 5))
                new = self.desk.current.desk
                if await self._care(new, own=False):
                    desk = new  # its accounts are said to be served before a lane claims their mail
                self.last_progress = monotonic()
            for _, lane in self._lanes.values():
                lane.end()
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=DRAIN_SECONDS)
        finally:
            for task in (*self._tasks, ledger):
                task.cancel()
            await asyncio.gather(*self._tasks, ledger, return_exceptions=True)

    def _align(self, desk: Desk) -> None:
        """Lanes as the desk has them now. A changed account gets a new one; the old one ends with what it has."""
        for template in desk.auto_responses:  # begins with 0: what is due does, and they are compared
            metrics.mail_to_response.labels(template)
        wanted = _accounts(desk)
        for gone in [name for name, (outbound, _) in self._lanes.items() if wanted.get(name) != outbound]:
            self._lanes.pop(gone)[1].end()
        for name, outbound in wanted.items():
            if name not in self._lanes:
                helo = outbound.helo or _helo(desk, name)
                make = self.transport_for(outbound, self.settings, helo)
                lane = Lane(name, outbound, make, self.store, self._ledger, self.pace)
                self._lanes[name] = (outbound, lane)
                self._all_lanes = [lane, *(each for each in self._all_lanes if each.held or not each.stop.is_set())]
                self._tasks.add(asyncio.create_task(lane.run(), name=f"lane-{name}"))

    async def _care(self, desk: Desk, *, own: bool) -> bool:
        """Takes back what nobody sends any more, and says how old the queue is. False: the database is away."""
        try:
            await self.store.take_back(own=own, held=[mail for lane in self._all_lanes for mail in lane.held])
            default, _ = desk.outbound_for("")
            await self.store.serve(list(_accounts(desk)))
            if default != _NONE:  # without a way out they wait for the administrator
                await self.store.reroute(default)
            overdue = await self.store.overdue()
            metrics.smtp_queue_oldest.set(overdue.timestamp() if overdue else 0)
            if self.notices is not None:
                await self.notices.tell()
            metrics.smtp_failed.set(await self.store.failed())
            await self.store.purge_windows()
        except Transient as error:
            log.warning("the queue cannot be looked after", extra=fields(action="care_retry", cause=str(error)))
            return False
        self.cares += 1
        return True

    def _watch_tasks(self, ledger: asyncio.Task[None]) -> None:
        """A lane that ended by an exception is a fault of the program, and ends the process. So is a ledger that
        ended at all: every worker would wait for it for ever."""
        if ledger.done():
            ledger.result()
            raise RuntimeError("the ledger ended")
        for task in [task for task in self._tasks if task.done()]:
            self._tasks.discard(task)
            task.result()


def _accounts(desk: Desk) -> dict[str, Outbound]:
    name, account = desk.outbound_for("")
    return {**desk.outbound, name: account}


def _helo(desk: Desk, account: str) -> str:
    """The host's name where it is a full one; many servers refuse any other in EHLO, and then the domain we send
    from is one that they can look up."""
    host = platform.node()
    if "." in host and not host.endswith((".localdomain", ".local", ".internal")):
        return host
    senders = [address for address in desk.system_addresses if desk.outbound_for(address)[0] == account]
    domain = (senders[0] if senders else desk.notifications.sender_email).rpartition("@")[2]
    return domain if domain.isascii() else idna.encode(domain, uts46=True).decode("ascii")


async def _within(stop: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()
