"""What the fetcher asks of a mailbox, whatever the protocol. Mails are named by number: on IMAP the UID."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, Protocol

from services.fetcher.plan import Listed, MailboxState

HEADERS_AT_MOST = 128 * 1024


class Security(StrEnum):
    """How a connection is secured. There is no fallback from one to another."""

    plain = "plain"
    tls = "tls"
    starttls = "starttls"

    @classmethod
    def of(cls, account_type: str) -> "Security":
        """Of the desk's account types: `imaps` is TLS from the first byte, `imaptls` STARTTLS."""
        endings = {"tls": cls.starttls, "s": cls.tls}
        return next((kind for ending, kind in endings.items() if account_type.endswith(ending)), cls.plain)


@dataclass(frozen=True, slots=True)
class Fetched:
    """A mail, or of an oversize one its header block; `body` None if the server sent none."""

    uid: int
    body: bytes | None


class Mailbox(Protocol):
    """One authenticated connection. Any call may raise a `faults.Fault`.

    After every fault but `Refused` the connection is gone for good: connect anew, after a while. Nothing here
    marks, moves or removes a mail unless it is told which one.
    """

    protocol: Literal["imap", "pop3"]

    async def open(self, folder: str, *, read_only: bool = False) -> MailboxState: ...

    async def search(self, first: int, last: int | None, *, since: datetime | None = None) -> list[int]:
        """UIDs in the range, ascending; `last` None is the end, `since` counts by the server's day."""

    async def present(self, uids: Collection[int]) -> set[int]:
        """Those of `uids` that the server still has."""

    async def sizes(self, uids: Sequence[int]) -> list[Listed]:
        """Sizes, flags and dates; a UID without a readable size is missing from the list."""

    async def fetch(self, mails: Sequence[Listed], max_size: int, *, sizes_hold: bool = True) -> list[Fetched]:
        """The mails whole, in their order; one the server did not send has `body` None. What may come is bounded by
        the announced sizes with some slack, a single mail by `max_size`; alone by it where `sizes_hold` is false."""

    async def headers(self, mail: Listed) -> Fetched:
        """The header block of a mail that is too large, its first 128 KiB."""

    # confirmed UIDs only: the caller's duty

    async def flag(self, uids: Sequence[int], flag: str) -> None: ...

    @property
    def moves_at_once(self) -> bool:
        """Whether `move` is one step for the server; else `copy`, then `remove`."""

    async def move(self, uids: Sequence[int], folder: str) -> None: ...

    async def copy(self, uids: Sequence[int], folder: str) -> set[int] | None:
        """Those the server says it has copied; None where it does not say."""

    async def remove(self, uids: Sequence[int]) -> None: ...

    removes_at_end: bool
    """Whether what `remove` was asked for is done only when `finish` returns, which ends the session."""

    async def finish(self) -> None: ...

    def peer_certificate(self) -> Mapping[str, Any] | None:
        """As `ssl.SSLSocket.getpeercert`: empty where it was not verified; None without TLS."""

    @property
    def can_idle(self) -> bool: ...

    async def idle(self, seconds: float) -> None:
        """Returns when there is something to look at, or after `seconds`; raises when the connection is lost."""

    async def close(self) -> None: ...
