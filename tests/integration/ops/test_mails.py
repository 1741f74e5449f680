"""`carteiro mail`: mails that failed, and mails that are held back."""

from datetime import UTC, datetime

import pytest

from shared.postgres import Pool
from tests.integration.ops.operating import Operator

_OUTBOUND = """
INSERT INTO mailer.outbound (id, event_id, rule, recipient, ticket_id, ticket_number, kind, template, state, account,
                             sender, received_at, due_at, created_at, raw, attempts, smtp_class, smtp_code, failed_at)
SELECT n, 'e' || n, 'auto_reply', 'ana@kunde.example', n, '2026030110000017', 'auto_response', 'recebido', $2, 'padrao',
       'a@b.example', now(), now(), now() - interval '1 minute', 'bytes', 3, 'recipient', 550,
       CASE WHEN $2 = 'failed' THEN now() END
FROM unnest($1::bigint[]) n
"""


@pytest.fixture
async def rows(anything: Pool) -> Pool:
    await anything.execute(_OUTBOUND, [1, 2], "failed")
    await anything.execute(_OUTBOUND, [3], "queued")
    await anything.execute(_OUTBOUND, [4], "deferred")
    return anything


async def state(pool: Pool, mail: int) -> tuple[str, int, bool]:
    row = await pool.fetchrow(
        "SELECT state, attempts, due_at = 'infinity' AS held, raw FROM mailer.outbound WHERE id = $1", mail
    )
    assert row is not None
    assert row["raw"] == b"bytes"
    return row["state"], row["attempts"], row["held"]


async def test_what_failed_is_named_and_sent_again_on_demand(operator: Operator, rows: Pool) -> None:
    status = await operator.rows("status")
    [failed] = [row for row in status if row["section"] == "failed"]
    assert (failed["mails"], failed["cause"], failed["code"]) == (2, "recipient", 550)
    assert "CarteiroMailFailed" in {row.get("runbook") for row in status}
    assert [row["delivery_id"] for row in await operator.rows("mail", "list")] == ["2", "1"]

    said = await operator.run("mail", "retry", "1", "3")
    assert (said.returncode, said.stdout) == (1, "mail 1: queued again\n")
    assert "3" in said.stderr
    assert await state(rows, 1) == ("queued", 0, False)
    assert await state(rows, 2) == ("failed", 3, False)


async def test_a_hold_keeps_what_waits_until_it_is_released(operator: Operator, rows: Pool) -> None:
    said = await operator.run("mail", "hold", "--before", datetime.now(UTC).isoformat())  # noqa: TID251
    assert said.returncode == 0, said.stderr
    assert said.stdout.startswith("2 mails are held back")
    assert [(await state(rows, mail))[2] for mail in (3, 4)] == [True, True]
    waiting = [row for row in await operator.rows("status") if row["section"] == "outbound"]
    assert [(row["state"], row["mails"], row["due"]) for row in waiting] == [("held", 2, None)]
    assert await rows.fetchval("SELECT count(*) FROM mailer.hold") == 1

    assert (await operator.run("mail", "release")).stdout == "2 mails are released\n"
    assert [(await state(rows, mail))[2] for mail in (3, 4)] == [False, False]
    assert await rows.fetchval("SELECT count(*) FROM mailer.hold") == 0


async def test_a_time_that_is_none_is_wrong_usage(operator: Operator) -> None:
    said = await operator.run("mail", "hold", "--before", "yesterday")
    assert said.returncode == 2
    assert "2026-11-24T12:30:00Z" in said.stderr
