"""`explain` with ticketing at hand, and `backtest` over the mail topic."""

from collections.abc import Sequence
from pathlib import Path

from shared.events import ReceivedMail
from shared.kafka.producer import Outgoing, Producer
from shared.postgres import Pool
from shared.topics import RECEIVED
from shared.wire import encode_received
from tests.integration.ops.operating import Operator
from tests.integration.ticketing.situations import DESK, batch, handler
from tests.unit.dispatcher.test_decide import plain, received
from tests.unit.ticketing.mails import ANA, dispatched


def written(folder: Path, head: str) -> str:
    path = folder / "mail.eml"
    path.write_text(f"Return-Path: <{ANA}>\nTo: suporte@empresa.example\n{head}\n\nBom dia\n")
    return str(path)


async def test_explain_says_what_the_candidates_would_settle_to(pool: Pool, operator: Operator, tmp_path: Path) -> None:
    await handler(pool, tmp_path)(batch([dispatched("first", ANA)]))
    number = await pool.fetchval("SELECT number FROM ticketing.tickets")
    reply = f"From: {ANA}\nSubject: Oi\nIn-Reply-To: <first@kunde.example>"
    [shown] = await operator.rows("explain", written(tmp_path, reply))
    assert (shown["decision"]["action"], shown["decision"]["ticket"]) == ("follow_up", number)
    assert f"in_reply_to finds ticket {number} (new, suporte): an article is added" in shown["decision"]["reason"]
    checks = [(step["check"], step["result"]) for step in shown["trace"]]
    assert ("ticketing:in_reply_to", f"ticket {number}") in checks
    assert ("ticketing:sender", "may follow up") in checks


async def test_explain_says_whom_a_ticket_does_not_take(pool: Pool, operator: Operator, tmp_path: Path) -> None:
    await handler(pool, tmp_path)(batch([dispatched("first", ANA)]))
    number = await pool.fetchval("SELECT number FROM ticketing.tickets")
    stranger = f"From: mallory@evil.example\nSubject: [Ticket#{number}] Oi"
    [shown] = await operator.rows("explain", written(tmp_path, stranger))
    assert shown["decision"]["action"] == "new"
    assert shown["decision"]["reason"] == f"claims ticket {number}, whose queue does not take this sender"
    unknown = f"From: {ANA}\nSubject: [Ticket#2026010110000017]"
    [shown] = await operator.rows("explain", written(tmp_path, unknown))
    assert (shown["decision"]["action"], shown["decision"]["reason"]) == ("new", "no candidate is a ticket now")


async def test_explain_needs_no_server(operator: Operator, tmp_path: Path) -> None:
    nowhere = "postgresql://127.0.0.1:1/carteiro"
    [shown] = await operator.rows("explain", written(tmp_path, f"From: {ANA}\nSubject: Oi"), postgres=nowhere)
    assert shown["decision"]["reason"] == "nothing names a ticket"


async def send(operator: Operator, mails: Sequence[ReceivedMail]) -> None:
    producer = Producer(operator.kafka, operator.prefix, client_id="test")
    records = []
    for mail in mails:
        value, headers = encode_received(mail)
        records.append(Outgoing(RECEIVED, mail.uid.encode(), value, headers))
    await producer.send_all([*records, Outgoing(RECEIVED, b"bad", b"no mail", [])])
    await producer.close()


async def test_backtest_tells_what_another_desk_would_have_done(operator: Operator, tmp_path: Path) -> None:
    await send(operator, [received(plain(f"Fatura {n}"), uid=str(n)) for n in range(20)])
    other = tmp_path / "new.yaml"
    other.write_text(DESK.replace("Suporte, queue: suporte", "Suporte, queue: comercial"))
    rows = await operator.rows("backtest", "--since", "1h", "--desk", str(other))
    assert [(row["what"], row["before"], row["after"], row["mails"]) for row in rows[:-1]] == [
        ("queue", "suporte", "comercial", 20)
    ]
    assert len(rows[0]["examples"]) == 3
    assert (rows[-1]["mails"], rows[-1]["changed"], rows[-1]["unread"]) == (20, 20, 1)
    assert len(await operator.sent(RECEIVED)) == 21, "nothing was written"
    later = await operator.rows("backtest", "--since", "2099-01-01", "--desk", str(other))
    assert later[-1]["mails"] == 0


async def test_backtest_says_what_is_wrong(operator: Operator, tmp_path: Path) -> None:
    said = await operator.run("backtest", "--since", "soon", "--desk", "x.yaml")
    assert (said.returncode, "--since soon: expected 2d" in said.stderr) == (2, True)
    said = await operator.run("backtest", "--since", "1h", "--desk", str(tmp_path / "none.yaml"))
    assert said.returncode == 78
    (tmp_path / "new.yaml").write_text(DESK)
    said = await operator.run("backtest", "--since", "1h", "--desk", str(tmp_path / "new.yaml"), kafka="127.0.0.1:1")
    assert said.returncode == 69
    assert said.stderr.count("\n") == 1
