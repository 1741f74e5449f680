"""CPU of the mailer a mail: `python -m bench.mailer [N]` prints microseconds.

For composing an answer and a notification; for handing a mail over to a sink, MAIL, RCPT and DATA in one write and one
after another; and for the whole way from the event to the recorded 250, on a PostgreSQL of its own.
"""

import asyncio
import contextlib
import sys
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import yaml

from bench.path import sink
from ops.stack.servers import serve
from ops.stack.settings import StackSettings
from services.mailer.audience import notifications_for
from services.mailer.handlers import Handler
from services.mailer.letters import Desktop, write_answer, write_notification
from services.mailer.queue_store import QueueStore
from services.mailer.recipients import answer_for
from services.mailer.sending import Sending
from services.mailer.transports.choice import smtp_server
from services.mailer.transports.smtp import SmtpTransport
from shared import message_ids
from shared.clock import boottime, now
from shared.desk.model import Desk, Limits, Outbound
from shared.desk.watch import DeskWatch
from shared.events import Answer, Kind, Origin, Party, TicketCreated
from shared.kafka.record import Record
from shared.migrations import migrate
from shared.postgres import Pool, create_pool
from shared.settings import Settings
from shared.topics import EVENTS
from shared.wire import encode_fact

MOMENT = datetime(2026, 11, 24, 12, 30, tzinfo=UTC)
DESK_TEXT = {
    "language": "pt-BR",
    "queues": {"suporte": {}, "plantao": {"agents": ["ana"]}},
    "system_addresses": {"suporte@empresa.example": {"name": "Suporte Empresa", "queue": "suporte"}},
    "auto_responses": {
        "recebido": {
            "type": "auto_reply",
            "queues": ["suporte"],
            "subject": "Recebemos sua mensagem, e há acentuação",
            "text": "recebido.txt",
        }
    },
    "agents": {"ana": {"name": "Ana Lima", "email": "ana@empresa.example"}},
    "limits": dict.fromkeys(Limits.model_fields, 0),
}
DESK = Desk.model_validate(DESK_TEXT)
TEXT = "Olá,\n\nrecebemos sua mensagem e abrimos o chamado <OTRS_TICKET_TicketNumber>.\n\nAté já,\nSuporte\n"
KEYS = [b"0123456789abcdef0123456789abcdef"]
CONNECTIONS = 4


def fact(number: int) -> TicketCreated:
    return TicketCreated(
        ticket_id=str(number),
        number=f"2026112410{number:06d}",
        sequence=1,
        queue="suporte",
        title="Dúvida sobre a fatura",
        state="new",
        occurred_at=now(),
        article_id=str(number),
        account="caixa",
        origin=Origin.LIVE,
        kind=Kind.HUMAN,
        sender=Party("Cliente", "cliente@kunde.example"),
        subject="Dúvida sobre a fatura",
        message_id=f"<{number}@kunde.example>",
        references=[f"<{number - 1}@kunde.example>", f"<{number}@kunde.example>"],
        answer=Answer(address=f"c{number}@kunde.example"),
        received_at=MOMENT,
    )


async def handing_over(port: int, count: int, *, pipelining: bool) -> float:
    """Seconds of CPU for `count` mails over four connections that stay open."""
    outbound = Outbound(type="smtp", host="127.0.0.1", port=port)
    raw = write_answer(fact(1), answer_for(fact(1), DESK), "c@kunde.example", message_ids.key_of("1"), DESKTOP).raw

    async def worker() -> None:
        transport = SmtpTransport(
            replace(smtp_server(outbound, None, None, "bench.example"), mails_per_connection=count + 1)
        )
        await transport.deliver("", "c@kunde.example", raw, boottime() + 300)
        transport._pipelining = pipelining  # noqa: SLF001  # as if the server did not offer it
        for _ in range(count // CONNECTIONS):
            await transport.deliver("", "c@kunde.example", raw, boottime() + 300)
        await transport.close()

    began = time.process_time()
    await asyncio.gather(*(worker() for _ in range(CONNECTIONS)))
    return time.process_time() - began


async def whole_way(port: int, count: int) -> tuple[float, float]:
    """Seconds of CPU, and mails a second."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        (path / "recebido.txt").write_text(TEXT)
        (path / "desk.yaml").write_text(yaml.safe_dump(DESK_TEXT | {"outbound": {"padrao": {
            "type": "smtp", "host": "127.0.0.1", "port": port, "connections": 16, "default": True}}}))  # fmt: skip
        settings = StackSettings.model_validate({"data": path / "stack", "short_lived": True}).with_free_ports()
        async with serve(settings, lambda *_: None, wanted=frozenset({"postgres"})) as (_, stack):
            await migrate(stack.postgres)
            pool = await create_pool(stack.postgres, "mailer", size=6)
            await pool.execute("INSERT INTO mailer.offsets VALUES ($1, 0, 1)", EVENTS)
            store = QueueStore(pool, "bench")
            watch = DeskWatch(path / "desk.yaml")
            sending = Sending(store, watch, Settings.model_validate({"secrets": path}))
            handler = Handler(store, watch, sign, sending)
            stop = asyncio.Event()
            task = asyncio.create_task(sending.run(stop))
            await _round(handler, pool, range(1, 401))  # connections are open, statements prepared
            began, wall = time.process_time(), time.monotonic()
            await _round(handler, pool, range(401, 401 + count))
            spent, taken = time.process_time() - began, time.monotonic() - wall
            stop.set()
            await task
            await pool.close()
            return spent, count / taken


async def _round(handler: Handler, pool: Pool, numbers: range) -> None:
    for first in range(numbers.start, numbers.stop, 200):
        facts = [fact(number) for number in range(first, min(first + 200, numbers.stop))]
        await handler([_record(each) for each in facts])
    while await pool.fetchval("SELECT count(*) FROM mailer.outbound WHERE state IN ('queued', 'sending')"):  # noqa: ASYNC110
        await asyncio.sleep(0.05)


def _record(each: TicketCreated) -> Record:
    headers = (("ce_id", each.ticket_id.encode()), ("ce_type", b"carteiro.ticket-created.v1"))
    return Record(EVENTS, 0, int(each.ticket_id), b"", encode_fact(each), headers, 0)


async def on_servers(count: int) -> None:
    with contextlib.ExitStack() as exits:
        folder = Path(exits.enter_context(tempfile.TemporaryDirectory()))
        port = exits.enter_context(sink(folder / "sink.log"))
        for pipelining in (True, False):
            spent = await handing_over(port, count, pipelining=pipelining)
            how = "in one write" if pipelining else "one command after another"
            print(f"handing over, {how}: {spent / count * 1e6:.0f} us")
        spent, rate = await whole_way(port, count)
        print(f"from the event to the recorded 250: {spent / count * 1e6:.0f} us, {rate:.0f} mails/s")


def sign(ticket: str, delivery: str, domain: str) -> str:
    return message_ids.sign(ticket, delivery, domain, KEYS)


DESKTOP = Desktop(DESK, {"recebido.txt": TEXT}, sign)


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
    facts = [fact(number) for number in range(1, count + 1)]

    desktop = DESKTOP
    began = time.process_time()
    for number, each in enumerate(facts, 1):
        write_answer(each, answer_for(each, DESK), each.answer.address, message_ids.key_of(str(number)), desktop)
    answers = time.process_time() - began
    began = time.process_time()
    facts = [msgspec.structs.replace(each, queue="plantao") for each in facts]
    for number, each in enumerate(facts, 1):
        write_notification(each, notifications_for(each, DESK, {})[0], message_ids.key_of(str(number)), desktop)
    notifications = time.process_time() - began
    print(f"answer {answers / count * 1e6:.0f} us, notification {notifications / count * 1e6:.0f} us ({count} each)")
    asyncio.run(on_servers(count))


if __name__ == "__main__":
    main()
