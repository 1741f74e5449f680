"""A mailer on real parts: a database of its own, a desk in a file, an SMTP server, and records as Kafka brings them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import msgspec
import yaml

from services.mailer.handlers import Handler
from services.mailer.lane import Lane, Pace
from services.mailer.notices import Notices
from services.mailer.queue_store import Claimed, QueueStore
from services.mailer.sending import Sending
from services.mailer.states import Retry
from services.mailer.transports.choice import Transport, smtp_server, transport_for
from services.mailer.transports.smtp import SmtpServer, SmtpTransport
from shared import message_ids, wire
from shared.clock import monotonic
from shared.desk.model import Limits, Outbound
from shared.desk.watch import DeskWatch
from shared.events import Answer, Kind, Origin, Party, TicketCreated
from shared.kafka.record import Record
from shared.postgres import create_pool
from shared.settings import Settings
from shared.topics import EVENTS
from tests.integration.standing import wherever

KEYS = [b"a key of sixteen or more characters"]
QUICK = Pace(
    poll=0.05,
    fault_first=0.05,
    fault_cap=0.2,
    slow_first=0.1,
    slow_cap=0.2,
    retry=Retry(first=timedelta(milliseconds=50), cap=timedelta(milliseconds=100)),
)


def ticket_created(number: int, to: str, **changes: object) -> TicketCreated:
    fact = TicketCreated(
        ticket_id=str(number),
        ticket_key=message_ids.key_of("ticket", str(number)),
        number=f"2026030110{number:06d}",
        sequence=1,
        queue="suporte",
        title="Fatura",
        state="new",
        occurred_at=datetime.now(UTC),  # noqa: TID251  # what is old leads to no mail
        article_id=str(number),
        account="caixa",
        origin=Origin.LIVE,
        kind=Kind.HUMAN,
        sender=Party("", to),
        subject="Fatura",
        message_id=f"<{number}@kunde.example>",
        references=[f"<{number}@kunde.example>"],
        answer=Answer(address=to),
        received_at=datetime.now(UTC),  # noqa: TID251  # a latency is measured from it
    )
    return msgspec.structs.replace(fact, **changes)


def headers(event_id: str, fact: TicketCreated) -> list[tuple[str, bytes]]:
    return wire.cloud_headers(
        ce_id=event_id,
        ce_type=fact.TYPE,
        source="carteiro/ticketing",
        time="2026-03-01T00:00:00.000Z",
        content_type="application/json",
    )


def record(offset: int, fact: TicketCreated) -> Record:
    value = wire.encode_fact(fact)
    return Record(EVENTS, 0, offset, fact.ticket_id.encode(), value, tuple(headers(f"outbox-{offset}", fact)), 0)


def write_desk(path: Path, outbound: dict[str, object], agents: list[str] | None = None, **more: object) -> Path:
    desk = {
        "language": "pt-BR",
        "queues": {"suporte": {"agents": agents or []}},
        "system_addresses": {"suporte@empresa.example": {"name": "Suporte", "queue": "suporte"}},
        "auto_responses": {
            "recebido": {"type": "auto_reply", "queues": ["suporte"], "subject": "Recebemos", "text": "recebido.txt"}
        },
        "notifications": {"sender_name": "Central", "sender_email": "chamados@empresa.example"},
        "agents": {"ana": {"name": "Ana", "email": "ana@agents.example"}},
        "outbound": outbound,
        "limits": dict.fromkeys(Limits.model_fields, 0),
        **more,
    }
    path.mkdir(parents=True, exist_ok=True)
    (path / "recebido.txt").write_text("Olá, chamado <OTRS_TICKET_TicketNumber>.\n", encoding="utf-8")
    (path / "desk.yaml").write_text(yaml.safe_dump(desk, allow_unicode=True), encoding="utf-8")
    return path / "desk.yaml"


@dataclass
class World:
    dsn: str
    desk: DeskWatch
    settings: Settings
    pace: Pace = QUICK
    holder: str = "mailer-0"

    def __post_init__(self) -> None:
        self.sending: Sending | None = None

    async def open(self) -> None:
        self.pool = await create_pool(self.dsn, "mailer", size=6)
        self.store = QueueStore(self.pool, self.holder)
        self.handler = wherever(Handler(self.store, self.desk, _sign, self), self.pool, "mailer")

    # --- the doors of the handler: those of the sending side, while there is one

    @contextlib.contextmanager
    def reserved(self) -> Iterator[Mapping[str, int]]:
        if self.sending is None:
            yield {}
            return
        with self.sending.reserved() as room:
            yield room

    def hand_over(self, mails: Mapping[str, Sequence[Claimed]]) -> None:
        if self.sending:
            self.sending.hand_over(mails)

    def wake(self) -> None:
        if self.sending:
            self.sending.wake()

    @contextlib.asynccontextmanager
    async def running(
        self, store: QueueStore | None = None, server: Callable[[SmtpServer], SmtpServer] | None = None
    ) -> AsyncIterator[asyncio.Task[None]]:
        """The sending side; stopped in order when left, unless it was killed inside. `server` changes how servers are
        talked to."""

        def made(outbound: Outbound, settings: Settings, helo: str) -> Callable[[], Transport]:
            if server is None:
                return transport_for(outbound, settings, helo)
            changed = server(smtp_server(outbound, settings.secrets, settings.ca_file, helo))
            return lambda: SmtpTransport(changed)

        self.sending = Sending(
            store or self.store, self.desk, self.settings, self.pace, Notices(self.store, self.desk, _sign), made
        )
        stop = asyncio.Event()
        task = asyncio.create_task(self.sending.run(stop))
        try:
            yield task
        finally:
            stop.set()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            self.sending = None

    def rewrite(self, outbound: dict[str, object]) -> None:
        """The desk's file with other outbound accounts."""
        write_desk(self.settings.secrets, outbound)

    def faults(self, account: str = "padrao") -> int:
        """Faults in a row of the account."""
        found = self.sending._lanes.get(account) if self.sending else None
        return found[1]._faults if found else 0

    def lanes(self) -> set[str]:
        return set(self.sending._lanes) if self.sending else set()

    def cares(self) -> int:
        """How often the queue was looked after."""
        return self.sending.cares if self.sending else 0

    async def later(self, *, minutes: int) -> None:
        """As if what stands in the database had happened so long before."""
        by = timedelta(minutes=minutes)
        await self.pool.execute("UPDATE mailer.outbound SET created_at = created_at - $1::interval", by)
        await self.pool.execute(
            "UPDATE mailer.served SET seen_at = seen_at - $1::interval, since = since - $1::interval", by
        )

    def lane(self) -> Lane:
        assert self.sending is not None
        return self.sending._lanes["padrao"][1]

    async def states(self) -> dict[str, str]:
        rows = await self.pool.fetch("SELECT recipient, state FROM mailer.outbound")
        return {row["recipient"]: row["state"] for row in rows}

    async def row(self, recipient: str) -> asyncpg.Record:
        row = await self.pool.fetchrow("SELECT * FROM mailer.outbound WHERE recipient = $1", recipient)
        assert row is not None
        return row


def _sign(ticket: str, delivery: str, domain: str) -> str:
    return message_ids.sign(ticket, delivery, domain, KEYS)


async def queue(world: World, *recipients: str, first: int = 1) -> None:
    """An event for each: a new ticket that is answered."""
    await world.handler([record(n, ticket_created(n, to)) for n, to in enumerate(recipients, first)])


async def is_state(world: World, recipient: str, state: str) -> bool:
    return (await world.states())[recipient] == state


async def until(condition: Callable[[], Awaitable[bool]] | Callable[[], bool], seconds: float = 30) -> None:
    """Polls until it holds; fails loudly when the time is over."""
    deadline = monotonic() + seconds
    while True:
        found = condition()
        if found if isinstance(found, bool) else await found:
            return
        assert monotonic() < deadline, "the condition did not come true in time"
        await asyncio.sleep(0.02)
