"""A PostgreSQL with a streaming replica, and failovers between them under one address."""

import asyncio
from dataclasses import replace
from pathlib import Path

import asyncpg

from ops.stack import postgres
from ops.stack.settings import HOST, StackSettings, free_ports
from ops.stack.supervisor import Service, Supervisor

_ANSWERS = ("ready", "standby")


class Replicated:
    """The primary always answers at `dsn`. `replicate`, then `cut`, then `fail_over`: what was committed between the
    two last is gone."""

    def __init__(self, supervisor: Supervisor, folder: Path) -> None:
        self._supervisor = supervisor
        self._settings = StackSettings.model_validate({"data": folder, "short_lived": True}).with_free_ports()
        self._folder = folder
        self._generation = 0
        self._primary = "postgres"

    async def start(self) -> str:
        """The DSN of an administrator."""
        self.dsn = await postgres.start(self._supervisor, self._settings)
        self._binaries = await asyncio.to_thread(postgres.find_binaries, None)
        self._launcher = await postgres._launcher()
        return self.dsn

    async def replicate(self) -> None:
        """A replica of the primary as it is now, which follows it."""
        self._generation += 1
        (self._port,) = free_ports(1)
        backup = await asyncio.create_subprocess_exec(
            *(self._binaries / "pg_basebackup", "-D", self._data, "-R", "-X", "stream", "-c", "fast", "-d", self.dsn)
        )
        assert await backup.wait() == 0
        await self._supervisor.start(self._service(f"replica-{self._generation}", self._port))
        async with asyncio.timeout(30):
            while not await self._value(self.dsn, "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"):
                await asyncio.sleep(0.05)

    async def cut(self) -> None:
        """From now on the replica hears nothing of the primary."""
        replica = self.dsn.replace(f":{self._settings.postgres_port}/", f":{self._port}/")
        await self._value(replica, "ALTER SYSTEM SET primary_conninfo = ''")
        await self._value(replica, "SELECT pg_reload_conf()")
        async with asyncio.timeout(30):
            while await self._value(self.dsn, "SELECT count(*) FROM pg_stat_replication"):
                await asyncio.sleep(0.02)

    async def fail_over(self) -> None:
        """The primary dies, the replica takes its place and its address."""
        await self._supervisor.kill(self._primary)
        await self._supervisor.stop(f"replica-{self._generation}")
        self._primary = f"primary-{self._generation}"
        await self._supervisor.start(self._service(self._primary, self._settings.postgres_port))
        assert await self._value(self.dsn, "SELECT pg_promote()")

    @property
    def _data(self) -> Path:
        return self._folder / f"replica-{self._generation}"

    def _service(self, name: str, port: int) -> Service:
        settings = self._settings.model_copy(update={"postgres_port": port})
        program = [*self._launcher, str(self._binaries / "postgres")]
        data = self._data

        async def ready() -> bool:
            connection = await asyncio.open_connection(HOST, port)
            connection[1].close()
            lines = await asyncio.to_thread((data / "postmaster.pid").read_text)
            return lines.rstrip().endswith(_ANSWERS)

        return replace(postgres._service(settings, program, data), name=name, ready=ready)

    async def _value(self, dsn: str, query: str) -> object:
        connection = await asyncpg.connect(dsn)
        try:
            return await connection.fetchval(query)
        finally:
            await connection.close()
