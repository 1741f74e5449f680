"""A desk and a fact for tables: each test changes the one thing it is about."""

from datetime import UTC, datetime
from typing import Any

import msgspec

from shared import message_ids
from shared.desk.model import Desk
from shared.events import Answer, ArticleAdded, FollowUpRejected, Kind, MailRefused, Origin, Party, TicketCreated

MOMENT = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
KEYS = [b"a key of sixteen or more characters"]
TEXTS = {"recebido.txt": "Olá <OTRS_CUSTOMER_REALNAME>,\n\nseu chamado é <OTRS_TICKET_TicketNumber>.\n"}


def desk(**changes: Any) -> Desk:
    return Desk.model_validate(
        {
            "language": "pt-BR",
            "time_zone": "America/Sao_Paulo",
            "queues": {"suporte": {"agents": ["ana", "bruno"]}, "comercial": {"agents": ["ana"]}, "muda": {}},
            "system_addresses": {
                "suporte@empresa.example": {"name": "Suporte Empresa", "queue": "suporte"},
                "comercial@empresa.example": {"name": "Comercial", "queue": "comercial"},
            },
            "outbound": {"padrao": {"type": "smtp", "host": "127.0.0.1", "default": True}},
            "auto_responses": {
                "recebido": {
                    "type": "auto_reply",
                    "queues": ["suporte", "muda"],
                    "subject": "Recebemos sua mensagem",
                    "text": "recebido.txt",
                },
                "de-novo": {
                    "type": "auto_reply_new_ticket",
                    "queues": ["suporte"],
                    "subject": "Um chamado novo",
                    "text": "recebido.txt",
                },
                "recusado": {
                    "type": "auto_reject",
                    "queues": ["suporte"],
                    "subject": "Recusado",
                    "text": "recebido.txt",
                },
                "removido": {"type": "auto_remove", "queues": ["suporte"]},
                "obrigado": {
                    "type": "auto_follow_up",
                    "queues": ["suporte"],
                    "subject": "Obrigado",
                    "text": "recebido.txt",
                },
            },
            "notifications": {"sender_name": "Central de Chamados", "sender_email": "chamados@empresa.example"},
            "agents": {
                "ana": {"name": "Ana Lima", "email": "ana@empresa.example"},
                "bruno": {"name": "Bruno Reis", "email": "bruno@empresa.example", "language": "en"},
            },
            **changes,
        }
    )


TICKET = message_ids.key_of("ticket", "m1")

_CREATED = TicketCreated(
    ticket_id="17",
    ticket_key=TICKET,
    number="2026030110000017",
    sequence=1,
    queue="suporte",
    title="Ação",
    state="new",
    occurred_at=MOMENT,
    article_id="23",
    account="caixa",
    origin=Origin.LIVE,
    kind=Kind.HUMAN,
    sender=Party("Cliente Um", "cliente@kunde.example"),
    to=[Party("", "suporte@empresa.example")],
    subject="Ação",
    message_id="<m1@kunde.example>",
    references=["<m0@kunde.example>", "<m1@kunde.example>"],
    answer=Answer(address="cliente@kunde.example"),
    received_at=MOMENT,
)


def created(**changes: Any) -> TicketCreated:
    return msgspec.structs.replace(_CREATED, **changes)


def added(**changes: Any) -> ArticleAdded:
    facts = {**msgspec.structs.asdict(_CREATED), "check": "references", **changes}
    facts.pop("follows")
    facts.pop("claims")
    return ArticleAdded(**facts)


def rejected(**changes: Any) -> FollowUpRejected:
    facts = {**msgspec.structs.asdict(_CREATED), "check": "references", "state": "closed successful", **changes}
    facts.pop("follows")
    facts.pop("claims")
    return FollowUpRejected(**facts)


def refused(**changes: Any) -> MailRefused:
    """By the filter `portal`, which `REFUSING` has."""
    facts = {**msgspec.structs.asdict(_CREATED), "refused_by": "portal", "ticket_id": "0", "article_id": "0"}
    facts |= {"number": "", "sequence": 0, "title": "", "state": "", "lock": "", **changes}
    facts.pop("follows")
    facts.pop("claims")
    return MailRefused(**facts)


REFUSING = {
    "portal": {
        "match": [{"header": "Subject", "pattern": "x"}],
        "refuse": {"subject": "Não recebido", "text": "Escreva pelo portal, <OTRS_CUSTOMER_REALNAME>."},
    }
}


def sign(ticket: str, delivery: str, domain: str) -> str:
    return message_ids.sign(ticket, delivery, domain, KEYS)
