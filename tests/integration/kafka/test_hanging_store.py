"""PostgreSQL that accepts and does not answer: whoever gives up is free at once, and the probe stays content."""

import asyncio
from urllib.parse import urlsplit, urlunsplit

import pytest

from shared.clock import monotonic
from shared.postgres import create_pool, transaction
from tests.integration.kafka.held_wire import HeldWire
from tests.integration.kafka.installation import Installation, Reader, numbers, running, until


def through(dsn: str, wire: HeldWire) -> str:
    parts = urlsplit(dsn)
    user = parts.netloc.rpartition("@")[0]
    return urlunsplit(parts._replace(netloc=f"{user}@127.0.0.1:{wire.port}" if user else f"127.0.0.1:{wire.port}"))


def server_of(dsn: str) -> str:
    parts = urlsplit(dsn)
    return f"{parts.hostname}:{parts.port}"


async def test_a_transaction_that_is_given_up_does_not_wait_for_its_rollback(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.postgres.COMMAND_SECONDS", 2.0)
    async with HeldWire(server_of(database)) as wire:
        pool = await create_pool(through(database, wire), "mailer", size=1)
        began = monotonic()

        async def ask() -> None:
            async with transaction(pool) as connection:
                wire.hold()
                await connection.fetchval("SELECT 1")

        with pytest.raises(TimeoutError):
            await ask()
        assert monotonic() - began < 3.5
        wire.release()
        async with transaction(pool) as connection:
            assert await connection.fetchval("SELECT 1") == 1
        pool.terminate()


async def test_a_consumer_whose_database_hangs_moves_and_goes_on_when_it_answers(
    installation: Installation, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.postgres.COMMAND_SECONDS", 1.0)
    monkeypatch.setattr("shared.postgres.ACQUIRE_SECONDS", 1.0)
    async with HeldWire(server_of(database)) as wire:
        pool = await create_pool(through(database, wire), "mailer", size=2)
        reader = Reader(pool=pool)
        consumer = reader.consumer(installation.settings)
        async with running(consumer):
            await installation.send(0, 10)
            await until(lambda: set(reader.handled) == numbers(0, 10))
            wire.hold()
            await installation.send(10, 20)
            tries = reader.tries
            for _ in range(2):
                progress = consumer.last_progress
                await until(lambda progress=progress: consumer.last_progress > progress)  # type: ignore[misc]
                await asyncio.sleep(1.5)
            await until(lambda: reader.tries > tries)
            assert set(reader.handled) == numbers(0, 10)
            wire.release()
            await until(lambda: set(reader.handled) == numbers(0, 30), 60)
        pool.terminate()
