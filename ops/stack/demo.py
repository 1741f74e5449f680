"""The demonstration: one customer mail in, and what comes of it, each step said when it is seen.

Seen means seen from outside: the fetcher's counter, the ticket's row, the mailboxes of customer and agents.
"""

import asyncio
import json
import secrets
import smtplib
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import TypeVar

import asyncpg

from ops.stack.greenmail import Mail
from ops.stack.installation import AGENTS, CUSTOMER, SUPPORT, Installation
from ops.stack.servers import Servers
from ops.stack.settings import HOST
from shared.clock import monotonic

SECONDS = 60.0
T = TypeVar("T")
Say = Callable[[str, float], None]

TICKET_BY_TITLE = "SELECT number FROM ticketing.tickets WHERE title = $1"


async def demonstrate(installation: Installation, servers: Servers, say: Say) -> bool:
    """True when all four steps were seen within a minute; else the last line says which was not."""
    mail = servers.mail
    if mail is None:
        raise ValueError("the demonstration needs the stack's own mail server")
    subject = f"Impressora sem tinta ({secrets.token_hex(2)})"
    step, began = "mail received", monotonic()
    database = await asyncpg.connect(servers.postgres)
    try:
        async with asyncio.timeout(SECONDS):
            port = installation.ports["fetcher"]
            await _until(lambda: _metric(port, "carteiro_account_last_success_timestamp_seconds"))
            before = await _metric(port, "carteiro_messages_fetched_total")
            began = monotonic()
            await asyncio.to_thread(send, mail, subject)
            await _until(lambda: _grown(port, before))
            say(f'mail received: "{subject}" from {CUSTOMER}', monotonic() - began)
            step = "ticket number"
            number = str(await _until(lambda: database.fetchval(TICKET_BY_TITLE, subject)))
            say(f"ticket number: {number}", monotonic() - began)
            step = "answer delivered"
            answer = await _until(lambda: _subject_with(mail, CUSTOMER, number))
            say(f'answer delivered: "{answer}" to {CUSTOMER}', monotonic() - began)
            step = "agents notified"
            for agent in AGENTS:
                await _until(lambda to=agent: _subject_with(mail, to, number))  # type: ignore[misc]  # lambda default
            say(f"agents notified: {', '.join(AGENTS)}", monotonic() - began)
    except TimeoutError:
        say(f"not seen: {step}; look into {installation.settings.data}/log", monotonic() - began)
        return False
    finally:
        await database.close()
    return True


def send(mail: Mail, subject: str) -> None:
    """One customer mail, over SMTP like any other."""
    message = EmailMessage()
    message["From"] = f"Karl Kunde <{CUSTOMER}>"
    message["To"] = f"Suporte Demo <{SUPPORT}>"
    message["Subject"] = subject
    message["Date"] = formatdate(localtime=True)
    message["Message-ID"] = make_msgid(domain="kunde.test")
    message.set_content("Bom dia,\n\na impressora do segundo andar está sem tinta.\n\nKarl Kunde\n")
    with smtplib.SMTP(mail.host, mail.smtp, timeout=10) as smtp:
        smtp.send_message(message)


def pasted(mail: Mail) -> str:
    """A shell command that sends one more mail; it needs nothing but Python."""
    text = rf"From: {CUSTOMER}\r\nTo: {SUPPORT}\r\nSubject: Mais uma pergunta\r\n\r\nBom dia!\r\n"
    code = f"import smtplib; smtplib.SMTP('{mail.host}', {mail.smtp}).sendmail('{CUSTOMER}', ['{SUPPORT}'], '{text}')"
    return f'python3 -c "{code}"'


async def _until(ask: Callable[[], Awaitable[T | None]]) -> T:
    """The first answer that is something; the deadline is the caller's."""
    while not (answer := await ask()):  # noqa: ASYNC110  # it happens in other processes
        await asyncio.sleep(0.05)
    return answer


async def _grown(port: int, before: float) -> bool:
    return await _metric(port, "carteiro_messages_fetched_total") > before


async def _metric(port: int, name: str) -> float:
    """Sum over its labels; 0 while it is not there."""
    text = await _get(f"http://{HOST}:{port}/metrics")
    lines = [line.rsplit(" ", 1) for line in text.splitlines() if line.startswith((f"{name}{{", f"{name} "))]
    return sum(float(value) for _, value in lines)


async def _subject_with(mail: Mail, address: str, number: str) -> str | None:
    """The subject of a mail in this mailbox that carries the ticket's number."""
    text = await _get(f"http://{mail.host}:{mail.api}/api/user/{address}/messages/INBOX")
    found = json.loads(text or "[]")
    return next((each["subject"] for each in found if number in (each["subject"] or "")), None)


async def _get(url: str) -> str:
    """Empty while nobody answers: asked again until the deadline."""

    def read() -> str:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310  # an address we built
                return str(answer.read(), "utf-8")
        except OSError:
            return ""

    return await asyncio.to_thread(read)
