"""`carteiro originals sweep`: packs that nothing names any more leave the object store.

They are left by batches that were written and then not published, and by mails that were erased. Nobody could read
them: their keys are gone. What is younger than twice the longest retention may still be named on a topic, and stays.
"""

import json
from datetime import timedelta

from ops.database import connected
from services.ticketing import queries
from shared.clock import now
from shared.originals import open_originals
from shared.process import Misconfigured
from shared.settings import Settings
from shared.topics import TOPICS

_AT_ONCE = 500


async def sweep(*, dry_run: bool, as_json: bool) -> int:
    """Raises PostgresUnreachable, Misconfigured, and Transient when the store does not serve."""
    settings = Settings()
    try:
        originals = open_originals(settings.objects)
    except ValueError as error:
        raise Misconfigured(f"CARTEIRO_OBJECTS: {error}") from error
    limit = (now() - 2 * timedelta(days=max(topic.retention_days for topic in TOPICS))).date()
    old = [name async for name in originals.before(limit)]
    async with connected(settings) as connection:
        named = await queries.named_packs(connection) if old else set()
    if old and not named:
        raise Misconfigured("the database names no original at all: is CARTEIRO_POSTGRES the one of this store?")
    unnamed = [name for name in old if name not in named]
    if not dry_run:
        for start in range(0, len(unnamed), _AT_ONCE):
            await originals.delete(unnamed[start : start + _AT_ONCE])
    if as_json:
        for name in unnamed:
            print(json.dumps({"pack": name, "removed": not dry_run}))
    else:
        word = "would be removed" if dry_run else "removed"
        print(f"{len(old)} packs from before {limit}, {len(unnamed)} of them named by nothing: {word}")
    return 0
