"""The HTTP server around the application: its socket, its stop."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn
from litestar import Litestar

DRAIN_SECONDS = 10
_MOST_AT_ONCE = 200


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The process has its own."""
        yield


def listening(address: str) -> socket.socket:
    """`address` is host:port. Raises OSError when the port is taken, ValueError when it is none."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host or "127.0.0.1", int(port)), family=family, backlog=256)


async def serve(application: Litestar, bound: socket.socket, stop: asyncio.Event) -> None:
    """Until `stop`; requests in hand have ten seconds then."""
    server = _Server(
        uvicorn.Config(
            application,
            log_config=None,
            access_log=False,  # a search's words and an address in a path are nobody's business
            server_header=False,
            limit_concurrency=_MOST_AT_ONCE,
            timeout_graceful_shutdown=DRAIN_SECONDS,
            lifespan="on",
        )
    )
    serving = asyncio.create_task(server.serve(sockets=[bound]), name="http-api")
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait([serving, stopped], return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    server.should_exit = True
    await serving
