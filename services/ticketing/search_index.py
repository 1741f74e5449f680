"""The words that articles are found by: taken after the batch has committed, so that no batch waits for them.

Several processes may do it at once: each takes other rows. What was written and not indexed waits in a table, so
nothing is forgotten; a found ticket is at most some seconds late.
"""

import asyncio
import logging
from collections.abc import Callable

from services.ticketing.ticket_list import dictionary
from shared.clock import monotonic
from shared.failures import describe
from shared.logs import fields
from shared.postgres import UNAVAILABLE, Pool

log = logging.getLogger(__name__)

AT_ONCE = 200
_PAUSE_SECONDS = 1.0
# a text is cut where nobody reads on: a tsvector holds one megabyte at most
_INDEX = """
WITH taken AS (
    DELETE FROM ticketing.unsearched WHERE article_id IN (
        SELECT article_id FROM ticketing.unsearched ORDER BY article_id DESC LIMIT $2 FOR UPDATE SKIP LOCKED)
    RETURNING article_id)
INSERT INTO ticketing.searchable (article_id, ticket_id, words)
SELECT a.id, a.ticket_id, to_tsvector($1::text::regconfig, w.text) || to_tsvector('simple', w.text)
FROM taken JOIN ticketing.articles a ON a.id = taken.article_id
CROSS JOIN LATERAL (SELECT left(concat_ws(' ', a.subject, a.from_name, a.from_address, a.text), 50000) AS text) w
ON CONFLICT (article_id) DO UPDATE SET words = excluded.words
"""


async def index_once(pool: Pool, language: str) -> int:
    """Takes the newest articles that wait; gives how many. Raises asyncpg errors."""
    status = await pool.execute(_INDEX, dictionary(language), AT_ONCE)
    return int(status.rpartition(" ")[2])


class SearchIndex:
    """`last_progress`: monotonic time of the last look that went well or was refused."""

    def __init__(self, pool: Pool, language: Callable[[], str]) -> None:
        self._pool = pool
        self._language = language
        self.last_progress = monotonic()

    async def run(self) -> None:
        while True:
            done = 0
            try:
                done = await index_once(self._pool, self._language())
            except UNAVAILABLE as error:
                log.warning("articles not indexed", extra=fields(action="search_index", cause=describe(error)))
            self.last_progress = monotonic()
            if done < AT_ONCE:
                await asyncio.sleep(_PAUSE_SECONDS)
