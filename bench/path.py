"""The whole path: N mails wait in mailboxes, N tickets and N answers come out; then single mails at light load.

    make bench N=20000 RUNS=3 PARTITIONS=64

Dovecot is the mailbox where it can be had, else GreenMail (smaller mailboxes: its cost grows with their square); the
answers go to a sink that keeps nothing. PARTITIONS: of each topic, instead of those declared. Prints, and writes as
JSON (`bench/results/latest.json`), mails/s, CPU milliseconds a mail and peak memory of each process, latency from the
server's IDLE push to the answer at the sink, and how slow the machine was (`bench/machine.py`). CPU is the figure to
trust.
"""

import asyncio
import contextlib
import imaplib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
from aiokafka.admin import NewPartitions

from bench import machine
from bench.mails import mix
from ops.stack import certificates, ready
from ops.stack.greenmail import Mail
from ops.stack.servers import ALL, Wanted, serve
from ops.stack.settings import StackSettings, free_ports
from ops.stack.supervisor import Supervisor
from shared.clock import monotonic
from shared.kafka.admin import admin, apply_topics
from shared.migrations import migrate
from shared.topics import TOPICS
from tests import dovecot
from tests.e2e.installation import DESK, SERVICES, Installation
from tests.e2e.mails import Sent
from tests.servers import Servers

RESULT = Path(__file__).parent / "results" / "latest.json"
WARM_UP = 1000
LIGHT = 60
LIMIT_SECONDS = 300


@dataclass
class Rig(Installation):
    """An installation whose mail comes from several mailboxes and whose answers go to the sink."""

    box: dovecot.Dovecot | None = None
    sink: Path = Path()

    def make_mailbox(self, address: str) -> None:
        if self.box is None:
            super().make_mailbox(address)
        else:
            self.box.make_mailbox(address)

    def fill(self, address: str, mails: Sequence[Sent]) -> None:
        """As a delivery would: with the envelope sender that answers depend on."""
        if self.box is None:
            self.deliver(mails, address)
        else:
            self.box.put(address, [f"Return-Path: <{sent.sender}>\r\n".encode() + sent.raw for sent in mails])

    def boxes(self, count: int) -> list[str]:
        return [f"box{n}-{self.support}" for n in range(count)]

    def answered(self) -> int:
        return self.sink.read_bytes().count(b"\n") if self.sink.exists() else 0


def desk(boxes: int) -> str:
    """The demonstration's desk with one account a mailbox; all their mail goes to one queue, nobody is notified."""
    head, _, rest = DESK.partition("accounts:\n")
    account, _, tail = rest.partition("outbound:")
    accounts = "".join(
        account.replace("caixa:", f"caixa{n}:", 1)
        .replace("{support}", f"box{n}-{{support}}")
        .replace("dispatch: by_to", "queue: suporte")
        .replace("caixa_imap", f"box{n}")
        for n in range(boxes)
    )
    return f"{head}accounts:\n{accounts}outbound:{tail}".replace("agents: [ana]", "follow_up: possible")


@contextlib.asynccontextmanager
async def rig(boxes: int, partitions: int) -> AsyncIterator[tuple[Rig, dict[str, psutil.Process]]]:
    """Everything up, every mailbox watched and empty; the servers' processes beside."""
    with tempfile.TemporaryDirectory(prefix="cb") as name:
        folder = Path(name)
        settings = StackSettings(data=folder / "var").with_free_ports()
        wanted: Wanted = ALL if dovecot.not_run() else frozenset({"postgres", "kafka"})
        async with serve(settings, lambda *_: None, wanted=wanted) as (supervisor, up):
            box = None if dovecot.not_run() else await _dovecot(supervisor, folder)
            with sink(folder / "sink.log") as port:
                if box is None:
                    assert up.mail is not None
                    mail = replace(up.mail, smtp=port)
                else:
                    mail = Mail(box.host, port, 0, box.imap, box.imaps, box.pop3, box.pop3s, 0)
                await _greets(port)
                await migrate(up.postgres)
                servers = Servers(up.kafka, up.postgres, mail, folder / "tls" / "ca.pem" if box else up.ca_file)
                made = Rig(
                    servers,
                    "bench-",
                    up.postgres,
                    folder / "work",
                    "suporte@demo.test",
                    "ana@demo.test",
                    box=box,
                    sink=folder / "sink.log",
                )
                try:
                    await _prepare(made, boxes, partitions)
                    yield made, {name: psutil.Process(pid) for name, pid in supervisor.running.items()}
                finally:
                    made.stop()


@contextlib.contextmanager
def sink(log: Path) -> Iterator[int]:
    """The SMTP sink as a process of its own; its port."""
    (port,) = free_ports(1)
    process = subprocess.Popen([sys.executable, "-m", "bench.sink", str(port), str(log)])
    try:
        yield port
    finally:
        process.terminate()
        process.wait(10)


async def _dovecot(supervisor: Supervisor, folder: Path) -> dovecot.Dovecot:
    await asyncio.to_thread(folder.chmod, 0o755)  # Dovecot runs under another account
    made = await asyncio.to_thread(certificates.ensure, folder / "tls")
    return await dovecot.Dovecot.start(supervisor, folder / "d", made)


async def _greets(port: int) -> None:
    deadline = monotonic() + 10
    while True:
        with contextlib.suppress(OSError):
            if await ready.greets(port, b"220"):
                return
        assert monotonic() < deadline, "the sink does not answer"
        await asyncio.sleep(0.05)


async def _prepare(made: Rig, boxes: int, partitions: int) -> None:
    (made.folder / "secrets").mkdir(parents=True)
    (made.folder / "secrets" / "message_id_keys").write_text("6f" * 32 + "\n")
    (made.folder / "recebido.txt").write_text("Seu chamado tem o numero <OTRS_TICKET_TicketNumber>.\n")
    for n, address in enumerate(made.boxes(boxes)):
        made.make_mailbox(address)
        (made.folder / "secrets" / f"box{n}").write_text(address)
        if made.box is not None:
            made.box.put(address, ())
    made.write_desk(desk(boxes))
    await apply_topics(made.servers.kafka, made.prefix, 1)
    if partitions:
        async with admin(made.servers.kafka) as client:
            await client.create_partitions({made.prefix + topic.name: NewPartitions(partitions) for topic in TOPICS})
    made.start(*SERVICES)
    await made.watching(boxes)


async def heavy(made: Rig, servers: dict[str, psutil.Process], boxes: int, count: int, first: int) -> dict[str, Any]:
    """All `count` mails wait when the fetcher starts; ends when the last answer is at the sink."""
    made.stop("fetcher")
    each = count // boxes
    for n, address in enumerate(made.boxes(boxes)):
        await asyncio.to_thread(made.fill, address, mix(each, address, made.domain, first + n * each))
    before = made.answered()
    quickest = machine.best()
    made.start("fetcher")
    parts = {name: psutil.Process(process.pid) for name, process in made.processes.items()} | servers
    mails = each * boxes
    began = monotonic()
    async with machine.watching(parts) as watched:
        await _until_answered(made, before + mails)
        seconds = monotonic() - began
    return {
        "mails": mails,
        "seconds": round(seconds, 2),
        "rate": round(mails / seconds, 1),
        "slowness": round(watched.slowness(quickest), 3),
        "cpu_ms": {name: round(used / mails * 1000, 4) for name, used in watched.cpu.items()},
        "services_cpu_ms": round(sum(watched.cpu[name] for name in SERVICES) / mails * 1000, 4),
        "memory_mb": {name: round(peak, 1) for name, peak in watched.memory.items()},
    }


async def _until_answered(made: Rig, total: int) -> None:
    deadline = monotonic() + LIMIT_SECONDS
    while made.answered() < total:
        made.assert_running()
        assert monotonic() < deadline, f"{made.answered()} of {total} answers"
        await asyncio.sleep(0.1)


async def light(made: Rig, boxes: int, first: int) -> dict[str, float]:
    """One mail after the other. The push is seen by a second client that idles on the same mailbox."""
    if made.box is None:
        return {}
    address = made.boxes(boxes)[0]
    taken: list[float] = []
    with imaplib.IMAP4(made.box.host, made.box.imap) as imap:
        imap.login(address, address)
        imap.select("INBOX")
        imap.send(b"x1 IDLE\r\n")
        imap.readline()
        for sent in mix(LIGHT, address, made.domain, first):
            before = made.answered()
            made.fill(address, [sent])
            pushed = await asyncio.to_thread(_pushed, imap)
            await _until_answered(made, before + 1)
            at = int(made.sink.read_bytes().splitlines()[-1].split()[0]) / 1e9
            taken.append((at - pushed) * 1000)
        imap.send(b"DONE\r\n")
        while not imap.readline().startswith(b"x1 "):
            pass
    taken.sort()
    return {"p50_ms": round(statistics.median(taken), 1), "p99_ms": round(taken[-1], 1), "mails": len(taken)}


def _pushed(imap: imaplib.IMAP4) -> float:
    while b"EXISTS" not in imap.readline():
        pass
    return time.time()


async def measure(count: int, runs: int, partitions: int) -> dict[str, Any]:
    mailbox = "Dovecot" if not dovecot.not_run() else f"GreenMail ({dovecot.not_run()})"
    boxes = 4 if not dovecot.not_run() else max(4, count // 500)
    async with rig(boxes, partitions) as (made, servers):
        first = 0
        print(f"  warm-up: {WARM_UP} mails")
        await heavy(made, servers, boxes, WARM_UP, first)
        first += WARM_UP
        results = []
        for number in range(runs):
            results.append(await heavy(made, servers, boxes, count, first))
            first += count
            print(f"  run {number + 1}: {results[-1]['rate']} mails/s, {results[-1]['services_cpu_ms']} ms CPU a mail")
        latency = await light(made, boxes, first)
        assert await made.count("SELECT count(*) FROM ticketing.dead_letters") == 0
        assert await made.tickets() == first + latency.get("mails", 0)
    return {
        "mailbox": mailbox,
        "partitions": partitions,
        "runs": results,
        "median": _median(results),
        "latency": latency,
    }


def _median(results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Of each figure over the runs; corrected by each run's slowness as well."""

    def middle(values: Sequence[float]) -> float:
        return round(statistics.median(values), 3)

    names = list(results[0]["cpu_ms"])
    return {
        "rate": middle([each["rate"] for each in results]),
        "rate_corrected": middle([each["rate"] * each["slowness"] for each in results]),
        "slowness": middle([each["slowness"] for each in results]),
        "services_cpu_ms": middle([each["services_cpu_ms"] for each in results]),
        "services_cpu_ms_corrected": middle([each["services_cpu_ms"] / each["slowness"] for each in results]),
        "cpu_ms": {name: middle([each["cpu_ms"][name] for each in results]) for name in names},
        "memory_mb": {name: max(each["memory_mb"].get(name, 0.0) for each in results) for name in names},
    }


def main(count: int, runs: int, partitions: int) -> None:
    result = asyncio.run(measure(count, runs, partitions))
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result["median"] | {"latency": result["latency"]}, indent=1))


if __name__ == "__main__":
    main(*([int(word) for word in sys.argv[1:]] + [20000, 3, 0][len(sys.argv) - 1 :]))
