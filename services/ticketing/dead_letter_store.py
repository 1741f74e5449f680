"""All SQL of dead letters: the table in which they stay until somebody decides."""

import base64
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from shared.events import DeadLetter
from shared.postgres import Connection, Pool

# the topic delivers a letter at least once; another record at the same place, of a Kafka before, is another letter
_INSERT = """
INSERT INTO ticketing.dead_letters (origin_topic, origin_partition, origin_offset, origin_id, service, reason,
                                    exception, key, value, headers, original, raw_sha256, received_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
ON CONFLICT DO NOTHING
"""
_OPEN = "SELECT origin_topic, count(*) AS letters FROM ticketing.dead_letters WHERE state = 'open' GROUP BY 1"


def row(
    letter: DeadLetter, moment: datetime, *, original: str = "", raw_sha256: bytes | None = None
) -> tuple[Any, ...]:
    """A letter must always find its place: what a text column refuses is taken out, the bytes stay as they are."""
    return (
        _text(letter.origin_topic),
        letter.origin_partition,
        letter.origin_offset,
        _text(letter.origin_id),
        _text(letter.service),
        _text(letter.reason),
        _text(letter.exception),
        letter.key,
        letter.value,
        [[_text(name), base64.b64encode(value).decode()] for name, value in letter.headers],
        original,
        raw_sha256,
        moment,
    )


async def insert(connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    if rows:
        await connection.executemany(_INSERT, rows)


async def open_letters(pool: Pool) -> dict[str, int]:
    """Origin topic -> letters nobody has decided on."""
    return {row["origin_topic"]: row["letters"] for row in await pool.fetch(_OPEN)}


def _text(value: str) -> str:
    return value.replace("\0", "").encode("utf-8", "replace").decode()
