"""`carteiro account list`: each mail account, who reads it, when it last succeeded, and what is wrong."""

from datetime import timedelta
from typing import Any

from ops.database import connected
from ops.show import lines, say
from shared.desk.findings import DeskError
from shared.desk.load import load_desk
from shared.postgres import Connection
from shared.settings import Settings

_ACCOUNTS = """
SELECT account, connected, holder, last_attempt, last_success, error, error_text, error_since
FROM fetcher.account_status_v1 ORDER BY account
"""
COLUMNS = ("account", "state", "last_success", "holder", "error_since", "error_text")


async def list_accounts(*, as_json: bool) -> int:
    """Raises PostgresUnreachable."""
    settings = Settings()
    async with connected(settings) as connection:
        rows = await account_rows(connection, settings)
    say(lines(rows, COLUMNS, as_json=as_json, empty="no accounts"))
    return 0


async def account_rows(connection: Connection, settings: Settings) -> list[dict[str, Any]]:
    """What the fetchers wrote, and the accounts of the desk that nobody has touched yet (where it can be read)."""
    rows = [dict(record) for record in await connection.fetch(_ACCOUNTS)]
    intervals: dict[str, timedelta] = {}
    try:
        intervals = {name: account.interval for name, account in load_desk(settings.desk).desk.accounts.items()}
        configured = set(intervals)
    except DeskError:
        configured = {row["account"] for row in rows}
    known = {row["account"] for row in rows}
    shown = [row for row in rows if row["account"] in configured]
    shown += [
        {"account": name, "connected": False, "error": "", "error_text": ""} for name in sorted(configured - known)
    ]
    for row in shown:
        row["state"] = _state(row)
        if row["account"] in intervals:
            row["interval"] = intervals[row["account"]]
    return shown


def _state(row: dict[str, Any]) -> str:
    if row["error"]:
        return str(row["error"])
    if row.get("holder") is None:
        return "unowned"
    return "connected" if row["connected"] else "connecting"
