# What services/fetcher/imap/wire.py uses of aioimaplib 2.0.3, which ships no types.
import asyncio
from typing import Any, NamedTuple

STARTED: str
CONNECTED: str
NONAUTH: str
AUTH: str
SELECTED: str
LOGOUT: str

class Cmd(NamedTuple):
    name: str
    valid_states: tuple[str, ...]
    exec: Any

Commands: dict[str, Cmd]

def quoted(arg: str) -> str: ...

class Command:
    name: str
    tag: str
    args: tuple[str, ...]
    def __init__(
        self,
        name: str,
        tag: str,
        *args: str,
        prefix: str | None = ...,
        untagged_resp_name: str | None = ...,
        loop: asyncio.AbstractEventLoop | None = ...,
        timeout: float | None = ...,
    ) -> None: ...

class IMAP4ClientProtocol(asyncio.Protocol):
    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport
    state: str
    capabilities: set[str]
    def __init__(self, loop: asyncio.AbstractEventLoop | None, conn_lost_cb: Any = ...) -> None: ...
    def connection_made(self, transport: asyncio.BaseTransport) -> None: ...
    def data_received(self, d: bytes) -> None: ...
    def connection_lost(self, exc: Exception | None) -> None: ...
    def send(self, line: str, scrub: str | None = ...) -> None: ...
    async def execute(self, command: Command, scrub: str | None = ...) -> Any: ...
    async def idle(self) -> Any: ...
    def new_tag(self) -> str: ...
