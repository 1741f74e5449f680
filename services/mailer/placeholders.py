"""The `<OTRS_…>` placeholders of texts: replaced once, in one pass, so a value is never rendered again. A text is taken
apart when it is first seen; a mail then fills it in.

A placeholder that is unknown, or whose value an answer must not repeat, becomes `-`.
"""

import html
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from shared.desk.model import Desk, NotifiedAgent
from shared.events import ArticleFact, CommandFact, NoteAdded, TicketEvent
from shared.subjects import clean

UNKNOWN = "-"
_PLACEHOLDER = re.compile(r"<OTRS_([A-Za-z0-9_:]{1,100})(?:\[([A-Za-z0-9_/+-]{1,64})\])?>")
_IN_HTML = re.compile(f"{_PLACEHOLDER.pattern}|{_PLACEHOLDER.pattern.replace('<', '&lt;').replace('>', '&gt;')}")
_MAX_CUT = 998

Value = str | Callable[[str], str]
"""The value, or what takes the content of the square brackets (`24` of `[24]`; empty without) and gives it."""


def render(text: str, values: Mapping[str, Value]) -> str:
    """The text with its placeholders replaced; names in any case."""
    first, slots = _taken_apart(text)
    parts = [first]
    for name, size, behind in slots:
        value = values.get(name, UNKNOWN)
        parts += (value if isinstance(value, str) else value(size), behind)
    return "".join(parts)


@lru_cache(maxsize=1024)  # texts of the desk and shipped ones, and subjects
def _taken_apart(text: str) -> tuple[str, list[tuple[str, str, str]]]:
    """What stands before the first placeholder; then name, square brackets and what follows, of each."""
    first, *rest = _PLACEHOLDER.split(text)
    names, sizes, behind = rest[::3], rest[1::3], rest[2::3]
    return first, [(name.lower(), size or "", after) for name, size, after in zip(names, sizes, behind, strict=True)]


def render_html(text: str, values: Mapping[str, Value]) -> str:
    """The same in HTML: a placeholder may be written `&lt;OTRS_…&gt;`, as editors do; a value is text, never markup."""

    def replaced(match: re.Match[str]) -> str:
        value = values.get((match[1] or match[3]).lower(), UNKNOWN)
        shown = value if isinstance(value, str) else value(match[2] or match[4] or "")
        return html.escape(shown).replace("\n", "<br>\n")

    return _IN_HTML.sub(replaced, text)


def values_of_failure(number: str, recipient: str, reason: str, desk: Desk, agent: NotifiedAgent) -> dict[str, Value]:
    """Placeholder -> value, for the notice that an answer could not be delivered."""
    return {
        "ticket_ticketnumber": number,
        "customer_from": recipient,
        "comment": reason,
        **desk.named_settings,
        **_reader(agent),
    }


def values_of(fact: TicketEvent, desk: Desk, agent: NotifiedAgent | None) -> dict[str, Value]:
    """Placeholder -> value, for an automatic answer (`agent` None) or an agent's notification.

    An answer repeats no text of a stranger: a forged sender would make us carry an advertisement to its victim.
    So subject, title and names are for agents, and for a sender whose domain vouched for him.
    """
    values: dict[str, Value] = {
        **desk.named_settings,
        "ticket_ticketnumber": fact.number,
        "ticket_ticketid": fact.ticket_id,
        "ticket_id": fact.ticket_id,
        "ticket_queue": fact.queue,
        "ticket_state": fact.state,
        "ticket_lock": fact.lock,
        "ticket_priority": fact.priority,
    }
    if agent is not None:
        values |= _reader(agent)
        values |= _people(fact, desk)
    if isinstance(fact, ArticleFact):
        values |= _of_mail(fact, desk, foreign=agent is not None or fact.answer.verified)
    return values


def _of_mail(fact: ArticleFact, desk: Desk, *, foreign: bool) -> dict[str, Value]:
    values: dict[str, Value] = {"email_date": lambda zone: _local(fact.received_at, zone, desk)}
    if foreign:
        sender = fact.sender
        values["ticket_title"] = fact.title
        values["customer_realname"] = sender.name or sender.address
        values["customer_from"] = f"{sender.name} <{sender.address}>" if sender.name else sender.address
        values["customer_to"] = ", ".join(party.address for party in fact.to)
        values["customer_cc"] = ", ".join(party.address for party in fact.cc)
        values["customer_subject"] = lambda size: _cut(clean(fact.subject, fact.number, desk.ticket), size)
    else:
        values["customer_realname"] = values["customer_from"] = fact.answer.address
    return values


def _people(fact: TicketEvent, desk: Desk) -> dict[str, Value]:
    """What only agents read: whose ticket it is, who did it and why."""
    actor = fact.agent if isinstance(fact, CommandFact) else ""
    people = {"owner": fact.owner, "responsible": fact.responsible, "current": actor}
    names = {name: desk.agents[login].name if login in desk.agents else login for name, login in people.items()}
    return {
        "ticket_title": fact.title,
        "ticket_owner": fact.owner,
        "ticket_responsible": fact.responsible,
        "agent_subject": fact.subject if isinstance(fact, NoteAdded) else UNKNOWN,
        "comment": (fact.why if isinstance(fact, CommandFact) else "") or UNKNOWN,
        **{f"{name}_userfullname": text or UNKNOWN for name, text in names.items()},
    }


def _reader(agent: NotifiedAgent) -> dict[str, str]:
    return {
        "notification_recipient_userfullname": agent.name,
        "notification_recipient_userfirstname": agent.name.split(" ")[0],
        "notification_recipient_userlogin": agent.login,
        "notification_recipient_useremail": agent.email,
    }


def _cut(text: str, size: str) -> str:
    """`[n]`: n characters and the mark of a cut, as OTRS has it also where the text is exactly as long."""
    if not size.isdecimal():
        return text
    kept = min(int(size[:4]), _MAX_CUT)
    return text[:kept] + " [...]" if len(text) >= kept else text


def _local(moment: datetime, zone: str, desk: Desk) -> str:
    try:
        there = ZoneInfo(zone) if zone else desk.zone
    except (ZoneInfoNotFoundError, ValueError, OSError):
        there = desk.zone
    return moment.astimezone(there).strftime("%Y-%m-%d %H:%M:%S (%Z)")
