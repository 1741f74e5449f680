"""Which number each mail of a POP3 drop gets: decisions, no I/O.

UIDL is the identity, its size with it: servers give the same UIDL to another mail after a restart or a restore.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Name = tuple[str, int]
"""UIDL and size in bytes."""


@dataclass(frozen=True, slots=True)
class Known:
    """A mail that was listed before. `read`: its body was; `missing`: not listed the last time."""

    uid: int
    read: bool
    missing: bool = False


@dataclass(frozen=True, slots=True)
class Numbered:
    """The listing's UIDs in its order, and what is to be remembered of it."""

    generation: int
    next_uid: int
    uids: tuple[int, ...]
    new: tuple[tuple[str, int, int], ...]  # UIDL, size, UID
    gone: tuple[int, ...]  # were read and are no longer listed: forgotten, the UIDL may come again
    missing: tuple[int, ...]  # were never read and are no longer listed: a listing may be wrong, they would all be new


def numbered(known: Mapping[Name, Known], listing: Sequence[Name], generation: int, next_uid: int) -> Numbered:
    """Numbers a listing; the names in it differ (see `distinct`)."""
    listed = set(listing)
    before = {name for name, mail in known.items() if not mail.missing}
    new = [name for name in listing if name not in known]
    given = {name: next_uid + place for place, name in enumerate(new)}
    absent = [mail for name, mail in known.items() if name not in listed]
    return Numbered(
        generation=generation + bool(before and listed and not before & listed),
        next_uid=next_uid + len(new),
        uids=tuple(known[name].uid if name in known else given[name] for name in listing),
        new=tuple((*name, given[name]) for name in new),
        gone=tuple(mail.uid for mail in absent if mail.read),
        missing=tuple(mail.uid for mail in absent if not mail.read),
    )


def distinct(listing: Sequence[Name]) -> list[Name]:
    """The listing with each name once: a server that uses a UIDL twice (against RFC 1939) loses no mail by it."""
    seen: dict[Name, int] = {}
    found = []
    for name, size in listing:
        count = seen[name, size] = seen.get((name, size), 0) + 1
        found.append((name if count == 1 else f"{name}#{count}", size))
    return found
