"""`carteiro mail preview`: what an invented ticket would lead to, composed as the mailer composes it."""

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from ops.show import printable
from services.mailer.letters import Desktop
from services.mailer.plans import Draft, drafts_of, plan_for
from shared import message_ids
from shared.desk.findings import DeskError
from shared.desk.load import LoadedDesk, load_desk
from shared.desk.model import Desk
from shared.events import (
    Answer,
    ArticleAdded,
    ArticleFact,
    Change,
    FollowUpRejected,
    Kind,
    NoteAdded,
    Origin,
    Party,
    TicketCreated,
    TicketEvent,
    TicketUpdated,
)
from shared.mime import parse
from shared.process import MISCONFIGURED
from shared.settings import Settings

_KEY = b"for a preview only: verifies nowhere"


def preview(name: str, desk_file: Path | None, queue: str, *, raw: bool) -> int:
    """1 when the desk has no such mail; 78 when the desk is wrong."""
    try:
        loaded = load_desk(desk_file or Settings().desk)
    except DeskError as error:
        print(error, file=sys.stderr)
        return MISCONFIGURED
    shown: set[str] = set()
    for title, draft in _drafts(loaded, queue):
        if draft.mail is None or title in shown or (name and name not in title.split()):
            continue
        shown.add(title)
        if raw:
            sys.stdout.buffer.write(draft.mail.raw)
        else:
            print(_page(title, draft.mail.raw))
    if not shown:
        print(f"the desk sends no mail {name}".rstrip(), file=sys.stderr)
    return 0 if shown else 1


def _drafts(loaded: LoadedDesk, queue: str) -> Iterator[tuple[str, Draft]]:
    def sign(ticket: str, delivery: str, domain: str) -> str:
        return message_ids.sign(ticket, delivery, domain, [_KEY])

    desk = loaded.desk
    desktop = Desktop(desk, loaded.texts, sign)
    for each in [queue] if queue else list(desk.queues):
        for fact in (*_facts(desk, each), *_commands(desk, each)):
            for draft in drafts_of(plan_for("preview", fact, desk, {}), desktop, fact.occurred_at):
                yield _title(draft), draft


def _title(draft: Draft) -> str:
    if draft.notification is None:
        answer = draft.plan.answer
        return f"{answer.name} {answer.rule}" if answer else ""
    return f"{draft.notification.rule} {draft.notification.reader.language}"


def _facts(desk: Desk, queue: str) -> Iterator[ArticleFact]:
    moment = datetime(2026, 1, 2, 12, 30, tzinfo=UTC)
    common = {
        "ticket_id": "1",
        "number": f"20260102{desk.ticket.system_id}000017",
        "sequence": 1,
        "queue": queue,
        "title": "Printer on fire",
        "occurred_at": moment,
        "article_id": "1",
        "account": "",
        "origin": Origin.LIVE,
        "kind": Kind.HUMAN,
        "sender": Party("Maria Exemplo", "maria@customer.example"),
        "to": [Party("", "support@company.example")],
        "subject": "Printer on fire",
        "message_id": "<0001@customer.example>",
        "references": ["<0001@customer.example>"],
        "answer": Answer(address="maria@customer.example", verified=True),
        "received_at": moment,
    }
    yield TicketCreated(**common, state="new")  # type: ignore[arg-type]  # the fields above
    yield TicketCreated(**common, state="new", follows="2")  # type: ignore[arg-type]
    yield ArticleAdded(**common, state="open", check="references")  # type: ignore[arg-type]
    yield ArticleAdded(**common, state="removed", check="references")  # type: ignore[arg-type]
    yield FollowUpRejected(**common, state="closed successful", check="references")  # type: ignore[arg-type]


def _commands(desk: Desk, queue: str) -> Iterator[TicketEvent]:
    """What agents do to the ticket: the first one of the desk owns it, and is told."""
    login = next(iter(desk.agents), "")
    for field in ("owner", "responsible", "queue"):
        yield TicketUpdated(**_by_agent(desk, queue, login), changes=[Change(field, "", login)])  # type: ignore[arg-type]
    yield NoteAdded(**_by_agent(desk, queue, login), article_id="2", subject="Parts are ordered")  # type: ignore[arg-type]


def _by_agent(desk: Desk, queue: str, login: str) -> dict[str, object]:
    return {
        "ticket_id": "1",
        "number": f"20260102{desk.ticket.system_id}000017",
        "sequence": 2,
        "queue": queue,
        "title": "Printer on fire",
        "state": "open",
        "owner": login,
        "responsible": login,
        "occurred_at": datetime(2026, 1, 2, 13, 30, tzinfo=UTC),
        "agent": "",
        "why": "because",
    }


def _page(title: str, raw: bytes) -> str:
    mail = parse(raw)
    to = ", ".join(f"{each.name} <{each.address}>".strip() for each in mail.to)
    sender = f"{mail.sender.name} <{mail.sender.address}>" if mail.sender else ""
    head = f"--- {title}\nFrom: {sender}\nTo: {to}\nSubject: {mail.subject}\n"
    return printable(f"{head}\n{mail.text.replace(chr(13), '')}")
