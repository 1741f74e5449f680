"""Where a mail is: one row a place it can be in, and the order of its steps."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ops.steps import Mail, place, steps
from ops.tracing import Sought, sought
from shared.kafka.record import Record
from shared.topics import DISPATCHED, RECEIVED

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
KEY = "ab" * 32


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def claim(outcome: str = "ticket_created", number: str | None = "2026030110000017") -> dict[str, Any]:
    return {
        "outcome": outcome,
        "number": number,
        "queue": "suporte",
        "account": "caixa",
        "folder": "INBOX",
        "uid": "7",
        "received_at": at(0),
        "settled_at": at(3),
        "action": "dispatch",
        "kind": "human",
        "reason": "",
        "event_id": "e1",
    }


def letter(state: str) -> dict[str, Any]:
    row = {"id": "17", "state": state, "reason": "undecided", "topic": RECEIVED, "partition": 3, "offset": "9"}
    return row | {"received_at": at(2), "decided_by": "olga"}


def delivery(state: str) -> dict[str, Any]:
    return {
        "delivery_id": "5",
        "kind": "auto_response",
        "rule": "auto_reply",
        "recipient": "ana@kunde.example",
        "state": state,
        "reason": "",
        "smtp_class": "accepted",
        "smtp_code": 250,
        "attempts": 1,
        "created_at": at(5),
        "due_at": at(65),
        "sent_at": at(6) if state == "sent" else None,
        "failed_at": None,
    }


def record(topic: str, seconds: float) -> Record:
    return Record(topic, 3, 9, b"", b"", (), int(at(seconds).timestamp() * 1000))


CREATED = "ticket_created, ticket 2026030110000017"
PLACES = [
    (Mail(KEY), "not settled, and not found on Kafka"),
    (
        Mail(KEY, records={RECEIVED: record(RECEIVED, 1)}),
        "waits on mail.received.v1 for the dispatcher: see `carteiro status`",
    ),
    (
        Mail(KEY, records={RECEIVED: record(RECEIVED, 1), DISPATCHED: record(DISPATCHED, 2)}),
        "waits on mail.dispatched.v1 for the ticketing: see `carteiro status`",
    ),
    (
        Mail(KEY, letters=[letter("open")]),
        "set aside (undecided) and waits for a decision: `carteiro deadletters show 17`",
    ),
    (Mail(KEY, letters=[letter("discarded")]), "not settled; dead letter 17 discarded"),
    (Mail(KEY, claim("ignored", None)), "done: ignored"),
    (Mail(KEY, claim(), published=False), f"{CREATED}; its event waits in the outbox for the relay"),
    (Mail(KEY, claim()), f"{CREATED}; its event waits on ticket.events.v1 for the mailer"),
    (Mail(KEY, claim(), claimed=at(5)), f"done: {CREATED}; mails of ours: none"),
    (
        Mail(KEY, claim(), claimed=at(5), deliveries=[delivery("deferred"), delivery("sent")]),
        f"{CREATED}; mails of ours: 1 deferred, 1 sent",
    ),
    (Mail(KEY, claim(), claimed=at(5), deliveries=[delivery("sent")]), f"done: {CREATED}; mails of ours: 1 sent"),
]


@pytest.mark.parametrize(("mail", "where"), PLACES)
def test_where_a_mail_is_now(mail: Mail, where: str) -> None:
    assert place(mail) == where


def test_the_steps_come_in_order_of_time() -> None:
    records = {RECEIVED: record(RECEIVED, 1), DISPATCHED: record(DISPATCHED, 2.5)}
    mail = Mail(KEY, claim(), records, claimed=at(4), deliveries=[delivery("sent")], letters=[letter("replayed")])
    found = steps(mail)
    names = ["arrived", "fetched", "dead_letter", "dispatched", "settled", "event", "delivery"]
    assert [step.step for step in found] == names
    assert [step.what for step in found] == [
        "account caixa, INBOX, 7",
        "mail.received.v1, partition 3, offset 9",
        "17: undecided (mail.received.v1, partition 3, offset 9, replayed by olga)",
        "mail.dispatched.v1, partition 3, offset 9",
        "ticket_created 2026030110000017 in suporte (dispatch, human)",
        "e1: claimed by the mailer",
        "5: auto_response auto_reply to ana@kunde.example: sent (accepted 250, 1 attempts)",
    ]


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("<a@b.example>", Sought(message_id="a@b.example")),
        (" a@b.example ", Sought(message_id="a@b.example")),
        (KEY.upper(), Sought(key=KEY)),
        (KEY[:32], Sought(event=KEY[:32])),
        ("Ticket#2026030110000017", Sought(number="2026030110000017")),
        ("17", Sought(number="17")),
    ],
)
def test_what_is_pasted_is_known_by_its_look(written: str, found: Sought) -> None:
    assert sought(written) == found
