"""The frame around a service: settings, logs, probes, signals, exit status.

A service is a coroutine `serve(process)`: it starts its parts, adds its probes, waits for `process.stop` and
drains. `run` gives it one process; several services in one process share it (`carteiro run all`).

Exit status: 0 stopped as asked, 69 a server could not be reached at the start, 75 try again later, 78 wrong
configuration, 1 anything else. Each comes with one sentence on stderr.
"""

import asyncio
import logging
import os
import platform
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version

from pydantic import ValidationError

from shared import logs, metrics, tracing
from shared.clock import monotonic
from shared.desk.findings import DeskError
from shared.desk.secret_files import SecretError, read_secret
from shared.desk.watch import DeskWatch
from shared.failures import Transient
from shared.health import Health
from shared.kafka.admin import KafkaUnreachable, differences, ping
from shared.kafka.consumer import CommitsRefused, Consumer
from shared.logs import fields
from shared.migrations import MigrationError, Standing, available, wait_until_applied
from shared.postgres import Pool, PostgresUnreachable, create_pool_within
from shared.settings import Settings, complaints

log = logging.getLogger(__name__)

OK, FAILED, UNREACHABLE, TRY_AGAIN, MISCONFIGURED = 0, 1, 69, 75, 78
STOP_SECONDS = 45.0


class Misconfigured(Exception):
    """The configuration cannot work: one sentence that says what, where and what to do. Status 78."""


@dataclass
class Process:
    """One running process. `fatal` ends it with the status that belongs to the exception."""

    service: str
    settings: Settings
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    health: Health = field(default_factory=Health)
    failure: BaseException | None = None
    _desk: DeskWatch | None = None
    watching: asyncio.Task[None] | None = None

    def fatal(self, error: BaseException) -> None:
        self.failure = self.failure or error
        self.stop.set()

    async def database(self, service: str, *, size: int = 4, role: bool = True, **session: str) -> Pool:
        """The service's pool, once the server answers and the schema is there; adds the readiness check. Without `role`
        under the rights of the log-in; `session`: its settings.

        Raises PostgresUnreachable, Misconfigured when migrations are missing, MigrationError when the database is of
        a version that has taken away what this one needs.
        """
        seconds = self.settings.start_seconds
        pool = await create_pool_within(self.settings.dsn, service, seconds, size=size, role=role, **session)
        schema = await wait_until_applied(self.settings.dsn, seconds)
        if missing := schema.pending("pre"):
            raise Misconfigured(f"the schema lacks {', '.join(map(str, missing))}: run `carteiro migrate`")
        _export_schema(service, schema)
        if schema.newer:  # a roll-out, or a way back; a newer `post` is refused
            log.warning(
                "the database is of a newer version than this process",
                extra=fields(action="schema_newer", migrations=[str(newer) for newer in schema.newer]),
            )

        async def answers() -> None:
            await pool.fetchval("SELECT 1", timeout=2)

        self.health.ready[f"{service} database"] = answers
        return pool

    def desk(self) -> DeskWatch:
        """The desk, watched while the process runs. Raises Misconfigured with every mistake, a line each."""
        if self._desk is None:
            try:
                self._desk = DeskWatch(self.settings.desk, on_attempt=_export_desk)
            except DeskError as error:
                raise Misconfigured(str(error)) from error
            self.watching = asyncio.create_task(self._desk.run(), name="desk-watch")
        return self._desk

    def secret(self, name: str) -> str:
        """Content of a secret file. Raises Misconfigured."""
        try:
            return read_secret(self.settings.secrets, name).get_secret_value()
        except SecretError as error:
            raise Misconfigured(str(error)) from error

    async def kafka(self, *topics: str) -> None:
        """Waits until Kafka answers and the topics are as declared; adds the readiness check.

        Raises KafkaUnreachable, or Misconfigured for a missing or different topic.
        """
        settings = self.settings
        deadline = monotonic() + settings.start_seconds
        while True:
            try:
                wrong = await differences(settings.cluster, settings.prefix, settings.kafka_replicas, topics)
            except KafkaUnreachable:
                if monotonic() >= deadline or self.stop.is_set():
                    raise
                await asyncio.sleep(0.5)
                continue
            if not wrong:
                break
            if monotonic() >= deadline:
                raise Misconfigured("; ".join(map(str, wrong)))
            await asyncio.sleep(0.5)

        async def answers() -> None:
            await ping(settings.cluster)

        self.health.ready["kafka"] = answers

    async def consume(self, consumer: Consumer) -> None:
        """Starts a consumer and adds its probes."""
        await consumer.start()
        self.health.alive[consumer.name] = lambda: consumer.last_progress

        async def joined() -> None:
            if not consumer.joined:
                raise Transient(f"{consumer.group} has no assignment yet")

        self.health.ready[f"group {consumer.group}"] = joined


def _export_schema(service: str, schema: Standing) -> None:
    brought = {each.number for each in available() if each.service == service}
    newer = {each.number for each in schema.newer if each.service == service}
    lacking = {each.number for each in schema.lacks if each.service == service}
    metrics.schema_version_required.labels(service).set(max(brought))
    metrics.schema_version.labels(service).set(max({0, *brought, *newer} - lacking))


def _export_desk(watch: DeskWatch) -> None:
    metrics.desk_reload_successful.set(1 if watch.last_reload_successful else 0)
    metrics.desk_reload_success_time.set(watch.last_success.timestamp())
    metrics.accounts_configured.set(len(watch.current.desk.accounts))
    metrics.desk_info.clear()
    metrics.desk_info.labels(watch.current.sha256).set(1)
    if watch.error is not None:
        log.error(
            "the changed desk was refused; the last good one stays",
            extra=fields(action="desk_refused", complaint=str(watch.error)),
        )


Serve = Callable[[Process], Awaitable[None]]


def run(services: Mapping[str, Serve]) -> int:
    """Runs the services in this process until a signal or a failure; returns the exit status."""
    name = next(iter(services)) if len(services) == 1 else "all"
    try:
        settings = Settings()
    except ValidationError as error:
        return _say(MISCONFIGURED, complaints(error))
    logs.configure(name, settings.log_level)
    metrics.build_info.labels(version("carteiro"), settings.revision, platform.python_version()).set(1)
    try:
        end_traces = tracing.start(name)
    except tracing.Unsupported as error:
        return _say(MISCONFIGURED, str(error))
    try:
        return asyncio.run(_run(Process(name, settings), services))
    finally:
        end_traces()


async def _run(process: Process, services: Mapping[str, Serve]) -> int:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, process.stop.set)
    try:
        server = await process.health.listen(process.settings.http)
    except (OSError, ValueError) as error:
        return _say(MISCONFIGURED, f"cannot listen on CARTEIRO_HTTP={process.settings.http}: {error}")
    try:
        tasks = [asyncio.create_task(_guarded(process, serve(process)), name=name) for name, serve in services.items()]
        await process.stop.wait()
        process.health.stopping = True
        _, unfinished = await asyncio.wait(tasks, timeout=STOP_SECONDS)
        status = _status(process.failure)
        if unfinished:
            # a hanging library must not keep the pod: what was not committed comes again
            log.error("the drain ran out", extra=fields(action="drain_exceeded"))
            os._exit(status or TRY_AGAIN)
        return status
    finally:
        if process.watching is not None:
            process.watching.cancel()
        server.close()


async def _guarded(process: Process, serving: Awaitable[None]) -> None:
    try:
        await serving
    except Exception as error:  # noqa: BLE001  # the process ends, with the status that belongs to it
        process.fatal(error)
    else:
        process.stop.set()


def _status(failure: BaseException | None) -> int:
    match failure:
        case None:
            return OK
        case KafkaUnreachable() | PostgresUnreachable():
            return _say(UNREACHABLE, str(failure))
        case CommitsRefused() | Transient():
            return _say(TRY_AGAIN, str(failure))
        case Misconfigured() | MigrationError():
            return _say(MISCONFIGURED, str(failure))
        case _:
            log.error("unexpected end", exc_info=failure, extra=fields(action="crashed"))
            return _say(FAILED, f"unexpected {type(failure).__name__}: see the log")


def _say(status: int, sentence: str) -> int:
    print(sentence, file=sys.stderr, flush=True)  # noqa: T201  # for people; the log has it as well
    return status
