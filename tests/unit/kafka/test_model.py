"""The failure policy and the offset rule against a log and a database in memory, whatever happens to them.

Every record is handled, set aside, in a recorded gap, or still ahead; nothing is passed; no state is without a pause.
"""

import asyncio
import copy
import logging

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from tests.servers import Given
from tests.unit.kafka.world import BUG, GOOD, NEWER, PARTITIONS, POISON, SLOW, Base, World

PART = st.integers(0, PARTITIONS - 1)
MOST_BUGS = 2
MAILS = [GOOD] * 6 + [POISON, NEWER, SLOW, BUG]
MOST_FAILURES = 10 * PARTITIONS * 2
"""Attempts that fail within a second: the back-off of each partition begins at 0.05 s and doubles."""


class Machine(RuleBasedStateMachine):
    """One process or two over one topic."""

    database = True
    copies = Bundle("copies")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()

    @initialize(members=st.integers(1, 2))
    def begin(self, members: int) -> None:
        self.world = World(database=self.database, members=members)
        self.newer: set[tuple[int, int]] = set()
        self.bugs = 0

    @rule(partition=PART, values=st.lists(st.sampled_from(MAILS), min_size=1, max_size=4))
    def send(self, partition: int, values: list[bytes]) -> None:
        # bugs in every partition cannot be told from an outage, and each takes a quarter of an hour to be told
        if partition == PARTITIONS - 1 or self.bugs == MOST_BUGS:
            values = [GOOD if value == BUG else value for value in values]
        self.bugs = min(MOST_BUGS, self.bugs + values.count(BUG))
        first = len(self.world.topic[partition])
        self.world.send(partition, *values)
        self.newer |= {(partition, first + n) for n, value in enumerate(values) if value == NEWER}

    @rule(partition=PART, number=st.integers(3, 12))
    def send_bad(self, partition: int, number: int) -> None:
        self.world.send(partition, *[POISON] * number)

    @rule(seconds=st.sampled_from([0.01, 0.3, 5, 70]))
    def live(self, seconds: float) -> None:
        self.loop.run_until_complete(self.world.live(seconds))

    @rule(what=st.sampled_from(["base_away", "kafka_away", "newer_unknown", "aside_fails"]), away=st.booleans())
    def fault(self, what: str, *, away: bool) -> None:
        setattr(self.world, what, away)

    @rule(times=st.integers(1, 20))
    def deadlock(self, times: int) -> None:
        self.world.deadlocks = times

    @rule(number=st.integers(0, 1))
    def kill(self, number: int) -> None:
        self.world.restart(number % len(self.world.members))

    @rule(to=st.lists(st.integers(0, 1), min_size=PARTITIONS, max_size=PARTITIONS))
    def rebalance(self, to: list[int]) -> None:
        for member in self.world.members:
            member.zombie = False
        self.world.spread(to)

    @rule(seconds=st.sampled_from([0.01, 1]))
    def freeze_and_thaw(self, seconds: float) -> None:
        """The partitions of the first went to the second, and it does not know."""
        first, second = self.world.members[0], self.world.members[-1]
        if first is not second:
            first.zombie = True
            second.assign(range(PARTITIONS))
            self.live(seconds)

    @rule(target=copies)
    def back_up(self) -> Base:
        return copy.deepcopy(self.world.base)

    @rule(copied=copies)
    def restore(self, copied: Base) -> None:
        self.world.restore(copied)

    @rule()
    def empty_the_database(self) -> None:
        self.world.restore(Base())

    @rule(partition=PART, behind=st.integers(0, 5))
    def retention(self, partition: int, behind: int) -> None:
        self.world.expire(partition, len(self.world.topic[partition]) - behind)

    @rule(partition=PART)
    def hole(self, partition: int) -> None:
        self.world.holes[partition].add(len(self.world.topic[partition]))
        self.world.send(partition, GOOD)

    @invariant()
    def nothing_is_passed(self) -> None:
        if hasattr(self, "world"):
            assert self.world.passed() == []

    @invariant()
    def every_state_has_a_pause(self) -> None:
        if hasattr(self, "world"):
            assert max(self.world.failures.values(), default=0) <= MOST_FAILURES

    @invariant()
    def what_is_newer_is_no_dead_letter(self) -> None:
        if hasattr(self, "world"):
            assert not self.newer & set(self.world.letters)

    def teardown(self) -> None:
        """All is well again, and some mail comes: then nothing is left over."""
        world = self.world
        try:
            world.base_away = world.kafka_away = world.newer_unknown = world.aside_fails = False
            self.rebalance([0, 0, 0])  # a bug is told from an outage by the other partitions of the same process
            for _ in range(100):
                if not world.missing():
                    break
                for partition in range(PARTITIONS):
                    world.send(partition, GOOD)
                self.loop.run_until_complete(world.live(100))
            self.loop.run_until_complete(world.live(15))
            assert world.missing() == []
            self.nothing_is_passed()
            self.every_state_has_a_pause()
            self.what_is_newer_is_no_dead_letter()
        finally:
            self.loop.close()


class WithoutDatabase(Machine):
    """As the dispatcher: Kafka's committed offset is the stored one."""

    database = False


@pytest.mark.enable_socket  # an event loop is made of a pair of them
@pytest.mark.parametrize(("machine", "examples"), [(Machine, 1400), (WithoutDatabase, 600)])
def test_every_record_is_handled_set_aside_or_ahead(
    machine: type[Machine], examples: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "shared.kafka")
    full = settings(
        max_examples=examples if Given().ci else examples // 10,
        stateful_step_count=15,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(machine, settings=full)
