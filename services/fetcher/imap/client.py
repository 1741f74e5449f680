"""A mailbox over IMAP, in the fetcher's terms: typed calls over `wire`, by UID only.

Nothing here marks, moves or removes a mail unless it is told which UID. Mail is read with BODY.PEEK; never
ENVELOPE or BODYSTRUCTURE, which one broken mail can make unreadable for a whole mailbox.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from aioimaplib.aioimaplib import SELECTED, Command, quoted

from services.fetcher import faults
from services.fetcher.imap.syntax import (
    listed,
    mailbox_name,
    members,
    parse_fetch,
    parse_search,
    response_code,
    uid_set,
)
from services.fetcher.imap.wire import Exchange, Wire
from services.fetcher.plan import Listed, MailboxState
from services.fetcher.protocol import HEADERS_AT_MOST, Fetched

_SLACK = 64 * 1024  # servers announce sizes with other line ends, or before adding a header
_IDLE_AT_MOST = 540.0  # nine minutes: routers and servers forget a silent connection
_LOGOUT_AT_MOST = 2.0


class Mailbox:
    """One authenticated connection; made by `connect.connect`. Any call may raise a `faults.Fault`.

    After every fault but `Refused` the connection is gone for good: connect anew, after a while.
    """

    protocol: Literal["imap", "pop3"] = "imap"
    removes_at_end = False

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    @property
    def capabilities(self) -> frozenset[str]:
        return frozenset(self._wire.capabilities)

    async def run(
        self,
        name: str,
        *args: str,
        prefix: str | None = None,
        expected: int = 0,
        literal_bytes: int = 0,
        replies: Sequence[bytes] = (),
    ) -> Exchange:
        """One command; the answer may be OK, NO or BAD (see `Wire.execute`)."""
        try:
            command = Command(name, self._wire.new_tag(), *args, prefix=prefix, loop=self._wire.loop)
        except ValueError as error:
            raise faults.ProtocolFault(f"{name}: NUL, CR or LF in an argument") from error
        return await self._wire.execute(command, expected=expected, literal_bytes=literal_bytes, replies=replies)

    # --- looking

    async def open(self, folder: str, *, read_only: bool = False) -> MailboxState:
        """SELECT, or EXAMINE, which can change nothing."""
        name = "EXAMINE" if read_only else "SELECT"
        self._wire.news = False
        exchange = await self.run(name, quoted(mailbox_name(folder)))
        exchange.require_ok(f"{name} {folder}")
        self._wire.state = SELECTED
        texts = [response.text for response in exchange.untagged]
        uidvalidity = response_code(texts, b"UIDVALIDITY")
        if uidvalidity is None or not uidvalidity.isdigit():
            raise faults.ProtocolFault(f"{folder}: the server names no UIDVALIDITY, mail cannot be told apart")
        counts = [text.split()[1] for text in texts if text.upper().endswith(b" EXISTS")]
        exists = int(counts[-1]) if counts and counts[-1].isdigit() else 0
        uidnext = response_code(texts, b"UIDNEXT") or b""
        told = uidnext.isdigit()
        if not told:
            last = await self._search("UID *") if exists else []
            uidnext = b"%d" % (max(last, default=0) + 1)
        self._wire.news = False
        return MailboxState(int(uidvalidity), int(uidnext), exists, told)

    async def _search(self, criteria: str) -> list[int]:
        exchange = await self.run("SEARCH", criteria, prefix="UID")
        return parse_search(exchange.require_ok("UID SEARCH").untagged)

    async def search(self, first: int, last: int | None, *, since: datetime | None = None) -> list[int]:
        """UIDs in the range, ascending; `last` None is `*`, `since` counts by INTERNALDATE's day."""
        dated = f" SINCE {since.day}-{_MONTHS[since.month]}-{since.year}" if since else ""
        found = await self._search(f"UID {first}:{last or '*'}{dated}")
        # RFC 3501 §6.4.8: `n:*` always includes the last mail, also when it is below n
        return [uid for uid in found if uid >= first]

    async def present(self, uids: Collection[int]) -> set[int]:
        """Those of `uids` that a search finds now."""
        return set(await self._search(f"UID {uid_set(uids)}")) & set(uids) if uids else set()

    async def sizes(self, uids: Sequence[int]) -> list[Listed]:
        """Sizes, flags and dates; a UID without a readable size is missing from the list."""
        exchange = await self.run(
            "FETCH", uid_set(uids), "(UID RFC822.SIZE FLAGS INTERNALDATE)", prefix="UID", expected=200 * len(uids)
        )
        return listed(exchange.require_ok("UID FETCH sizes").untagged, uids)

    # --- reading

    async def fetch(self, mails: Sequence[Listed], max_size: int, *, sizes_hold: bool = True) -> list[Fetched]:
        """The mails whole, in UID order; one the server did not send has `body` None.

        What may come is bounded by the announced sizes with some slack, a single mail by `max_size`.
        """
        announced = sum(mail.size for mail in mails)
        budget = max_size * len(mails)
        if sizes_hold:
            budget = min(announced + announced // 2 + _SLACK * len(mails), budget)
        exchange = await self.run(
            "FETCH",
            uid_set(mail.uid for mail in mails),
            "(UID BODY.PEEK[])",
            prefix="UID",
            expected=announced,
            literal_bytes=budget,
        )
        return _fetched(exchange.require_ok("UID FETCH"), mails)

    async def headers(self, mail: Listed) -> Fetched:
        """The header block of a mail that is too large, its first 128 KiB."""
        exchange = await self.run(
            "FETCH",
            str(mail.uid),
            f"(UID BODY.PEEK[HEADER]<0.{HEADERS_AT_MOST}>)",
            prefix="UID",
            expected=HEADERS_AT_MOST,
            literal_bytes=HEADERS_AT_MOST,
        )
        return _fetched(exchange.require_ok("UID FETCH header"), [mail])[0]

    # --- tidying up, confirmed UIDs only: the caller's duty

    async def flag(self, uids: Sequence[int], flag: str) -> None:
        exchange = await self.run("STORE", uid_set(uids), "+FLAGS.SILENT", f"({flag})", prefix="UID")
        exchange.require_ok(f"UID STORE {flag}")

    @property
    def moves_at_once(self) -> bool:
        return "MOVE" in self.capabilities

    async def move(self, uids: Sequence[int], folder: str) -> None:
        """UID MOVE (RFC 6851)."""
        target = quoted(mailbox_name(folder))
        (await self.run("MOVE", uid_set(uids), target, prefix="UID")).require_ok(f"UID MOVE to {folder}")

    async def copy(self, uids: Sequence[int], folder: str) -> set[int] | None:
        """Those that COPYUID (RFC 4315) proves to be copied; None where the server does not say.

        Refused where they could not be removed afterwards: each look would make another copy.
        """
        self._require_uidplus()
        target = quoted(mailbox_name(folder))
        copy = (await self.run("COPY", uid_set(uids), target, prefix="UID")).require_ok(f"UID COPY to {folder}")
        copied = response_code([copy.text], b"COPYUID")
        if copied is None:
            return None
        sources = copied.split()[1:2]  # an empty COPYUID: nothing was there to copy
        return members(sources[0], uids) if sources else set()

    async def remove(self, uids: Sequence[int]) -> None:
        """\\Deleted and UID EXPUNGE (RFC 4315). Never a plain EXPUNGE, which takes other people's deletions along."""
        self._require_uidplus()
        if uids:
            await self.flag(uids, "\\Deleted")
            (await self.run("EXPUNGE", uid_set(uids), prefix="UID")).require_ok("UID EXPUNGE")

    def _require_uidplus(self) -> None:
        if "UIDPLUS" not in self.capabilities:
            raise faults.Refused("the server lacks UIDPLUS: mail cannot be removed by UID, choose `after: seen`")

    async def finish(self) -> None:
        """Nothing is left open: each removal was done at once."""

    def peer_certificate(self) -> Mapping[str, Any] | None:
        secured: ssl.SSLObject | None = self._wire.transport.get_extra_info("ssl_object")
        return (secured.getpeercert() or {}) if secured else None

    # --- waiting and leaving

    @property
    def can_idle(self) -> bool:
        return "IDLE" in self.capabilities

    async def idle(self, seconds: float) -> None:
        """Returns when there is something to look at, or after `seconds`; raises when the connection is lost, and
        Refused when it lives but the server will not have IDLE."""
        if not self._wire.news:
            ended = await self._wire.idle(min(seconds, _IDLE_AT_MOST))
            ended.require_ok("IDLE")

    async def close(self) -> None:
        """LOGOUT if the server is quick, and the connection is gone in any case."""
        with contextlib.suppress(faults.Fault, TimeoutError):
            async with asyncio.timeout(_LOGOUT_AT_MOST):
                await self.run("LOGOUT")
        self._wire.fail(faults.ConnectFailed("closed by us"))


_MONTHS = ("", "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def _fetched(exchange: Exchange, mails: Sequence[Listed]) -> list[Fetched]:
    """Matched by UID and by a body being there: unsolicited FETCH lines carry none."""
    found = {
        data.uid: Fetched(data.uid, data.body)
        for data in map(parse_fetch, exchange.untagged)
        if data is not None and data.uid is not None and data.body is not None
    }
    return [found.get(mail.uid) or Fetched(mail.uid, None) for mail in mails]
