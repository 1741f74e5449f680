"""The whole service: events on a real Kafka, a real PostgreSQL, a real mail server."""

import asyncio
import contextlib
import json
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from services.mailer import app
from shared import wire
from shared.events import Headers
from shared.kafka.admin import apply_topics
from shared.kafka.producer import Outgoing, Producer
from shared.process import Process
from shared.settings import Settings
from shared.topics import EVENTS
from tests.integration.mailer.world import KEYS, headers, ticket_created, until, write_desk
from tests.servers import Servers


@pytest.fixture
async def settings(servers: Servers, database: str, prefix: str, tmp_path: Path) -> Settings:
    made = Settings.model_validate(
        {
            "kafka": servers.kafka,
            "kafka_replicas": 1,
            "postgres": database,
            "prefix": prefix,
            "instance": "mailer-0",
            "desk": write_desk(
                tmp_path,
                {
                    "padrao": {
                        "type": "smtps",
                        "host": "127.0.0.1",
                        "port": servers.mail.smtps,
                        "default": True,
                        "null_sender": False,
                    }
                },
                agents=["ana"],
            ),
            "secrets": tmp_path,
            "ca_file": servers.ca_file,
        }
    )
    (tmp_path / "message_id_keys").write_bytes(KEYS[0])
    await apply_topics(made.kafka, made.prefix, made.kafka_replicas)
    return made


@contextlib.asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[Process]:
    process = Process("mailer", settings)
    task = asyncio.create_task(app.serve(process))
    try:
        yield process
    finally:
        process.stop.set()
        await task
        if process.watching is not None:
            process.watching.cancel()
    assert process.failure is None


async def publish(settings: Settings, records: list[tuple[bytes, bytes, Headers]]) -> None:
    producer = Producer(settings.kafka, settings.prefix, client_id="test")
    try:
        await producer.send_all([Outgoing(EVENTS, key, value, headers) for key, value, headers in records])
    finally:
        await producer.close()


def mails(servers: Servers, address: str) -> list[dict[str, Any]]:
    url = f"http://{servers.mail.host}:{servers.mail.api}/api/user/{address}/messages"
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            found: list[dict[str, Any]] = json.load(answer)
            return found
    except urllib.error.HTTPError:
        return []


async def count(dsn: str, state: str) -> int:
    connection = await asyncpg.connect(dsn)
    try:
        found: int = await connection.fetchval("SELECT count(*) FROM mailer.outbound WHERE state = $1", state)
        return found
    finally:
        await connection.close()


async def test_two_hundred_new_tickets_are_answered_once_each_and_again_never(
    settings: Settings, servers: Servers, database: str, prefix: str
) -> None:
    people = [f"{prefix}kunde{n}@kunde.example" for n in range(200)]
    facts = [ticket_created(n, to, queue="suporte") for n, to in enumerate(people, 1)]
    records = [(fact.ticket_id.encode(), wire.encode_fact(fact), headers(f"e{fact.ticket_id}", fact)) for fact in facts]

    async def all_sent() -> bool:
        return await count(database, "sent") == 400

    async with serving(settings) as process:
        await publish(settings, records)
        await until(all_sent, 60)
        await publish(settings, records)
        last = ticket_created(900, f"{prefix}last@kunde.example")
        await publish(settings, [(b"900", wire.encode_fact(last), headers("e900", last))])

        async def the_last_is_sent() -> bool:
            return await count(database, "sent") == 402

        await until(the_last_is_sent, 60)
        assert await process.health.readyz() == {}
        assert process.health.livez() == {}
    for to in people[::20]:
        [mail] = await asyncio.to_thread(mails, servers, to)
        assert mail["subject"].startswith("[Ticket#")


async def test_what_is_no_event_is_set_aside_and_an_unknown_one_skipped(
    settings: Settings, database: str, prefix: str
) -> None:
    good = ticket_created(2, f"{prefix}good@kunde.example", queue="suporte")
    broken = ticket_created(1, f"{prefix}bad@kunde.example")
    renamed = [(n, v.replace(b"ticket-created", b"ticket-danced")) for n, v in headers("e3", broken)]
    records = [
        (b"1", b"{not json", headers("e1", broken)),
        (b"1", wire.encode_fact(broken), renamed),
        (b"1", wire.encode_fact(good), headers("e2", good)),
    ]
    async with serving(settings):
        await publish(settings, records)

        async def both_sent() -> bool:
            return await count(database, "sent") == 2

        await until(both_sent, 60)
    connection = await asyncpg.connect(database)
    try:
        assert [row["event_id"] for row in await connection.fetch("SELECT event_id FROM mailer.inbox")] == ["e2"]
        stored = await connection.fetch("SELECT next_offset FROM mailer.offsets WHERE next_offset > 0")
        assert sorted(row["next_offset"] for row in stored) == [3]
    finally:
        await connection.close()
