"""Client CPU of ticketing per mail: batches of 200 decisions against a PostgreSQL.

    python bench/settle.py DSN [batches]

DSN: an administrator's; a database of its own is made and dropped. Half of the mails are replies by reference.
Goal: about 130 µs a mail.
"""

import asyncio
import logging
import sys
import tempfile
import time
from pathlib import Path

import asyncpg

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

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


async def measure(dsn: str, batches: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "desk.yaml"
        path.write_text("queues: {suporte: {}}\n")
        pool = await create_pool(dsn, "ticketing")
        handle = MailHandler(pool, DeskWatch(path), lambda: None)
        cpu = wall = 0.0
        for number in range(batches):
            records = [
                Record(DISPATCHED, 0, n, b"", encode_dispatched(mail(n)), (), 0)
                for n in range(number * BATCH, (number + 1) * BATCH)
            ]
            cpu_before, wall_before = time.process_time(), time.perf_counter()
            await handle(records)
            if number > 1:  # statements are prepared, caches are warm
                cpu += time.process_time() - cpu_before
                wall += time.perf_counter() - wall_before
        counts = await pool.fetchrow(
            "SELECT (SELECT count(*) FROM ticketing.tickets) AS tickets, "
            "(SELECT count(*) FROM ticketing.articles) AS articles"
        )
        assert counts is not None
        mails = (batches - 2) * BATCH
        print(f"{counts['tickets']} tickets, {counts['articles']} articles")
        print(f"{cpu / mails * 1e6:.0f} µs of client CPU a mail, {mails / wall:.0f} mails/s")
        pool.terminate()


async def main(administrator: str, batches: int) -> None:
    configure("bench", "WARNING")
    logging.getLogger("services").setLevel(logging.WARNING)
    connection = await asyncpg.connect(administrator)
    await connection.execute("CREATE DATABASE bench_settle")
    dsn = administrator.rpartition("/")[0] + "/bench_settle"
    try:
        await migrate(dsn)
        await measure(dsn, batches)
    finally:
        await connection.execute("DROP DATABASE bench_settle WITH (FORCE)")
        await connection.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 20))
