"""What `carteiro mail` does to the mailer's queue. A running mailer sees it within a second."""

import sys
from collections.abc import Sequence
from datetime import datetime

from ops.database import connected
from ops.show import lines, say
from services.mailer import queries
from shared.clock import rfc3339
from shared.settings import Settings

COLUMNS = ("delivery_id", "ticket_number", "kind", "recipient", "state", "smtp_class", "smtp_code", "account", "at")


async def list_mails(state: str, limit: int, *, as_json: bool) -> int:
    """Raises PostgresUnreachable."""
    async with connected(Settings()) as connection:
        rows = await queries.mails(connection, state, limit)
    say(lines(rows, COLUMNS, as_json=as_json, empty=f"no mail is {state}"))
    return 0


async def retry(ids: Sequence[int]) -> int:
    """1 when one of them has not failed. Raises PostgresUnreachable."""
    async with connected(Settings()) as connection:
        again = await queries.retry(connection, ids)
    for mail in ids:
        if mail in again:
            print(f"mail {mail}: queued again")
        else:
            print(f"no mail with the id {mail} has failed", file=sys.stderr)
    return 0 if set(ids) <= again else 1


async def hold(before: datetime) -> int:
    """Raises PostgresUnreachable."""
    async with connected(Settings()) as connection:
        number = await queries.hold(connection, before)
    print(f"{number} mails are held back, and those that facts before {rfc3339(before)} still lead to")
    return 0


async def release() -> int:
    """Raises PostgresUnreachable."""
    async with connected(Settings()) as connection:
        number = await queries.release(connection)
    print(f"{number} mails are released")
    return 0
