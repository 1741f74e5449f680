"""`carteiro healthcheck`: is the service of this machine ready? What a container engine asks every few seconds.

The image calls it as `python3 -m ops.healthcheck`. It reads its one setting itself: shared.settings and the command
line would cost ten times the question, and every container asks it.
"""

import json
import os
import socket
import sys

_SECONDS = 4.0  # the answer has deadlines of its own: shared/health.py


def healthcheck() -> int:
    """0: ready; 1: not, and why on stderr."""
    port = int(os.environ.get("CARTEIRO_HTTP", ":8080").rpartition(":")[2])  # noqa: TID251  # see above
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=_SECONDS) as connection:
            connection.sendall(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            with connection.makefile("rb") as stream:
                answer = stream.read()
    except OSError as error:
        print(f"nothing answers on port {port}: {error}", file=sys.stderr)
        return 1
    head, _, body = answer.partition(b"\r\n\r\n")
    if head.split(b" ")[1:2] == [b"200"]:
        return 0
    try:
        failing: dict[str, str] = json.loads(body)["failing"]
    except (ValueError, KeyError):
        failing = {"answer": repr(answer[:200])}
    print("; ".join(f"{name}: {complaint}" for name, complaint in failing.items()), file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(healthcheck())
