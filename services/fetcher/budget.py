"""Bytes of mail this process may hold at once, over all accounts."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

BYTES = 48 * 1024 * 1024


class ByteBudget:
    """First come, first served, so that a large mail is not overtaken by small ones for ever."""

    def __init__(self, total: int = BYTES) -> None:
        self._total = total
        self._free = total
        self._turn = asyncio.Lock()
        self._returned = asyncio.Event()

    @asynccontextmanager
    async def hold(self, size: int) -> AsyncIterator[None]:
        """Waits until `size` bytes are free; more than there is counts as all there is."""
        taken = min(size, self._total)
        async with self._turn:
            while self._free < taken:
                self._returned.clear()
                await self._returned.wait()
            self._free -= taken
        try:
            yield
        finally:
            self._free += taken
            self._returned.set()
