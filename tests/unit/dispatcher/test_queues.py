"""Which queue takes a mail: the account's, else the first recipient's, else the default one."""

import pytest

from services.dispatcher.queues import queue_of
from shared.desk.model import Desk
from shared.mime import parse

ACCOUNT = {"type": "imaps", "host": "h", "user": "u", "password": {"secret": "s"}}
DESK = Desk.model_validate(
    {
        "queues": {"suporte": {}, "comercial": {}},
        "system_addresses": {
            "suporte@empresa.example": {"name": "S", "queue": "suporte"},
            "comercial@empresa.example": {"name": "C", "queue": "comercial"},
        },
        "accounts": {"by_to": {**ACCOUNT, "dispatch": "by_to"}, "fixed": {**ACCOUNT, "queue": "comercial"}},
    }
)


@pytest.mark.parametrize(
    ("headers", "queue"),
    [
        ("To: Suporte <SUPORTE@Empresa.Example>", "suporte"),
        ("To: x@y.example, comercial@empresa.example, suporte@empresa.example", "comercial"),
        ("Cc: suporte@empresa.example\nTo: comercial@empresa.example", "comercial"),
        ("Cc: suporte@empresa.example\nTo: x@y.example", "suporte"),
        ("To: comercial@empresa.example\nResent-To: suporte@empresa.example", "suporte"),
        ("To: comercial@empresa.example\nEnvelope-To: suporte@empresa.example", "suporte"),
        ("To: comercial@empresa.example\nDelivered-To: suporte@empresa.example", "comercial"),
        ("Delivered-To: suporte@empresa.example\nX-Original-To: comercial@empresa.example", "suporte"),
        ("To: undisclosed-recipients:;\nX-Original-To: comercial@empresa.example", "comercial"),
        ("To: suporte+7@empresa.example", "suporte"),
        ("To: x@y.example\nX-Envelope-To: comercial@empresa.example", "comercial"),
        ("To: x@y.example\nX-Forwarded-To: comercial@empresa.example", "comercial"),
        ("X-Envelope-To: comercial@empresa.example\nX-Original-To: suporte@empresa.example", "suporte"),
        ("To: x@y.example\nBcc: suporte@empresa.example", "Raw"),
        ("", "Raw"),
    ],
)
def test_ligero_7_1_to_7_3_the_first_recipient_that_is_ours_decides(headers: str, queue: str) -> None:
    mail = parse(f"From: a@b.example\n{headers}\n\nOi\n".encode())
    assert queue_of(mail, "by_to", DESK).queue == queue


def test_ligero_7_4_an_accounts_own_queue_wins_over_recipients() -> None:
    choice = queue_of(parse(b"To: suporte@empresa.example\n\nOi"), "fixed", DESK)
    assert choice.queue == "comercial"
    assert [(step.check, step.saw) for step in choice.trace] == [("queue", "account fixed")]


def test_a_renamed_account_waits_for_nobody_and_says_so() -> None:
    choice = queue_of(parse(b"To: suporte@empresa.example\n\nOi"), "renamed", DESK)
    assert choice.queue == "suporte"
    assert choice.trace[0].result == "not in the desk: by recipient"
    lost = queue_of(parse(b"To: x@y.example\n\nOi"), "renamed", DESK)
    assert lost.queue == "Raw"
    assert [step.check for step in lost.trace] == ["account", "queue"]
