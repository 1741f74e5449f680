"""All SQL of the fetcher. Writes of what was read are fenced: only the holder of the account's lease may.

A fetcher that lost its lease without noticing can repeat a mail on Kafka, but never move a cursor or permit the
removal of a mail. Times are the database's: leases must not depend on the clocks of two machines.
"""

import hashlib
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from services.fetcher.plan import Failed, Folder
from shared.failures import Transient
from shared.postgres import UNAVAILABLE, Connection, Pool


class StoreUnavailable(Transient):
    """PostgreSQL did not serve; nothing was written."""


class LeaseLost(Exception):
    """Another fetcher holds the account now: stop, and touch nothing more of it."""


class Lease(NamedTuple):
    account: str
    holder: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Memory:
    """What is remembered of a folder, at `moment` (the database's time).

    `final`: UIDs above the cursor with a final outcome; `uncleaned`: (uidvalidity, uid) still to be tidied up;
    `copies`: of those already copied elsewhere, whether the server has named them.
    """

    moment: datetime
    folder: Folder | None
    final: frozenset[int]
    uncleaned: tuple[tuple[int, int], ...]
    failed: Mapping[int, Failed]
    last_success: datetime | None
    copies: Mapping[int, bool] = field(default_factory=dict)
    compared_at: datetime | None = None
    landmark: tuple[int, datetime] | None = None


class Passed(NamedTuple):
    """What the cursor has passed: ranges of UIDs nobody has read, and the last mail that was, with its date."""

    gaps: Sequence[tuple[int, int]] = ()
    landmark: tuple[int, datetime] | None = None


_LEASE_SECONDS = 5.0  # a renewal that takes longer is worth nothing

# leases that are alive are not touched, so two fetchers asking at once cannot lock each other
# in an order of its own each fetcher finds other free ones first; locked in one order, so that none waits in a circle
_ACQUIRE = """
WITH free AS (
    SELECT wanted.account FROM unnest($1::text[]) AS wanted (account)
    WHERE NOT EXISTS (SELECT FROM fetcher.leases taken
                      WHERE taken.account = wanted.account AND taken.expires_at > clock_timestamp())
    ORDER BY md5(wanted.account || $2) LIMIT $4
)
INSERT INTO fetcher.leases AS l (account, holder, epoch, expires_at)
SELECT free.account, $2, 1, clock_timestamp() + $3 FROM free ORDER BY free.account
ON CONFLICT (account) DO UPDATE
SET holder = excluded.holder, epoch = l.epoch + 1, expires_at = clock_timestamp() + $3
WHERE l.expires_at <= clock_timestamp()
RETURNING account, epoch
"""
_ATTEND = """
INSERT INTO fetcher.fetchers (holder, accounts, expires_at) VALUES ($1, $2, clock_timestamp() + $3)
ON CONFLICT (holder) DO UPDATE SET accounts = $2, expires_at = clock_timestamp() + $3
"""
_FORGET_FETCHERS = "DELETE FROM fetcher.fetchers WHERE expires_at < clock_timestamp() - interval '1 minute'"
_LEAVE = "DELETE FROM fetcher.fetchers WHERE holder = $1"
# of fetchers with the same list; the row without a holder counts what others have of it
_HELD = """
WITH peers AS (SELECT holder FROM fetcher.fetchers WHERE accounts = $1 AND expires_at > clock_timestamp()),
     alive AS (SELECT holder FROM fetcher.leases WHERE account = ANY($2::text[]) AND expires_at > clock_timestamp())
SELECT p.holder, count(a.holder) AS held FROM peers p LEFT JOIN alive a USING (holder) GROUP BY p.holder
UNION ALL SELECT NULL, count(*) FROM alive a WHERE NOT EXISTS (SELECT FROM peers p WHERE p.holder = a.holder)
"""
_RENEW = """
UPDATE fetcher.leases l SET expires_at = clock_timestamp() + $3
FROM unnest($1::text[], $4::bigint[]) AS held (account, epoch)
WHERE l.account = held.account AND l.epoch = held.epoch AND l.holder = $2
RETURNING l.account
"""
_RELEASE = """
UPDATE fetcher.leases SET expires_at = clock_timestamp()
WHERE account = $1 AND holder = $2 AND epoch = $3
"""
# FOR SHARE holds a take-over back until the write is committed
_GUARD = "SELECT 1 FROM fetcher.leases WHERE account = $1 AND holder = $2 AND epoch = $3 FOR SHARE"

_FOLDER = """
SELECT clock_timestamp() AS moment, f.*, s.last_success
FROM (SELECT $1::text AS name) asked
LEFT JOIN fetcher.folders f ON f.account = asked.name AND f.folder = $2
LEFT JOIN fetcher.account_status s ON s.account = asked.name
"""
_CONFIRMED = "SELECT uidvalidity, uid, cleaned, copied FROM fetcher.confirmed WHERE account = $1 AND folder = $2"
_FAILED = """
SELECT uid, attempts, retry_at, suspected FROM fetcher.failed WHERE account = $1 AND folder = $2 AND uidvalidity = $3
"""
_ADOPT = """
INSERT INTO fetcher.folders (account, folder, uidvalidity, cursor_uid, watched_since, resync_below, live_since)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (account, folder) DO UPDATE
SET uidvalidity = $3, cursor_uid = $4, watched_since = $5, resync_below = $6, live_since = $7,
    landmark_uid = NULL, landmark_date = NULL
"""
_FORGET_GAPS = "DELETE FROM fetcher.gaps WHERE account = $1 AND folder = $2 AND last_uid >= $3"
_ADD_GAPS = """
INSERT INTO fetcher.gaps (account, folder, first_uid, last_uid)
SELECT $1, $2, * FROM unnest($3::bigint[], $4::bigint[]) ON CONFLICT DO NOTHING
"""
_LANDMARK = "UPDATE fetcher.folders SET landmark_uid = $3, landmark_date = $4 WHERE account = $1 AND folder = $2"
_GAPS = "SELECT first_uid, last_uid FROM fetcher.gaps WHERE account = $1 AND folder = $2 ORDER BY first_uid"
_OLD_GAPS = "DELETE FROM fetcher.gaps WHERE account = $1 AND folder = $2 AND noticed < now() - $3::interval"
_COMPARED = """
UPDATE fetcher.folders SET compared_at = clock_timestamp(), cursor_uid = $3 WHERE account = $1 AND folder = $2
"""
_FORGET_CONFIRMED = "DELETE FROM fetcher.confirmed WHERE account = $1 AND folder = $2"
_FORGET_FAILED = "DELETE FROM fetcher.failed WHERE account = $1 AND folder = $2"
_CONFIRM = """
INSERT INTO fetcher.confirmed (account, folder, uidvalidity, uid, cleaned)
SELECT $1, $2, $3, uid, $5 FROM unnest($4::bigint[]) AS uid ON CONFLICT DO NOTHING
"""
_SETTLE_FAILED = """
DELETE FROM fetcher.failed
WHERE account = $1 AND folder = $2 AND uidvalidity = $3 AND (uid = ANY($4::bigint[]) OR uid <= $5)
"""
_ADVANCE = """
UPDATE fetcher.folders SET cursor_uid = $4
WHERE account = $1 AND folder = $2 AND uidvalidity = $3 AND cursor_uid < $4
"""
_TIDY = """
DELETE FROM fetcher.confirmed
WHERE account = $1 AND folder = $2 AND uidvalidity = $3 AND cleaned AND uid <= $4
"""
_FAIL = """
INSERT INTO fetcher.failed (account, folder, uidvalidity, uid, attempts, retry_at, suspected, reason)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (account, folder, uidvalidity, uid) DO UPDATE
SET attempts = $5, retry_at = $6, suspected = $7, reason = $8
"""
_CLEANED = """
UPDATE fetcher.confirmed SET cleaned = true
WHERE account = $1 AND folder = $2 AND uidvalidity = $3 AND uid = ANY($4::bigint[])
"""
_COPIED = """
UPDATE fetcher.confirmed SET copied = $5
WHERE account = $1 AND folder = $2 AND uidvalidity = $3 AND uid = ANY($4::bigint[])
"""
_SUCCEEDED = """
INSERT INTO fetcher.account_status (account, connected, last_attempt, last_success, error, error_text, error_since)
VALUES ($1, $2, clock_timestamp(), $3, $4, $5, CASE WHEN $4 = '' THEN NULL ELSE clock_timestamp() END)
ON CONFLICT (account) DO UPDATE
SET connected = $2, last_attempt = clock_timestamp(), last_success = $3, error = $4, error_text = $5,
    error_since = CASE WHEN $4 = '' THEN NULL
                       ELSE coalesce(account_status.error_since, clock_timestamp()) END
"""
_FAILED_LOOK = """
INSERT INTO fetcher.account_status (account, connected, last_attempt, error, error_text, error_since)
VALUES ($1, false, clock_timestamp(), $2, $3, clock_timestamp())
ON CONFLICT (account) DO UPDATE
SET connected = false, last_attempt = clock_timestamp(), error = $2, error_text = $3,
    error_since = CASE WHEN account_status.error = $2 THEN account_status.error_since ELSE clock_timestamp() END
"""


class Store:
    """Every method raises StoreUnavailable when PostgreSQL does not serve."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @asynccontextmanager
    async def _serving(self) -> AsyncIterator[Connection]:
        try:
            async with self._pool.acquire(timeout=10) as connection:
                yield connection
        except UNAVAILABLE as error:
            raise StoreUnavailable(f"PostgreSQL does not serve ({type(error).__name__})") from error

    @asynccontextmanager
    async def fenced(self, lease: Lease) -> AsyncIterator[Connection]:
        """A transaction that only the holder of the lease gets; raises LeaseLost."""
        async with self._serving() as connection, connection.transaction():
            if await connection.fetchval(_GUARD, *lease) is None:
                raise LeaseLost(lease.account)
            yield connection

    # --- leases

    async def attend(self, accounts: Collection[str], holder: str, ttl: timedelta) -> tuple[dict[str, int], int]:
        """Says that this fetcher is there and wants these accounts.

        Returns how many of them each fetcher with the same list holds, and how many others hold.
        """
        names = sorted(accounts)
        fingerprint = hashlib.sha256("\0".join(names).encode()).hexdigest()
        async with self._serving() as connection:
            await connection.execute(_ATTEND, holder, fingerprint, ttl, timeout=_LEASE_SECONDS)
            await connection.execute(_FORGET_FETCHERS, timeout=_LEASE_SECONDS)
            rows = await connection.fetch(_HELD, fingerprint, names, timeout=_LEASE_SECONDS)
        held = {row["holder"]: row["held"] for row in rows}
        return held, held.pop(None)

    async def leave(self, holder: str) -> None:
        async with self._serving() as connection:
            await connection.execute(_LEAVE, holder, timeout=_LEASE_SECONDS)

    async def acquire(
        self, accounts: Collection[str], holder: str, ttl: timedelta, at_most: int | None = None
    ) -> list[Lease]:
        """Takes free ones among `accounts`, and those whose lease has run out; no more than `at_most`."""
        async with self._serving() as connection:
            rows = await connection.fetch(_ACQUIRE, sorted(accounts), holder, ttl, at_most, timeout=_LEASE_SECONDS)
        return [Lease(row["account"], holder, row["epoch"]) for row in rows]

    async def renew(self, leases: Sequence[Lease], holder: str, ttl: timedelta) -> set[str]:
        """Accounts whose lease was still this holder's, and is so for another `ttl`."""
        names, epochs = [lease.account for lease in leases], [lease.epoch for lease in leases]
        async with self._serving() as connection:
            rows = await connection.fetch(_RENEW, names, holder, ttl, epochs, timeout=_LEASE_SECONDS)
        return {row["account"] for row in rows}

    async def release(self, lease: Lease) -> None:
        async with self._serving() as connection:
            await connection.execute(_RELEASE, *lease, timeout=_LEASE_SECONDS)

    # --- folders

    async def load(self, account: str, folder: str) -> Memory:
        async with self._serving() as connection:
            row = await connection.fetchrow(_FOLDER, account, folder)
            assert row is not None
            if row["uidvalidity"] is None:
                return Memory(row["moment"], None, frozenset(), (), {}, row["last_success"])
            confirmed = await connection.fetch(_CONFIRMED, account, folder)
            failed = await connection.fetch(_FAILED, account, folder, row["uidvalidity"])
        known = Folder(
            uidvalidity=row["uidvalidity"],
            cursor=row["cursor_uid"],
            watched_since=row["watched_since"],
            resync_below=row["resync_below"],
            live_since=row["live_since"],
        )
        return Memory(
            moment=row["moment"],
            folder=known,
            final=frozenset(r["uid"] for r in confirmed if r["uidvalidity"] == known.uidvalidity),
            uncleaned=tuple((r["uidvalidity"], r["uid"]) for r in confirmed if not r["cleaned"]),
            failed={r["uid"]: Failed(r["uid"], r["attempts"], r["retry_at"], r["suspected"]) for r in failed},
            last_success=row["last_success"],
            compared_at=row["compared_at"],
            landmark=(row["landmark_uid"], row["landmark_date"]) if row["landmark_uid"] else None,
            copies={r["uid"]: r["copied"] == "proven" for r in confirmed if r["copied"] and not r["cleaned"]},
        )

    async def adopt(self, lease: Lease, name: str, folder: Folder) -> None:
        """Starts a folder, or starts it anew; what was remembered of its mails is forgotten, under the same
        UIDVALIDITY as well: in a mailbox that went back the same UID is another mail."""
        async with self.fenced(lease) as connection:
            await connection.execute(
                _ADOPT,
                lease.account,
                name,
                folder.uidvalidity,
                folder.cursor,
                folder.watched_since,
                folder.resync_below,
                folder.live_since,
            )
            await connection.execute(_COMPARED, lease.account, name, folder.cursor)
            await connection.execute(_FORGET_GAPS, lease.account, name, 0)
            await connection.execute(_FORGET_CONFIRMED, lease.account, name)
            await connection.execute(_FORGET_FAILED, lease.account, name)

    async def confirm(
        self,
        lease: Lease,
        name: str,
        folder: Folder,
        to_clean: Iterable[int],
        settled: Iterable[int],
        *,
        passed: Passed | None = None,
    ) -> None:
        """Records final outcomes and the cursor together.

        `to_clean`: UIDs Kafka has confirmed, which permits tidying them up; `settled`: final, nothing to tidy up.
        """
        clean, rest = list(to_clean), list(settled)
        key = (lease.account, name, folder.uidvalidity)
        async with self.fenced(lease) as connection:
            for uids, cleaned in ((clean, False), (rest, True)):
                if uids:
                    await connection.execute(_CONFIRM, *key, uids, cleaned)
            await connection.execute(_SETTLE_FAILED, *key, clean + rest, folder.cursor)
            await connection.execute(_ADVANCE, *key, folder.cursor)
            await connection.execute(_TIDY, *key, folder.cursor)
            if passed and passed.gaps:
                firsts, lasts = zip(*passed.gaps, strict=True)
                await connection.execute(_ADD_GAPS, lease.account, name, firsts, lasts)
            if passed and passed.landmark:
                await connection.execute(_LANDMARK, lease.account, name, *passed.landmark)

    async def gaps(self, lease: Lease, name: str, kept: timedelta) -> list[tuple[int, int]]:
        """UIDs that were passed over, but not those noticed longer than `kept` ago."""
        async with self.fenced(lease) as connection:
            await connection.execute(_OLD_GAPS, lease.account, name, kept)
            rows = await connection.fetch(_GAPS, lease.account, name)
        return [(row["first_uid"], row["last_uid"]) for row in rows]

    async def compared(self, lease: Lease, name: str, folder: Folder, final: Collection[int]) -> None:
        """Records a comparison. The cursor may go back to before a mail that was shown late: `final` are the UIDs
        above it that have been read already."""
        key = (lease.account, name, folder.uidvalidity)
        async with self.fenced(lease) as connection:
            await connection.execute(_COMPARED, lease.account, name, folder.cursor)
            await connection.execute(_FORGET_GAPS, lease.account, name, folder.cursor + 1)
            await connection.execute(_CONFIRM, *key, sorted(final), True)

    async def fail(self, lease: Lease, name: str, folder: Folder, failed: Iterable[tuple[Failed, str]]) -> None:
        """Records failed attempts, each with its reason."""
        rows = [
            (lease.account, name, folder.uidvalidity, f.uid, f.attempts, f.retry_at, f.suspected, reason)
            for f, reason in failed
        ]
        async with self.fenced(lease) as connection:
            await connection.executemany(_FAIL, rows)

    async def cleaned(self, lease: Lease, name: str, folder: Folder, uids: Sequence[int]) -> None:
        """Records that mails were flagged, moved or removed on the server."""
        key = (lease.account, name, folder.uidvalidity)
        async with self.fenced(lease) as connection:
            await connection.execute(_CLEANED, *key, list(uids))
            await connection.execute(_TIDY, *key, folder.cursor)

    async def copied(self, lease: Lease, name: str, folder: Folder, uids: Collection[int], *, proven: bool) -> None:
        """Records that mails were copied elsewhere and are to be removed, or may not be."""
        word = "proven" if proven else "unproven"
        async with self.fenced(lease) as connection:
            await connection.execute(_COPIED, lease.account, name, folder.uidvalidity, list(uids), word)

    # --- status, for people

    async def succeeded(
        self, lease: Lease, began: datetime, *, connected: bool, error: str = "", text: str = ""
    ) -> None:
        """A complete look; `error` and `text` for what did not keep it from being complete."""
        async with self.fenced(lease) as connection:
            await connection.execute(_SUCCEEDED, lease.account, connected, began, error, text)

    async def failed_look(self, lease: Lease, error: str, text: str) -> None:
        async with self.fenced(lease) as connection:
            await connection.execute(_FAILED_LOOK, lease.account, error, text)
