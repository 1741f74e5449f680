import pytest

from services.mailer.recipients import answer_for, deliverable
from shared.events import ArticleFact
from tests.unit.mailer.desks import added, created, desk, rejected


@pytest.mark.parametrize(
    ("fact", "rule", "name"),
    [
        (created(), "auto_reply", "recebido"),
        (created(follows="9"), "auto_reply_new_ticket", "de-novo"),
        (added(), "auto_follow_up", "obrigado"),
        (rejected(), "auto_reject", "recusado"),
        (rejected(state="removed"), "auto_reject", "recusado"),
        (added(state="removed"), "auto_remove", "removido"),
        (created(state="removed"), "auto_reply", "recebido"),
        (created(queue="comercial"), "auto_reply", ""),
    ],
)
def test_a_fact_asks_for_one_answer_of_its_queue(fact: ArticleFact, rule: str, name: str) -> None:
    answer = answer_for(fact, desk())
    assert (answer.rule, answer.name, answer.recipient) == (rule, name, "cliente@kunde.example")


def test_the_answer_comes_from_the_address_of_the_queue() -> None:
    assert answer_for(created(), desk()).sender == ("Suporte Empresa", "suporte@empresa.example")
    assert answer_for(created(queue="muda"), desk()).sender is None


def test_a_queue_this_desk_does_not_know_is_the_default_one() -> None:
    answer = answer_for(created(queue="gone"), desk(postmaster_default_queue="suporte"))
    assert answer.name == "recebido"


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("cliente@kunde.example", "cliente@kunde.example"),
        ("First.Last+tag@kunde.example", "First.Last+tag@kunde.example"),
        ("root@localhost", "root@localhost"),
        ("cliente@bücher.example", "cliente@xn--bcher-kva.example"),
        ("açaí@kunde.example", ""),
        ("a..b@kunde.example", ""),
        ('"a b"@kunde.example', ""),
        ("a@[127.0.0.1]", ""),
        ("a@-x.example", ""),
        ("a@kunde.example>\r\nRCPT TO:<x@y", ""),
        ("a@b@c", ""),
        ("nobody", ""),
        ("", ""),
        ("x" * 65 + "@kunde.example", ""),
    ],
)
def test_an_address_is_ascii_or_none(address: str, found: str) -> None:
    assert deliverable(address) == found
