"""An SMTP server that takes everything and keeps nothing: `python -m bench.sink PORT LOG`.

RFC 5321 with PIPELINING (RFC 2920), as light as Python can be, so that what is measured is the client. LOG gets a
line for each mail: the time in nanoseconds since the epoch, and the first id of its In-Reply-To.
"""

import asyncio
import sys
import time
from pathlib import Path
from typing import IO

_END = b"\r\n.\r\n"


class Sink(asyncio.Protocol):
    def __init__(self, log: IO[bytes]) -> None:
        self._log = log
        self._buffer = bytearray()
        self._in_data = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(b"220 sink ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        answers = bytearray()
        while True:
            if self._in_data:
                end = self._buffer.find(_END)
                if end < 0:
                    break
                self._taken(bytes(self._buffer[:end]))
                del self._buffer[: end + len(_END)]
                self._in_data = False
                answers += b"250 2.0.0 taken\r\n"
                continue
            line, found, _ = self._buffer.partition(b"\r\n")
            if not found:
                break
            del self._buffer[: len(line) + 2]
            answers += self._answer(bytes(line[:4]).upper())
        if answers:
            self._transport.write(answers)

    def _answer(self, verb: bytes) -> bytes:
        match verb:
            case b"EHLO":
                return b"250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SIZE 52428800\r\n250 ENHANCEDSTATUSCODES\r\n"
            case b"DATA":
                self._in_data = True
                return b"354 go on\r\n"
            case b"QUIT":
                return b"221 2.0.0 bye\r\n"
            case b"MAIL" | b"RCPT" | b"RSET" | b"NOOP" | b"HELO":
                return b"250 2.0.0 ok\r\n"
            case _:
                return b"500 5.5.1 unknown\r\n"

    def _taken(self, mail: bytes) -> None:
        head = mail.partition(b"\r\n\r\n")[0].lower()
        named = head.partition(b"\r\nin-reply-to:")[2].partition(b">")[0].strip(b" <\r\n\t")
        self._log.write(b"%d %s\n" % (time.time_ns(), named))


async def main(port: int, path: Path) -> None:
    with path.open("ab", buffering=0) as log:
        server = await asyncio.get_running_loop().create_server(lambda: Sink(log), "127.0.0.1", port)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), Path(sys.argv[2])))
