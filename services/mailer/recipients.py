"""The automatic answer that a fact asks for, and addresses as SMTP takes them. Whether it is withheld: `loops`."""

import re
from enum import StrEnum
from functools import lru_cache
from typing import Literal, NamedTuple

import idna

from shared.desk.model import AutoResponse, AutoResponseType, Desk, Language, Mailbox, Refusal
from shared.events import ArticleFact, FollowUpRejected, MailRefused, TicketCreated, TicketEvent

_LOCAL = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_DOMAIN = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?\.)*[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?")


class MailKind(StrEnum):
    AUTO_RESPONSE = "auto_response"
    NOTIFICATION = "notification"
    REPLY = "reply"


class Answer(NamedTuple):
    """The automatic answer a fact asks for, or the notice of a filter that refused the mail (`name`: of either).
    `recipient`: as the dispatcher gave it, empty when it withheld one; `queue`: the one whose answer it is, `language`
    of its customers."""

    rule: AutoResponseType | Literal["refusal"]
    recipient: str
    name: str
    response: AutoResponse | Refusal | None
    sender: Mailbox | None
    queue: str
    language: Language


def queue_of(fact: TicketEvent, desk: Desk) -> str:
    """The fact's queue; the default one where this desk does not know it."""
    return fact.queue if desk.queue(fact.queue) else desk.default_queue


def answer_for(fact: ArticleFact, desk: Desk) -> Answer:
    """The answer that the fact asks for, whether its queue has one or not."""
    queue = queue_of(fact, desk)
    sender, language = ascii_sender(desk.sender_of_queue(queue)), desk.language_of_queue(queue)
    if isinstance(fact, MailRefused):
        refuses = desk.filters.get(fact.refused_by)
        notice = refuses.refuse if refuses else None
        return Answer(
            "refusal", fact.answer.address, fact.refused_by if notice else "", notice, sender, queue, language
        )
    rule = _rule(fact)
    name, response = desk.auto_response(queue, rule) or ("", None)
    return Answer(rule, fact.answer.address, name, response, sender, queue, language)


def _rule(fact: ArticleFact) -> AutoResponseType:
    match fact:
        case TicketCreated(follows=""):
            return "auto_reply"
        case TicketCreated():
            return "auto_reply_new_ticket"
        case FollowUpRejected():
            return "auto_reject"
        case _ if fact.state.startswith("removed"):  # by this mail: no other adds to a ticket that was removed before
            return "auto_remove"
        case _:
            return "auto_follow_up"


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


def ascii_sender(sender: Mailbox | None) -> Mailbox | None:
    """The sender with its address as SMTP takes it; None where there is none that it takes."""
    address = deliverable(sender.address) if sender else ""
    return Mailbox(sender.name, address) if sender and address else None
