"""The facts that ticketing states about mails and tickets, as they travel on `ticket.events.v1`. Pure."""

from datetime import datetime
from itertools import islice
from typing import Any

from services.ticketing.batch import Article, Mail, Ticket
from services.ticketing.replies import Addressed
from shared.events import (
    AgentReplied,
    ArticleAdded,
    Check,
    FollowUpRejected,
    MailOversize,
    MailRefused,
    Party,
    TicketCreated,
)

# a fact must fit into a Kafka record whatever a stranger wrote: the article has it all
_MOST_PARTIES = 100
_MOST_REFERENCES = 50
LONGEST_SUBJECT = 998  # RFC 5322 section 2.1.1
_MOST_FIELDS, _LONGEST_VALUE = 50, 500


def created(
    mail: Mail, ticket: Ticket, article: Article, moment: datetime, *, follows: Ticket | None, claims: str, silent: bool
) -> TicketCreated:
    return TicketCreated(
        **_shared(mail, ticket, article, moment),
        silent=silent,
        follows=str(follows.id) if follows else "",
        claims=claims,
    )


def added(
    mail: Mail, ticket: Ticket, article: Article, moment: datetime, check: str, *, reopened: bool
) -> ArticleAdded:
    return ArticleAdded(**_shared(mail, ticket, article, moment), check=check, reopened=reopened)


def rejected(mail: Mail, ticket: Ticket, article: Article, moment: datetime, check: str) -> FollowUpRejected:
    return FollowUpRejected(**_shared(mail, ticket, article, moment), check=check)


def refused(mail: Mail, queue: str, moment: datetime) -> MailRefused:
    """The key that the mail's ticket would have had signs the notice."""
    none = Ticket(0, "", queue, "", "", "", "", 0, "", "", key=mail.ticket_key)
    article = Article(0, 0, mail)
    return MailRefused(**_shared(mail, none, article, moment), refused_by=mail.event.new.refused_by)


def replied(ticket: Ticket, article_id: int, moment: datetime, agent: str, head: Addressed) -> AgentReplied:
    """An agent answered by mail."""
    return AgentReplied(**of_ticket(ticket, moment), agent=agent, **reply_of(article_id, head))


def reply_of(article_id: int, head: Addressed) -> dict[str, Any]:
    """What the fact of an answer says besides its ticket and its agent."""
    return {
        "article_id": str(article_id),
        "sender": Party(head.sender.name, head.sender.address),
        "to": head.to,
        "cc": head.cc,
        "subject": head.subject[:LONGEST_SUBJECT],
        "in_reply_to": head.in_reply_to,
        "references": head.references[-_MOST_REFERENCES:],
    }


def oversize(mail: Mail) -> MailOversize:
    event = mail.event
    return MailOversize(
        transport_key=event.transport_key,
        account=event.account,
        folder=event.folder,
        uid=event.uid,
        size=event.size,
        sender=event.sender,
        subject=event.subject[:LONGEST_SUBJECT],
        received_at=event.received_at,
    )


def _shared(mail: Mail, ticket: Ticket, article: Article, moment: datetime) -> dict[str, Any]:
    event = mail.event
    named = [*event.references, *event.in_reply_to, *([event.message_id] if event.message_id else [])]
    oldest_first = list(dict.fromkeys(reversed(named)))[::-1]
    return {
        **of_ticket(ticket, moment),
        "article_id": str(article.id),
        "account": event.account,
        "origin": event.origin,
        "kind": event.classification.kind,
        "sender": event.sender,
        "to": event.to[:_MOST_PARTIES],
        "cc": event.cc[:_MOST_PARTIES],
        "subject": event.subject[:LONGEST_SUBJECT],
        "message_id": event.message_id,
        "references": oldest_first[-_MOST_REFERENCES:],
        "answer": event.answer,
        "bounced": event.classification.bounced[:_MOST_PARTIES],
        "bounce_of": next((each.value for each in event.candidates if each.check is Check.BOUNCE), ""),
        "received_at": event.received_at,
        "type": ticket.type,
        "service": ticket.service,
        "sla": ticket.sla,
        "customer_no": ticket.customer_no,
        "pending_until": ticket.pending_until,
        "dynamic_fields": {
            name: value[:_LONGEST_VALUE] for name, value in islice(ticket.dynamic_fields.items(), _MOST_FIELDS)
        },
        "visible": article.visible,
    }


def of_ticket(ticket: Ticket, moment: datetime) -> dict[str, Any]:
    """What every fact says of its ticket."""
    return {
        "ticket_id": str(ticket.id),
        "ticket_key": ticket.key,
        "number": ticket.number,
        "sequence": ticket.sequence,
        "queue": ticket.queue,
        "title": ticket.title[:LONGEST_SUBJECT],
        "state": ticket.state,
        "priority": ticket.priority,
        "lock": ticket.lock,
        "owner": ticket.owner,
        "responsible": ticket.responsible,
        "watchers": ticket.watchers,
        "tags": ticket.tags,
        "customer_user": ticket.customer_user,
        "occurred_at": moment,
    }
