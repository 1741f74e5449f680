"""Offsets in a service's own schema (`offsets`, `gaps`), compared and set in the batch's transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shared import metrics
from shared.kafka.offsets import Elsewhere, Extent, Gap, place, say_gaps
from shared.kafka.record import Record, by_partition
from shared.postgres import Connection, Pool, transaction

# the schema's name is our own
_TAKE = """
UPDATE {0}.offsets o SET next_offset = b.next
FROM unnest($2::int[], $3::bigint[], $4::bigint[]) AS b (partition, first, next)
WHERE o.topic = $1 AND o.partition = b.partition AND o.next_offset = b.first
RETURNING o.partition
"""
_STORED = "SELECT partition, next_offset FROM {0}.offsets WHERE topic = $1 AND partition = ANY ($2::int[])"
_NEW = """
INSERT INTO {0}.offsets (topic, partition, next_offset) SELECT $1, * FROM unnest($2::int[], $3::bigint[])
ON CONFLICT DO NOTHING RETURNING partition
"""
_PLACE = "UPDATE {0}.offsets SET next_offset = $3 WHERE topic = $1 AND partition = $2"
_GAP = """
INSERT INTO {0}.gaps (topic, partition, first_offset, last_offset, reason) VALUES ($1, $2, $3, $4, $5)
"""
_LAST_GAP = "SELECT extract(epoch FROM max(noticed_at))::float8 FROM {0}.gaps WHERE topic = $1"


async def take_offsets(connection: Connection, schema: str, topic: str, records: Sequence[Record]) -> None:
    """The first thing in the transaction of a batch: these records begin where their partitions stand, and with the
    commit the partitions stand behind them. Raises Elsewhere when one does not; the transaction must not be committed
    then. The rows stay locked to its end: a second process with the same records waits, and then finds them done."""
    groups = {partition: (group[0].offset, group[-1].offset + 1) for partition, group in by_partition(records)}
    await _take(connection, schema, topic, groups)


async def _take(connection: Connection, schema: str, topic: str, spans: Mapping[int, tuple[int, int]]) -> None:
    firsts, nexts = [first for first, _ in spans.values()], [after for _, after in spans.values()]
    rows = await connection.fetch(_TAKE.format(schema), topic, list(spans), firsts, nexts)
    if len(rows) < len(spans):
        missing = sorted(spans.keys() - {row["partition"] for row in rows})
        found = await stored_offsets(connection, schema, topic, missing)
        raise Elsewhere({partition: found.get(partition) for partition in missing})


async def stored_offsets(
    connection: Connection | Pool, schema: str, topic: str, partitions: Sequence[int], *, lock: bool = False
) -> dict[int, int]:
    """Partition -> next offset, of those that are known."""
    statement = _STORED.format(schema) + (" ORDER BY partition FOR UPDATE" if lock else "")
    return {row["partition"]: row["next_offset"] for row in await connection.fetch(statement, topic, list(partitions))}


@dataclass(frozen=True)
class StoredOffsets:
    """Offsets of one consumer group in the database of its service."""

    pool: Pool
    schema: str
    topic: str
    group: str

    async def find(self, extents: Mapping[int, Extent]) -> Mapping[int, int]:
        gaps: list[Gap] = []
        async with transaction(self.pool) as connection:
            beginnings = [extent.beginning for extent in extents.values()]
            rows = await connection.fetch(_NEW.format(self.schema), self.topic, list(extents), beginnings)
            fresh = {row["partition"] for row in rows}
            known = await stored_offsets(connection, self.schema, self.topic, list(extents), lock=True)
            found: dict[int, int] = {}
            for partition, extent in extents.items():
                stored = None if partition in fresh else known[partition]
                found[partition], gap = place(partition, stored, extent)
                if found[partition] != known[partition]:
                    await connection.execute(_PLACE.format(self.schema), self.topic, partition, found[partition])
                gaps += [gap] if gap else []
            await connection.executemany(_GAP.format(self.schema), [(self.topic, *gap) for gap in gaps])
            last = await connection.fetchval(_LAST_GAP.format(self.schema), self.topic)
        if last is not None:
            metrics.gap_noticed.labels(self.topic, self.group).set(last)
        say_gaps(self.topic, self.group, gaps)
        return found

    async def advance(self, partition: int, since: int, to: int) -> None:
        async with transaction(self.pool) as connection:
            await _take(connection, self.schema, self.topic, {partition: (since, to)})

    async def stored(self, partitions: Sequence[int]) -> Mapping[int, int | None]:
        found = await stored_offsets(self.pool, self.schema, self.topic, partitions)
        return {partition: found.get(partition) for partition in partitions}
