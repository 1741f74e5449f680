"""What `carteiro token` does: tokens are made, listed, and made invalid."""

import sys
from collections.abc import Sequence
from datetime import timedelta

from ops.database import connected
from ops.deadletters import who
from ops.show import lines, say
from services.ticketing.api import token_store
from services.ticketing.api.tokens import digest, new_secret
from shared.clock import now
from shared.desk.findings import DeskError, suggest
from shared.desk.load import load_desk
from shared.settings import Settings

COLUMNS = ("id", "name", "state", "scopes", "queues", "agent", "expires_at", "created_by", "created_at")


async def create(
    name: str, scopes: Sequence[str], queues: Sequence[str] | None, agent: str, valid: timedelta | None
) -> int:
    """Prints the token alone, so that a script can take it; 2 for a queue or agent that the desk does not know.
    Raises PostgresUnreachable."""
    settings = Settings()
    for complaint in _unknown(settings, queues or (), agent):
        print(complaint, file=sys.stderr)
        return 2
    secret = new_secret()
    found = digest(secret)
    assert found is not None
    async with connected(settings) as connection:
        token_id = await token_store.create(
            connection,
            found,
            name=name,
            scopes=scopes,
            queues=queues,
            agent=agent,
            created_by=who(),
            expires_at=None if valid is None else now() + valid,
        )
    print(secret)
    print(f"token {token_id}: kept as a hash, it cannot be shown again", file=sys.stderr)
    return 0


def _unknown(settings: Settings, queues: Sequence[str], agent: str) -> list[str]:
    """What the desk does not know, where it can be read."""
    try:
        desk = load_desk(settings.desk).desk
    except DeskError:
        return []
    found = [f"no queue {name}; {suggest(name, desk.queues)}" for name in queues if desk.queue(name) is None]
    if agent and agent not in desk.agents:
        found.append(f"no agent {agent}; {suggest(agent, desk.agents)}")
    return found


async def list_tokens(*, as_json: bool) -> int:
    """Raises PostgresUnreachable."""
    async with connected(Settings()) as connection:
        rows = await token_store.listed(connection)
    if not as_json:
        rows = [row | {name: ", ".join(row[name] or ["all"]) for name in ("scopes", "queues")} for row in rows]
    say(lines(rows, COLUMNS, as_json=as_json, empty="no tokens"))
    return 0


async def revoke(ids: Sequence[int]) -> int:
    """1 when one is not there, or was revoked before. Raises PostgresUnreachable."""
    async with connected(Settings()) as connection:
        done = [await token_store.revoke(connection, token_id) for token_id in ids]
    for token_id, revoked in zip(ids, done, strict=True):
        print(f"token {token_id}: revoked" if revoked else f"no valid token has the id {token_id}",
              file=sys.stdout if revoked else sys.stderr)  # fmt: skip
    return 0 if all(done) else 1
