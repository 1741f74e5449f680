"""Ticketing and mailer on a database that goes back under them, with a real topic between: who gets which name again.

Consumers are left out: the mails come in an order that the test chooses.
"""

import asyncio
import email
import random
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from email.header import decode_header, make_header
from pathlib import Path
from typing import NamedTuple

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from services.mailer.handlers import Handler
from services.mailer.queue_store import QueueStore
from services.mailer.sending import Sending
from services.ticketing.handlers import MailHandler
from services.ticketing.outbox import Relay
from services.ticketing.recall import Recall
from services.ticketing.relay_store import NotCompared
from shared import message_ids
from shared.desk.model import Ticket as TicketNumbers
from shared.desk.watch import DeskWatch
from shared.events import Candidate, Check, MailDispatched
from shared.kafka.admin import apply_topics
from shared.kafka.batches import Handle
from shared.kafka.producer import Producer
from shared.kafka.record import Record
from shared.postgres import Pool, create_pool
from shared.settings import Settings
from shared.topics import BY_NAME, EVENTS
from tests.integration.mailer.world import KEYS, write_desk
from tests.integration.standing import wherever
from tests.integration.ticketing.situations import batch, until
from tests.servers import Servers, with_database
from tests.unit.ticketing.mails import dispatched


class Answer(NamedTuple):
    """A mail of ours as its recipient has it."""

    recipient: str
    message_id: str
    number: str
    raw: bytes


class Installation:
    """Ticketing's and the mailer's handlers with the relay between them, on a database that can be put back."""

    def __init__(self, servers: Servers, prefix: str, dsn: str, folder: Path, producer: Producer) -> None:
        self.servers, self.prefix, self.dsn, self.producer = servers, prefix, dsn, producer
        self.desk = DeskWatch(write_desk(folder / "desk", {}, agents=["ana"]))
        self.offset = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        self.ticketing = await create_pool(self.dsn, "ticketing")
        self.mailer = await create_pool(self.dsn, "mailer")
        recall = Recall(self.servers.kafka, self.prefix, TicketNumbers)
        self.relay = Relay(self.dsn, "ticketing-0", self.producer, recall)
        task = asyncio.create_task(self.relay.run())
        try:
            yield
        finally:
            self.relay.close()
            await task
            self.ticketing.terminate()
            self.mailer.terminate()

    async def settle(self, mails: Sequence[MailDispatched]) -> None:
        """As soon as the database has been compared, in batches of seven."""
        handle = wherever(MailHandler(self.ticketing, self.desk, self.relay.wake), self.ticketing, "ticketing")
        for first in range(0, len(mails), 7):
            records = batch(mails[first : first + 7], self.offset)
            self.offset += 7
            await until(lambda records=records: _done(handle, records))  # type: ignore[misc]  # the loop's own
        await until(self._published)

    async def _published(self) -> bool:
        return not await self.ticketing.fetchval("SELECT count(*) FROM ticketing.outbox")

    async def answer(self) -> None:
        """The mailer reads the whole topic: what it has claimed is skipped."""

        def sign(ticket: str, delivery: str, domain: str) -> str:
            return message_ids.sign(ticket, delivery, domain, KEYS)

        store = QueueStore(self.mailer, "mailer-0")
        sending = Sending(store, self.desk, Settings())  # which does not run
        handle = wherever(Handler(store, self.desk, sign, sending), self.mailer, "mailer")
        for records in (await self.events()).values():
            for first in range(0, len(records), 50):
                await handle(records[first : first + 50])

    async def events(self) -> dict[int, list[Record]]:
        consumer = AIOKafkaConsumer(bootstrap_servers=self.servers.kafka, auto_offset_reset="earliest")
        await consumer.start()
        try:
            partitions = [TopicPartition(self.prefix + EVENTS, n) for n in range(BY_NAME[EVENTS].partitions)]
            consumer.assign(partitions)
            ends = await consumer.end_offsets(partitions)
            found: dict[int, list[Record]] = {tp.partition: [] for tp in partitions}
            while any([await consumer.position(tp) < end for tp, end in ends.items()]):
                for tp, records in (await consumer.getmany(timeout_ms=200)).items():
                    found[tp.partition] += [
                        Record(EVENTS, r.partition, r.offset, r.key, r.value, tuple(r.headers), r.timestamp)
                        for r in records
                    ]
            return found
        finally:
            await consumer.stop()

    async def answers(self) -> list[Answer]:
        rows = await self.mailer.fetch(
            "SELECT recipient, message_id, ticket_number, raw FROM mailer.outbound WHERE raw IS NOT NULL"
        )
        return [Answer(*row) for row in rows]

    async def numbers(self) -> dict[str, str]:
        """Message-ID of a mail -> number of its ticket."""
        rows = await self.ticketing.fetch(
            "SELECT a.message_id, t.number FROM ticketing.articles a JOIN ticketing.tickets t ON t.id = a.ticket_id"
        )
        return {row["message_id"]: row["number"] for row in rows}

    async def backup(self) -> str:
        """A copy of the database; nobody is connected."""
        name = f"{self.dsn.rpartition('/')[2]}_{random.randrange(10**9)}"
        admin = await asyncpg.connect(self.servers.postgres)
        await admin.execute(f"CREATE DATABASE {name} TEMPLATE {self.dsn.rpartition('/')[2]}")
        await admin.close()
        return name

    async def restore(self, backup: str) -> None:
        name = self.dsn.rpartition("/")[2]
        admin = await asyncpg.connect(self.servers.postgres)
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await admin.execute(f"CREATE DATABASE {name} TEMPLATE {backup}")
        await admin.close()


async def _done(handle: Handle, records: Sequence[Record]) -> bool:
    try:
        await handle(records)
    except NotCompared:
        return False
    return True


@pytest.fixture
async def made(servers: Servers, prefix: str, database: str, tmp_path: Path) -> AsyncIterator[Installation]:
    await apply_topics(servers.kafka, prefix, 1)
    producer = Producer(servers.kafka, prefix, client_id="test")
    installation = Installation(servers, prefix, database, tmp_path, producer)
    yield installation
    await producer.close()
    admin = await asyncpg.connect(with_database(servers.postgres, "postgres"))
    for row in await admin.fetch("SELECT datname FROM pg_database WHERE datname LIKE $1", database[-12:] + "\\_%"):
        await admin.execute(f"DROP DATABASE {row['datname']}")
    await admin.close()


def first_mails(count: int, mark: str) -> list[MailDispatched]:
    return [dispatched(f"{mark}{n}", f"{mark}{n}@kunde.example") for n in range(count)]


def replies_to(answers: Sequence[Answer]) -> dict[str, tuple[MailDispatched, str]]:
    """Each answer is answered, by its signed id alone, or by the number in its subject alone. Name of the reply ->
    the mail, and the number of the ticket that it belongs to."""
    found = {}
    for n, answer in enumerate(answer for answer in answers if answer.recipient.endswith("@kunde.example")):
        signed = message_ids.verify(answer.message_id, KEYS)
        assert signed is not None
        proof = Candidate(Check.SIGNED_MESSAGE_ID, signed.ticket, proves_sender=True)
        subject = str(make_header(decode_header(email.message_from_bytes(answer.raw)["Subject"])))
        number = re.search(r"\d{15,}", subject)
        assert number is not None
        by = [proof] if n % 2 else [Candidate(Check.SUBJECT_NUMBER, number[0])]
        mail = dispatched(f"reply-{answer.recipient}", answer.recipient, candidates=by)
        found[mail.message_id] = (mail, answer.number)
    return found


@pytest.mark.parametrize("seed", range(3))
async def test_after_a_restore_mails_in_another_order_have_their_names_again(made: Installation, seed: int) -> None:
    """Sixty answers are out, the database goes back, the mails come again shuffled with new ones and with replies to
    those answers."""
    async with made.running():
        await made.settle(first_mails(20, "kept"))
        await made.answer()
    backup = await made.backup()

    lost = first_mails(60, "lost")
    lost += [dispatched(f"again{n}", f"lost{n}@kunde.example", replies_to=f"lost{n}") for n in range(20)]
    async with made.running():
        await made.settle(lost)
        await made.answer()
        before, numbers = await made.answers(), await made.numbers()
    await made.restore(backup)

    replies = replies_to([answer for answer in before if answer.recipient.startswith("lost")])
    coming = [*lost, *first_mails(30, "new"), *(mail for mail, _ in replies.values())]
    random.Random(seed).shuffle(coming)  # the same order each time
    async with made.running():
        await made.settle(coming)
        await made.answer()
        after, again = await made.answers(), await made.numbers()
        kept = await made.ticketing.fetchval("SELECT count(*) FROM ticketing.kept")
        doubled = await made.ticketing.fetchval("SELECT count(*) - count(DISTINCT key) FROM ticketing.tickets")

    assert {mail: again[mail] for mail in numbers} == numbers, "a mail has another number"
    assert {mail: again[mail] for mail in replies} == {mail: number for mail, (_, number) in replies.items()}
    new = {again[mail.message_id] for mail in first_mails(30, "new")}
    assert len(new) == 30
    assert not new & set(numbers.values()), "a number was given to another mail"
    assert (kept, doubled) == (0, 0)

    of_id = {answer.message_id: answer for answer in before}
    assert len(of_id) == len(before)
    assert len({answer.message_id for answer in after}) == len(after)
    for answer in after:
        assert of_id.get(answer.message_id, answer) == answer, "one Message-ID, two mails"
    assert set(of_id) <= {answer.message_id for answer in after}, "nothing that was sent is unknown"


async def test_ids_that_were_published_are_given_to_nobody_else(made: Installation) -> None:
    async with made.running():
        await made.settle(first_mails(3, "kept"))
    backup = await made.backup()
    async with made.running():
        await made.settle(first_mails(9, "lost"))
        ids = await _ids(made.ticketing)
    await made.restore(backup)
    async with made.running():
        await made.settle([*first_mails(5, "new"), *first_mails(9, "lost")])
        again = await _ids(made.ticketing)
    assert {mail: again[mail] for mail in ids} == ids
    assert len(set(again.values())) == len(again)


async def _ids(pool: Pool) -> dict[str, tuple[int, int]]:
    rows = await pool.fetch("SELECT message_id, id, ticket_id FROM ticketing.articles")
    return {row["message_id"]: (row["id"], row["ticket_id"]) for row in rows}


async def test_an_event_of_a_lost_transaction_is_known_though_its_row_was_never_deleted(made: Installation) -> None:
    """A relay that ended between the broker's confirmation and its own record: nothing was lost, nothing is kept."""
    async with made.running():
        await made.settle(first_mails(4, "m"))
        await made.ticketing.execute("UPDATE ticketing.published SET next_offset = 0")
    async with made.running():
        await made.settle(first_mails(2, "n"))
        assert await made.ticketing.fetchval("SELECT count(*) FROM ticketing.kept") == 0
        reached = await made.ticketing.fetchval("SELECT sum(next_offset) FROM ticketing.published")
    assert reached == 6 == sum(map(len, (await made.events()).values()))
