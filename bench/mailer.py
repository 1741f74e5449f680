"""CPU of writing one mail: `python bench/mailer.py [N]` prints microseconds a mail, for an answer and a notification.

Composing only: no database, no SMTP. The numbers of the tickets differ, as in life.
"""

import sys
import time
from datetime import UTC, datetime

from services.mailer.letters import Desktop, write_answer, write_notification
from services.mailer.recipients import answer_for, notifications_for
from shared import message_ids
from shared.desk.model import Desk
from shared.events import Answer, Kind, Origin, Party, TicketCreated

MOMENT = datetime(2026, 11, 24, 12, 30, tzinfo=UTC)
DESK = Desk.model_validate(
    {
        "language": "pt-BR",
        "queues": {"suporte": {"agents": ["ana"]}},
        "system_addresses": {"suporte@empresa.example": {"name": "Suporte Empresa", "queue": "suporte"}},
        "auto_responses": {
            "recebido": {
                "type": "auto_reply",
                "queues": ["suporte"],
                "subject": "Recebemos sua mensagem, e há acentuação",
                "text": "recebido.txt",
            }
        },
        "agents": {"ana": {"name": "Ana Lima", "email": "ana@empresa.example"}},
    }
)
TEXT = "Olá,\n\nrecebemos sua mensagem e abrimos o chamado <OTRS_TICKET_TicketNumber>.\n\nAté já,\nSuporte\n"
KEYS = [b"0123456789abcdef0123456789abcdef"]


def fact(number: int) -> TicketCreated:
    return TicketCreated(
        ticket_id=str(number),
        number=f"2026112410{number:06d}",
        sequence=1,
        queue="suporte",
        title="Dúvida sobre a fatura",
        state="new",
        occurred_at=MOMENT,
        article_id=str(number),
        account="caixa",
        origin=Origin.LIVE,
        kind=Kind.HUMAN,
        sender=Party("Cliente", "cliente@kunde.example"),
        subject="Dúvida sobre a fatura",
        message_id=f"<{number}@kunde.example>",
        references=[f"<{number - 1}@kunde.example>", f"<{number}@kunde.example>"],
        answer=Answer(address="cliente@kunde.example"),
        received_at=MOMENT,
    )


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
    facts = [fact(number) for number in range(1, count + 1)]

    def sign(ticket: str, delivery: str, domain: str) -> str:
        return message_ids.sign(ticket, delivery, domain, KEYS)

    desktop = Desktop(DESK, {"recebido.txt": TEXT}, sign)
    began = time.process_time()
    for number, each in enumerate(facts, 1):
        write_answer(each, answer_for(each, DESK), each.answer.address, message_ids.key_of(str(number)), desktop)
    answers = time.process_time() - began
    began = time.process_time()
    for number, each in enumerate(facts, 1):
        write_notification(each, notifications_for(each, DESK)[0], message_ids.key_of(str(number)), desktop)
    notifications = time.process_time() - began
    print(f"answer {answers / count * 1e6:.0f} us, notification {notifications / count * 1e6:.0f} us ({count} each)")


if __name__ == "__main__":
    main()
