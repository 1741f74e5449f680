"""`carteiro ticket`: tickets as a list, and one with its conversation, its history and what was sent."""

import re
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from ops.database import connected
from ops.show import ago, lines, one_line, printable, say
from services.mailer import queries as mailer
from services.ticketing import queries as ticketing
from services.ticketing.policy import STATE_TYPES
from services.ticketing.ticket_list import Wanted, page
from shared.settings import Settings

WRONG_USAGE = 2
COLUMNS = ("number", "queue", "state", "title", "customer_user", "articles", "changed_at")


async def list_tickets(queue: str | None, state: str | None, limit: int, *, as_json: bool) -> int:
    """The newest tickets; 2 for a state that is none. Raises PostgresUnreachable."""
    if state is not None and state not in STATE_TYPES:
        print(f"no state is called {printable(state)}; there are: {', '.join(STATE_TYPES)}", file=sys.stderr)
        return WRONG_USAGE
    async with connected(Settings()) as connection:
        rows, _ = await page(connection, Wanted([queue] if queue else None, [state] if state else None, limit=limit))
    say(lines(rows, COLUMNS, as_json=as_json, empty="no tickets"))
    return 0


def number_of(written: str) -> str:
    """The number in what people copy from a subject: `Ticket#N`, `[Ticket#N]`, `Ticket# N`."""
    found = re.search(r"([0-9]+)[\s\])]*$", written)
    return found.group(1) if found else written.strip()


async def show_ticket(written: str, *, as_json: bool) -> int:
    """1 when there is no ticket of this number. Raises PostgresUnreachable."""
    number = number_of(written)
    async with connected(Settings()) as connection:
        ticket = await ticketing.ticket(connection, number)
        if ticket is None:
            print(f"no ticket has the number {printable(number)}", file=sys.stderr)
            return 1
        ticket_id = int(ticket["ticket_id"])
        ticket |= {
            "conversation": await ticketing.conversation(connection, ticket_id),
            "history": await ticketing.history(connection, ticket_id),
            "deliveries": await mailer.deliveries(connection, ticket_id),
            "links": await ticketing.links(connection, ticket_id),
        }
    print(one_line(ticket) if as_json else "\n".join(_page(ticket)))
    return 0


def _page(ticket: dict[str, Any]) -> Iterator[str]:
    yield f"Ticket {ticket['number']}: {printable(ticket['title'])}"
    yield f"  {ticket['state']} in {ticket['queue']}, priority {ticket['priority']}, {ticket['lock']}"
    yield f"  owner {ticket['owner'] or 'nobody'}, responsible {ticket['responsible'] or 'nobody'}"
    yield f"  customer {printable(ticket['customer_user'])}, created {ago(ticket['created_at'])}"
    for article in ticket["conversation"]:
        yield ""
        yield from _article(article)
    yield from _table("history", ticket["history"], ("created_at", "type", "text", "agent", "why"))
    sent = ("kind", "rule", "recipient", "state", "reason", "attempts", "smtp_class", "smtp_code", "sent_at")
    yield from _table("deliveries", ticket["deliveries"], sent)
    yield from _table("links", ticket["links"], ("direction", "number", "type", "state", "title"))


def _article(article: dict[str, Any]) -> Iterator[str]:
    who = printable(f"{article['from_name']} <{article['from_address']}>".strip())
    yield f"--- {who}, {ago(article['received_at'])} ({article['direction']}, {article['kind']})"
    yield f"Subject: {printable(article['subject'])}"
    if article["files"]:
        yield f"Files: {printable(', '.join(article['files']))}"
    yield ""
    yield printable(article["text"].replace("\r\n", "\n")).rstrip()


def _table(title: str, rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> Iterator[str]:
    if rows:
        yield f"\n{title}"
        yield from (f"  {line}" for line in lines(rows, columns, as_json=False, empty="").splitlines())
