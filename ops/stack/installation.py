"""What the four services run with: secrets, desk, environment; and `stack.env`, which tells others of it."""

import contextlib
import secrets
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ops.stack import passwords, ready
from ops.stack.servers import Servers
from ops.stack.settings import HOST, StackSettings
from ops.stack.supervisor import Service

DEMO = Path(__file__).parents[2] / "examples" / "demo"
SUPPORT, CUSTOMER, AGENTS = "suporte@demo.test", "kunde@kunde.test", ("ana@demo.test", "bruno@demo.test")


@dataclass(frozen=True, slots=True)
class Installation:
    """One set of the four services; `password` is that of every mailbox of the demonstration."""

    settings: StackSettings
    desk: Path
    demonstration: bool
    password: str

    @property
    def secrets(self) -> Path:
        return (self.settings.secrets or self.settings.data / "secrets").absolute()

    @property
    def ports(self) -> dict[str, int]:
        chosen = self.settings
        return {
            "fetcher": chosen.fetcher_port,
            "dispatcher": chosen.dispatcher_port,
            "ticketing": chosen.ticketing_port,
            "mailer": chosen.mailer_port,
        }

    @property
    def users(self) -> dict[str, str]:
        """Accounts of the mail server that exist before their first mail."""
        return dict.fromkeys((SUPPORT, CUSTOMER, *AGENTS), self.password)

    def environment(self, servers: Servers) -> dict[str, str]:
        values = {
            "CARTEIRO_KAFKA": servers.kafka,
            "CARTEIRO_POSTGRES": servers.postgres,
            "CARTEIRO_OBJECTS": (self.settings.data.absolute() / "objects").as_uri(),
            "CARTEIRO_DESK": str(self.desk.absolute()),
            "CARTEIRO_SECRETS": str(self.secrets),
        }
        if self.settings.kafka is None:
            values["CARTEIRO_KAFKA_REPLICAS"] = "1"
        if self.demonstration:
            values["CARTEIRO_CA_FILE"] = str(servers.ca_file)
        return values

    def services(self, servers: Servers) -> list[Service]:
        """The four, each restarted when it dies."""
        shared = {**self.environment(servers), "CARTEIRO_INSTANCE": "local-0"}
        return [
            Service(
                name=name,
                argv=[sys.executable, "-m", "ops.cli", "run", name],
                ready=partial(ready.http, port, "/readyz"),
                environment={**shared, "CARTEIRO_HTTP": f"{HOST}:{port}"},
                grace=50,  # longer than a service's own drain
                restart=True,
            )
            for name, port in self.ports.items()
        ]

    @property
    def metrics(self) -> list[str]:
        return [f"http://{HOST}:{port}/metrics" for port in self.ports.values()]


def prepare(settings: StackSettings, desk: Path | None) -> Installation:
    """Secrets that do not exist yet are made; without a desk the demonstration's is written with these ports."""
    kept = (settings.secrets or settings.data / "secrets").absolute()
    passwords.ensure(kept, "message_id_keys")
    if desk is not None:
        return Installation(settings, desk, demonstration=False, password="")
    password = passwords.ensure(kept, "caixa_imap", secrets.token_hex(6))  # people type it
    passwords.ensure(kept, "smtp", password)
    text = (DEMO / "desk.yaml").read_text(encoding="utf-8")
    for shipped, port in ((18993, settings.imaps_port), (18465, settings.smtps_port)):
        text = text.replace(f"port: {shipped}", f"port: {port}")
    written = settings.data.absolute() / "desk.yaml"
    written.write_text(text, encoding="utf-8")
    answer = (DEMO / "recebido.txt").read_text(encoding="utf-8")
    written.with_name("recebido.txt").write_text(answer, encoding="utf-8")
    return Installation(settings, written, demonstration=True, password=password)


@contextlib.contextmanager
def announced(installation: Installation, servers: Servers) -> Iterator[Path]:
    """`stack.env` stands as long as the stack runs: KEY=value, for nobody else's eyes."""
    values = installation.environment(servers)
    mail = servers.mail
    if mail is not None:
        values |= {
            "STACK_SMTP": f"smtp://{mail.host}:{mail.smtp}",
            "STACK_IMAP": f"imap://{mail.host}:{mail.imap}",
            "STACK_IMAPS": f"imaps://{mail.host}:{mail.imaps}",
            "STACK_POP3": f"pop3://{mail.host}:{mail.pop3}",
            "STACK_USER": SUPPORT,
            "STACK_PASSWORD": installation.password,
        }
    values["STACK_METRICS"] = ",".join(installation.metrics)
    path = installation.settings.data.absolute() / "stack.env"
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text("".join(f"{name}={value}\n" for name, value in values.items()), encoding="utf-8")
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)
