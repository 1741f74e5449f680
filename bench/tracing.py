"""`python -m bench.tracing`: CPU that the traces cost a mail and step, off, on, and on for a mail that is not sampled.

The exporter's thread is included; the receiver, which reads and forgets, is a process of its own.
"""

import multiprocessing
import os
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

from shared import tracing

MAILS = 300
BATCHES = 60
ROUNDS = 3
_KEY = "5" * 64
_PARENT = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0%d"


class Forgetful(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *words: object) -> None:
        """Nobody reads it."""


def step(sampled: int) -> float:
    """Microseconds a mail, the best of some rounds."""
    parents = [_PARENT % sampled] * MAILS
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(BATCHES):
            with tracing.batch("dispatch", iter(parents)) as spans:
                for position in range(MAILS):
                    spans.of(position)
                    if tracing.on():
                        spans.note(position, transport_key=_KEY)
        best = min(best, time.process_time() - began)
    return best / BATCHES / MAILS * 1e6


def main() -> None:
    off = step(1)
    server = HTTPServer(("127.0.0.1", 0), Forgetful)
    receiver = multiprocessing.Process(target=server.serve_forever, daemon=True)
    receiver.start()
    os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = f"http://127.0.0.1:{server.server_port}"
    os.environ["OTEL_BSP_MAX_QUEUE_SIZE"] = str(MAILS * BATCHES * ROUNDS)
    end = tracing.start("bench")
    print(f"off {off:.3f}, on {step(1):.0f}, on and not sampled {step(0):.0f} us of CPU a mail and step")
    end()
    receiver.terminate()
    server.server_close()


if __name__ == "__main__":
    main()
