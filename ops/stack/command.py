"""`carteiro up`, which `make run` calls: the local stack and the four services in one terminal."""

import asyncio
import signal
import sys
from pathlib import Path

from pydantic import ValidationError

from ops.complaints import status_of
from ops.stack.demo import demonstrate, pasted
from ops.stack.failures import Misconfigured, StackError, from_os_error
from ops.stack.installation import CUSTOMER, SUPPORT, Installation, announced, prepare
from ops.stack.servers import ALL, Servers, serve
from ops.stack.settings import StackSettings
from ops.stack.supervisor import Supervisor
from shared.clock import monotonic
from shared.kafka.admin import apply_topics
from shared.migrations import migrate
from shared.settings import Settings

MISCONFIGURED = 78


def run_stack(desk: Path | None, *, once: bool) -> int:
    """The exit status; what went wrong is said on stderr."""
    try:
        return asyncio.run(_until_stopped(once, desk))
    except StackError as error:
        print(error, file=sys.stderr)
        return error.status
    except ValidationError as error:
        first = error.errors()[0]
        name = f"CARTEIRO_STACK_{first['loc'][0]}".upper()
        print(f"{name}={first['input']} cannot be used: {first['msg']}.", file=sys.stderr)
        return MISCONFIGURED
    except OSError as error:
        print(from_os_error(error), file=sys.stderr)
        return 1
    except Exception as error:  # noqa: BLE001  # unknown ones are raised again inside
        return status_of(error)


async def _until_stopped(once: bool, desk: Path | None) -> int:
    """A signal cancels the work once; the clean stop that follows has deadlines of its own."""
    work = asyncio.create_task(_run(StackSettings(), once=once, desk=desk))
    stopped = asyncio.Event()

    def stop() -> None:
        if not stopped.is_set():
            stopped.set()
            print("\nstopping", flush=True)
            work.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    try:
        return await work
    except asyncio.CancelledError:
        return 0


async def _run(settings: StackSettings, *, once: bool, desk: Path | None) -> int:
    began = monotonic()
    settings.data.mkdir(parents=True, exist_ok=True)
    installation = prepare(settings, desk)
    _judge(installation)
    wanted = ALL if installation.demonstration else ALL - {"greenmail"}
    users = installation.users if installation.demonstration else {}
    async with serve(settings, say, wanted=wanted, users=users) as (supervisor, servers):
        await _start_services(supervisor, installation, servers)
        say("up", monotonic() - began)
        with announced(installation, servers) as path:
            seen = not installation.demonstration or await demonstrate(installation, servers, say)
            if once:
                return 0 if seen else 1
            print(where(installation, servers, path), flush=True)
            raise await supervisor.failed()


def _judge(installation: Installation) -> None:
    """A broken desk is said here, before anything is started, and not in the log of a service."""
    from ops.desk import judge  # noqa: PLC0415  # the tests' servers need no desk

    _, errors, warnings = judge(installation.desk, installation.secrets)
    for finding in warnings if not installation.demonstration else ():
        print(f"warning: {finding}", file=sys.stderr)
    if errors:
        raise Misconfigured("\n".join(str(finding) for finding in errors))


async def _start_services(supervisor: Supervisor, installation: Installation, servers: Servers) -> None:
    """Schema and topics first: a service is not ready without them."""
    began, known = monotonic(), Settings()
    replicas = known.kafka_replicas if installation.settings.kafka else 1
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(migrate(servers.postgres))
            group.create_task(apply_topics(servers.kafka, known.prefix, replicas))
        say("schema and topics", monotonic() - began)
        began = monotonic()
        services = installation.services(servers)
        async with asyncio.TaskGroup() as group:
            for service in services:
                group.create_task(supervisor.start(service))
        say(", ".join(service.name for service in services), monotonic() - began)
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from failed


def say(what: str, seconds: float) -> None:
    """One line a step."""
    print(f"{seconds:7.2f} s  {what}", flush=True)


def where(installation: Installation, servers: Servers, stack_env: Path) -> str:
    """What somebody at the terminal needs next."""
    lines = ["", f"psql          {servers.postgres}", f"metrics       {' '.join(installation.metrics)}"]
    mail = servers.mail
    if mail is not None:
        lines += [
            (
                f"mail client   IMAP {mail.host}:{mail.imap} (TLS {mail.imaps}), "
                f"SMTP {mail.host}:{mail.smtp} (TLS {mail.smtps})"
            ),
            f"              customer {CUSTOMER}, support {SUPPORT}; password of both {installation.password}",
            "one more mail, from another terminal:",
            f"  {pasted(mail)}",
        ]
    lines += [
        f"addresses     {stack_env}",
        f"logs          {installation.settings.data}/log",
        "Ctrl-C stops everything.",
    ]
    return "\n".join(lines)
