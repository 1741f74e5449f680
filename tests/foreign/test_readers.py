"""What we send, read by three foreign readers: Python's own, go-message, and mailparser of Node. They find the same
subject, names and identifiers, and the text.

`make foreign` builds the two that are not Python's; without Go or npm it says which was not run.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from email import message_from_bytes
from email.headerregistry import AddressHeader
from email.policy import default
from pathlib import Path
from typing import Any

import pytest

from services.mailer.compose import Letter, compose
from shared.desk.model import Mailbox
from tests.unit.mailer.desks import MOMENT

HERE = Path(__file__).parent
GOLDEN = HERE.parent / "unit/mailer/golden"
LONG_ID = "<PH0PR12MB" + "x" * 90 + "@namprd12.prod.outlook.example>"
PLAIN = Letter(
    sender=Mailbox("Suporte", "suporte@empresa.example"),
    recipient=Mailbox("", "cliente@kunde.example"),
    subject="[Ticket#2026030110000017] Got it",
    text="Hello\n",
    html="",
    message_id="<c1.17.5.abcdefghijklmnop@empresa.example>",
    in_reply_to="<m1@kunde.example>",
    references=["<m0@kunde.example>", "<m1@kunde.example>"],
    date=MOMENT,
    answer=True,
    loop_mark="10",
)
HARD: dict[str, Letter] = {
    "an identifier over 78 characters": PLAIN._replace(in_reply_to=LONG_ID, references=["<m0@k.example>", LONG_ID]),
    "a long thread": PLAIN._replace(references=[f"<{n}.{'y' * 60}@kunde.example>" for n in range(20)]),
    "a long subject": PLAIN._replace(subject="[Ticket#17] Reclamação sobre a cobrança em duplicidade 👩‍💻 " * 4),
    "a subject like an encoded word": PLAIN._replace(subject="[Ticket#17] =?utf-8?q?x?="),
    "a name that must be quoted": PLAIN._replace(sender=Mailbox('Silva, "Zé" \\ Cia.', "suporte@empresa.example")),
    "a name in other letters": PLAIN._replace(recipient=Mailbox("名前 на русском", "cliente@kunde.example")),
    "a text in other letters": PLAIN._replace(text="без сомнения, мы получили ваше письмо\n" * 5),
    "blanks at ends, dots in front, long lines": PLAIN._replace(text="a  \n.\n..b\nFrom here\n" + "x" * 3000),
    "html beside the text": PLAIN._replace(text="Olá\n", html="<p>Olá</p>\n"),
}


@pytest.fixture(scope="session")
def mails(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("mails")
    for name, letter in HARD.items():
        (folder / f"{name}.eml").write_bytes(compose(letter))
    return [*sorted(GOLDEN.glob("*.eml")), *sorted(folder.glob("*.eml"))]


def by_python(paths: Sequence[Path]) -> list[dict[str, Any]]:
    return [_by_python(path) for path in paths]


def _by_python(path: Path) -> dict[str, Any]:
    mail = message_from_bytes(path.read_bytes(), policy=default)
    body = mail.get_body(("plain",))
    assert not mail.defects
    assert body is not None
    return {
        "subject": str(mail["Subject"]),
        "from": _named(mail["From"]),
        "to": _named(mail["To"]),
        "message_id": str(mail["Message-ID"]),
        "in_reply_to": str(mail["In-Reply-To"] or ""),
        "references": str(mail["References"] or "").split(),
        "text": body.get_content().strip().replace("\r\n", "\n"),
    }


def _named(field: AddressHeader) -> list[list[str]]:
    return [[each.display_name, each.addr_spec] for each in field.addresses]


def by_go(paths: Sequence[Path]) -> list[dict[str, Any]]:
    return _lines(["go", "run", ".", *map(str, paths)], HERE / "go")


def by_node(paths: Sequence[Path]) -> list[dict[str, Any]]:
    built = Path(os.environ["CARTEIRO_NODE_READER"])  # noqa: TID251  # from the Makefile
    return _lines(["node", "read.mjs", *map(str, paths)], built)


def _lines(command: Sequence[str], folder: Path) -> list[dict[str, Any]]:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


READERS: dict[str, Callable[[Sequence[Path]], list[dict[str, Any]]]] = {
    "python": by_python,
    "go": by_go,
    "node": by_node,
}


def test_python_reads_what_was_meant(mails: Sequence[Path]) -> None:
    found = dict(zip([path.stem for path in mails], by_python(mails), strict=True))
    for name, letter in HARD.items():
        assert found[name]["subject"] == letter.subject.strip()
        assert found[name]["from"] == [list(letter.sender)]
        assert found[name]["to"] == [list(letter.recipient)]
        assert found[name]["references"] == list(letter.references)
        assert found[name]["in_reply_to"] == letter.in_reply_to
        assert found[name]["text"] == letter.text.strip()


@pytest.mark.parametrize("reader", [name for name in ("go", "node") if shutil.which(name)])
def test_the_others_read_the_same(mails: Sequence[Path], reader: str) -> None:
    for path, expected, found in zip(mails, by_python(mails), READERS[reader](mails), strict=True):
        assert found == expected, path.stem
