"""The whole path on the local stack: N mails in, N tickets, N answers out, no notifications.

    make bench N=2000

Prints mails/s and CPU milliseconds a mail for each process. The mailboxes are filled while the fetcher is away
(several of 500: this mail server's cost grows with the square of a mailbox). The mix: 60 % plain text of 3 KB,
30 % alternative of 15 KB, 10 % with a 100-KB attachment. CPU is the figure to trust, rates are the machine's.
"""

import asyncio
import sys
import tempfile
from pathlib import Path

import psutil

from ops.stack.servers import serve
from ops.stack.settings import StackSettings
from shared.clock import monotonic
from shared.migrations import migrate
from tests.e2e.installation import DESK, SERVICES, Installation
from tests.e2e.mails import Sent, alternative, plain, with_attachment
from tests.servers import Servers

MAILBOX = 500


def mix(count: int, to: str, domain: str, first: int) -> list[Sent]:
    words = "palavras que um cliente escreve quando a impressora outra vez nao responde "
    text = "\r\n".join([words] * 42)
    made = []
    for n in range(first, first + count):
        sender, message_id, subject = f"c{n}@{domain}", f"<bench{n}@{domain}>", f"Problem {n}"
        if n % 10 < 6:
            made.append(plain(sender, to, message_id, subject, text=text))
        elif n % 10 < 9:
            made.append(alternative(sender, to, message_id, subject, lines=180))
        else:
            made.append(with_attachment(sender, to, message_id, subject))
    return made


def desk(boxes: int) -> str:
    """The demonstration's desk with one account a mailbox; all their mail goes to one queue."""
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


def cpu(processes: dict[str, psutil.Process]) -> dict[str, float]:
    """Seconds of CPU so far, children included."""
    used = {}
    for name, process in processes.items():
        times = process.cpu_times()
        used[name] = times.user + times.system + times.children_user + times.children_system
        for child in process.children(recursive=True):
            used[name] += sum(child.cpu_times()[:2])
    return used


async def measure(count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        settings = StackSettings(data=Path(folder) / "var").with_free_ports()
        async with serve(settings, lambda what, seconds: print(f"  {what} ({seconds:.1f} s)")) as (supervisor, up):
            assert up.mail is not None
            servers = Servers(up.kafka, up.postgres, up.mail, up.ca_file)
            dsn = servers.postgres
            await migrate(dsn)
            work = Path(folder) / "work"
            work.mkdir()
            made = await Installation.prepare(servers, "bench-", dsn, work)
            boxes = -(-count // MAILBOX)
            try:
                made.write_desk(desk(boxes))
                for n in range(boxes):
                    box = f"box{n}-{made.support}"
                    (work / "secrets" / f"box{n}").write_text(box)
                    made.make_mailbox(box)
                made.start(*SERVICES)
                await made.watching(boxes)
                made.stop("fetcher")
                for n in range(boxes):
                    box = f"box{n}-{made.support}"
                    mails = mix(min(MAILBOX, count - n * MAILBOX), box, made.domain, n * MAILBOX)
                    await asyncio.to_thread(made.deliver, mails, box)
                print(f"  {count} mails in {boxes} mailboxes; starting the fetcher")
                stack = {name: psutil.Process(pid) for name, pid in supervisor.running.items()}
                began = monotonic()
                made.start("fetcher")
                parts = {name: psutil.Process(process.pid) for name, process in made.processes.items()} | stack
                before = cpu(parts)
                await made.settled(count, count)
                seconds = monotonic() - began
                used = {name: now - before[name] for name, now in cpu(parts).items()}
            finally:
                made.stop()
    report(count, seconds, used)


def report(count: int, seconds: float, used: dict[str, float]) -> None:
    print(f"\n{count} mails in {seconds:.1f} s, start of the fetcher included: {count / seconds:.0f} mails/s\n")
    for name, spent in used.items():
        print(f"  {name:12} {spent / count * 1000:7.3f} ms CPU a mail")
    print(f"  {'services':12} {sum(used[name] for name in SERVICES) / count * 1000:7.3f} ms CPU a mail together")


if __name__ == "__main__":
    asyncio.run(measure(int(sys.argv[1]) if len(sys.argv) > 1 else 2000))
