from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from shared.desk.watch import DeskWatch
from shared.settings import Settings
from tests.integration.mailer.world import World, write_desk

Make = Callable[..., Awaitable[World]]


@pytest.fixture
async def world(database: str, tmp_path: Path) -> AsyncIterator[Make]:
    """Makes mailers on one database: outbound accounts of the desk, then settings and fields of World."""
    made: list[World] = []

    async def make(outbound: dict[str, object], settings: dict[str, object] | None = None, **changes: object) -> World:
        watch = DeskWatch(write_desk(tmp_path, outbound))
        found = World(
            database,
            watch,
            Settings.model_validate({"secrets": tmp_path, **(settings or {})}),
            **changes,  # type: ignore[arg-type]  # fields of World
        )
        await found.open()
        made.append(found)
        return found

    yield make
    for each in made:
        await each.pool.close()
