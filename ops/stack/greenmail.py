"""GreenMail: SMTP, IMAP and POP3 with and without TLS, in memory.

It takes mail for every recipient and makes the account (login and password are the address), so one process
holds the support mailbox and receives the answers too.
"""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass

from ops.stack import ready
from ops.stack.certificates import KEYSTORE_PASSWORD, Certificates
from ops.stack.kafka import java_program
from ops.stack.settings import HOST, StackSettings
from ops.stack.supervisor import Service, Supervisor


@dataclass(frozen=True, slots=True)
class Mail:
    """Host and ports; `api` is GreenMail's own HTTP interface."""

    host: str
    smtp: int
    smtps: int
    imap: int
    imaps: int
    pop3: int
    pop3s: int
    api: int


async def start(
    supervisor: Supervisor,
    settings: StackSettings,
    class_path: str,
    certificates: Certificates,
    users: Mapping[str, str],
) -> Mail:
    """Every port greets and the API answers. `users`: address → password of accounts that exist at once."""
    mail = Mail(
        host=HOST,
        smtp=settings.smtp_port,
        smtps=settings.smtps_port,
        imap=settings.imap_port,
        imaps=settings.imaps_port,
        pop3=settings.pop3_port,
        pop3s=settings.pop3s_port,
        api=settings.mail_api_port,
    )
    trust = ssl.create_default_context(cafile=str(certificates.ca))

    async def answers() -> bool:
        return (
            await ready.greets(mail.smtp, b"220")
            and await ready.greets(mail.smtps, b"220", trust)
            and await ready.greets(mail.imap, b"* OK")
            and await ready.greets(mail.imaps, b"* OK", trust)
            and await ready.greets(mail.pop3, b"+OK")
            and await ready.greets(mail.pop3s, b"+OK", trust)
            and await ready.http(mail.api, "/api/service/readiness")
        )

    await supervisor.start(
        Service(
            name="greenmail",
            argv=_argv(mail, class_path, certificates, users),
            ready=answers,
            grace=10,
            limit=60,
        )
    )
    return mail


def _argv(mail: Mail, class_path: str, certificates: Certificates, users: Mapping[str, str]) -> list[str]:
    properties = {f"{name}.port": getattr(mail, name) for name in ("smtp", "smtps", "imap", "imaps", "pop3", "pop3s")}
    properties |= {
        "hostname": HOST,
        "startup.timeout": 30000,
        "api.hostname": HOST,
        "api.port": mail.api,
        "users.login": "email",
        "tls.keystore.file": certificates.keystore,
        "tls.keystore.password": KEYSTORE_PASSWORD,
    }
    if users:
        properties["users"] = ",".join(_user(address, password) for address, password in users.items())
    options = [f"-Dgreenmail.{name}={value}" for name, value in properties.items()]
    java = [java_program(), "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
    return [*java, "-XX:+ExitOnOutOfMemoryError", *options, "-cp", class_path, MAIN]


def _user(address: str, password: str) -> str:
    local, domain = address.split("@")
    return f"{local}:{password}@{domain}"


MAIN = "com.icegreen.greenmail.standalone.GreenMailStandaloneRunner"
