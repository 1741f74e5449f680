"""A Kafka record as handlers see it."""

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple


class Record(NamedTuple):
    """A Kafka record as handlers see it: `topic` without the prefix, `timestamp` in milliseconds."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    timestamp: int

    def header(self, name: str) -> bytes:
        """The last header of that name; b"" when there is none."""
        for key, value in reversed(self.headers):
            if key == name:
                return value
        return b""


def by_partition(records: Sequence[Record]) -> list[tuple[int, list[Record]]]:
    """A fetched batch is contiguous per partition, in offset order."""
    return [(partition, list(group)) for partition, group in groupby(records, key=lambda r: r.partition)]
