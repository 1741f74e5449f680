"""A Kafka record as handlers see it."""

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
