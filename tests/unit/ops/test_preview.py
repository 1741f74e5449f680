from pathlib import Path

import pytest

from ops.preview import preview

DESK = """
language: es
queues: {soporte: {agents: [ana]}}
system_addresses: {soporte@empresa.example: {name: Soporte, queue: soporte}}
auto_responses: {recibido: {type: auto_reply, queues: [soporte], subject: Recibido, text: recibido.txt}}
notifications: {sender_name: Central, sender_email: central@empresa.example}
agents: {ana: {name: Ana, email: ana@empresa.example}}
"""


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    (tmp_path / "desk.yaml").write_text(DESK)
    (tmp_path / "recibido.txt").write_text("Hola <OTRS_CUSTOMER_REALNAME>, ticket <OTRS_TICKET_TicketNumber>.\n")
    return tmp_path / "desk.yaml"


def test_every_mail_of_the_desk_is_shown_once(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert preview("", desk, "", raw=False) == 0
    shown = capsys.readouterr().out
    assert [line for line in shown.splitlines() if line.startswith("---")] == [
        "--- recibido auto_reply",
        "--- new_ticket es",
        "--- follow_up_unlocked es",
        "--- owner_update es",
        "--- responsible_update es",
        "--- queue_update es",
        "--- note es",
    ]
    assert "Hola Maria Exemplo, ticket 2026010210000017." in shown


def test_one_of_them_as_it_is_sent(desk: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert preview("recibido", desk, "", raw=True) == 0
    assert b"Auto-Submitted: auto-replied\r\n" in capfdbinary.readouterr().out


def test_a_mail_that_the_desk_does_not_have(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert preview("nada", desk, "", raw=False) == 1
    assert "nada" in capsys.readouterr().err
