"""Conversations whose mails come in any order, over any partitions, in any batches, to two processes at once: each is
one ticket.

CARTEIRO_TEST_INTERLEAVINGS says how many are tried (40).
"""

import asyncio
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest

from shared.events import Candidate, Check, MailDispatched, Party
from shared.kafka.batches import Handle
from shared.kafka.record import Record
from shared.postgres import Pool
from tests.integration.ticketing.situations import handler, record, settling
from tests.servers import Given
from tests.unit.ticketing.mails import dispatched

INTERLEAVINGS = Given().interleavings
AT_ONCE, PARTITIONS = 10, 4

pytestmark = pytest.mark.timeout(120 + INTERLEAVINGS)


def conversation(name: str, chance: random.Random) -> list[MailDispatched]:
    """Three people write to each other and to us; each mail names its parent and all that came before that one, newest
    first, as mail programs do."""
    people = [f"{who}.{name}@kunde.example" for who in ("ana", "bia", "caio")]
    ancestors: dict[str, list[str]] = {f"{name}-0": []}
    mails = [_mail(f"{name}-0", people[0], people, [])]
    for n in range(1, chance.randint(2, 6)):
        parent = chance.choice(list(ancestors))
        named = [*ancestors[parent], parent]
        ancestors[f"{name}-{n}"] = named
        mails.append(_mail(f"{name}-{n}", chance.choice(people), people, named))
    return mails


def _mail(name: str, sender: str, people: Sequence[str], named: Sequence[str]) -> MailDispatched:
    ids = [f"<{each}@kunde.example>" for each in named]
    mail = dispatched(name, sender, candidates=[Candidate(Check.REFERENCES, each) for each in reversed(ids)])
    return msgspec.structs.replace(mail, references=ids, cc=[Party("", each) for each in people if each != sender])


def dealt(mails: list[MailDispatched], firsts: list[int], chance: random.Random) -> list[list[Record]]:
    """Each partition's records, in an order of chance; offsets go on where they were."""
    chance.shuffle(mails)
    partitions: list[list[Record]] = [[] for _ in range(PARTITIONS)]
    for mail in mails:
        n = chance.randrange(PARTITIONS)
        partitions[n].append(record(firsts[n] + len(partitions[n]), mail, n))
    for n, records in enumerate(partitions):
        firsts[n] += len(records)
    return partitions


def batches(partitions: Sequence[Sequence[Record]], chance: random.Random) -> Iterator[list[Record]]:
    """As a consumer of these partitions gets them: some of each, in order."""
    rest = [list(records) for records in partitions]
    while any(rest):
        taken: list[Record] = []
        for records in rest:
            size = chance.randint(0, 4)
            taken += records[:size]
            del records[:size]
        if taken:
            yield taken


async def run(handle: Handle, partitions: Sequence[Sequence[Record]], chance: random.Random) -> None:
    for records in batches(partitions, chance):
        await handle(records)
        if chance.random() < 0.2:  # a rebalance: it comes once more
            await handle(records)


SPLIT = """
SELECT substring(message_id from '<(.*)-') AS name, count(DISTINCT ticket_id) AS tickets, count(*) AS mails
FROM ticketing.articles GROUP BY 1 HAVING count(DISTINCT ticket_id) > 1
"""


async def test_a_conversation_is_one_ticket_however_its_mails_come(pool: Pool, tmp_path: Path) -> None:
    await settling(pool)
    firsts = [0] * PARTITIONS
    sent = 0
    for first in range(0, INTERLEAVINGS, AT_ONCE):
        chance = random.Random(first)
        talks = [conversation(f"c{n}", chance) for n in range(first, min(first + AT_ONCE, INTERLEAVINGS))]
        sent += sum(map(len, talks))
        partitions = dealt([mail for talk in talks for mail in talk], firsts, chance)
        halves = partitions[: PARTITIONS // 2], partitions[PARTITIONS // 2 :]
        await asyncio.gather(*(run(handler(pool, tmp_path), half, random.Random(chance.random())) for half in halves))
        assert [tuple(row) for row in await pool.fetch(SPLIT)] == [], f"seed {first}"
    assert await pool.fetchval("SELECT count(*) FROM ticketing.tickets") == INTERLEAVINGS
    for table in ("articles", "outbox", "inbox"):
        assert await pool.fetchval(f"SELECT count(*) FROM ticketing.{table}") == sent
    assert await pool.fetchval("SELECT count(DISTINCT event_id) FROM ticketing.outbox") == sent
    assert await pool.fetchval("SELECT counter FROM ticketing.ticket_counter") == INTERLEAVINGS
