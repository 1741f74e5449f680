"""An exception becomes one sentence on stderr and an exit status; an unknown one is raised again."""

import sys

import asyncpg

from shared.kafka.admin import KafkaUnreachable
from shared.kafka.producer import SendFailed
from shared.migrations import MigrationError
from shared.postgres import PostgresUnreachable
from shared.process import FAILED, MISCONFIGURED, TRY_AGAIN, UNREACHABLE, Misconfigured

_STATUS: tuple[tuple[type[BaseException], int], ...] = (
    (KafkaUnreachable, UNREACHABLE),
    (PostgresUnreachable, UNREACHABLE),
    (SendFailed, TRY_AGAIN),
    (Misconfigured, MISCONFIGURED),
    (MigrationError, MISCONFIGURED),
    (asyncpg.InvalidPasswordError, MISCONFIGURED),
    (asyncpg.InvalidCatalogNameError, MISCONFIGURED),
    (asyncpg.PostgresError, FAILED),
)


def status_of(error: Exception) -> int:
    """The status of a known exception, after its sentence; anything else is raised again."""
    for kind, status in _STATUS:
        if isinstance(error, kind):
            print(error, file=sys.stderr)
            return status
    raise error
