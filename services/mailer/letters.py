"""From a fact and its reader to the finished mail: text, subject, thread and signed identifier put together.

Pure, and nothing in the mail is of the moment in which it is written: its Date is the fact's, its identifier comes
from the fact's and the delivery's keys. A mailer whose database went back composes the same bytes again.
"""

import html
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from services.mailer.audience import Notification
from services.mailer.compose import Letter, compose, thread, valid_id
from services.mailer.placeholders import render, render_html, values_of, values_of_failure
from services.mailer.recipients import Answer, deliverable
from services.mailer.texts import Text, shipped
from shared import subjects
from shared.desk.model import AutoResponse, Desk, Mailbox, NotifiedAgent, Queue, Refusal
from shared.events import AgentReplied, ArticleFact, TicketEvent
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
    envelope = (answer.sender, Mailbox("", address))
    text = _text_of_answer(answer, answer.response, desktop)
    return _write(fact, None, envelope, text=text, delivery=delivery, desktop=desktop)


def _text_of_answer(answer: Answer, response: AutoResponse | Refusal, desktop: Desktop) -> Text:
    """The desk's words, or the shipped ones, between the queue's salutation and signature; a refusal's stand alone."""
    if isinstance(response, Refusal):
        return Text(response.subject, response.text + "\n")
    own = shipped(answer.rule, answer.language)
    body = desktop.texts.get(response.text, "") if response.text else own.body
    queue = desktop.desk.queue(answer.queue) or Queue()
    before, behind = (desktop.texts.get(each or "", "").rstrip() for each in (queue.salutation, queue.signature))
    markup = desktop.texts.get(response.html, "") if response.html else ""
    if not before and not behind:
        return Text(response.subject or own.subject, body, markup)
    parts = [part for part in (before, body.rstrip(), behind) if part]
    if markup:
        markup = "".join((_paragraph(before), markup, _paragraph(behind)))
    return Text(response.subject or own.subject, "\n\n".join(parts) + "\n", markup)


def _paragraph(text: str) -> str:
    return "<p>" + html.escape(text).replace("\n", "<br>\n") + "</p>\n" if text else ""


def write_notification(fact: TicketEvent, notification: Notification, delivery: str, desktop: Desktop) -> Mail:
    """A notification that is to be sent: it has its sender."""
    reader = notification.reader
    envelope = _envelope(notification)
    text = _text(notification, desktop)
    agent = None if notification.customer else reader
    return _write(fact, agent, envelope, text=text, delivery=delivery, desktop=desktop)


def _envelope(notification: Notification) -> Envelope:
    if notification.sender is None:
        raise ValueError("a notification without a sender is suppressed, not written")
    name, address = notification.reader.name, notification.reader.email
    return notification.sender, Mailbox("" if name == address else name, address)


def _text(notification: Notification, desktop: Desktop) -> Text:
    wording = notification.wording
    if wording is None:
        return shipped(notification.event, notification.reader.language)
    return Text(wording.subject, desktop.texts.get(wording.text, ""))


class Failed(NamedTuple):
    """An answer that failed for good. `message_id`: its own; `reason`: our word and the SMTP code; the ticket's queue,
    owner and responsible when it was written (empty: nobody, or not known)."""

    event_id: str
    recipient: str
    ticket_id: int
    ticket_number: str
    sender: str
    message_id: str
    reason: str
    failed_at: datetime
    queue: str
    owner: str
    responsible: str


def write_failure(failed: Failed, notification: Notification, delivery: str, desktop: Desktop) -> Mail:
    """The notice to an agent of a mail that could not be delivered."""
    desk, agent = desktop.desk, notification.reader
    sender, recipient = _envelope(notification)
    values = values_of_failure(failed.ticket_number, failed.recipient, failed.reason, desk, agent)
    text = _text(notification, desktop)
    domain = sender.address.rpartition("@")[2]
    ticket = failed.message_id.split(".")[1]  # <c1.TICKET.DELIVERY.MAC@domain>
    message_id, stable = (_signed(desktop.sign, ticket, each, domain) for each in (delivery, STABLE))
    letter = Letter(
        sender=sender,
        recipient=recipient,
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
    fact: TicketEvent, agent: NotifiedAgent | None, envelope: Envelope, *, text: Text, delivery: str, desktop: Desktop
) -> Mail:
    sender, recipient = envelope
    desk = desktop.desk
    values = values_of(fact, desk, agent)
    domain = sender.address.rpartition("@")[2]
    ticket = fact.ticket_key or key_of("ticket", fact.ticket_id)  # of a fact from before there were keys
    message_id = _signed(desktop.sign, ticket, delivery, domain)
    stable = _signed(desktop.sign, ticket, STABLE, domain)
    # agents never had the customer's mail: what holds their thread together is the ticket's own reference
    mail = fact if isinstance(fact, ArticleFact) and not agent else None
    parent = mail.message_id if mail else stable
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
            references=thread(mail.references, parent, stable) if mail else [stable],
            date=fact.occurred_at,
            answer=agent is None,
            loop_mark=desk.ticket.system_id,
            reply_to="" if agent else _plus(sender, fact.number, desk),
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
        reply_to=_plus(sender, fact.number, desk),
    )
    return Mail(compose(letter), message_id)


def _plus(sender: Mailbox, number: str, desk: Desk) -> str:
    """Where replies find their ticket though subject and ids are lost; empty where the desk does not want it."""
    local, _, domain = sender.address.rpartition("@")
    return f"{local}+{number}@{domain}" if desk.ticket.plus_address and number and len(local) + len(number) < 64 else ""


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
