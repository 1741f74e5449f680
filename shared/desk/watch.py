"""The desk while the process runs: taken over when its content changes, the last good one kept.

A mounted ConfigMap is changed by exchanging a symbolic link, on which a watch of the file itself goes deaf:
so the path is read anew every few seconds and the content's hash compared.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from shared import clock
from shared.desk.findings import DeskError
from shared.desk.load import LoadedDesk, current_hash, load_desk


class DeskWatch:
    """Holds the desk in use. A handler takes `current` once for each batch: it may change at every await.

    `on_change` gets every new desk that is valid; `on_attempt` the watch itself after every attempt to load,
    good or bad (for metrics and the log): see `last_reload_successful`, `last_success`, `error`.
    """

    def __init__(
        self,
        path: Path,
        *,
        on_change: Callable[[LoadedDesk], None] = lambda _: None,
        on_attempt: Callable[["DeskWatch"], None] = lambda _: None,
        now: Callable[[], datetime] = clock.now,
    ) -> None:
        """Loads the desk at once; raises DeskError where there is no good one to begin with."""
        self._path = path
        self.on_change = on_change
        self._on_attempt = on_attempt
        self._now = now
        self.current = load_desk(path)
        self._seen = self.current.sha256
        self._texts = frozenset(self.current.texts)
        self.error: DeskError | None = None
        self.last_success = now()
        self._on_attempt(self)

    @property
    def last_reload_successful(self) -> bool:
        return self.error is None

    async def check(self) -> LoadedDesk:
        """Looks at the file now and returns the desk in use after that."""
        outcome = await asyncio.to_thread(self._look)
        if outcome is not None:
            self._take(outcome)
        return self.current

    async def run(self, every: float = 5.0) -> None:
        """Looks every so many seconds until cancelled."""
        while True:
            await asyncio.sleep(every)
            await self.check()

    def _look(self) -> LoadedDesk | DeskError | None:
        if current_hash(self._path, self._texts) == self._seen:
            return None
        try:
            return load_desk(self._path)
        except DeskError as error:
            return error

    def _take(self, outcome: LoadedDesk | DeskError) -> None:
        self._seen = outcome.sha256
        self._texts = frozenset(outcome.texts)
        if isinstance(outcome, DeskError):
            self.error = outcome
        else:
            changed = outcome.sha256 != self.current.sha256
            self.error, self.last_success, self.current = None, self._now(), outcome
            if changed:
                self.on_change(outcome)
        self._on_attempt(self)
