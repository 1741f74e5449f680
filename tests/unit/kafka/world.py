"""A topic, a database and consumers in memory, on a clock that only moves when something happens.

What is driven is the real policy and the code that carries it out (shared/kafka/batches.py); what is in memory stands
for Kafka, PostgreSQL and the loop of the consumer. `MemoryOffsets` obeys the suite of the real ones
(tests/integration/kafka/test_offsets.py).
"""

import asyncio
import copy
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from shared.failures import NewerWriter, Permanent
from shared.kafka.batches import Batches
from shared.kafka.offsets import Elsewhere, Extent, Gap, place
from shared.kafka.policy import Lane, Word
from shared.kafka.record import Record, by_partition

PARTITIONS = 3
FETCH = 8
GOOD, POISON, NEWER, BUG, SLOW = b"good", b"poison", b"newer", b"bug", b"slow"


class Deadlock(Exception):
    sqlstate = "40P01"


@dataclass
class Base:
    """What one transaction writes together: what was handled, and the offsets."""

    offsets: dict[int, int] = field(default_factory=dict)
    handled: set[tuple[int, int]] = field(default_factory=set)
    gaps: list[Gap] = field(default_factory=list)


class MemoryOffsets:
    """As shared/kafka/stored_offsets.py."""

    def __init__(self, world: "World") -> None:
        self.world = world

    @property
    def base(self) -> Base:
        if self.world.base_away:
            self.world.failures[int(self.world.time)] += 1
            raise OSError("the database is away")
        return self.world.base

    async def find(self, extents: Mapping[int, Extent]) -> Mapping[int, int]:
        base = self.base
        for partition, extent in extents.items():
            base.offsets[partition], gap = place(partition, base.offsets.get(partition), extent)
            base.gaps += [gap] if gap else []
        return {partition: base.offsets[partition] for partition in extents}

    async def advance(self, partition: int, since: int, to: int) -> None:
        self.take({partition: (since, to)})

    def take(self, spans: Mapping[int, tuple[int, int]]) -> None:
        base = self.base
        moved = {p: base.offsets.get(p) for p, (first, _) in spans.items() if base.offsets.get(p) != first}
        if moved:
            raise Elsewhere(moved)
        base.offsets |= {p: to for p, (_, to) in spans.items()}

    async def stored(self, partitions: Sequence[int]) -> Mapping[int, int | None]:
        return {partition: self.base.offsets.get(partition) for partition in partitions}


class KafkaOffsets:
    """As the dispatcher's: Kafka's own, which do not go back."""

    def __init__(self, world: "World", member: "Member") -> None:
        self.world, self.member = world, member

    async def find(self, extents: Mapping[int, Extent]) -> Mapping[int, int]:
        found = {}
        for partition, extent in extents.items():
            committed = self.world.committed.get(partition)
            found[partition], gap = place(partition, committed, extent)
            self.world.kafka_gaps += [gap] if gap else []
        return found

    async def advance(self, partition: int, since: int, to: int) -> None:
        await self.member.commit({partition: to})

    async def stored(self, partitions: Sequence[int]) -> Mapping[int, int | None]:
        return {}


class World:
    def __init__(self, *, database: bool = True, members: int = 1) -> None:
        self.database = database
        self.time = 1000.0
        self.topic: dict[int, list[bytes]] = {p: [] for p in range(PARTITIONS)}
        self.beginning = dict.fromkeys(range(PARTITIONS), 0)
        self.holes: dict[int, set[int]] = defaultdict(set)
        self.committed: dict[int, int] = {}
        self.base = Base()
        self.kafka_gaps: list[Gap] = []
        self.base_away = self.kafka_away = self.newer_unknown = False
        self.aside_fails = False
        self.deadlocks = 0
        self.fetch = FETCH
        self.longest_run = 0.0
        self.letters: Counter[tuple[int, int]] = Counter()
        self.published: Counter[tuple[int, int]] = Counter()
        self.failures: Counter[int] = Counter()  # attempts that failed, by second
        self.asides: Counter[tuple[int, int]] = Counter()
        self.tries: list[int] = []  # how many records each
        self.said: list[tuple[Word, int | None]] = []
        self.members = [Member(self) for _ in range(members)]
        self.spread()

    # --- what happens to it --------------------------------------------------------------------------------------

    def send(self, partition: int, *values: bytes) -> None:
        self.topic[partition] += values

    def spread(self, to: Sequence[int] | None = None) -> None:
        """A rebalance that everybody takes part in: partition n goes to member `to[n]`."""
        to = [n % len(self.members) for n in range(PARTITIONS)] if to is None else to
        for number, member in enumerate(self.members):
            member.assign([p for p in range(PARTITIONS) if to[p] % len(self.members) == number])

    def restart(self, number: int) -> None:
        """kill -9 and a new process."""
        held = self.members[number].owned
        self.members[number] = Member(self)
        self.members[number].assign(sorted(held))

    def restore(self, copied: Base) -> None:
        self.base = copy.deepcopy(copied)

    def expire(self, partition: int, upto: int) -> None:
        self.beginning[partition] = max(self.beginning[partition], min(upto, len(self.topic[partition])))

    # --- time ----------------------------------------------------------------------------------------------------

    async def live(self, seconds: float) -> None:
        end = self.time + seconds
        while self.time < end:
            busy = False
            for member in self.members:
                busy |= await member.step()
            self.time += 0.001
            if not busy:
                self.time = max(self.time, min([end, *(member.look_at for member in self.members)]))

    # --- what must hold ------------------------------------------------------------------------------------------

    def done(self, partition: int, offset: int) -> bool:
        where = (partition, offset)
        handled = where in self.base.handled if self.database else self.published[where] > 0
        gaps = self.base.gaps if self.database else self.kafka_gaps
        return (
            handled
            or self.letters[where] > 0
            or offset in self.holes[partition]
            or any(g.partition == partition and g.first <= offset < g.last for g in gaps)
        )

    def passed(self) -> list[tuple[int, int]]:
        """Records that the offsets have passed and that are not done."""
        offsets = self.base.offsets if self.database else self.committed
        return [(p, n) for p, offset in offsets.items() for n in range(offset) if not self.done(p, n)]

    def missing(self) -> list[tuple[int, int]]:
        return [(p, n) for p, records in self.topic.items() for n in range(len(records)) if not self.done(p, n)]


class Member:
    """One process: the loop of a consumer around the real Batches. As the log it is what aiokafka is."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.owned: set[int] = set()
        self.positions: dict[int, int] = {}
        self.paused: set[int] = set()
        self.look_at = world.time
        self.zombie = False
        self.offsets: MemoryOffsets | KafkaOffsets
        self.offsets = MemoryOffsets(world) if world.database else KafkaOffsets(world, self)
        self.batches = Batches(
            "topic", "group", self.handle, self.set_aside, lambda r: f"{r.partition}.{r.offset}", self.offsets, self,
            asyncio.Event(), now=lambda: world.time, rand=lambda: 0.5,
        )  # fmt: skip
        say = self.batches.policy._say

        def noted(word: Word, lane: Lane | None, cause: str) -> None:
            world.said.append((word, None if lane is None else lane.partition))
            say(word, lane, cause)

        self.batches.policy._say = noted

    # --- the service ---------------------------------------------------------------------------------------------

    async def handle(self, records: Sequence[Record]) -> None:
        world = self.world
        world.time += 0.002
        world.tries.append(len(records))
        try:
            if world.deadlocks:
                world.deadlocks -= 1
                raise Deadlock
            for record in records:
                self._look_at(record)
            if isinstance(self.offsets, MemoryOffsets):
                spans = {p: (group[0].offset, group[-1].offset + 1) for p, group in by_partition(records)}
                self.offsets.take(spans)
                world.base.handled |= {(record.partition, record.offset) for record in records}
            else:
                world.published.update((record.partition, record.offset) for record in records)
        except Elsewhere:
            world.failures[int(world.time)] += 1
            raise
        except Exception as error:
            if not isinstance(error, Permanent | OSError):  # halving ends by itself, the database counts for itself
                world.failures[int(world.time)] += 1
            raise

    def _look_at(self, record: Record) -> None:
        if record.value == POISON:
            raise Permanent("decoding")
        if record.value == NEWER and self.world.newer_unknown:
            raise NewerWriter("a value of a newer version")
        if record.value == BUG:
            raise KeyError("bug")
        if record.value == SLOW:
            self.world.time += 0.5

    async def set_aside(self, record: Record, error: BaseException) -> None:
        self.world.time += 0.002
        if self.world.aside_fails:
            self.world.failures[int(self.world.time)] += 1
            raise OSError("no broker")
        self.world.asides[record.partition, record.offset] += 1
        self.world.letters[record.partition, record.offset] += 1

    # --- the log -------------------------------------------------------------------------------------------------

    async def extents(self, partitions: Sequence[int]) -> Mapping[int, Extent]:
        world = self.world
        if world.kafka_away:
            world.failures[int(world.time)] += 1
            raise OSError("no broker")
        return {p: Extent(world.beginning[p], len(world.topic[p])) for p in partitions}

    def seek(self, partition: int, offset: int) -> None:
        if partition in self.owned:
            self.positions[partition] = offset

    def pause(self, partitions: set[int]) -> None:
        self.paused = set(partitions)

    async def commit(self, offsets: Mapping[int, int]) -> None:
        if self.zombie:
            raise OSError("refused: the group went on")
        if self.world.kafka_away:
            raise OSError("no broker")
        self.world.committed |= {p: offset for p, offset in offsets.items() if p in self.owned}

    # --- the loop ------------------------------------------------------------------------------------------------

    def assign(self, partitions: Sequence[int]) -> None:
        self.owned = set(partitions)
        self.positions = {p: self.world.committed.get(p, self.world.beginning[p]) for p in partitions}
        self.batches.assign(partitions)
        self.look_at = self.world.time

    async def step(self) -> bool:
        """Whether there was anything to do."""
        world = self.world
        looks = self.look_at <= world.time
        if looks:
            self.look_at = world.time + max(0.01, await self.batches.look())
        records = self._poll()
        if records:
            began = world.time
            await self.batches.run(records)
            world.longest_run = max(world.longest_run, world.time - began)
            self.look_at = world.time
        return looks or bool(records)

    def _poll(self) -> list[Record]:
        world = self.world
        fetched: list[Record] = []
        if world.kafka_away:
            return fetched
        for partition in sorted(self.owned - self.paused, key=lambda p: (p + int(world.time)) % PARTITIONS):
            log, first = world.topic[partition], self.positions[partition]
            if not world.beginning[partition] <= first <= len(log):
                first = world.beginning[partition]  # auto_offset_reset
            for offset in range(first, len(log)):
                if len(fetched) < world.fetch and offset not in world.holes[partition]:
                    fetched.append(Record("topic", partition, offset, b"", log[offset], (), 0))
                    self.positions[partition] = offset + 1
        return fetched
