import pytest

from services.mailer.recipients import answer_for, deliverable, notifications_for
from shared.events import ArticleFact, Kind, Origin, Party
from tests.unit.mailer.desks import added, created, desk, rejected


@pytest.mark.parametrize(
    ("fact", "rule", "name"),
    [
        (created(), "auto_reply", "recebido"),
        (created(follows="9"), "auto_reply_new_ticket", "de-novo"),
        (added(), "auto_follow_up", "obrigado"),
        (rejected(), "auto_reject", "recusado"),
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
    ("fact", "told"),
    [
        (created(), ["new_ticket ana pt-BR", "new_ticket bruno en"]),
        (added(), ["follow_up ana pt-BR", "follow_up bruno en"]),
        (rejected(), ["follow_up ana pt-BR", "follow_up bruno en"]),
        (created(queue="muda"), []),
        (created(kind=Kind.AUTOMATIC), ["new_ticket ana pt-BR", "new_ticket bruno en"]),
        (created(kind=Kind.LOOP), []),
        (created(kind=Kind.BOUNCE), []),
        (added(kind=Kind.BOUNCE), []),
        (created(origin=Origin.BACKFILL), []),
        (created(silent=True), []),
        (created(sender=Party("", "Suporte@empresa.example")), []),
        (created(sender=Party("", "chamados@empresa.example")), []),
        (created(sender=Party("", "bruno@empresa.example")), ["new_ticket ana pt-BR", "new_ticket bruno en"]),
        (created(sender=Party("", "Bruno@empresa.example"), kind=Kind.OUT_OF_OFFICE), ["new_ticket ana pt-BR"]),
    ],
)
def test_the_agents_of_the_queue_are_told(fact: ArticleFact, told: list[str]) -> None:
    found = notifications_for(fact, desk())
    assert [f"{each.occasion} {each.agent.login} {each.agent.language}" for each in found] == told


def test_two_agents_with_one_address_are_told_once() -> None:
    agents = {
        "ana": {"name": "Ana", "email": "equipe@empresa.example"},
        "bruno": {"name": "Bruno", "email": "equipe@empresa.example"},
    }
    found = notifications_for(created(), desk(agents=agents, queues={"suporte": {"agents": ["ana", "bruno"]}}))
    assert [each.agent.login for each in found] == ["ana"]


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
