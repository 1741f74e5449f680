"""Whom a fact about a ticket leads to: the automatic answer of its queue, and the queue's agents.

A fact in, a list out; whether an answer is then withheld is `loops`. Nobody is told the same twice.
"""

import re
from enum import StrEnum
from functools import lru_cache
from typing import Literal, NamedTuple

import idna

from shared.desk.model import AutoResponse, AutoResponseType, Desk, Mailbox, NotifiedAgent, Refusal
from shared.events import ArticleFact, FollowUpRejected, Kind, MailRefused, Origin, TicketCreated

_LOCAL = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_DOMAIN = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?\.)*[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?")


class MailKind(StrEnum):
    AUTO_RESPONSE = "auto_response"
    NOTIFICATION = "notification"
    REPLY = "reply"


class Occasion(StrEnum):
    """Why agents are told; a folder of `templates/` each."""

    NEW_TICKET = "new_ticket"
    FOLLOW_UP = "follow_up"
    DELIVERY_FAILURE = "delivery_failure"


class Answer(NamedTuple):
    """The automatic answer a fact asks for, or the notice of a filter that refused the mail (`name`: of either).
    `recipient`: as the dispatcher gave it, empty when it withheld one."""

    rule: AutoResponseType | Literal["refusal"]
    recipient: str
    name: str
    response: AutoResponse | Refusal | None
    sender: Mailbox | None


class Notification(NamedTuple):
    occasion: Occasion
    agent: NotifiedAgent
    sender: Mailbox


def queue_of(fact: ArticleFact, desk: Desk) -> str:
    """The fact's queue; the default one where this desk does not know it."""
    return fact.queue if desk.queue(fact.queue) else desk.default_queue


def answer_for(fact: ArticleFact, desk: Desk) -> Answer:
    """The answer that the fact asks for, whether its queue has one or not."""
    queue = queue_of(fact, desk)
    sender = _ascii_sender(desk.sender_of_queue(queue))
    if isinstance(fact, MailRefused):
        refuses = desk.filters.get(fact.refused_by)
        notice = refuses.refuse if refuses else None
        return Answer("refusal", fact.answer.address, fact.refused_by if notice else "", notice, sender)
    rule = _rule(fact)
    name, response = desk.auto_response(queue, rule) or ("", None)
    return Answer(rule, fact.answer.address, name, response, sender)


def _rule(fact: ArticleFact) -> AutoResponseType:
    match fact:
        case TicketCreated(follows=""):
            return "auto_reply"
        case TicketCreated():
            return "auto_reply_new_ticket"
        case FollowUpRejected():
            return "auto_reject"
        case _:
            return "auto_follow_up"


def notifications_for(fact: ArticleFact, desk: Desk) -> list[Notification]:
    """The agents who are told. Silent: what was refused, backfill, loops, floods, mail from an address of ours, and
    bounces, which may be those of notifications. Other automatic mail is told, but not to the agent it comes from: his
    absence note would answer the notification, and be notified, for ever."""
    if isinstance(fact, MailRefused) or fact.silent:
        return []
    if fact.origin is Origin.BACKFILL or fact.kind in (Kind.LOOP, Kind.BOUNCE):
        return []
    author = fact.sender.address.lower()
    if author in desk.own_addresses:
        return []
    sender = _ascii_sender(Mailbox(desk.notifications.sender_name, desk.notifications.sender_email))
    if sender is None:
        return []
    skipped = author if fact.kind is not Kind.HUMAN else None
    occasion = Occasion.NEW_TICKET if isinstance(fact, TicketCreated) else Occasion.FOLLOW_UP
    told: dict[str, Notification] = {}
    for agent in desk.agents_of_queue(queue_of(fact, desk)):
        address = deliverable(agent.email)
        if address and address.lower() != skipped:
            told.setdefault(address.lower(), Notification(occasion, agent._replace(email=address), sender))
    return list(told.values())


def told_of_failure(sender: str, desk: Desk) -> list[Notification]:
    """The agents who learn that an answer from this address failed: those of its queue."""
    own = _ascii_sender(Mailbox(desk.notifications.sender_name, desk.notifications.sender_email))
    queue = desk.queue_for_recipient(sender)
    if own is None or queue is None:
        return []
    told: dict[str, Notification] = {}
    for agent in desk.agents_of_queue(queue):
        address = deliverable(agent.email)
        if address and address.lower() not in desk.own_addresses:
            agent_ = agent._replace(email=address)
            told.setdefault(address.lower(), Notification(Occasion.DELIVERY_FAILURE, agent_, own))
    return list(told.values())


@lru_cache(maxsize=4096)  # asked ten times for each mail
def deliverable(address: str) -> str:
    """The address as SMTP takes it without SMTPUTF8: dot-atom local part, domain in A-labels (RFC 5890); empty for
    an address that cannot be had so. Domains in brackets and quoted local parts are none of a customer's."""
    local, _, domain = address.rpartition("@")
    if not domain.isascii():
        try:
            domain = idna.encode(domain, uts46=True).decode("ascii")
        except (idna.IDNAError, UnicodeError):
            return ""
    if len(local) > 64 or len(domain) > 253 or not _LOCAL.fullmatch(local) or not _DOMAIN.fullmatch(domain):
        return ""
    return f"{local}@{domain}"


def _ascii_sender(sender: Mailbox | None) -> Mailbox | None:
    address = deliverable(sender.address) if sender else ""
    return Mailbox(sender.name, address) if sender and address else None
