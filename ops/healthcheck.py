"""`carteiro healthcheck`: is the service of this machine ready? What a container engine asks every few seconds."""

import http.client
import json
import sys

from shared.settings import Settings

_SECONDS = 4.0  # the answer has deadlines of its own: shared/health.py


def healthcheck() -> int:
    """0: ready; 1: not, and why on stderr."""
    _, _, port = Settings().http.rpartition(":")
    connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=_SECONDS)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        said = answer.read()
    except (OSError, http.client.HTTPException) as error:
        print(f"nothing answers on port {port}: {error}", file=sys.stderr)
        return 1
    finally:
        connection.close()
    if answer.status == http.client.OK:
        return 0
    failing: dict[str, str] = json.loads(said)["failing"]
    print("; ".join(f"{name}: {complaint}" for name, complaint in failing.items()), file=sys.stderr)
    return 1
