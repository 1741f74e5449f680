"""Where a partition is read on: at the offset that is stored with what was done.

Services with a database store it in the transaction of the batch (stored_offsets.py), the dispatcher in Kafka. A batch
that does not begin there does not begin. So a database may go back at any moment and any number of times: what it
lost is read again, and claims make the rest empty.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from shared import metrics
from shared.clock import now
from shared.logs import fields

log = logging.getLogger(__name__)


class Elsewhere(Exception):
    """The batch does not begin where these partitions stand: nothing of it was done. Partition -> stored offset;
    None: the database does not know the partition."""

    def __init__(self, stored: Mapping[int, int | None]) -> None:
        super().__init__(f"stored offsets {dict(stored)}")
        self.stored = stored


class Extent(NamedTuple):
    """What the topic has of a partition: its first offset, and the one that the next record will get."""

    beginning: int
    end: int


class Gap(NamedTuple):
    """Records `first` to `last` (without it) that were not read and never will be. `reason`: `expired`, retention
    took them; `log_went_back`, the topic ends before the stored offset: it was made anew or cut."""

    partition: int
    first: int
    last: int
    reason: str


def place(partition: int, stored: int | None, extent: Extent) -> tuple[int, Gap | None]:
    """The offset to read on from, and what is missing there. `stored` None: nothing of the partition was ever done.

    A topic that ends before the stored offset is read from its beginning: its records are others, and where they are
    not, claims say so.
    """
    if stored is not None and stored > extent.end:
        return extent.beginning, Gap(partition, extent.end, stored, "log_went_back")
    if (stored or 0) < extent.beginning:
        return extent.beginning, Gap(partition, stored or 0, extent.beginning, "expired")
    return stored or 0, None


class Offsets(Protocol):
    """Where the offsets of one consumer stand."""

    async def find(self, extents: Mapping[int, Extent]) -> Mapping[int, int]:
        """Partition -> offset to read on from. Writes gaps down."""
        ...

    async def advance(self, partition: int, since: int, to: int) -> None:
        """Nothing is to be done with the records from `since` to `to` (without it). Raises Elsewhere."""
        ...

    async def stored(self, partitions: Sequence[int]) -> Mapping[int, int | None]:
        """What may have gone back meanwhile; without the partitions of which that cannot be."""
        ...


def say_gaps(topic: str, group: str, gaps: Sequence[Gap]) -> None:
    for gap in gaps:
        log.error(
            "records are missing: they will never be read",
            extra=fields(action="gap", topic=topic, group=group, **gap._asdict()),
        )
    if gaps:
        metrics.gap_noticed.labels(topic, group).set(now().timestamp())
