"""Is a server ready? Each is asked in its own protocol: an open port says too little.

PostgreSQL listens while it still recovers, Kafka before its broker may take records, and GreenMail goes on
with the rest when one of its ports is taken.
"""

import asyncio
import ssl
import struct
from pathlib import Path

from ops.stack.settings import HOST

SSL_REQUEST = struct.pack("!II", 8, 80877103)  # PostgreSQL protocol, SSLRequest
METADATA, METADATA_VERSION = 3, 4


async def postgres(port: int, data: Path) -> bool:
    """It answers an SSLRequest, and the last line of its postmaster.pid is `ready`."""
    if await _exchange(port, SSL_REQUEST, 1) not in {b"S", b"N"}:
        return False
    lines = await asyncio.to_thread((data / "postmaster.pid").read_text)
    return lines.rstrip().endswith("ready")


async def kafka(port: int) -> bool:
    """A Metadata answer that names a broker: it is registered and not fenced."""
    name = b"carteiro"
    header = struct.pack("!hhih", METADATA, METADATA_VERSION, 1, len(name)) + name
    body = struct.pack("!ib", 0, 0)  # no topics, none to be created
    request = header + body
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        writer.write(struct.pack("!i", len(request)) + request)
        (size,) = struct.unpack("!i", await reader.readexactly(4))
        answer = await reader.readexactly(size)
    finally:
        writer.close()
    _, _, brokers = struct.unpack_from("!iii", answer)  # correlation id, throttle time, brokers
    return bool(brokers > 0)


async def greets(port: int, greeting: bytes, tls: ssl.SSLContext | None = None) -> bool:
    """The server speaks first and begins with `greeting`."""
    return await _exchange(port, b"", len(greeting), tls) == greeting


async def http(port: int, path: str) -> bool:
    """GET answers 200."""
    request = f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode("ascii")
    answer = await _exchange(port, request, 12)
    return answer.endswith(b" 200")


async def _exchange(port: int, send: bytes, count: int, tls: ssl.SSLContext | None = None) -> bytes:
    reader, writer = await asyncio.open_connection(HOST, port, ssl=tls)
    try:
        writer.write(send)
        return await reader.readexactly(count)
    finally:
        writer.close()
