"""`carteiro token`: made, listed without their secrets, revoked."""

from shared.postgres import Pool
from tests.integration.ops.operating import Operator


async def test_a_token_is_shown_once_and_can_be_revoked(operator: Operator, pool: Pool) -> None:
    made = await operator.run("token", "create", "--scope", "read", "--queue", "suporte", "--days", "30", "quadro")
    secret = made.stdout.strip()
    assert secret.startswith("carteiro_")
    assert secret not in made.stderr
    [row] = await operator.rows("token", "list")
    assert (row["name"], row["scopes"], row["queues"], row["state"], row["created_by"]) == (
        "quadro", ["read"], ["suporte"], "valid", "olga",
    )  # fmt: skip
    stored = await pool.fetchval("SELECT t::text FROM ticketing.tokens t")
    assert secret.removeprefix("carteiro_") not in stored
    assert (await operator.run("token", "revoke", row["id"])).returncode == 0
    assert (await operator.run("token", "revoke", row["id"])).returncode == 1
    assert [row["state"] for row in await operator.rows("token", "list")] == ["revoked"]


async def test_a_token_that_cannot_be_is_refused(operator: Operator) -> None:
    for words, complaint in (
        (("--scope", "read", "--queue", "suport"), "no queue suport"),
        (("--scope", "agent", "--agent", "ana"), "no agent ana"),
        (("--scope", "operator", "--queue", "suporte"), "whole installation"),
    ):
        said = await operator.run("token", "create", *words, "quadro")
        assert (said.returncode, complaint in said.stderr) == (2, True), said.stderr
    assert await operator.rows("token", "list") == []
