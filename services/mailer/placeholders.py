"""The `<OTRS_…>` placeholders of texts: replaced once, in one pass, so a value is never rendered again.

A placeholder that is unknown, or whose value an answer must not repeat, becomes `-`.
"""

import html
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from shared.desk.model import Desk, NotifiedAgent
from shared.events import ArticleFact
from shared.subjects import clean

UNKNOWN = "-"
_PLACEHOLDER = re.compile(r"<OTRS_([A-Za-z0-9_:]{1,100})(?:\[([A-Za-z0-9_/+-]{1,64})\])?>")
_IN_HTML = re.compile(f"{_PLACEHOLDER.pattern}|{_PLACEHOLDER.pattern.replace('<', '&lt;').replace('>', '&gt;')}")
_MAX_CUT = 998

Value = Callable[[str], str]
"""Takes what stands in the square brackets (`24` of `[24]`; empty without) and gives the value."""


def render(text: str, values: Mapping[str, Value]) -> str:
    """The text with its placeholders replaced; names in any case."""

    def replaced(match: re.Match[str]) -> str:
        value = values.get(match[1].lower())
        return UNKNOWN if value is None else value(match[2] or "")

    return _PLACEHOLDER.sub(replaced, text)


def render_html(text: str, values: Mapping[str, Value]) -> str:
    """The same in HTML: a placeholder may be written `&lt;OTRS_…&gt;`, as editors do; a value is text, never markup."""

    def replaced(match: re.Match[str]) -> str:
        value = values.get((match[1] or match[3]).lower())
        shown = UNKNOWN if value is None else value(match[2] or match[4] or "")
        return html.escape(shown).replace("\n", "<br>\n")

    return _IN_HTML.sub(replaced, text)


def values_of_failure(number: str, recipient: str, reason: str, desk: Desk, agent: NotifiedAgent) -> dict[str, Value]:
    """Placeholder -> value, for the notice that an answer could not be delivered."""
    plain = {
        "ticket_ticketnumber": number,
        "customer_from": recipient,
        "comment": reason,
        **_settings(desk),
        **_reader(agent),
    }
    return {name: _constant(text) for name, text in plain.items()}


def values_of(fact: ArticleFact, desk: Desk, agent: NotifiedAgent | None) -> dict[str, Value]:
    """Placeholder -> value, for an automatic answer (`agent` None) or an agent's notification.

    An answer repeats no text of a stranger: a forged sender would make us carry an advertisement to its victim.
    So subject, title and names are for agents, and for a sender whose domain vouched for him.
    """
    plain: dict[str, str] = {
        "ticket_ticketnumber": fact.number,
        "ticket_ticketid": fact.ticket_id,
        "ticket_id": fact.ticket_id,
        "ticket_queue": fact.queue,
        "ticket_state": fact.state,
        "ticket_lock": fact.lock,
        **_settings(desk),
    }
    foreign = agent is not None or fact.answer.verified
    if foreign:
        sender = fact.sender
        plain["ticket_title"] = fact.title
        plain["customer_realname"] = sender.name or sender.address
        plain["customer_from"] = f"{sender.name} <{sender.address}>" if sender.name else sender.address
        plain["customer_to"] = ", ".join(party.address for party in fact.to)
        plain["customer_cc"] = ", ".join(party.address for party in fact.cc)
    else:
        plain["customer_realname"] = plain["customer_from"] = fact.answer.address
    if agent is not None:
        plain |= _reader(agent)
    values: dict[str, Value] = {name: _constant(text) for name, text in plain.items()}
    values["email_date"] = lambda zone: _local(fact.received_at, zone, desk)
    if foreign:
        values["customer_subject"] = lambda size: _cut(clean(fact.subject, fact.number, desk.ticket), size)
    return values


def _reader(agent: NotifiedAgent) -> dict[str, str]:
    return {
        "notification_recipient_userfullname": agent.name,
        "notification_recipient_userfirstname": agent.name.split(" ")[0],
        "notification_recipient_userlogin": agent.login,
        "notification_recipient_useremail": agent.email,
    }


def _settings(desk: Desk) -> dict[str, str]:
    """Settings that a text may name; none of them is a secret."""
    named = {
        "Ticket::Hook": desk.ticket.hook,
        "Ticket::HookDivider": desk.ticket.hook_divider,
        "SystemID": desk.ticket.system_id,
        "NotificationSenderName": desk.notifications.sender_name,
        "NotificationSenderEmail": desk.notifications.sender_email,
        "DefaultLanguage": desk.language,
        "OTRSTimeZone": desk.time_zone,
    }
    return {f"config_{name.lower()}": value for name, value in named.items()}


def _constant(text: str) -> Value:
    return lambda _: text


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
