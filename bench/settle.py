"""CPU of ticketing and of PostgreSQL a mail: `python -m bench.settle [BATCHES] [RECORDS A BATCH]`.

It starts a PostgreSQL of its own. Half of the mails are replies by reference.
"""

import asyncio
import logging
import sys
import tempfile
import time
from pathlib import Path

import psutil

from ops.stack.servers import serve
from ops.stack.settings import StackSettings
from services.ticketing.handlers import MailHandler
from shared.clock import now
from shared.desk.watch import DeskWatch
from shared.events import (
    Answer,
    AttachmentInfo,
    Candidate,
    Check,
    Classification,
    FollowUpPlan,
    Kind,
    MailDispatched,
    NewTicketPlan,
    Origin,
    Party,
    TraceStep,
)
from shared.kafka.record import Record
from shared.logs import configure
from shared.migrations import migrate
from shared.postgres import create_pool
from shared.topics import DISPATCHED
from shared.wire import encode_dispatched

BATCH = 200


def mail(n: int) -> MailDispatched:
    parent = f"<{n - BATCH}@bench.example>" if n % 2 and n >= BATCH else ""
    return MailDispatched(
        transport_key=f"{n:064x}",
        content_key=f"{n + (1 << 200):064x}",
        raw_sha256=f"{n + (1 << 201):064x}",
        original=f"0/{n:064x}.zst",
        size=3000,
        account="caixa",
        folder="INBOX",
        uidvalidity=1,
        uid=str(n),
        received_at=now(),
        origin=Origin.LIVE,
        action="dispatch",
        message_id=f"<{n}@bench.example>",
        references=[parent] if parent else [],
        sender=Party(f"Person {n}", f"person{n % BATCH}@bench.example"),
        to=[Party("Suporte", "suporte@empresa.example")],
        subject=f"Subject of mail {n}",
        text="Some words of a mail, as people write them.\n" * 68,
        html="<p>Some words of a mail</p>" * 30 if n % 3 == 0 else "",
        attachments=[AttachmentInfo("nota.pdf", "application/pdf", 100_000)] if n % 10 == 0 else [],
        classification=Classification(Kind.HUMAN),
        answer=Answer(address=f"person{n}@bench.example"),
        candidates=[Candidate(Check.REFERENCES, parent)] if parent else [],
        new=NewTicketPlan(queue="suporte", title=f"Subject of mail {n}"),
        follow_up=FollowUpPlan(),
        trace=[TraceStep("queue", "to: suporte@empresa.example", "suporte")] * 6,
    )


async def measure(dsn: str, server: psutil.Process, batches: int, size: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "desk.yaml"
        path.write_text("queues: {suporte: {}}\n")
        pool = await create_pool(dsn, "ticketing")
        await pool.execute(
            "INSERT INTO ticketing.relay (holder, epoch, until, lineage) "
            "VALUES ('bench', 1, 'infinity', ticketing.lineage())"
        )
        await pool.execute("INSERT INTO ticketing.offsets VALUES ($1, 0, 0)", DISPATCHED)
        handle = MailHandler(pool, DeskWatch(path), lambda: None)
        cpu = wall = 0.0
        server_before = 0.0
        for number in range(batches):
            if number == 2:  # statements are prepared, caches are warm
                server_before = spent(server)
            records = [
                Record(DISPATCHED, 0, n, b"", encode_dispatched(mail(n)), (), 0)
                for n in range(number * size, (number + 1) * size)
            ]
            cpu_before, wall_before = time.process_time(), time.perf_counter()
            await handle(records)
            if number > 1:
                cpu += time.process_time() - cpu_before
                wall += time.perf_counter() - wall_before
        used = spent(server) - server_before
        tickets = await pool.fetchval("SELECT count(*) FROM ticketing.tickets")
        mails = (batches - 2) * size
        print(f"{mails} mails after a warm-up, {tickets} tickets")
        print(
            f"{cpu / mails * 1e6:.0f} us CPU a mail, PostgreSQL {used / mails * 1e6:.0f} us, {mails / wall:.0f} mails/s"
        )
        pool.terminate()


def spent(server: psutil.Process) -> float:
    """CPU seconds of the server and its backends, those that ended too."""
    times = server.cpu_times()
    total = times.user + times.system + times.children_user + times.children_system
    return total + sum(sum(child.cpu_times()[:2]) for child in server.children(recursive=True))


async def main(batches: int, size: int) -> None:
    configure("bench", "WARNING")
    logging.getLogger("services").setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        settings = StackSettings(data=Path(folder) / "var").with_free_ports()
        async with serve(settings, lambda *_: None, wanted=frozenset({"postgres"})) as (supervisor, up):
            await migrate(up.postgres)
            (pid,) = supervisor.running.values()
            await measure(up.postgres, psutil.Process(pid), batches, size)


if __name__ == "__main__":
    words = [int(word) for word in sys.argv[1:]]
    asyncio.run(main(*(words + [20, 200][len(words) :])))
