"""Outcomes of deliveries, written together: each worker waits for its own, so a crash can repeat one mail for each
connection and no more, while one statement serves all that finished meanwhile."""

import asyncio
import logging
import random

from services.mailer.queue_store import QueueStore, Report
from shared.failures import Transient, backoff
from shared.logs import fields

log = logging.getLogger(__name__)


class Ledger:
    def __init__(self, store: QueueStore) -> None:
        self._store = store
        self._waiting: list[tuple[Report, asyncio.Future[None]]] = []
        self._arrived = asyncio.Event()

    async def record(self, report: Report) -> None:
        """Returns when it is committed."""
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((report, written))
        self._arrived.set()
        await written

    async def run(self) -> None:
        """Until cancelled. What is in hand then stays `sending` in the database and goes out again."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            batch, self._waiting = self._waiting, []
            await self._write([report for report, _ in batch])
            for _, written in batch:
                if not written.done():
                    written.set_result(None)

    async def _write(self, reports: list[Report]) -> None:
        attempt = 0
        while True:
            try:
                await self._store.record(reports)
            except Exception as error:  # noqa: BLE001  # whatever it is: without the ledger every worker waits for ever
                attempt += 1
                if attempt in (1, 10):
                    cause = str(error) if isinstance(error, Transient) else type(error).__name__
                    log.warning("deliveries wait to be recorded", extra=fields(action="record_retry", cause=cause))
                await asyncio.sleep(backoff(attempt, random.random()))  # noqa: S311  # jitter
            else:
                return
