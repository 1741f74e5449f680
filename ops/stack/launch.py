"""Starts a program that refuses root, as root: `python -I -S launch.py ARGV…`, standard library only.

In a user namespace that shows uid 0 as 65534 the program believes it is nobody, while its files stay root's;
nothing has to be copied, opened to others or given away. Exit status 77: this machine forbids namespaces.
A launcher and no preexec_fn, because only a process with one thread may enter a user namespace.
"""

import ctypes
import os
import pathlib
import sys

FORBIDDEN = 77
CLONE_NEWUSER = 0x10000000
NOBODY = 65534


def enter() -> bool:
    uid, gid = os.getuid(), os.getgid()
    library = ctypes.CDLL(None, use_errno=True)
    if not hasattr(library, "unshare") or library.unshare(CLONE_NEWUSER) != 0:
        return False
    try:
        pathlib.Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
        pathlib.Path("/proc/self/uid_map").write_text(f"{NOBODY} {uid} 1", encoding="ascii")
        pathlib.Path("/proc/self/gid_map").write_text(f"{NOBODY} {gid} 1", encoding="ascii")
    except OSError:
        return False
    return True


def main() -> None:
    if not enter():
        sys.exit(FORBIDDEN)
    if len(sys.argv) > 1:
        os.execv(sys.argv[1], sys.argv[1:])  # noqa: S606  # the argv is the supervisor's own


if __name__ == "__main__":
    main()
