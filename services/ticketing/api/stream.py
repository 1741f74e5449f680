"""The facts of `ticket.events.v1` as a stream for pages (server-sent events, HTML standard section 9.2).

One reader of the topic serves all streams of the process. The id of an event is the place behind it in every
partition, so a stream can be taken up at any process; what the process does not remember any more is said with the
event `reset`: the page loads its tickets anew.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Mapping
from typing import NamedTuple

import msgspec

from services.ticketing.api.tokens import Token
from shared.clock import monotonic
from shared.failures import Transient, describe
from shared.kafka.reader import reading
from shared.kafka.record import Record
from shared.logs import fields
from shared.topics import EVENTS

log = logging.getLogger(__name__)

MOST_STREAMS = 100
_REMEMBERED = 5000
_BEAT_SECONDS = 15.0
_PAUSE_SECONDS = 2.0
STREAM_SECONDS = 600.0
"""A stream ends after ten minutes: whoever comes again shows his token again."""


class Remembered(NamedTuple):
    """`places`: behind it, the next offset of every partition. `queue` empty: a fact about no ticket."""

    places: dict[int, int]
    type: str
    queue: str
    data: str

    @property
    def text(self) -> str:
        return f"id: {written(self.places)}\nevent: {self.type}\ndata: {self.data}\n\n"


class _Queue(msgspec.Struct):
    queue: str = ""


def written(places: Mapping[int, int]) -> str:
    return "-".join(f"{partition}.{offset}" for partition, offset in sorted(places.items()))


def read(text: str) -> dict[int, int] | None:
    """None for what is no id of ours."""
    try:
        pairs = [each.split(".") for each in text.split("-")]
        return {int(partition): int(offset) for partition, offset in pairs}
    except ValueError:
        return None


def shown_to(token: Token, event: Remembered) -> bool:
    """A fact about no ticket is the whole installation's."""
    return token.reaches(event.queue) if event.queue else token.queues is None


class Events:
    """`run` reads, `stream` gives. `first`: number of the oldest event that is remembered."""

    def __init__(self, kafka: str, prefix: str, stop: asyncio.Event) -> None:
        self._kafka, self._prefix, self._stop = kafka, prefix, stop
        self._events: deque[Remembered] = deque(maxlen=_REMEMBERED)
        self._taken = 0
        self._places: dict[int, int] = {}
        self._before: dict[int, int] = {}  # the places where what is remembered begins
        self._begun = asyncio.Event()  # places are known: what happened earlier cannot be told from nothing
        self._news = asyncio.Event()
        self.streams = 0
        self.last_progress = monotonic()

    async def run(self) -> None:
        while True:
            try:
                async with reading(self._kafka, self._prefix, EVENTS) as reader:
                    if not self._begun.is_set():
                        self.begin(reader.ends)
                    async for records in reader.follow(self._places):
                        self.last_progress = monotonic()
                        for record in records:
                            self._take(record)
            except Transient as error:
                log.info("no events for streams", extra=fields(action="stream_waits", cause=describe(error)))
            self.last_progress = monotonic()
            await asyncio.sleep(_PAUSE_SECONDS)

    def begin(self, places: Mapping[int, int]) -> None:
        """The topic is read from these offsets on."""
        self._places = self._before = dict(places)
        self._begun.set()

    def _take(self, record: Record) -> None:
        self._places = self._places | {record.partition: record.offset + 1}
        kind = dict(record.headers).get("ce_type", b"").decode("ascii", "replace")
        try:
            queue = msgspec.json.decode(record.value or b"", type=_Queue).queue
            data = (record.value or b"").decode()
        except (msgspec.DecodeError, UnicodeDecodeError):
            return
        if len(self._events) == _REMEMBERED:
            self._before = self._events[0].places
        self._events.append(Remembered(self._places, kind.split(".")[1] if kind.count(".") == 2 else kind, queue,
                                       data.replace("\n", " ").replace("\r", " ")))  # fmt: skip
        self._taken += 1
        self._news.set()
        self._news = asyncio.Event()

    async def stream(self, token: Token, after: str) -> AsyncIterator[str]:
        """Until the process stops or ten minutes are over. `after`: the id of the last event that was seen. What
        happens behind the line `retry` is given."""
        ends = monotonic() + STREAM_SECONDS
        self.streams += 1
        try:
            while not self._begun.is_set() and monotonic() < ends and not self._stop.is_set():
                if not await self._waited(self._begun):
                    yield ": Kafka is not read yet\n\n"
            position, lost = self._found(after)
            yield "retry: 2000\n\n"
            if lost:
                yield self._reset()
            while monotonic() < ends and not self._stop.is_set():
                news = self._news
                oldest = self._taken - len(self._events)
                if position < oldest:
                    position = self._taken
                    yield self._reset()
                while position < self._taken and position >= self._taken - len(self._events):
                    event = self._events[position - (self._taken - len(self._events))]
                    position += 1
                    if shown_to(token, event):
                        yield event.text
                if position == self._taken and not await self._waited(news):
                    yield ": nothing new\n\n"
        finally:
            self.streams -= 1

    def _reset(self) -> str:
        return f"id: {written(self._places)}\nevent: reset\ndata: {{}}\n\n"

    def _found(self, after: str) -> tuple[int, bool]:
        """The number of the first event to give, and whether some may be lost."""
        if not after:
            return self._taken, False
        seen = read(after)
        if seen is None or any(seen.get(partition, 0) < offset for partition, offset in self._before.items()) or any(
            seen.get(partition, 0) > offset for partition, offset in self._places.items()
        ):  # fmt: skip
            return self._taken, True
        oldest = self._taken - len(self._events)
        for number, event in enumerate(self._events):
            if any(offset > seen.get(partition, 0) for partition, offset in event.places.items()):
                return oldest + number, False
        return self._taken, False

    async def _waited(self, news: asyncio.Event) -> bool:
        """For that, or the end of the process. False: nothing came for a while."""
        stopping = asyncio.create_task(self._stop.wait())
        waiting = asyncio.create_task(news.wait())
        try:
            done, _ = await asyncio.wait(
                [stopping, waiting], timeout=_BEAT_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
            return bool(done)
        finally:
            stopping.cancel()
            waiting.cancel()
