"""Rotated refresh tokens on a real PostgreSQL, under the roles of the services that keep them."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import asyncpg
import pytest

from shared.failures import Transient
from shared.oauth import PostgresVault
from shared.postgres import Pool, create_pool


@pytest.fixture(params=["fetcher", "mailer"])
async def pool(database: str, request: pytest.FixtureRequest) -> AsyncIterator[tuple[Pool, str]]:
    made = await create_pool(database, request.param)
    yield made, request.param
    made.terminate()


async def test_what_was_kept_is_found_by_the_next_process(pool: tuple[Pool, str]) -> None:
    async with PostgresVault(*pool).turn("caixa"):
        assert await PostgresVault(*pool).load("caixa") is None
        await PostgresVault(*pool).save("caixa", b"sealed")
    assert await PostgresVault(*pool).load("caixa") == b"sealed"
    assert await PostgresVault(*pool).load("other") is None
    async with PostgresVault(*pool).turn("caixa"):
        assert await PostgresVault(*pool).load("caixa") == b"sealed"


async def test_one_turn_at_a_time_for_an_account(pool: tuple[Pool, str]) -> None:
    at_once = most = 0

    async def renew(name: str) -> None:
        nonlocal at_once, most
        async with PostgresVault(*pool).turn(name):
            at_once += 1
            most = max(at_once, most)
            await asyncio.sleep(0.01)
            at_once -= 1

    await asyncio.gather(*(renew("caixa") for _ in range(5)))
    assert most == 1


async def test_who_died_in_his_turn_is_waited_for_and_no_longer(
    pool: tuple[Pool, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.oauth.vault._TURN", timedelta(seconds=0.5))
    died = PostgresVault(*pool).turn("caixa")
    await died.__aenter__()
    async with PostgresVault(*pool).turn("caixa"):
        await died.__aexit__(None, None, None)  # it had only hung: the turn is another's now
        monkeypatch.setattr("shared.oauth.vault._TURN", timedelta(0))
        with pytest.raises(Transient, match="another process"):
            await PostgresVault(*pool).turn("caixa").__aenter__()


async def test_a_database_that_is_away_is_transient(pool: tuple[Pool, str]) -> None:
    await pool[0].close()
    with pytest.raises(Transient, match="does not serve"):
        await PostgresVault(*pool).load("caixa")


async def test_no_service_reads_anothers(pool: tuple[Pool, str]) -> None:
    other = {"fetcher": "mailer", "mailer": "fetcher"}[pool[1]]
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await pool[0].fetch(f"SELECT * FROM {other}.refresh_tokens")
