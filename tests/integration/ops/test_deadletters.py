"""`deadletters` on real servers: what is replayed goes where it came from, once, and takes over its claim."""

import hashlib

import msgspec
import pytest

from services.dispatcher.decide import Setting, dispatch, quarantined
from services.dispatcher.handlers import received_of
from services.ticketing import dead_letter_store
from shared.clock import now
from shared.desk.model import Desk
from shared.events import DeadLetter, Origin, ReceivedMail
from shared.kafka.record import Record
from shared.originals import open_originals, packed
from shared.postgres import Pool
from shared.topics import DISPATCHED, EVENTS, RECEIVED
from shared.wire import decode_dispatched, encode_dispatched
from tests.integration.ops.operating import Operator
from tests.integration.ticketing.situations import batch, handler
from tests.unit.ticketing.mails import RECEIVED as ARRIVED
from tests.unit.ticketing.mails import dispatched

RAW = b"From: ana@kunde.example\r\nMessage-ID: <q@kunde.example>\r\nSubject: Oi\r\n\r\nBom dia\r\n"


async def put(pool: Pool, topic: str, value: bytes | None, *, partition: int = 3, offset: int = 7) -> str:
    """An open dead letter; its id."""
    headers = [("ce_id", b"abc"), ("raw", b"\xff\x00")]
    letter = DeadLetter(topic, partition, offset, "test", "undecided", "KeyError", b"key", value, headers)
    async with pool.acquire() as connection:
        await dead_letter_store.insert(connection, [dead_letter_store.row(letter, now())])
    return str(await pool.fetchval("SELECT max(id) FROM ticketing.dead_letters"))


@pytest.mark.parametrize("topic", [RECEIVED, EVENTS])
async def test_a_replayed_record_is_the_original_with_one_header_more(
    operator: Operator, pool: Pool, topic: str
) -> None:
    letter = await put(pool, topic, b"\xff as it came")
    said = await operator.run("deadletters", "replay", letter)
    assert said.returncode == 0, said.stderr
    (record,) = await operator.sent(topic)
    assert (record.key, record.value) == (b"key", b"\xff as it came")
    mark = f"{topic}/3/7".encode()
    assert list(record.headers) == [("ce_id", b"abc"), ("raw", b"\xff\x00"), ("replay-of", mark)]
    assert await operator.rows("deadletters", "list") == []
    (row,) = await operator.rows("deadletters", "list", "--all")
    assert (row["state"], row["decided_by"]) == ("replayed", "olga")
    assert row["decided_at"] is not None


async def test_a_replayed_decision_carries_the_mark_inside(operator: Operator, pool: Pool) -> None:
    value = msgspec.json.encode(msgspec.json.decode(encode_dispatched(dispatched("m1"))) | {"newer": [1]})
    await operator.run("deadletters", "replay", await put(pool, DISPATCHED, value))
    (record,) = await operator.sent(DISPATCHED)
    assert decode_dispatched(record.value or b"").replay_of == f"{DISPATCHED}/3/7"
    assert msgspec.json.decode(record.value or b"")["newer"] == [1], "a newer version's field is lost"


async def test_nothing_is_replayed_twice_unless_it_is_asked_for(operator: Operator, pool: Pool) -> None:
    letter = await put(pool, EVENTS, b"{}")
    assert (await operator.run("deadletters", "replay", letter)).returncode == 0
    second = await operator.run("deadletters", "replay", letter)
    assert second.returncode == 1
    assert "--again" in second.stderr
    assert len(await operator.sent(EVENTS)) == 1
    assert (await operator.run("deadletters", "replay", "--again", letter)).returncode == 0
    assert len(await operator.sent(EVENTS)) == 2


async def test_without_kafka_a_replay_leaves_the_letter_open(operator: Operator, pool: Pool) -> None:
    letter = await put(pool, EVENTS, b"{}")
    said = await operator.run("deadletters", "replay", letter, kafka="127.0.0.1:1")
    assert said.returncode == 75, said.stderr
    assert [row["state"] for row in await operator.rows("deadletters", "list")] == ["open"]


async def test_a_mail_that_never_reached_kafka_says_how_to_fetch_it_anew(operator: Operator, pool: Pool) -> None:
    said = await operator.run("deadletters", "replay", await put(pool, RECEIVED, None, partition=-1, offset=-1))
    assert said.returncode == 1
    assert "fetched anew" in said.stderr
    assert len(await operator.rows("deadletters", "list")) == 1


async def test_one_that_cannot_be_replayed_does_not_stop_the_others(operator: Operator, pool: Pool) -> None:
    letter = await put(pool, EVENTS, b"{}")
    said = await operator.run("deadletters", "replay", "999", letter)
    assert said.returncode == 1
    assert "999" in said.stderr
    assert len(await operator.sent(EVENTS)) == 1


async def test_a_discarded_letter_keeps_who_and_why_and_is_decided(operator: Operator, pool: Pool) -> None:
    letter = await put(pool, RECEIVED, b"no mail")
    assert (await operator.run("deadletters", "discard", letter)).returncode == 2, "without a reason"
    assert (await operator.run("deadletters", "discard", letter, "--why", "spam")).returncode == 0
    assert (await operator.run("deadletters", "discard", letter, "--why", "ham")).returncode == 1
    (shown,) = await operator.rows("deadletters", "show", letter)
    assert (shown["state"], shown["decided_by"], shown["why"]) == ("discarded", "olga", "spam")
    assert shown["value"] == "bm8gbWFpbA=="
    page = await operator.run("deadletters", "show", letter)
    assert "no mail" in page.stdout


async def test_a_quarantined_mail_comes_again_and_takes_over_its_claim(operator: Operator, pool: Pool) -> None:
    """From quarantine to a ticket: the decisions are the services' own, the record the command's."""
    setting = Setting(Desk(), "", [])
    digest = hashlib.sha256(RAW).hexdigest()
    received = ReceivedMail("caixa", "INBOX", 1, "9", len(RAW), digest, ARRIVED, Origin.LIVE, RAW)
    (reference,) = await open_originals((operator.folder / "objects").as_uri()).put_many([RAW])
    settle = handler(pool, operator.folder)
    await settle(batch([quarantined(received, setting, "cpu", original=reference)]))
    assert await pool.fetchval("SELECT outcome FROM ticketing.inbox") == "quarantined"
    (letter,) = await operator.rows("deadletters", "list")
    assert letter["reason"].startswith("quarantine:")

    said = await operator.run("deadletters", "replay", letter["id"])
    assert said.returncode == 0, said.stderr
    (record,) = await operator.sent(RECEIVED)
    again = received_of(Record(RECEIVED, 0, 0, record.key, record.value, tuple(record.headers), 0))
    assert again.raw == RAW
    assert again.transport_key == received.transport_key
    await settle(batch([decode_dispatched(dispatch(again, reference, setting))], first=1))
    assert await pool.fetchval("SELECT outcome FROM ticketing.inbox") == "ticket_created"
    (ticket,) = await operator.rows("ticket", "list")
    assert ticket["title"] == "Oi"


async def test_a_quarantined_mail_whose_original_is_gone_is_not_sent(operator: Operator, pool: Pool) -> None:
    setting = Setting(Desk(), "", [])
    digest = hashlib.sha256(RAW).hexdigest()
    received = ReceivedMail("caixa", "INBOX", 1, "9", len(RAW), digest, ARRIVED, Origin.LIVE, RAW)
    event = quarantined(received, setting, "cpu", original=str(packed([RAW], ARRIVED).references[0]))
    await handler(pool, operator.folder)(batch([event]))
    (letter,) = await operator.rows("deadletters", "list")
    said = await operator.run("deadletters", "replay", letter["id"])
    assert said.returncode == 1
    assert await operator.sent(RECEIVED) == []
    assert len(await operator.rows("deadletters", "list")) == 1
