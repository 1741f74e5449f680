"""From a fact and its reader to the finished mail: text, subject, thread and signed identifier put together.

Pure, and nothing in the mail is of the moment in which it is written: its Date is the fact's, its identifier comes
from the fact's and the delivery's keys. A mailer whose database went back composes the same bytes again.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from services.mailer.compose import Letter, compose, thread, valid_id
from services.mailer.placeholders import render, render_html, values_of, values_of_failure
from services.mailer.recipients import Answer, Notification, deliverable
from services.mailer.texts import Text, shipped
from shared import subjects
from shared.desk.model import Desk, Mailbox, NotifiedAgent, Refusal
from shared.events import AgentReplied, ArticleFact
from shared.message_ids import STABLE, key_of

Sign = Callable[[str, str, str], str]
"""Key of the ticket, key of the delivery, domain -> a signed Message-ID with its angle brackets; ValueError when it is
too long."""

Envelope = tuple[Mailbox, Mailbox]
"""Sender and recipient."""


@dataclass(frozen=True)
class Desktop:
    """What letters are written with: the desk, the texts it names (by file), the signing of identifiers."""

    desk: Desk
    texts: Mapping[str, str]
    sign: Sign


@dataclass(frozen=True)
class Mail:
    """Bytes and identifier of a mail."""

    raw: bytes
    message_id: str


def write_answer(fact: ArticleFact, answer: Answer, address: str, delivery: str, desktop: Desktop) -> Mail:
    """An automatic answer that is to be sent: `answer` has its response and its sender."""
    if answer.response is None or answer.sender is None:
        raise ValueError("an answer without text or sender is suppressed, not written")
    response = answer.response
    if isinstance(response, Refusal):
        text = Text(response.subject, response.text + "\n")
    else:
        html = desktop.texts.get(response.html, "") if response.html else ""
        text = Text(response.subject, desktop.texts.get(response.text, ""), html)
    return _write(fact, None, (answer.sender, Mailbox("", address)), text=text, delivery=delivery, desktop=desktop)


def write_notification(fact: ArticleFact, notification: Notification, delivery: str, desktop: Desktop) -> Mail:
    agent = notification.agent
    text = shipped(notification.occasion, agent.language)
    envelope = (notification.sender, Mailbox(agent.name, agent.email))
    return _write(fact, agent, envelope, text=text, delivery=delivery, desktop=desktop)


class Failed(NamedTuple):
    """An answer that failed for good. `message_id`: its own; `reason`: our word and the SMTP code."""

    event_id: str
    recipient: str
    ticket_id: int
    ticket_number: str
    sender: str
    message_id: str
    reason: str
    failed_at: datetime


def write_failure(failed: Failed, notification: Notification, delivery: str, desktop: Desktop) -> Mail:
    """The notice to an agent of a mail that could not be delivered."""
    desk, agent, sender = desktop.desk, notification.agent, notification.sender
    values = values_of_failure(failed.ticket_number, failed.recipient, failed.reason, desk, agent)
    text = shipped(notification.occasion, agent.language)
    domain = sender.address.rpartition("@")[2]
    ticket = failed.message_id.split(".")[1]  # <c1.TICKET.DELIVERY.MAC@domain>
    message_id, stable = (_signed(desktop.sign, ticket, each, domain) for each in (delivery, STABLE))
    letter = Letter(
        sender=sender,
        recipient=Mailbox(agent.name, agent.email),
        subject=subjects.build(render(text.subject, values), failed.ticket_number, desk.ticket, action="new"),
        text=render(text.body, values),
        html="",
        message_id=message_id,
        in_reply_to=stable,
        references=[stable],
        date=failed.failed_at,
        answer=False,
        loop_mark=desk.ticket.system_id,
    )
    return Mail(compose(letter), message_id)


def _write(
    fact: ArticleFact, agent: NotifiedAgent | None, envelope: Envelope, *, text: Text, delivery: str, desktop: Desktop
) -> Mail:
    sender, recipient = envelope
    desk = desktop.desk
    values = values_of(fact, desk, agent)
    domain = sender.address.rpartition("@")[2]
    ticket = fact.ticket_key or key_of("ticket", fact.ticket_id)  # of a fact from before there were keys
    message_id = _signed(desktop.sign, ticket, delivery, domain)
    stable = _signed(desktop.sign, ticket, STABLE, domain)
    # agents never had the customer's mail: what holds their thread together is the ticket's own reference
    parent = stable if agent else fact.message_id
    subject = render(text.subject, values)
    if fact.number:  # a mail that was refused has none
        subject = subjects.build(subject, fact.number, desk.ticket, action="new")
    raw = compose(
        Letter(
            sender=sender,
            recipient=recipient,
            subject=subject,
            text=render(text.body, values),
            html=render_html(text.html, values) if text.html else "",
            message_id=message_id,
            in_reply_to=parent if valid_id(parent) else "",
            references=[stable] if agent else thread(fact.references, parent, stable),
            date=fact.occurred_at,
            answer=agent is None,
            loop_mark=desk.ticket.system_id,
        )
    )
    return Mail(raw, message_id)


def write_reply(fact: AgentReplied, text: str, address: str, delivery: str, desktop: Desktop) -> Mail:
    """An agent's answer, as it goes to this one of its recipients."""
    desk = desktop.desk
    sender = Mailbox(fact.sender.name, deliverable(fact.sender.address))
    domain = sender.address.rpartition("@")[2]
    ticket = fact.ticket_key or key_of("ticket", fact.ticket_id)
    message_id, stable = (_signed(desktop.sign, ticket, each, domain) for each in (delivery, STABLE))
    to, cc = (
        [Mailbox(each.name, shown) for each in parties if (shown := deliverable(each.address))]
        for parties in (fact.to, fact.cc)
    )
    letter = Letter(
        sender=sender,
        recipient=Mailbox("", address),
        subject=subjects.build(fact.subject, fact.number, desk.ticket, action="reply"),
        text=text,
        html="",
        message_id=message_id,
        in_reply_to=fact.in_reply_to if valid_id(fact.in_reply_to) else stable,
        references=thread(fact.references, fact.in_reply_to, stable),
        date=fact.occurred_at,
        answer=False,
        loop_mark=desk.ticket.system_id,
        to=to,
        cc=cc,
        by_agent=True,
    )
    return Mail(compose(letter), message_id)


def _signed(sign: Sign, ticket: str, delivery: str, domain: str) -> str:
    """The id; of a domain with which it would be too long only the last labels. Raises ValueError when not even the
    last one fits."""
    while True:
        try:
            return sign(ticket, delivery, domain)
        except ValueError:
            _, dot, domain = domain.partition(".")
            if not dot:
                raise
