"""The whole service on PostgreSQL and Kafka: what it publishes, and what it survives."""

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from ops.stack.settings import free_ports
from services.ticketing.app import serve
from services.ticketing.outbox import Relay
from services.ticketing.recall import Recall
from shared import metrics
from shared.desk.model import Ticket as TicketNumbers
from shared.events import MailDispatched, TicketCreated
from shared.failures import Transient
from shared.kafka.admin import apply_topics
from shared.kafka.producer import Outgoing, Producer
from shared.postgres import Pool
from shared.process import Process
from shared.settings import Settings
from shared.topics import BY_NAME, DISPATCHED, EVENTS
from shared.wire import decode_fact, encode_dispatched
from tests.integration.ticketing.situations import batch, desk_file, handler, people, settled_alone, until
from tests.servers import Servers
from tests.unit.ticketing.mails import dispatched


def settings(kafka: str, prefix: str, dsn: str, folder: Path) -> Settings:
    return Settings.model_validate(
        {"kafka": kafka, "prefix": prefix, "kafka_replicas": 1, "postgres": dsn, "desk": desk_file(folder)}
    )


@asynccontextmanager
async def running(using: Settings) -> AsyncIterator[Process]:
    process = Process("ticketing", using)
    serving = asyncio.create_task(serve(process))
    try:
        yield process
        assert process.failure is None
    finally:
        process.stop.set()
        async with asyncio.timeout(60):
            await serving
        if process.watching:
            process.watching.cancel()


@pytest.fixture
async def producer(servers: Servers, prefix: str) -> AsyncIterator[Producer]:
    await apply_topics(servers.kafka, prefix, 1)
    made = Producer(servers.kafka, prefix, client_id="test")
    yield made
    await made.close()


def relay_of(servers: Servers, prefix: str, dsn: str, producer: Producer, holder: str = "relay") -> Relay:
    return Relay(dsn, holder, producer, Recall(servers.kafka, prefix, TicketNumbers))


async def leads(pool: Pool) -> bool:
    """A relay leads that has compared the database with the topic."""
    found: bool | None = await pool.fetchval(
        "SELECT lineage = ticketing.lineage() AND until > clock_timestamp() FROM ticketing.relay"
    )
    return bool(found)


async def publish(producer: Producer, events: Sequence[MailDispatched]) -> None:
    await producer.send_all(
        [Outgoing(DISPATCHED, event.transport_key.encode(), encode_dispatched(event), []) for event in events]
    )


async def published(kafka: str, topic: str) -> list[tuple[int, str, TicketCreated]]:
    """(partition, ce_id, fact) of every record there is, in order."""
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, auto_offset_reset="earliest", enable_auto_commit=False)
    await consumer.start()
    try:
        partitions = [TopicPartition(topic, n) for n in range(BY_NAME[EVENTS].partitions)]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        found = []
        while any([await consumer.position(tp) < end for tp, end in ends.items()]):
            for tp, records in (await consumer.getmany(timeout_ms=200)).items():
                for record in records:
                    headers = dict(record.headers)
                    fact = decode_fact(headers["ce_type"], record.value or b"")
                    assert isinstance(fact, TicketCreated)
                    assert record.key == fact.ticket_key.encode()
                    found.append((tp.partition, headers["ce_id"].decode(), fact))
        return found
    finally:
        await consumer.stop()


async def drained(pool: Pool) -> bool:
    return not await pool.fetchval("SELECT count(*) FROM ticketing.outbox")


async def settled(pool: Pool, tickets: int) -> bool:
    found: int = await pool.fetchval("SELECT count(*) FROM ticketing.tickets")
    return found == tickets and await drained(pool)


async def test_every_mail_on_the_topic_becomes_a_ticket_and_one_event(
    servers: Servers, prefix: str, database: str, pool: Pool, producer: Producer, tmp_path: Path
) -> None:
    async with running(settings(servers.kafka, prefix, database, tmp_path)) as process:
        await publish(producer, people(200))
        await until(lambda: settled(pool, 200))
        assert await process.health.readyz() == {}
    facts = await published(servers.kafka, prefix + EVENTS)
    assert len(facts) == len({ce_id for _, ce_id, _ in facts}) == 200
    assert {fact.number for *_, fact in facts} == {
        row["number"] for row in await pool.fetch("SELECT number FROM ticketing.tickets")
    }


async def test_a_batch_whose_offsets_kafka_never_saw_comes_again_and_changes_nothing(
    servers: Servers, prefix: str, database: str, pool: Pool, producer: Producer, tmp_path: Path
) -> None:
    """As after a kill between the commit in the database and the one in Kafka."""
    mails = people(30)
    await publish(producer, mails)
    await settled_alone(pool, tmp_path, batch(mails))  # what the killed process had committed
    await pool.execute("UPDATE ticketing.offsets SET next_offset = 0")
    async with running(settings(servers.kafka, prefix, database, tmp_path)):
        await publish(producer, people(1, 30))
        await until(lambda: settled(pool, 31))
    assert await pool.fetchval("SELECT count(*) FROM ticketing.articles") == 31


async def test_an_older_copy_of_the_database_gets_back_what_it_lost(
    servers: Servers, prefix: str, database: str, pool: Pool, producer: Producer, tmp_path: Path
) -> None:
    using = settings(servers.kafka, prefix, database, tmp_path)
    async with running(using):
        await publish(producer, people(40))
        await until(lambda: settled(pool, 40))
    administrator = await asyncpg.connect(database)
    tables = "tickets, articles, inbox, decisions, history, participants, offsets, outbox, ticket_counter"
    await administrator.execute(f"TRUNCATE {', '.join('ticketing.' + t.strip() for t in tables.split(','))} CASCADE")
    await administrator.close()
    async with running(using):
        await until(lambda: settled(pool, 40))
        await publish(producer, people(5, 40))
        await until(lambda: settled(pool, 45))


async def test_without_kafka_it_is_ready_and_joins_when_kafka_comes(
    servers: Servers, prefix: str, database: str, pool: Pool, tmp_path: Path
) -> None:
    """Kafka without the topics is as little use to it as none."""
    async with running(settings(servers.kafka, prefix, database, tmp_path)) as process:

        async def ready() -> bool:
            return "ticketing database" in process.health.ready and await process.health.readyz() == {}

        await until(ready)
        await apply_topics(servers.kafka, prefix, 1)
        producer = Producer(servers.kafka, prefix, client_id="test")
        await publish(producer, people(3))
        await until(lambda: settled(pool, 3))
        await producer.close()


async def test_events_of_a_ticket_stay_in_order_over_a_change_of_relays(
    servers: Servers, prefix: str, database: str, pool: Pool, producer: Producer, tmp_path: Path
) -> None:
    handle = handler(pool, tmp_path)
    relays = [relay_of(servers, prefix, database, producer, f"relay-{n}") for n in range(2)]
    tasks = [asyncio.create_task(relay.run()) for relay in relays]
    await until(lambda: leads(pool))
    for n in range(40):
        await handle(batch([dispatched(f"t{n}-{k}") for k in range(5)], 5 * n))
        if n == 20:
            first = await pool.fetchval("SELECT right(holder, 1)::int FROM ticketing.relay")
            relays[first].close()
            await tasks[first]
            await until(lambda: leads(pool))
    await until(lambda: drained(pool))
    relays[1 - first].close()
    await tasks[1 - first]
    facts = await published(servers.kafka, prefix + EVENTS)
    assert len(facts) == 200
    for partition in {partition for partition, *_ in facts}:
        articles = [int(fact.article_id) for mine, _, fact in facts if mine == partition]
        assert articles == sorted(articles)


async def shown(pending: float) -> bool:
    return bool(metrics.outbox_pending._value.get() == pending)


async def test_a_relay_whose_host_died_silently_is_replaced_when_its_lease_ends(
    servers: Servers, prefix: str, database: str, pool: Pool, producer: Producer, tmp_path: Path
) -> None:
    await settled_alone(pool, tmp_path, batch(people(3)))
    await pool.execute("UPDATE ticketing.relay SET holder = 'gone', until = clock_timestamp() + interval '2 seconds'")
    relay = relay_of(servers, prefix, database, producer, "next")
    task = asyncio.create_task(relay.run())
    await until(lambda: drained(pool))
    await until(lambda: shown(0))
    assert await pool.fetchval("SELECT holder FROM ticketing.relay") == "next"
    relay.close()
    await task
    assert math.isnan(metrics.outbox_pending._value.get()), "who has left says nothing of it"
    assert math.isnan(metrics.outbox_oldest._value.get())


async def test_the_relay_takes_up_its_work_after_a_lost_session_and_a_lost_broker(
    servers: Servers, prefix: str, database: str, pool: Pool, producer: Producer, tmp_path: Path
) -> None:
    await settled_alone(pool, tmp_path, batch(people(3)))
    nowhere = Producer(f"127.0.0.1:{free_ports(1)[0]}", prefix, client_id="test", send_seconds=1)
    failing = relay_of(servers, prefix, database, nowhere)
    task = asyncio.create_task(failing.run())
    with pytest.raises(Transient):
        await nowhere.send_all([Outgoing(EVENTS, b"", b"", [])])
    assert not await drained(pool), "nothing is deleted that no broker confirmed"
    failing.close()
    await task
    await nowhere.close()

    relay = relay_of(servers, prefix, database, producer)
    task = asyncio.create_task(relay.run())
    await until(lambda: drained(pool))
    administrator = await asyncpg.connect(database)
    await administrator.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
        "AND pid <> pg_backend_pid()"
    )
    await administrator.close()
    await pool.expire_connections()
    await until(lambda: leads(pool))
    await handler(pool, tmp_path)(batch(people(3, 3), 3))
    await until(lambda: drained(pool))
    relay.close()
    await task
    assert len(await published(servers.kafka, prefix + EVENTS)) == 6
