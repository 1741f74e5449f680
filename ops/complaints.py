"""An exception becomes one sentence on stderr and an exit status; an unknown one is raised again."""

import sys

import asyncpg
from pydantic import ValidationError

from services.ticketing.relay_store import NotCompared
from shared.kafka.admin import KafkaUnreachable
from shared.kafka.producer import SendFailed
from shared.kafka.reader import ReadFailed
from shared.migrations import MigrationBusy, MigrationError
from shared.postgres import PostgresUnreachable
from shared.process import FAILED, MISCONFIGURED, TRY_AGAIN, UNREACHABLE, Misconfigured
from shared.settings import Settings, complaints

_STATUS: tuple[tuple[type[BaseException], int], ...] = (
    (KafkaUnreachable, UNREACHABLE),
    (PostgresUnreachable, UNREACHABLE),
    (ReadFailed, UNREACHABLE),
    (SendFailed, TRY_AGAIN),
    (MigrationBusy, TRY_AGAIN),
    (Misconfigured, MISCONFIGURED),
    (MigrationError, MISCONFIGURED),
    (NotCompared, TRY_AGAIN),
    (asyncpg.InvalidPasswordError, MISCONFIGURED),
    (asyncpg.InvalidCatalogNameError, MISCONFIGURED),
    (asyncpg.LockNotAvailableError, TRY_AGAIN),
    (asyncpg.PostgresError, FAILED),
)


def status_of(error: Exception) -> int:
    """The status of a known exception, after its sentence; anything else is raised again."""
    if isinstance(error, ValidationError) and error.title == Settings.__name__:
        print(complaints(error), file=sys.stderr)
        return MISCONFIGURED
    for kind, status in _STATUS:
        if isinstance(error, kind):
            print(error, file=sys.stderr)
            return status
    raise error
