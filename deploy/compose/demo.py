"""The demonstration of compose.yaml: one customer mail in, and what comes of it, each step said when it is seen.

Standard library only; seen means seen from outside, in the fetcher's counter and in the mailboxes.
"""

import json
import re
import secrets
import smtplib
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from functools import partial

SUPPORT, CUSTOMER, AGENTS = "suporte@demo.test", "kunde@kunde.test", ("ana@demo.test", "bruno@demo.test")
SECONDS = 60.0


def main() -> int:
    """0: all four steps were seen within a minute."""
    subject = f"Impressora sem tinta ({secrets.token_hex(2)})"
    until(lambda: metric("carteiro_account_last_success_timestamp_seconds"), "a first look into the mailbox")
    before = metric("carteiro_messages_fetched_total")
    sent = send(subject)
    until(lambda: metric("carteiro_messages_fetched_total") > before, f'mail received: "{subject}" from {CUSTOMER}')
    answer = until(lambda: next(iter(subjects(CUSTOMER, sent)), ""), f"answer delivered to {CUSTOMER}")
    found = re.search(r"\[Ticket#(\d+)\]", answer)
    number = found[1] if found else ""
    print(f"        ticket number: {number}")
    for agent in AGENTS:
        until(partial(subjects, agent, number), f"agent notified: {agent}")
    return 0 if number else 1


def until(ask: Callable[[], object], what: str) -> str:
    """Asks again until there is something; ends the program when a minute is over."""
    began = time.monotonic()
    while not (answer := ask()):
        if time.monotonic() - began > SECONDS:
            print(f"not seen within {SECONDS:.0f} s: {what}", file=sys.stderr)
            sys.exit(1)
        time.sleep(0.1)
    print(f"{time.monotonic() - began:6.2f} s  {what}", flush=True)
    return str(answer)


def send(subject: str) -> str:
    """Its Message-ID."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = f"Karl Kunde <{CUSTOMER}>", SUPPORT, subject
    message["Date"], message["Message-ID"] = formatdate(localtime=True), make_msgid(domain="kunde.test")
    message.set_content("Bom dia,\n\na impressora do segundo andar está sem tinta.\n\nKarl Kunde\n")
    with smtplib.SMTP("mail", 3025, timeout=10) as smtp:
        smtp.send_message(message)
    return str(message["Message-ID"])


def metric(name: str) -> float:
    """Sum over its labels; 0 while it is not there."""
    lines = [line.rsplit(" ", 1) for line in get("http://fetcher:8080/metrics").splitlines()]
    return sum(
        float(value) for series, value in (line for line in lines if len(line) == 2) if series.split("{")[0] == name
    )


def subjects(address: str, words: str) -> list[str]:
    """Subjects of the mails of a mailbox that carry the words anywhere."""
    mails = json.loads(get(f"http://mail:8080/api/user/{address}/messages/INBOX") or "[]")
    return [mail["subject"] for mail in mails if words in mail["mimeMessage"]]


def get(url: str) -> str:
    """Empty while nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return str(answer.read(), "utf-8")
    except OSError:
        return ""


if __name__ == "__main__":
    sys.exit(main())
