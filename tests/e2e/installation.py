"""A whole Carteiro of its own for one test: four services as processes, a desk, a mailbox, customers.

The checks know only what went into the mailbox, the database, and what the SMTP server received.
"""

import asyncio
import email
import json
import os
import signal
import smtplib
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from email.message import Message
from pathlib import Path
from typing import Any, Self

import asyncpg
import psutil

from ops.stack.settings import free_ports
from shared.clock import monotonic
from shared.kafka.admin import apply_topics
from tests.e2e.mails import Sent
from tests.servers import Servers

SERVICES = ("fetcher", "dispatcher", "ticketing", "mailer")
REPO = Path(__file__).resolve().parents[2]

DESK = """\
language: pt-BR
time_zone: America/Sao_Paulo
queues:
  suporte: {{agents: [ana]}}
system_addresses:
  {support}: {{name: Suporte Empresa, queue: suporte}}
accounts:
  caixa:
    type: imaps
    host: {host}
    port: {imaps}
    user: {support}
    password: {{secret: caixa_imap}}
    dispatch: by_to
    interval: 10s
outbound:
  padrao: {{type: smtp, host: {host}, port: {smtp}, null_sender: false, default: true}}
auto_responses:
  recebido: {{type: auto_reply, queues: [suporte], subject: "Recebemos sua mensagem", text: recebido.txt}}
limits: {{answers_per_domain: 0, answers_in_all: 0, notifications_per_agent: 0}}  # its customers are one domain
notifications: {{sender_name: Central, sender_email: central@demo.test}}
agents:
  ana: {{name: Ana Lima, email: {agent}}}
"""


@dataclass
class Installation:
    """`start`, `kill` and `stop` take a service's name, or `all` for the four in one process; `mailer-1` is one of
    several mailers, with that name as its instance."""

    servers: Servers
    prefix: str
    dsn: str
    folder: Path
    support: str
    agent: str
    command: Sequence[str] = (sys.executable, "-m", "ops.cli")
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @classmethod
    async def prepare(cls, servers: Servers, prefix: str, dsn: str, folder: Path) -> Self:
        name = prefix.strip("-")
        built = cls(servers, prefix, dsn, folder, f"suporte-{name}@demo.test", f"ana-{name}@demo.test")
        (folder / "secrets").mkdir()
        (folder / "secrets" / "caixa_imap").write_text(built.support)
        (folder / "secrets" / "message_id_keys").write_text("6f" * 32 + "\n")
        (folder / "recebido.txt").write_text("Seu chamado tem o numero <OTRS_TICKET_TicketNumber>.\n")
        built.write_desk()
        await apply_topics(servers.kafka, prefix, 1)
        built.make_mailbox(built.support)
        return built

    @property
    def domain(self) -> str:
        """The customers' domain: nobody else's in this run."""
        return f"{self.prefix.strip('-')}.kunde.test"

    def write_desk(self, text: str = DESK, **changes: str) -> None:
        mail = self.servers.mail
        values = {"host": mail.host, "imaps": mail.imaps, "smtp": mail.smtp} | changes
        (self.folder / "desk.yaml").write_text(text.format(support=self.support, agent=self.agent, **values))

    # --- processes --------------------------------------------------------------------------------------------

    def start(self, *names: str) -> None:
        for name, port in zip(names, free_ports(len(names)), strict=True):
            with (self.folder / f"{name}.log").open("ab") as log:
                self.processes[name] = subprocess.Popen(
                    [*self.command, "run", name.partition("-")[0]],
                    env=self.environment(port) | ({"CARTEIRO_INSTANCE": name} if "-" in name else {}),
                    cwd=self.folder,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            self.ports[name] = port

    ports: dict[str, int] = field(default_factory=dict)

    def environment(self, port: int = 0) -> dict[str, str]:
        return dict(os.environ) | {  # noqa: TID251  # passed on to the children
            "CARTEIRO_KAFKA": self.servers.kafka,
            "CARTEIRO_KAFKA_REPLICAS": "1",
            "CARTEIRO_POSTGRES": self.dsn,
            "CARTEIRO_OBJECTS": (self.folder / "objects").as_uri(),
            "CARTEIRO_DESK": str(self.folder / "desk.yaml"),
            "CARTEIRO_SECRETS": str(self.folder / "secrets"),
            "CARTEIRO_PREFIX": self.prefix,
            "CARTEIRO_INSTANCE": "local-0",
            "CARTEIRO_HTTP": f"127.0.0.1:{port}",
            "CARTEIRO_CA_FILE": str(self.servers.ca_file),
        }

    def kill(self, name: str) -> None:
        """kill -9 of the process and its workers, by process id."""
        process = self.processes.pop(name)
        family = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        for child in family:
            with_gone_ignored(child.kill)
        process.wait(10)

    def stop(self, *names: str) -> dict[str, int]:
        """SIGTERM to these (all); their exit statuses."""
        chosen = {name: self.processes[name] for name in names or list(self.processes)}
        for process in chosen.values():
            process.send_signal(signal.SIGTERM)
        statuses = {}
        for name, process in chosen.items():
            try:
                statuses[name] = process.wait(60)
            except subprocess.TimeoutExpired:
                self.kill(name)
                statuses[name] = -9
            self.processes.pop(name, None)
        return statuses

    def assert_running(self) -> None:
        for name, process in self.processes.items():
            if process.poll() is not None:
                tail = (self.folder / f"{name}.log").read_text()[-3000:]
                raise AssertionError(f"{name} ended with {process.returncode}:\n{tail}")

    # --- the outside world ------------------------------------------------------------------------------------

    def deliver(self, mails: Sequence[Sent], mailbox: str = "") -> None:
        """Into a mailbox (the support's) over SMTP."""
        with smtplib.SMTP(self.servers.mail.host, self.servers.mail.smtp, timeout=60) as smtp:
            for mail in mails:
                smtp.sendmail(mail.sender, [mailbox or self.support], mail.raw)

    def make_mailbox(self, address: str) -> None:
        """An empty account; its password is its address."""
        mail = self.servers.mail
        body = json.dumps({"login": address, "email": address, "password": address}).encode()
        url = f"http://{mail.host}:{mail.api}/api/user"
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            answer.read()

    async def watching(self, accounts: int = 1) -> None:
        """Waits until every account was looked into: what arrives from now on is live and answered."""
        looked = "SELECT count(*) FROM fetcher.account_status WHERE last_success IS NOT NULL"
        await self.until(lambda: self._at_least(looked, accounts), f"{accounts} accounts watched")

    async def deliver_all(self, mails: Sequence[Sent]) -> None:
        await asyncio.to_thread(self.deliver, mails)

    def inbox(self, address: str) -> list[bytes]:
        """Raw mails that arrived for an address, Return-Path and Received of the server included."""
        mail = self.servers.mail
        url = f"http://{mail.host}:{mail.api}/api/user/{address}/messages/INBOX"
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                listed: list[dict[str, Any]] = json.loads(answer.read())
        except urllib.error.HTTPError as error:
            if error.code in (400, 404, 500):  # nobody wrote to this address yet
                return []
            raise
        return [item["mimeMessage"].encode("utf-8", "surrogateescape") for item in listed]

    def answers(self, senders: Sequence[str]) -> dict[str, list[Message]]:
        """What each customer received."""
        return {address: [email.message_from_bytes(raw) for raw in self.inbox(address)] for address in senders}

    async def rows(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        connection = await asyncpg.connect(self.dsn)
        try:
            return list(await connection.fetch(query, *arguments))
        finally:
            await connection.close()

    async def count(self, query: str, *arguments: object) -> int:
        ((number,),) = await self.rows(query, *arguments)
        return int(number)

    async def until(self, condition: Callable[[], Any], what: str, seconds: float = 120) -> None:
        """Polls an async or plain condition; fails with the services' state when the time is over."""
        deadline = monotonic() + seconds
        while True:
            met = condition()
            if asyncio.iscoroutine(met):
                met = await met
            if met:
                return
            self.assert_running()
            if monotonic() > deadline:
                raise AssertionError(f"not within {seconds:.0f} s: {what}\n{await self._state()}")
            await asyncio.sleep(0.1)

    async def _state(self) -> str:
        facts: Mapping[str, str] = {
            "tickets": "SELECT count(*) FROM ticketing.tickets",
            "articles": "SELECT count(*) FROM ticketing.articles",
            "outbox": "SELECT count(*) FROM ticketing.outbox",
            "dead letters": "SELECT count(*) FROM ticketing.dead_letters",
        }
        lines = [f"{name}: {await self.count(query)}" for name, query in facts.items()]
        states = await self.rows("SELECT kind, state, count(*) FROM mailer.outbound GROUP BY 1, 2 ORDER BY 1, 2")
        lines += [f"outbound {kind} {state}: {number}" for kind, state, number in states]
        for name in self.processes:
            lines.append(f"--- {name}.log\n" + (self.folder / f"{name}.log").read_text()[-1500:])
        return "\n".join(lines)

    # --- what must be true ------------------------------------------------------------------------------------

    async def tickets(self) -> int:
        return await self.count("SELECT count(*) FROM ticketing.tickets")

    async def settled(self, tickets: int, answers: int) -> None:
        """Waits until so many tickets are there, every event is published and so many answers are sent."""
        await self.until(
            lambda: self._at_least("SELECT count(*) FROM ticketing.tickets", tickets), f"{tickets} tickets"
        )
        await self.until(lambda: self._nothing("SELECT count(*) FROM ticketing.outbox"), "an empty outbox")
        await self.until(
            lambda: self._at_least(
                "SELECT count(*) FROM mailer.outbound WHERE kind = 'auto_response' AND state = 'sent'", answers
            ),
            f"{answers} answers sent",
        )
        await self.until(
            lambda: self._nothing(
                "SELECT count(*) FROM mailer.outbound WHERE state IN ('queued', 'sending', 'deferred', 'unknown')"
            ),
            "an empty queue",
        )

    async def _at_least(self, query: str, number: int) -> bool:
        return await self.count(query) >= number

    async def _nothing(self, query: str) -> bool:
        return await self.count(query) == 0


def with_gone_ignored(act: Callable[[], object]) -> None:
    try:
        act()
    except psutil.NoSuchProcess:
        return


def copies(received: Mapping[str, Sequence[Message]]) -> Counter[str]:
    """How often each Message-ID arrived."""
    return Counter(str(mail["Message-ID"]) for mails in received.values() for mail in mails)
