"""Which accounts this process may touch: leases in the database, renewed together, lost in time.

A lease runs out 20 s after its last renewal by the database's clock; the holder counts the same 20 s from
*before* it asked, by its own monotonic clock, and so gives up first. Another fetcher asks every 4 s: a dead
holder is replaced within 24 s. Fetchers with the same desk share its accounts evenly (`sharing`).
"""

from collections.abc import Callable, Collection, Mapping
from datetime import timedelta

from services.fetcher.sharing import shares, surplus
from services.fetcher.store import Lease, Store, StoreUnavailable
from shared.clock import monotonic

TTL = timedelta(seconds=20)


class Leases:
    """The leases one process holds; `keep` is called every fifth of their time."""

    def __init__(
        self, store: Store, holder: str, *, ttl: timedelta = TTL, clock: Callable[[], float] = monotonic
    ) -> None:
        self._store = store
        self._holder = holder
        self._ttl = ttl
        self._clock = clock
        self._held: dict[str, Lease] = {}
        self._ends = clock()

    @property
    def pause(self) -> float:
        """Seconds between two calls of `keep`."""
        return self._ttl.total_seconds() / 5

    @property
    def overdue(self) -> bool:
        """The time of what is held is over and nothing was renewed: a database that hangs, or a process that did."""
        return bool(self._held) and self._clock() >= self._ends

    async def keep(self, wanted: Collection[str]) -> Mapping[str, Lease]:
        """Renews what is held, releases what is no longer wanted, takes what is free; returns what is held now.

        While the database does not serve, leases are held until their time is over, then they are lost.
        """
        asked = self._clock()
        try:
            for account in self._held.keys() - set(wanted):
                await self._store.release(self._held.pop(account))
            if self._held:
                renewed = await self._store.renew(list(self._held.values()), self._holder, self._ttl)
                self._held = {name: lease for name, lease in self._held.items() if name in renewed}
            counts, others = await self._store.attend(wanted, self._holder, self._ttl)
            share = shares(counts | {self._holder: len(self._held)}, len(wanted) - others)[self._holder]
            for account in surplus(self._held, share):
                await self._store.release(self._held.pop(account))
            if room := share - len(self._held):
                free = set(wanted) - self._held.keys()
                for lease in await self._store.acquire(free, self._holder, self._ttl, room):
                    self._held[lease.account] = lease
            self._ends = asked + self._ttl.total_seconds()
        except StoreUnavailable:
            if self._clock() >= self._ends:
                self._held.clear()
        return dict(self._held)

    async def give_back(self) -> None:
        """Releases everything, so that another fetcher need not wait for the leases to run out."""
        for lease in self._held.values():
            await self._store.release(lease)
        self._held.clear()
        await self._store.leave(self._holder)
