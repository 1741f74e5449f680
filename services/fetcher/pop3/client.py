"""A mailbox over POP3 (RFC 1939), in the fetcher's terms.

A server names mails by UIDL; message numbers hold for one session only. `Numbering` gives each UIDL a number that
grows, and the rest of the fetcher treats it as a UID. A mail is removed only in a session that has its body: the
one it came with, or read again and found to be the same.
"""

import asyncio
import contextlib
import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal, Protocol

from services.fetcher import faults
from services.fetcher.plan import Listed, MailboxState
from services.fetcher.pop3.numbering import distinct
from services.fetcher.pop3.wire import LIST_AT_MOST, Wire
from services.fetcher.protocol import HEADERS_AT_MOST, Fetched

_SLACK = 64 * 1024  # servers announce sizes with other line ends, or before adding a header
_QUIT_AT_MOST = 2.0


@dataclass(frozen=True, slots=True)
class Drop:
    """A maildrop as numbered: UIDs in the order of the listing, the hash of those read before.

    `generation` grows when no mail known before is listed any more: another drop under the same name.
    """

    generation: int
    next_uid: int
    uids: Sequence[int]
    hashes: Mapping[int, str]


class Numbering(Protocol):
    """Where UIDLs get their numbers; kept from session to session."""

    async def number(self, listing: Sequence[tuple[str, int]]) -> Drop:
        """`listing`: UIDL and size of every mail, in the server's order."""

    async def keep_hashes(self, hashes: Mapping[int, str]) -> None:
        """SHA-256 of bodies that were read."""

    async def forget(self, uids: Collection[int]) -> None:
        """The mails are gone, or the server gave another one under the same UIDL: with the next listing it is new."""


class Mailbox:
    """One authenticated connection; made by `connect.connect`. Any call may raise a `faults.Fault`."""

    protocol: Literal["imap", "pop3"] = "pop3"
    removes_at_end = True
    moves_at_once = False
    can_idle = False

    def __init__(self, wire: Wire, capabilities: frozenset[str], numbering: Numbering) -> None:
        self._wire = wire
        self.capabilities = capabilities
        self._numbering = numbering
        self._numbers: dict[int, int] = {}  # UID: message number of this session
        self._listed: dict[int, Listed] = {}
        self._hashes: dict[int, str] = {}  # read in an earlier session
        self._read: set[int] = set()  # in this one
        self._marked: set[int] = set()
        self.has_names = True

    # --- looking

    async def open(self, folder: str, *, read_only: bool = False) -> MailboxState:  # noqa: ARG002  # one folder, no modes
        """Lists the drop; it does not change while the session lasts."""
        sizes = _pairs(await self._wire.read("LIST", "LIST", expected=0, at_most=LIST_AT_MOST))
        names = await self._names([number for number, _ in sizes])
        named = [(number, int(size)) for number, size in sizes if size.isdigit() and number in names]
        numbers = [number for number, _ in named]
        listing = distinct([(names[number], size) for number, size in named])
        drop = await self._numbering.number(listing)
        self._numbers = dict(zip(drop.uids, numbers, strict=True))
        self._hashes = dict(drop.hashes)
        self._listed = {
            uid: Listed(uid, size, frozenset(), None, name)
            for uid, (name, size) in zip(drop.uids, listing, strict=True)
        }
        return MailboxState(drop.generation, drop.next_uid, len(listing))

    async def _names(self, numbers: Sequence[int]) -> dict[int, str]:
        """UIDL; where the server has none, the hash of each header block stands for it."""
        try:
            answer = await self._wire.read("UIDL", "UIDL", expected=0, at_most=LIST_AT_MOST)
        except faults.Refused:
            self.has_names = False
            return {number: f"top-{hashlib.sha256(await self._top(number)).hexdigest()[:40]}" for number in numbers}
        return {number: name.decode("ascii", "backslashreplace") for number, name in _pairs(answer)}

    async def _top(self, number: int) -> bytes:
        return await self._wire.read(f"TOP {number} 0", "TOP", expected=HEADERS_AT_MOST, at_most=HEADERS_AT_MOST)

    async def search(self, first: int, last: int | None, *, since: datetime | None = None) -> list[int]:  # noqa: ARG002  # POP3 knows no dates
        return sorted(uid for uid in self._numbers if first <= uid and (last is None or uid <= last))

    async def present(self, uids: Collection[int]) -> set[int]:
        return set(uids) & self._numbers.keys()

    async def sizes(self, uids: Sequence[int]) -> list[Listed]:
        """The date is that of the last Received line, which the account's own server wrote."""
        found: list[Listed] = []
        for uid in sorted(set(uids) & self._listed.keys()):
            with contextlib.suppress(faults.Refused):  # TOP is optional: then nobody knows the date
                head = await self._top(self._numbers[uid])
                self._listed[uid] = replace(self._listed[uid], internaldate=arrived(head))
            found.append(self._listed[uid])
        return found

    # --- reading

    async def fetch(self, mails: Sequence[Listed], max_size: int, *, sizes_hold: bool = True) -> list[Fetched]:
        """The mails whole; one the server refuses has `body` None."""
        fetched = [Fetched(mail.uid, await self._retrieve(mail, max_size, sizes_hold=sizes_hold)) for mail in mails]
        await self._numbering.keep_hashes(
            {got.uid: hashlib.sha256(got.body).hexdigest() for got in fetched if got.body is not None}
        )
        self._read.update(got.uid for got in fetched if got.body is not None)
        return fetched

    async def _retrieve(self, mail: Listed, max_size: int, *, sizes_hold: bool = True) -> bytes | None:
        at_most = max_size + _SLACK
        if sizes_hold:
            at_most = min(mail.size + mail.size // 2 + _SLACK, at_most)
        try:
            return await self._wire.read(f"RETR {self._numbers[mail.uid]}", "RETR", expected=mail.size, at_most=at_most)
        except faults.Refused:
            return None

    async def headers(self, mail: Listed) -> Fetched:
        return Fetched(mail.uid, await self._top(self._numbers[mail.uid]))

    # --- tidying up

    async def flag(self, uids: Sequence[int], flag: str) -> None:  # noqa: ARG002
        raise faults.Refused("POP3 cannot mark mail as seen: choose `after: keep` or `after: delete`")

    async def move(self, uids: Sequence[int], folder: str) -> None:  # noqa: ARG002
        raise faults.Refused("POP3 cannot move mail: choose `after: keep` or `after: delete`")

    async def copy(self, uids: Sequence[int], folder: str) -> set[int] | None:
        await self.move(uids, folder)
        return None

    async def remove(self, uids: Sequence[int]) -> None:
        """DELE, which counts when `finish` returns. What is not listed any more is gone already."""
        if not self.has_names:
            raise faults.Refused(
                "the server has no UIDL, its mails cannot be told apart for certain: nothing is deleted, "
                "as with `after: keep`"
            )
        for uid in uids:
            if uid in self._numbers and await self._is_the_same(uid):
                await self._wire.ask(f"DELE {self._numbers[uid]}", "DELE")
                self._marked.add(uid)

    async def _is_the_same(self, uid: int) -> bool:
        """A mail confirmed in an earlier session whose end was lost: read again, as servers use UIDLs again."""
        if uid in self._read:
            return True
        body = await self._retrieve(self._listed[uid], self._listed[uid].size * 2 + _SLACK)
        if body is not None and hashlib.sha256(body).hexdigest() == self._hashes.get(uid):
            return True
        await self._numbering.forget([uid])
        return False

    async def finish(self) -> None:
        """QUIT: only its +OK says that the mails are gone."""
        await self._wire.ask("QUIT", "QUIT: mails may not have been removed")
        await self._numbering.forget(self._marked)
        self._marked.clear()
        self._wire.fail(faults.ConnectFailed("closed by us"))

    def peer_certificate(self) -> Mapping[str, Any] | None:
        return self._wire.peer_certificate()

    # --- waiting and leaving

    async def idle(self, seconds: float) -> None:  # noqa: ARG002
        raise faults.Refused("POP3 knows no IDLE")

    async def close(self) -> None:
        """QUIT if nothing is to be removed and the server is quick; the connection is gone in any case."""
        if not self._marked:
            with contextlib.suppress(faults.Fault, TimeoutError):
                async with asyncio.timeout(_QUIT_AT_MOST):
                    await self._wire.ask("QUIT", "QUIT")
        self._wire.fail(faults.ConnectFailed("closed by us"))


def _pairs(lines: bytes) -> list[tuple[int, bytes]]:
    """`1 name` a line; what is no such line is left out."""
    pairs = (line.split(None, 1) for line in lines.splitlines())
    return [(int(pair[0]), pair[1].strip()) for pair in pairs if len(pair) == 2 and pair[0].isdigit()]


def arrived(head: bytes) -> datetime | None:
    """The date of the topmost Received line (RFC 5322 §3.6.7), UTC; None when there is none that can be read."""
    lines = head.replace(b"\r\n ", b" ").replace(b"\r\n\t", b" ").split(b"\r\n")
    received = next((line for line in lines if line[:9].lower() == b"received:"), b"")
    date = received.rpartition(b";")[2].decode("ascii", "replace").strip()
    try:
        found = parsedate_to_datetime(date)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
