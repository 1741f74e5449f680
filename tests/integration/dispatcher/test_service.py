"""The dispatcher on a real broker: everything that comes in goes out once decided, its original kept before."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from services.dispatcher import app
from services.dispatcher.worker import Worker
from shared.clock import monotonic
from shared.events import MailDispatched, Origin, ReceivedMail
from shared.kafka.admin import apply_topics
from shared.kafka.producer import Outgoing, Producer
from shared.mime.conversation import kafka_key
from shared.originals import open_originals
from shared.process import Misconfigured, Process
from shared.settings import Settings
from shared.topics import BY_NAME, DEAD_LETTERS, DISPATCHED, RECEIVED
from shared.wire import decode_dead_letter, decode_dispatched, encode_received
from tests.e2e.mails import automatic, customers
from tests.servers import Servers

DESK = Path(__file__).resolve().parents[3] / "examples" / "desk.yaml"
SUPPORT = "suporte@empresa.example"
ARRIVED = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)


@dataclass
class Installation:
    settings: Settings
    producer: Producer

    async def send(self, mails: Sequence[ReceivedMail], root: str = "") -> None:
        records = []
        for mail in mails:
            value, headers = encode_received(mail)
            records.append(
                Outgoing(RECEIVED, kafka_key(root or mail.uid), value, [*headers, ("traceparent", b"00-ab-cd-01")])
            )
        await self.producer.send_all(records)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Process]:
        process = Process("dispatcher", self.settings)
        task = asyncio.create_task(app.serve(process))
        try:
            yield process
        finally:
            process.stop.set()
            await asyncio.wait_for(task, 40)
            if process.watching is not None:
                process.watching.cancel()
        assert process.failure is None

    async def read(self, topic: str) -> list[ConsumerRecord[bytes, bytes]]:
        """Everything the topic holds now."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self.settings.kafka, auto_offset_reset="earliest")
        await consumer.start()
        try:
            parts = [TopicPartition(self.settings.prefix + topic, n) for n in range(BY_NAME[topic].partitions)]
            consumer.assign(parts)
            ends = await consumer.end_offsets(parts)
            found: list[ConsumerRecord[bytes, bytes]] = []
            while len(found) < sum(ends.values()):
                for records in (await consumer.getmany(timeout_ms=500)).values():
                    found += records
            return found
        finally:
            await consumer.stop()

    async def until(self, topic: str, count: int, seconds: float = 60) -> list[ConsumerRecord[bytes, bytes]]:
        deadline = monotonic() + seconds
        while len(found := await self.read(topic)) < count:
            assert monotonic() < deadline, f"{len(found)} of {count} records on {topic}"
        return found

    async def decided(self, count: int) -> list[MailDispatched]:
        return [decode_dispatched(record.value or b"") for record in await self.until(DISPATCHED, count)]


@pytest.fixture
async def installation(servers: Servers, prefix: str, tmp_path: Path) -> AsyncIterator[Installation]:
    await apply_topics(servers.kafka, prefix, 1)
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "message_id_keys").write_text("6f" * 32 + "\n")
    settings = Settings.model_validate(
        {
            "kafka": servers.kafka,
            "kafka_replicas": 1,
            "prefix": prefix,
            "desk": DESK,
            "secrets": tmp_path / "secrets",
            "objects": (tmp_path / "objects").as_uri(),
        }
    )
    built = Installation(settings, Producer(servers.kafka, prefix, client_id="test"))
    yield built
    await built.producer.close()


def received(raw: bytes, uid: str) -> ReceivedMail:
    digest = hashlib.sha256(raw).hexdigest()
    return ReceivedMail("caixa", "INBOX", 17, uid, len(raw), digest, ARRIVED, Origin.LIVE, raw)


def mixed(count: int, mark: str = "m") -> list[ReceivedMail]:
    people = customers(count * 9 // 10, SUPPORT, "kunde.example", mark)
    machines = automatic(count - len(people), SUPPORT, "maquina.example")
    return [
        received(f"Return-Path: <{sent.sender}>\r\n".encode() + sent.raw, f"{mark}{n}")
        for n, sent in enumerate([*people, *machines])
    ]


async def test_every_mail_becomes_a_decision_and_its_original_is_there(installation: Installation) -> None:
    mails = mixed(200)
    await installation.send(mails)
    async with installation.running():
        records = await installation.until(DISPATCHED, 200)
    events = [decode_dispatched(record.value or b"") for record in records]
    assert sorted(event.transport_key for event in events) == sorted(mail.transport_key for mail in mails)
    assert sum(not event.answer.address for event in events) == 20
    assert {event.new.queue for event in events} == {"suporte"}
    by_key = {mail.transport_key: mail for mail in mails}
    originals = open_originals(installation.settings.objects)
    for record, event in zip(records, events, strict=True):
        mail = by_key[event.transport_key]
        assert await originals.get(event.original) == mail.raw
        assert record.key == kafka_key(mail.uid)
        headers = dict(record.headers)
        assert headers["ce_id"].decode() == mail.transport_key
        assert headers["ce_type"] == b"carteiro.mail-dispatched.v1"
        assert headers["traceparent"] == b"00-ab-cd-01"


async def test_one_poisoned_record_is_set_aside_and_the_rest_goes_on(installation: Installation) -> None:
    mails = mixed(40)
    await installation.send(mails[:20])
    garbage = [(name, bytes(range(128, 160))) for name in ("account", "uid", "size", "received-at", "ce_type")]
    await installation.producer.send_all([Outgoing(RECEIVED, b"key", b"From: x@y.example\r\n\r\nhi", garbage)])
    await installation.send(mails[20:])
    async with installation.running():
        events = await installation.decided(40)
        letters = await installation.until(DEAD_LETTERS, 1)
    assert {event.transport_key for event in events} == {mail.transport_key for mail in mails}
    letter = decode_dead_letter(letters[0].value, letters[0].headers)
    assert (letter.origin_topic, letter.service, letter.reason) == (RECEIVED, "dispatcher", "malformed")
    assert (letter.key, letter.value) == (b"key", b"From: x@y.example\r\n\r\nhi")
    assert dict(letter.headers)["uid"] == bytes(range(128, 160))
    assert len(letters) == 1


def large(size: int) -> bytes:
    return customers(1, SUPPORT, "kunde.example")[0].raw + b"palavras longas\r\n" * (size // 17)


@pytest.mark.parametrize("size", [300_000, 5_000_000], ids=["read here", "read in a process of its own"])
async def test_a_large_mail_comes_by_reference(installation: Installation, size: int) -> None:
    raw = large(size)
    reference = (await open_originals(installation.settings.objects).put_many([raw]))[0]
    await installation.send([received(raw, "big")._replace(raw=b"", raw_ref=reference), *mixed(3)])
    async with installation.running():
        events = await installation.decided(4)
    event = next(event for event in events if event.uid == "big")
    assert event.original == reference
    assert event.size == len(raw)
    assert event.subject == "Problem 0"
    assert event.cut == ["text"]


def cheap_html(number: int) -> bytes:
    """230 KB that nobody needs a program to write, and as dear as HTML gets that is laid out."""
    head = f"From: a@kunde.example\r\nTo: {SUPPORT}\r\nMessage-ID: <b{number}@kunde.example>\r\n"
    return head.encode() + b"Content-Type: text/html\r\n\r\n" + b"<p>x" * 11_000 + b" " * 180_000


async def test_sixty_bombs_under_one_root_hold_neither_the_loop_nor_the_mail_behind_them(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None is read in the loop, and within two minutes the good mail behind them all is decided."""
    aside: list[str] = []
    run = Worker.run

    async def noted(self: Worker, function: Callable[..., bytes], mail: ReceivedMail, *rest: object) -> bytes:
        aside.append(mail.uid)
        return await run(self, function, mail, *rest)

    monkeypatch.setattr(Worker, "run", noted)
    bombs = [received(cheap_html(n), f"bomb{n}") for n in range(60)]
    await installation.send([*bombs, *mixed(1)], root="one conversation")
    async with installation.running():
        records = await installation.until(DISPATCHED, 61, seconds=120)
    assert "m0" in {decode_dispatched(record.value or b"").uid for record in records}
    assert {f"bomb{n}" for n in range(60)} == set(aside)


async def test_stopped_and_started_again_it_loses_nothing(installation: Installation) -> None:
    first, second = mixed(300, "a"), mixed(300, "b")
    await installation.send(first)
    async with installation.running():
        await installation.until(DISPATCHED, 1)
    await installation.send(second)
    async with installation.running():
        wanted = {mail.transport_key for mail in (*first, *second)}
        deadline = monotonic() + 60
        while {event.transport_key for event in await installation.decided(600)} != wanted:
            assert monotonic() < deadline


async def test_a_bad_key_is_said_at_the_start(installation: Installation) -> None:
    (Path(installation.settings.secrets) / "message_id_keys").write_text("short\n")
    with pytest.raises(Misconfigured, match="message_id_keys"):
        await app.serve(Process("dispatcher", installation.settings))
