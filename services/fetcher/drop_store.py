"""SQL of POP3: the numbers of the mails in a drop. Fenced by the account's lease, as everything that is remembered."""

from collections.abc import Collection, Mapping, Sequence

from services.fetcher.pop3.client import Drop
from services.fetcher.pop3.numbering import Known, numbered
from services.fetcher.store import Lease, Store

_DROP = "SELECT generation, next_uid FROM fetcher.drops WHERE account = $1"
_KNOWN = "SELECT name, size, uid, sha256, missing_since FROM fetcher.uidls WHERE account = $1"
_KEEP_DROP = """
INSERT INTO fetcher.drops (account, generation, next_uid) VALUES ($1, $2, $3)
ON CONFLICT (account) DO UPDATE SET generation = $2, next_uid = $3
"""
_ADD = """
INSERT INTO fetcher.uidls (account, name, size, uid)
SELECT $1, * FROM unnest($2::text[], $3::bigint[], $4::bigint[])
"""
_FORGET = "DELETE FROM fetcher.uidls WHERE account = $1 AND uid = ANY($2::bigint[])"
_MARK = """
UPDATE fetcher.uidls SET missing_since = CASE WHEN uid = ANY($2::bigint[]) THEN coalesce(missing_since, now()) END
WHERE account = $1 AND (missing_since IS NOT NULL) <> (uid = ANY($2::bigint[]))
"""
_FORGET_MISSING = "DELETE FROM fetcher.uidls WHERE account = $1 AND missing_since < now() - interval '1 day'"
_HASHES = """
UPDATE fetcher.uidls u SET sha256 = got.sha256 FROM unnest($2::bigint[], $3::text[]) AS got (uid, sha256)
WHERE u.account = $1 AND u.uid = got.uid
"""


class Drops:
    """The numbering of one account's drop, for as long as its lease is held."""

    def __init__(self, store: Store, lease: Lease) -> None:
        self._store = store
        self._lease = lease

    async def number(self, listing: Sequence[tuple[str, int]]) -> Drop:
        account = self._lease.account
        async with self._store.fenced(self._lease) as connection:
            row = await connection.fetchrow(_DROP, account)
            generation, next_uid = (row["generation"], row["next_uid"]) if row else (1, 1)
            rows = await connection.fetch(_KNOWN, account)
            known = {
                (r["name"], r["size"]): Known(r["uid"], r["sha256"] is not None, r["missing_since"] is not None)
                for r in rows
            }
            found = numbered(known, listing, generation, next_uid)
            await connection.execute(_KEEP_DROP, account, found.generation, found.next_uid)
            if found.new:
                names, sizes, uids = zip(*found.new, strict=True)
                await connection.execute(_ADD, account, names, sizes, uids)
            await connection.execute(_FORGET, account, found.gone)
            await connection.execute(_MARK, account, found.missing)
            await connection.execute(_FORGET_MISSING, account)
        hashes = {r["uid"]: r["sha256"] for r in rows if r["sha256"]}
        return Drop(found.generation, found.next_uid, found.uids, hashes)

    async def keep_hashes(self, hashes: Mapping[int, str]) -> None:
        async with self._store.fenced(self._lease) as connection:
            await connection.execute(_HASHES, self._lease.account, list(hashes), list(hashes.values()))

    async def forget(self, uids: Collection[int]) -> None:
        async with self._store.fenced(self._lease) as connection:
            await connection.execute(_FORGET, self._lease.account, list(uids))
