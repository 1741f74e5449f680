"""The fetcher on real parts: a database, topics and a mailbox of its own for each test."""

import asyncio
import secrets
import smtplib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
from aiokafka import AIOKafkaConsumer

from services.fetcher.accounts import Accounts
from services.fetcher.budget import ByteBudget
from services.fetcher.credentials import Credentials
from services.fetcher.dialing import Trust
from services.fetcher.imap.client import Mailbox
from services.fetcher.imap.connect import connect
from services.fetcher.lease import Leases
from services.fetcher.outlet import Outlet
from services.fetcher.protocol import Security
from services.fetcher.session import Rim
from services.fetcher.store import Store
from services.fetcher.watch import Surroundings
from shared import oauth
from shared.desk.watch import DeskWatch
from shared.events import ReceivedMail
from shared.kafka.producer import Producer
from shared.oauth import PostgresVault
from shared.originals import open_originals
from shared.postgres import create_pool
from shared.topics import DEAD_LETTERS, RECEIVED
from shared.wire import decode_dead_letter, decode_received
from tests.servers import Servers

DEADLINE = 60.0  # two busy cores


async def until(ready: Callable[[], Any], seconds: float = DEADLINE) -> Any:
    """Polls `ready` (plain or async) until it gives something true, and returns that."""
    async with asyncio.timeout(seconds):
        while True:
            found = ready()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return found
            await asyncio.sleep(0.05)


@dataclass
class World:
    """One mailbox, one database, one set of topics; `fetcher()` runs a fetcher in them."""

    at: Servers
    dsn: str
    prefix: str
    folder: Path
    user: str
    account: dict[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.secrets = self.folder / "secrets"
        self.secrets.mkdir(parents=True)
        self.password(self.user)
        self.write_desk()

    def password(self, text: str) -> None:
        (self.secrets / "imap").write_text(text)

    def write_desk(self, **changes: object) -> None:
        """The desk with one account; changes by field name, None leaves a field out."""
        fields: dict[str, object] = {
            "type": "imaps",
            "host": self.at.mail.host,
            "port": self.at.mail.imaps,
            "user": self.user,
            "queue": "Raw",
            "start_from": "all",
            **self.account,
            **changes,
        }
        lines = [f"    {name}: {value}\n" for name, value in fields.items() if value is not None]
        password = "" if "oauth2" in fields else "    password: {secret: imap}\n"
        text = "accounts:\n  caixa:\n" + "".join(lines) + password
        (self.folder / "desk.yaml").write_text(text)

    # --- the mail server

    async def deliver(self, *mails: bytes) -> None:
        def send() -> None:
            with smtplib.SMTP(self.at.mail.host, self.at.mail.smtp) as smtp:
                for mail in mails:
                    smtp.sendmail("kunde@kunde.test", [self.user], mail)

        await asyncio.to_thread(send)

    @asynccontextmanager
    async def mailbox(self) -> AsyncIterator[Mailbox]:
        """Another client of the mailbox, opened read-only."""
        trust = Trust.load(self.at.ca_file)
        mailbox = await connect(
            self.at.mail.host,
            self.at.mail.imaps,
            Security.tls,
            trust.verifying,
            user=self.user,
            password=self.user,
        )
        await mailbox.open("INBOX", read_only=True)
        yield mailbox
        await mailbox.close()

    async def flags(self) -> dict[int, frozenset[str]]:
        async with self.mailbox() as mailbox:
            uids = await mailbox.search(1, None)
            return {mail.uid: mail.flags for mail in await mailbox.sizes(uids)} if uids else {}

    # --- the fetcher

    @asynccontextmanager
    async def parts(
        self, store: type[Store] = Store, ca_file: Path | None = None, kafka: str | None = None
    ) -> AsyncIterator[Surroundings]:
        pool = await create_pool(self.dsn, "fetcher")
        producer = Producer(kafka or self.at.kafka, self.prefix, client_id="test", send_seconds=5)
        outlet = Outlet(producer, open_originals(f"file://{self.folder}/objects"), kafka or self.at.kafka)
        rim = Rim(store(pool), outlet, ByteBudget())
        desk = DeskWatch(self.folder / "desk.yaml")
        try:
            trust = Trust.load(ca_file or self.at.ca_file)
            zone = desk.current.desk.zone
            yield Surroundings(
                rim, trust, Credentials(self.secrets, PostgresVault(pool, "fetcher"), oauth.trust(None)), zone
            )
        finally:
            await producer.close()
            await pool.close()

    @asynccontextmanager
    async def fetcher(
        self, store: type[Store] = Store, *, holder: str = "one", ttl: float = 2.0, **parts: Any
    ) -> AsyncIterator["Fetcher"]:
        async with self.parts(store, **parts) as around:
            desk = DeskWatch(self.folder / "desk.yaml")
            accounts = Accounts(around, Leases(around.rim.store, holder, ttl=timedelta(seconds=ttl)), desk)
            fetcher = Fetcher(accounts, desk)
            fetcher.start()
            try:
                yield fetcher
            finally:
                await fetcher.close()

    # --- what came of it

    async def records(self, topic: str, at_least: int, seconds: float = DEADLINE) -> list[Any]:
        """Records from the topic's beginning; waits for `at_least`, then a moment for more."""
        consumer = AIOKafkaConsumer(self.prefix + topic, bootstrap_servers=self.at.kafka, auto_offset_reset="earliest")
        await consumer.start()
        found: list[Any] = []
        try:
            async with asyncio.timeout(seconds):
                while len(found) < at_least:
                    for batch in (await consumer.getmany(timeout_ms=200)).values():
                        found += batch
            for batch in (await consumer.getmany(timeout_ms=500)).values():
                found += batch
        finally:
            await consumer.stop()
        return found

    async def received(self, at_least: int, seconds: float = DEADLINE) -> list[ReceivedMail]:
        records = await self.records(RECEIVED, at_least, seconds)
        return [decode_received(record.value, dict(record.headers)) for record in records]

    async def dead_letters(self, at_least: int) -> list[Any]:
        records = await self.records(DEAD_LETTERS, at_least)
        return [decode_dead_letter(record.value, record.headers) for record in records]

    async def row(self, sql: str, *args: object) -> dict[str, Any]:
        connection = await asyncpg.connect(self.dsn)
        try:
            found = await connection.fetchrow(sql, *args)
            return dict(found) if found else {}
        finally:
            await connection.close()

    async def execute(self, sql: str, *args: object) -> None:
        connection = await asyncpg.connect(self.dsn)
        try:
            await connection.execute(sql, *args)
        finally:
            await connection.close()

    async def status(self) -> dict[str, Any]:
        return await self.row("SELECT * FROM fetcher.account_status_v1")


class Fetcher:
    """A fetcher that can be stopped as asked, or die without a word."""

    def __init__(self, accounts: Accounts, desk: DeskWatch) -> None:
        self.accounts = accounts
        self.desk = desk
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self.accounts.run(self._stop))

    def die(self) -> None:
        """Nothing is renewed, read or given back any more."""
        assert self._task is not None
        self._task.cancel()
        for running in self.accounts._running.values():
            running.task.cancel()
        self.accounts._running.clear()
        self.accounts._leases._held.clear()

    async def close(self) -> None:
        self._stop.set()
        assert self._task is not None
        await asyncio.gather(self._task, return_exceptions=True)
        await self.accounts.close()


def mail(number: int, body: str = "Bom dia.\r\n", *headers: str) -> bytes:
    lines = [
        "From: Kunde <kunde@kunde.test>",
        "To: suporte@demo.test",
        f"Subject: Frage {number}",
        f"Message-ID: <{number}.{secrets.token_hex(4)}@kunde.test>",
        *headers,
    ]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()
