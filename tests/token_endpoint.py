"""A token endpoint of the tests: a real HTTP server on loopback that answers as it is told and remembers what came."""

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl


class TokenEndpoint:
    """`answers` are given one after the other, the last one again and again: (status, JSON or raw bytes)."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.forms: list[dict[str, str]] = []
        self.answers: list[tuple[int, Any]] = [(200, token("first"))]
        self.headers: dict[str, str] = {}
        self.at_once = self.most_at_once = 0
        self.go_on = threading.Event()
        self.go_on.set()
        lock = threading.Lock()
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                form = dict(parse_qsl(self.rfile.read(int(self.headers["Content-Length"] or 0)).decode()))
                with lock:
                    endpoint.forms.append(form)
                    endpoint.at_once += 1
                    endpoint.most_at_once = max(endpoint.at_once, endpoint.most_at_once)
                    status, said = endpoint.answers.pop(0) if len(endpoint.answers) > 1 else endpoint.answers[0]
                endpoint.go_on.wait(20)
                body = said if isinstance(said, bytes) else json.dumps(said).encode()
                with lock:
                    endpoint.at_once -= 1
                self.send_response(status)
                for name, value in endpoint.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST  # noqa: N815  # the library's name

            def log_message(self, *_: object) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = int(self._server.server_address[1])
        if context:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"http{'s' if context else ''}://localhost:{self.port}/token"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.go_on.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def token_endpoint(context: ssl.SSLContext | None = None) -> Iterator[TokenEndpoint]:
    endpoint = TokenEndpoint(context)
    try:
        yield endpoint
    finally:
        endpoint.close()


def token(name: str, lifetime: float = 3600, **more: object) -> dict[str, object]:
    return {"token_type": "Bearer", "access_token": name, "expires_in": lifetime, **more}
