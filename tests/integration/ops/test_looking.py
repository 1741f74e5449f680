"""`status`, `account list`, `ticket list|show` on real servers."""

import asyncpg
import pytest

from shared.events import AttachmentInfo
from shared.kafka.producer import Outgoing, Producer
from shared.postgres import Pool
from shared.topics import EVENTS
from tests.integration.ops.operating import Operator
from tests.integration.ticketing.situations import batch, handler
from tests.unit.ticketing.mails import dispatched

NOWHERE = "127.0.0.1:1"
_OUTBOUND = """
INSERT INTO mailer.outbound (id, event_id, rule, recipient, ticket_id, ticket_number, kind, template, state, reason,
                             account, envelope_from, received_at, due_at, created_at)
VALUES (1, 'e1', 'auto_reply', 'ana@kunde.example', $1, $2, 'auto_response', 'recebido', $3, $4,
        'padrao', '', now(), now() - interval '6 minutes', now() - interval '6 minutes')
"""


async def test_a_ticket_is_listed_and_shown_with_its_conversation(
    operator: Operator, pool: Pool, anything: Pool
) -> None:
    invoice = AttachmentInfo("nota.pdf", "application/pdf", 1234)
    first = dispatched("m1", subject="Impressora \x1b[2J quebrada", attachments=[invoice])
    mails = [first, dispatched("m2", replies_to="m1"), dispatched("m3", queue="comercial")]
    await handler(pool, operator.folder)(batch(mails))
    listed = await operator.rows("ticket", "list")
    assert sorted(row["queue"] for row in listed) == ["comercial", "suporte"]
    (row,) = await operator.rows("ticket", "list", "--queue", "suporte")
    assert (row["articles"], row["state"]) == (2, "new")
    assert await operator.rows("ticket", "list", "--state", "closed successful") == []
    assert len(await operator.rows("ticket", "list", "--limit", "1")) == 1

    await anything.execute(_OUTBOUND, int(row["ticket_id"]), row["number"], "suppressed", "loop")
    (shown,) = await operator.rows("ticket", "show", row["number"])
    assert [article["message_id"] for article in shown["conversation"]] == [m.message_id for m in mails[:2]]
    assert shown["conversation"][0]["files"] == ["nota.pdf"]
    assert shown["conversation"][0]["received_at"] == "2026-03-01T12:30:00.000Z"
    assert shown["history"][0]["type"] == "NewTicket"
    assert [(sent["state"], sent["reason"]) for sent in shown["deliveries"]] == [("suppressed", "loop")]
    assert shown["deliveries"][0]["delivery_id"] == "1"

    page = (await operator.run("ticket", "show", f"[Ticket#{row['number']}]")).stdout
    assert "Text of m2" in page
    assert "suppressed" in page
    assert "\x1b" not in page, "a stranger's mail reached the terminal"


async def test_a_number_that_no_ticket_has_is_said(operator: Operator) -> None:
    said = await operator.run("ticket", "show", "2026010100000001")
    assert (said.returncode, said.stdout) == (1, "")
    assert "2026010100000001" in said.stderr


async def test_an_account_and_its_error_are_listed_and_judged(operator: Operator, anything: Pool) -> None:
    await anything.execute(
        "INSERT INTO fetcher.account_status (account, connected, last_attempt, error, error_text, error_since)"
        " VALUES ('caixa', false, now(), 'auth_failed', 'the server refused the log-in', now())"
    )
    (row,) = await operator.rows("account", "list", desk="/nowhere")
    assert (row["account"], row["state"], row["last_success"]) == ("caixa", "auth_failed", None)
    problems = [row for row in await operator.rows("status", desk="/nowhere") if row["section"] == "problem"]
    assert {"account caixa"} == {row["about"] for row in problems if row["runbook"] == "CarteiroAccountAuthFailing"}


async def test_status_shows_what_nobody_reads_and_what_waits_to_be_sent(operator: Operator, anything: Pool) -> None:
    producer = Producer(operator.kafka, operator.prefix, client_id="test")
    await producer.send_all([Outgoing(EVENTS, b"1", b"{}", []), Outgoing(EVENTS, b"2", b"{}", [])])
    await producer.close()
    await anything.execute(_OUTBOUND, 1, "2026", "queued", "")
    rows = await operator.rows("status")
    (reader,) = [row for row in rows if row.get("group") == "carteiro-mailer-events"]
    assert (reader["unread"], reader["readers"]) == (2, 0)
    assert reader["oldest"].endswith("Z")
    assert {row["about"] for row in rows if row["section"] == "problem"} >= {
        "group carteiro-mailer-events",
        "outbound account padrao",
    }
    said = await operator.run("status")
    assert said.returncode == 1
    assert "nobody reads, 2 records wait on ticket.events.v1: is mailer running?" in said.stdout


async def test_status_asks_what_should_be_there_and_compares(operator: Operator, anything: Pool) -> None:
    """Topics under another prefix, one with other settings, a desk that is refused, a schema that is behind."""
    right = {row["about"]: row["sentence"] for row in await operator.rows("status") if row["section"] == "problem"}
    assert not right.keys() & {"desk", "schema", "topics"}

    wrong = operator.folder / "wrong.yaml"
    wrong.write_text("queues: 7\n")
    await anything.execute("DELETE FROM public.carteiro_migrations WHERE service = 'mailer' AND number = 5")
    changes = {"prefix": f"{operator.prefix}other-", "desk": str(wrong)}
    said = await operator.run("status", **changes)
    rows = await operator.rows("status", **changes)
    found = {row["about"]: row["sentence"] for row in rows if row["section"] == "problem"}
    assert said.returncode == 1
    assert "run `carteiro topics apply`" in found["topics"]
    assert f"'{operator.prefix}'" in found["topics"], "the prefix that has topics is named"
    assert f"{wrong}:1" in found["desk"]
    assert found["schema"] == "lacks mailer/0005_pre_gaps.sql: run `carteiro migrate`"

    (brake,) = [row for row in rows if row["section"] == "brake"]
    assert brake["on"] is False
    assert [row["stage"] for row in rows if row["section"] == "stage"] == ["fetch", "publish", "send"]


async def test_status_compares_the_replicas_and_settings_of_the_topics(operator: Operator) -> None:
    rows = await operator.rows("status", kafka_replicas="3")
    found = [row["sentence"] for row in rows if row.get("about") == f"topic {operator.prefix}mail.received.v1"]
    assert any("min.insync.replicas is 1, expected 2: run `carteiro topics apply`" in sentence for sentence in found)
    assert any("has 1 replicas, CARTEIRO_KAFKA_REPLICAS wants 3" in sentence for sentence in found)


async def test_what_is_typed_wrong_is_said(operator: Operator) -> None:
    state = await operator.run("ticket", "list", "--state", "nwe")
    assert (state.returncode, state.stdout) == (2, "")
    assert "no state is called nwe; there are: new, open," in state.stderr
    why = await operator.run("deadletters", "discard", "1", "--why", "  ")
    assert (why.returncode, "expected a reason in words" in why.stderr) == (2, True)


async def test_without_kafka_status_shows_what_postgres_knows(operator: Operator, pool: Pool) -> None:
    await handler(pool, operator.folder)(batch([dispatched("m1")]))
    said = await operator.run("status", kafka=NOWHERE)
    assert said.returncode == 69
    assert said.stderr.splitlines() == [f"Kafka at {NOWHERE} cannot be reached (KafkaConnectionError)"]
    assert "suporte" in said.stdout
    assert "all is well" not in said.stdout


async def test_without_postgres_status_shows_what_kafka_knows(operator: Operator) -> None:
    said = await operator.run("status", postgres=f"postgresql://{NOWHERE}/carteiro")
    assert said.returncode == 69
    assert "PostgreSQL at 127.0.0.1:1/carteiro cannot be reached" in said.stderr
    assert "mail.received.v1" in said.stdout


@pytest.mark.parametrize("command", ["status", "account list", "ticket list", "deadletters list"])
async def test_a_database_without_the_schema_is_said_in_a_sentence(
    operator: Operator, empty: str, command: str
) -> None:
    said = await operator.run(*command.split(), postgres=empty)
    assert said.returncode == 78
    assert said.stderr.endswith("lacks this version's schema: run `carteiro migrate`\n")
    assert said.stderr.count("\n") == 1


async def test_migrate_says_what_it_applied_and_what_a_newer_version_did(operator: Operator, empty: str) -> None:
    check = await operator.run("migrate", "--check", postgres=empty)
    assert (check.returncode, "pending ticketing/0001_pre_ticketing.sql" in check.stdout) == (1, True)
    first = await operator.run("migrate", postgres=empty)
    assert (first.returncode, "applied ticketing/0001_pre_ticketing.sql" in first.stdout) == (0, True)
    connection = await asyncpg.connect(empty)
    note = "INSERT INTO carteiro_migrations (service, number, phase, name, sha256) VALUES ('mailer', 9001, $1, $2, '')"
    await connection.execute(note, "pre", "9001_pre_x.sql")
    for words in (["migrate"], ["migrate", "--check"]):
        newer = await operator.run(*words, postgres=empty)
        assert (newer.returncode, "of a newer version: mailer/9001_pre_x.sql" in newer.stdout) == (0, True)
    await connection.execute("UPDATE carteiro_migrations SET phase = 'post' WHERE number = 9001")
    for words in (["migrate"], ["migrate", "--check", "--wait"]):
        lost = await operator.run(*words, postgres=empty)
        assert (lost.returncode, "of a newer version" in lost.stderr) == (78, True)
    await connection.close()
