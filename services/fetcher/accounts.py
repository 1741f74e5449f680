"""Which accounts this process reads: those of the desk whose lease it holds, each in a task of its own."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass

from services.fetcher.lease import Leases
from services.fetcher.store import Lease, StoreUnavailable
from services.fetcher.watch import Surroundings, Watch
from shared import metrics
from shared.clock import monotonic
from shared.desk.model import Account
from shared.desk.watch import DeskWatch
from shared.logs import fields

log = logging.getLogger(__name__)

_GUARDED_EVERY = 0.5


@dataclass(frozen=True)
class _Running:
    lease: Lease
    account: Account
    task: asyncio.Task[None]


class Accounts:
    """Keeps leases and watches in step with the desk."""

    def __init__(self, around: Surroundings, leases: Leases, desk: DeskWatch) -> None:
        self._around = around
        self._leases = leases
        self._desk = desk
        self._running: dict[str, _Running] = {}
        self.last_progress = monotonic()

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; call `close` afterwards."""
        guard = asyncio.create_task(self._guard())
        try:
            await self._keep_step(stop)
        finally:
            guard.cancel()

    async def _guard(self) -> None:
        """Ends every watch when the leases' time is over, also while `step` waits for the database: another fetcher
        reads these mailboxes now."""
        while True:
            await asyncio.sleep(_GUARDED_EVERY)
            if self._leases.overdue:
                for running in self._running.values():
                    if not running.task.cancelling():
                        log.warning(
                            "the lease is overdue", extra=fields(action="lease_overdue", account=running.lease.account)
                        )
                        running.task.cancel()

    async def _keep_step(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await self.step()
            try:
                async with asyncio.timeout(self._leases.pause):
                    await stop.wait()
            except TimeoutError:
                continue

    async def step(self) -> None:
        """One comparison of what should be watched with what is; never waits for a watch to end."""
        wanted = self._wanted()
        held = await self._leases.keep(wanted)
        self.last_progress = monotonic()
        for name, running in list(self._running.items()):
            if running.task.done():
                del self._running[name]
                continue
            changed = held.get(name) != running.lease or wanted.get(name) != running.account
            if changed and not running.task.cancelling():
                # it may still be recording: a new one starts when this one has ended
                running.task.cancel()
        for name, lease in held.items():
            if name not in self._running:
                task = asyncio.create_task(Watch(self._around, lease, wanted[name]).run(), name=f"watch-{name}")
                self._running[name] = _Running(lease, wanted[name], task)

    def _wanted(self) -> Mapping[str, Account]:
        accounts = self._desk.current.desk.accounts
        metrics.accounts_configured.set(len(accounts))
        return accounts

    async def close(self) -> None:
        """Ends every watch, what is being confirmed is recorded first; gives the leases back."""
        tasks = [running.task for running in self._running.values()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        self._running.clear()
        try:
            await self._leases.give_back()
        except StoreUnavailable:
            log.warning("leases were not given back; they run out", extra=fields(action="lease_release"))
