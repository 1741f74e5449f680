"""An agent answers a notification from his own mail program, through both services on one database."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.ticketing.handlers import MailHandler
from shared.desk.watch import DeskWatch
from shared.events import Answer, Candidate, Check, MailDispatched, Party
from shared.kafka.record import Record
from shared.postgres import Pool
from shared.settings import Settings
from shared.topics import EVENTS
from shared.wire import cloud_headers
from tests.integration.mailer.world import World, write_desk
from tests.integration.standing import wherever
from tests.integration.ticketing.situations import batch, settling
from tests.unit.ticketing.mails import ANA, BRUNO, dispatched

AGENT = "ana@agents.example"


@pytest.fixture
def desk(tmp_path: Path) -> DeskWatch:
    return DeskWatch(write_desk(tmp_path, {"padrao": {"type": "none", "default": True}}, agents=["ana"]))


@pytest.fixture
async def mailer(database: str, desk: DeskWatch, tmp_path: Path) -> AsyncIterator[World]:
    made = World(database, desk, Settings.model_validate({"secrets": tmp_path}))
    await made.open()
    yield made
    await made.pool.close()


async def published(pool: Pool, after: int) -> list[Record]:
    """What the relay would publish of the outbox."""
    rows = await pool.fetch("SELECT * FROM ticketing.outbox WHERE id > $1 ORDER BY id", after)
    return [
        Record(EVENTS, 0, row["id"], row["key"].encode(), row["payload"], tuple(cloud_headers(
            ce_id=row["event_id"], ce_type=row["type"], source="t", time="t", content_type="application/json")), 0)
        for row in rows
    ]  # fmt: skip


def answer(key: str, notification: str, name: str = "a", *, verified: bool = True) -> MailDispatched:
    return dispatched(
        name,
        AGENT,
        in_reply_to=[notification.upper()],
        candidates=[Candidate(Check.SIGNED_MESSAGE_ID, key, proves_sender=True)],
        answer=Answer(address=AGENT, verified=verified),
        to=[Party("", "suporte@empresa.example")],
        cc=[Party("Bruno", BRUNO)],
        text="Está pronto.\n\n> Novo chamado",
        reply_text="Está pronto.",
    )


async def test_an_answer_to_a_notification_reaches_the_customer(pool: Pool, desk: DeskWatch, mailer: World) -> None:
    await settling(pool)
    settle = wherever(MailHandler(pool, desk, lambda: None), pool, "ticketing")
    await settle(batch([dispatched("m1")]))
    await mailer.handler(await published(pool, 0))
    notification = await pool.fetchval("SELECT message_id FROM mailer.deliveries_v1 WHERE recipient = $1", AGENT)
    key = await pool.fetchval("SELECT key FROM ticketing.tickets")

    await settle(batch([answer(key, notification, "forged", verified=False), answer(key, notification)], 1))
    await mailer.handler(await published(pool, 1))
    kinds = [row["direction"] for row in await pool.fetch("SELECT direction FROM ticketing.articles ORDER BY id")]
    assert kinds == ["incoming", "incoming", "outgoing"]
    sent = await mailer.pool.fetch("SELECT recipient, sender, state, raw FROM mailer.outbound WHERE kind = 'reply'")
    assert sorted(tuple(row)[:3] for row in sent) == [
        (ANA, "suporte@empresa.example", "queued"),
        (BRUNO, "suporte@empresa.example", "queued"),
    ]
    assert b"In-Reply-To: <m1@kunde.example>\r\n" in sent[0]["raw"]
    assert b"Novo chamado" not in sent[0]["raw"]
