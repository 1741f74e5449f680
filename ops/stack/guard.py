"""Ends what a dead supervisor left running; run by path as `python -I -S guard.py`, standard library only.

Standard input is a pipe only the supervisor holds: `+ NAME PID SIGNAL` when a child starts, `- PID` when it
is gone. End of file means that the supervisor is gone, by kill -9 too: every group still listed gets its
signal, newest first, and SIGKILL after 20 s. The guard holds the data folder's lock until then, so the next
start cannot meet servers that are still going down.
"""

import contextlib
import os
import signal
import sys
import time


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    alive: dict[int, int] = {}
    for line in sys.stdin:
        words = line.split()
        if words[0] == "+":
            alive[int(words[2])] = int(words[3])
        else:
            alive.pop(int(words[1]), None)
    for pid in reversed(alive):
        send(pid, alive[pid])
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and any(send(pid, 0) for pid in alive):
        time.sleep(0.05)
    for pid in alive:
        send(pid, signal.SIGKILL)


def send(pid: int, number: int) -> bool:
    """Each child leads a group of its own: its children are meant as well."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
        return True
    return False


if __name__ == "__main__":
    main()
