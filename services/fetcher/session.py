"""What one look acts upon, and the wait for what must not be left half done."""

import asyncio
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import dataclass, field

from services.fetcher import faults
from services.fetcher.budget import ByteBudget
from services.fetcher.outlet import Outlet
from services.fetcher.plan import Listed
from services.fetcher.protocol import Mailbox
from services.fetcher.store import Lease, Store
from shared.desk.model import Account

LISTED_AT_ONCE = 500
_FINISHING = 35.0  # longer than a send may take


@dataclass(frozen=True, slots=True)
class Rim:
    """Shared by all accounts of a process."""

    store: Store
    outlet: Outlet
    budget: ByteBudget


class Pace:
    """How many sizes are asked for at once; kept over the sessions of an account. A listing that takes longer than
    its deadline is halved, not repeated: a slow server would never get further."""

    def __init__(self) -> None:
        self.listed = LISTED_AT_ONCE

    async def sizes(self, mailbox: Mailbox, uids: Sequence[int]) -> list[Listed]:
        try:
            return await mailbox.sizes(uids)
        except faults.TimedOut:
            self.listed = max(1, min(self.listed, len(uids)) // 2)
            raise


@dataclass(frozen=True, slots=True)
class Session:
    """A connection to one account, and the folder that is looked at."""

    rim: Rim
    lease: Lease
    account: Account
    mailbox: Mailbox
    folder: str
    pace: Pace = field(default_factory=Pace)


def slices(uids: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    for start in range(0, len(uids), size):
        yield uids[start : start + size]


async def to_the_end(work: Coroutine[None, None, None]) -> None:
    """Lets what is being confirmed be recorded although the watch is cancelled: else it would come twice."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task}, timeout=_FINISHING)
        if not task.done():
            task.cancel()
        elif not task.cancelled():
            task.exception()  # looked at: it comes again with the next holder
        raise
