"""`customer erase` and `retention apply`: afterwards the address is nowhere, and a replay brings nothing back."""

import re
from typing import Any

from services.ticketing.search_index import index_once
from shared.events import Party
from shared.originals import Originals, open_originals
from shared.postgres import Pool
from tests.integration.ops.operating import Operator
from tests.integration.ticketing.situations import DESK, batch, contents, handler
from tests.unit.ticketing.mails import ANA, BRUNO, dispatched

LONGER = f"jo{ANA}"
_TABLES = """
SELECT table_schema || '.' || table_name FROM information_schema.tables
WHERE table_schema IN ('fetcher', 'ticketing', 'mailer') AND table_type = 'BASE TABLE'
"""
_OUTBOUND = """
INSERT INTO mailer.outbound (id, event_id, rule, recipient, ticket_id, ticket_number, kind, template, state, account,
                             received_at, raw)
VALUES ($1, $2, 'r', $3, $4, '1', 'auto_response', 't', 'sent', 'padrao', now(), $5)
"""
_LETTER = """
INSERT INTO ticketing.dead_letters (origin_topic, origin_partition, origin_offset, origin_id, service, reason,
                                    exception, value, headers, received_at)
VALUES ('mail.received.v1', 0, $1, '', 'dispatcher', 'poison', 'ValueError', $2, $3, now())
"""


async def named_in(pool: Pool, address: str) -> dict[str, int]:
    """Table -> rows that hold the address, as text or as bytes."""
    found = {}
    for (table,) in await pool.fetch(_TABLES):
        rows = [row[0].lower() for row in await pool.fetch(f"SELECT t::text FROM {table} t")]
        whole = re.compile(rf"(?<![a-z0-9]){re.escape(address)}")
        coded = re.compile(rf"(?<!6f){address.encode().hex()}")  # not behind the o of the longer one
        if count := sum(bool(whole.search(row) or coded.search(row)) for row in rows):
            found[table] = count
    return found


async def readable(pool: Pool, originals: Originals) -> list[bytes]:
    """Every original that something still names."""
    found = []
    for table in ("articles", "decisions", "dead_letters"):
        for (reference,) in await pool.fetch(f"SELECT original FROM ticketing.{table} WHERE original LIKE 'packs/%'"):
            found.append(await originals.get(reference))
    return found


async def situation(operator: Operator, pool: Pool, anything: Pool, originals: Originals) -> list[Any]:
    """The mails of Ana, of those who write with her, and of somebody whose address ends like hers."""
    raws = [f"From: {name}\r\nMessage-ID: <{n}@x>\r\n\r\nHi".encode() for n, name in enumerate([ANA, ANA, ANA, LONGER])]
    hers, in_his, ignored, longer = await originals.put_many(raws)
    [about] = await originals.put_many([f"From: {BRUNO}\r\nCc: {ANA}\r\n\r\nHi".encode()])
    mails = [
        dispatched("m1", ANA, original=hers, text=f"I am {ANA}", subject="Mine"),
        dispatched("m2", BRUNO, replies_to="m1", original=about, cc=[Party("Ana", ANA)]),
        dispatched("b1", BRUNO, original=about, cc=[Party("Ana", ANA)], text=f"{ANA} and {LONGER}", queue="comercial"),
        dispatched("b2", ANA, replies_to="b1", original=in_his, queue="comercial"),
        dispatched("i1", ANA, original=ignored, action="ignore", reason="a rule"),
        dispatched("l1", LONGER, original=longer),
    ]
    await handler(pool, operator.folder)(batch(mails))
    await index_once(pool, "pt-BR")
    own = await pool.fetchval("SELECT id FROM ticketing.tickets WHERE customer_user = $1", ANA)
    other = await pool.fetchval(
        "SELECT id FROM ticketing.tickets WHERE customer_user = $1 AND queue = 'comercial'", BRUNO
    )
    await anything.execute(_OUTBOUND, 1, "e1", "agent@empresa.example", own, b"about her")
    await anything.execute(_OUTBOUND, 2, "e2", ANA, other, b"to her")
    await anything.execute(_OUTBOUND, 3, "e3", BRUNO, other, f"Cc: {ANA}".encode())
    await anything.execute(_OUTBOUND, 4, "e4", LONGER, other, f"To: {LONGER}".encode())
    await anything.execute(
        "INSERT INTO mailer.windows VALUES ($1, now(), 1), ($2, now(), 1)", f"day {ANA}", f"day {LONGER}"
    )
    await anything.execute("INSERT INTO mailer.bounced_addresses VALUES ($1, '5.1.1', 1, now())", ANA)
    await anything.execute(_LETTER, 1, f"From: {ANA}".encode(), [])
    await anything.execute(_LETTER, 2, None, [["x", "YW5hQGt1bmRlLmV4YW1wbGU="]])
    await anything.execute(_LETTER, 3, f"From: {LONGER}".encode(), [])
    return mails


async def test_an_address_is_nowhere_after_it_was_erased_and_comes_back_with_no_replay(
    operator: Operator, pool: Pool, anything: Pool
) -> None:
    originals = open_originals((operator.folder / "objects").as_uri())
    mails = await situation(operator, pool, anything, originals)
    before, longer = await contents(anything), await named_in(anything, LONGER)
    assert set(await named_in(anything, ANA)) >= {"ticketing.articles", "ticketing.outbox", "mailer.outbound"}
    [dry] = await operator.rows("customer", "erase", "--dry-run", ANA.upper())
    assert await contents(anything) == before
    [said] = await operator.rows("customer", "erase", ANA.upper())
    assert said == dry | {"erased": True}
    assert (said["tickets"], said["articles"], said["letters"], said["unread"]) == (1, 2, 2, 0)
    assert await named_in(anything, ANA) == {}
    again_to_be_indexed = {"ticketing.searchable": 1}
    assert await named_in(anything, LONGER) == longer | again_to_be_indexed
    assert not [raw for raw in await readable(anything, originals) if re.search(rb"(?<!o)ana@kunde", raw)]
    assert len(await readable(anything, originals)) == 2, "an article of the longer address, and its decision"
    assert await pool.fetchval("SELECT count(*) FROM ticketing.inbox") == len(mails)

    after = await contents(anything)
    await handler(pool, operator.folder)(batch(mails, first=100))
    again = await contents(anything)
    assert {name: rows for name, rows in again.items() if name != "offsets"} == {
        name: rows for name, rows in after.items() if name != "offsets"
    }


async def test_an_original_that_cannot_be_read_is_said(operator: Operator, pool: Pool, anything: Pool) -> None:
    originals = open_originals((operator.folder / "objects").as_uri())
    [reference] = await originals.put_many([b"From: x\r\n\r\n"])
    await handler(pool, operator.folder)(batch([dispatched("i1", ANA, original=reference, action="ignore")]))
    await originals.delete([reference.split(":")[0]])
    [said] = await operator.rows("customer", "erase", ANA)
    assert said["unread"] == 1
    page = (await operator.run("customer", "erase", ANA)).stdout
    assert "Kafka forgets by itself: mail.received.v1 after 14 days" in page
    assert (await operator.run("customer", "erase", "ana")).returncode == 2


async def test_what_was_closed_long_ago_is_emptied_by_its_queue(operator: Operator, pool: Pool, anything: Pool) -> None:
    mails = [dispatched(f"m{n}", f"person{n}@kunde.example") for n in range(3)] + [dispatched("c1", queue="comercial")]
    await handler(pool, operator.folder)(batch(mails))
    await pool.execute(
        "UPDATE ticketing.tickets SET state = 'closed successful', state_type = 'closed', closed_at = now() - interval"
        " '31 days' WHERE customer_user <> 'person2@kunde.example'"
    )
    assert (await operator.run("retention", "apply")).returncode == 1
    desk = operator.folder / "kept.yaml"
    desk.write_text(DESK.replace("suporte: {", "suporte: {keep_closed: 30d, "))
    [dry] = await operator.rows("retention", "apply", "--dry-run", desk=str(desk))
    assert (dry["queue"], dry["tickets"], dry["articles"], dry["erased"]) == ("suporte", 2, 2, False)
    assert await pool.fetchval("SELECT count(*) FROM ticketing.articles") == 4
    [said] = await operator.rows("retention", "apply", desk=str(desk))
    assert (said["tickets"], said["articles"]) == (2, 2)
    left = {row["from_address"] for row in await pool.fetch("SELECT from_address FROM ticketing.articles")}
    assert left == {"person2@kunde.example", ANA}
    blank = await pool.fetch("SELECT state, title, customer_user FROM ticketing.tickets WHERE erased_at IS NOT NULL")
    assert [tuple(row) for row in blank] == [("removed", "", "")] * 2
    [again] = await operator.rows("retention", "apply", desk=str(desk))
    assert again["tickets"] == 0
