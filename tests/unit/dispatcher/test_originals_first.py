"""The dispatcher publishes nothing whose original is not durable, and writes no second pack of a batch that waits."""

import asyncio
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.dispatcher.handlers import Handler
from services.dispatcher.worker import Worker
from shared.desk.watch import DeskWatch
from shared.events import Origin, ReceivedMail
from shared.failures import Permanent, Transient
from shared.kafka.producer import Outgoing, Place, Producer
from shared.kafka.record import Record
from shared.originals import Pack, open_originals
from shared.originals.stores import _Files
from shared.topics import RECEIVED
from shared.wire import decode_dispatched, encode_received

DESK = Path(__file__).resolve().parents[3] / "examples" / "desk.yaml"
ARRIVED = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)


class Broker(Producer):
    """Takes records, or fails as often as it is told to; no network."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.taken: list[Outgoing] = []

    async def send_all(self, records: Sequence[Outgoing]) -> list[Place]:
        if self.failures:
            self.failures -= 1
            raise Transient("away")
        self.taken += records
        return []


class Slow(_Files):
    """A store that says when a pack is durable, and counts packs."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.gate = asyncio.Event()
        self.packs = 0

    async def put(self, pack: Pack) -> None:
        await self.gate.wait()
        self.packs += 1
        await super().put(pack)


def records(*raws: bytes, sha256: str = "") -> list[Record]:
    made = []
    for offset, raw in enumerate(raws):
        digest = sha256 or hashlib.sha256(raw).hexdigest()
        mail = ReceivedMail("caixa", "INBOX", 17, str(offset), len(raw), digest, ARRIVED, Origin.LIVE, raw)
        value, headers = encode_received(mail)
        made.append(Record(RECEIVED, 0, offset, b"key", value, tuple(headers), 0))
    return made


MAILS = (b"From: a@b.example\r\n\r\none\r\n", b"From: c@d.example\r\n\r\ntwo\r\n")


@pytest.mark.parametrize("at_once", [1, 8 * 1024 * 1024])
async def test_nothing_is_published_before_the_originals_are_durable(
    tmp_path: Path, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.dispatcher.handlers._SENT_AT_ONCE", at_once)
    store, broker = Slow(tmp_path), Broker()
    handling = asyncio.create_task(
        Handler(DeskWatch(DESK), [b"k" * 16], store, broker, Worker()).handle(records(*MAILS))
    )
    await asyncio.wait({handling}, timeout=0.3)
    assert broker.taken == []
    store.gate.set()
    await asyncio.wait_for(handling, 10)
    originals = [decode_dispatched(each.value or b"").original for each in broker.taken]
    assert [await store.get(reference) for reference in originals] == list(MAILS)


async def test_a_store_that_does_not_serve_holds_the_batch(tmp_path: Path) -> None:
    (tmp_path / "packs").write_text("a file where the folder should be")
    broker = Broker()
    handler = Handler(DeskWatch(DESK), [b"k" * 16], open_originals(tmp_path.as_uri()), broker, Worker())
    with pytest.raises(Transient, match="object store"):
        await handler.handle(records(*MAILS))
    assert broker.taken == []


async def test_a_batch_that_waits_for_the_broker_writes_one_pack(tmp_path: Path) -> None:
    store, broker = Slow(tmp_path), Broker(failures=3)
    store.gate.set()
    handler = Handler(DeskWatch(DESK), [b"k" * 16], store, broker, Worker())
    for _ in range(3):
        with pytest.raises(Transient):
            await handler.handle(records(*MAILS))
    await handler.handle(records(*MAILS))
    assert store.packs == 1
    assert await store.get(decode_dispatched(broker.taken[0].value or b"").original) == MAILS[0]
    await handler.handle(records(*reversed(MAILS)))
    assert store.packs == 2, "another batch is another pack"


async def test_bytes_that_are_not_what_their_header_says_are_no_mail(tmp_path: Path) -> None:
    handler = Handler(DeskWatch(DESK), [b"k" * 16], open_originals(tmp_path.as_uri()), Broker(), Worker())
    with pytest.raises(Permanent, match="sha256"):
        await handler.handle(records(MAILS[0], sha256="0" * 64))
