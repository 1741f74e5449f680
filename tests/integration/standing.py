"""Handlers without a consumer: their offsets stand wherever a batch begins."""

from collections.abc import Sequence

from shared.kafka.batches import Handle
from shared.kafka.offsets import Elsewhere
from shared.kafka.record import Record, by_partition
from shared.postgres import Pool


def wherever(handle: Handle, pool: Pool, schema: str) -> Handle:
    place = f"""
    INSERT INTO {schema}.offsets VALUES ($1, $2, $3)
    ON CONFLICT (topic, partition) DO UPDATE SET next_offset = excluded.next_offset
    """

    async def handled(records: Sequence[Record]) -> None:
        while True:
            for partition, group in by_partition(records):
                await pool.execute(place, group[0].topic, partition, group[0].offset)
            try:
                return await handle(records)
            except Elsewhere:  # another process took them between the two
                continue

    return handled
