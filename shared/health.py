"""/livez, /readyz and /metrics over plain HTTP/1.1.

Liveness says that the loops of this process move, and never asks the broker or the database: that would restart
every pod in an outage. Readiness says that it can work: database and schema, group joined, broker reachable. Each
answer of a readiness check is cached for a few seconds, so a probe cannot become a load.
"""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from shared import metrics
from shared.clock import monotonic

STUCK_SECONDS = 90.0
_CACHE_SECONDS = 3.0
_CHECK_SECONDS = 2.5
_REQUEST_SECONDS = 5.0

Check = Callable[[], Awaitable[None]]
"""Returns when all is well; raises with one sentence otherwise."""


@dataclass
class Health:
    """What the probes ask. `alive[name]()` gives the monotonic time of the loop's last progress."""

    alive: dict[str, Callable[[], float]] = field(default_factory=dict)
    ready: dict[str, Check] = field(default_factory=dict)
    refreshers: list[Callable[[], None]] = field(default_factory=list)
    stopping: bool = False
    _cache: dict[str, tuple[float, str]] = field(default_factory=dict)

    def livez(self) -> dict[str, str]:
        """Loops that have not moved for 90 s; empty: alive."""
        moment = monotonic()
        return {
            name: f"no progress for {moment - last():.0f} s"
            for name, last in self.alive.items()
            if moment - last() > STUCK_SECONDS
        }

    async def readyz(self) -> dict[str, str]:
        """Checks that fail, with their sentence; empty: ready."""
        if self.stopping:
            return {"process": "stopping"}
        results = await asyncio.gather(*(self._asked(name, check) for name, check in self.ready.items()))
        return {name: complaint for name, complaint in results if complaint}

    async def _asked(self, name: str, check: Check) -> tuple[str, str]:
        at, complaint = self._cache.get(name, (float("-inf"), ""))
        if monotonic() - at > _CACHE_SECONDS:
            try:
                async with asyncio.timeout(_CHECK_SECONDS):
                    await check()
                complaint = ""
            except TimeoutError:
                complaint = f"no answer within {_CHECK_SECONDS} s"
            except Exception as error:  # noqa: BLE001  # any failure is the answer
                complaint = str(error) or type(error).__name__
            self._cache[name] = (monotonic(), complaint)
        return name, complaint

    async def _respond(self, path: str, accept: str) -> tuple[int, str, bytes]:
        if path == "/livez":
            stuck = self.livez()
            return (503 if stuck else 200), "application/json", json.dumps({"stuck": stuck}).encode()
        if path == "/readyz":
            failing = await self.readyz()
            return (503 if failing else 200), "application/json", json.dumps({"failing": failing}).encode()
        if path == "/metrics":
            for refresh in self.refreshers:
                refresh()
            return 200, *metrics.page(accept)
        return 404, "text/plain", b"try /livez, /readyz or /metrics\n"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, TimeoutError, ValueError, asyncio.IncompleteReadError):
            async with asyncio.timeout(_REQUEST_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
                path = head.split(b" ", 2)[1].decode("ascii", "replace").split("?")[0]
                status, content_type, body = await self._respond(path, _accepted(head))
                writer.write(
                    f"HTTP/1.1 {status} {'OK' if status == 200 else 'Unavailable'}\r\nContent-Type: {content_type}\r\n"
                    f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
                    + body
                )
                await writer.drain()
        writer.close()

    async def listen(self, address: str) -> asyncio.Server:
        """`address` is host:port. Raises OSError when the port is taken."""
        host, _, port = address.rpartition(":")
        return await asyncio.start_server(self._serve, host or "127.0.0.1", int(port), limit=16 * 1024)


def _accepted(head: bytes) -> str:
    """The request's Accept (RFC 9110 section 12.5.1); empty: none."""
    lines = (line.partition(b":") for line in head.split(b"\r\n")[1:])
    return next((value.strip().decode("ascii", "replace") for name, _, value in lines if name.lower() == b"accept"), "")
