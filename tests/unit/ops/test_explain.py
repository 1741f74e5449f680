"""`carteiro explain`: one object a mail, whatever the bytes, and no server."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ops.cli import carteiro
from ops.explain import split

ROOT = Path(__file__).resolve().parents[3]
CORPUS = ROOT / "tests" / "corpus"
DESK = ROOT / "examples" / "desk.yaml"
ONE = b"From: a@kunde.example\nSubject: one\n\n>From here on\n"
TWO = b"From: b@kunde.example\nSubject: two\n\nFrom inside a line: not a separator\n"


def explained(*words: str, given: bytes | None = None) -> list[dict[str, Any]]:
    done = CliRunner().invoke(carteiro, ["explain", "--json", "--desk", str(DESK), *words], input=given)
    assert done.exit_code == 0, done.output
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_every_mail_of_a_folder_is_explained() -> None:
    shown = explained(str(CORPUS))
    assert [Path(one["source"]).name for one in shown] == sorted(path.name for path in CORPUS.glob("*.eml"))
    for one in shown:
        assert one["trace"], one["source"]
        assert set(one) == {
            "source", "message_id", "subject", "from", "to", "cc", "date", "text", "reply_text", "html", "attachments",
            "defects", "classification", "decision", "trace",
        }  # fmt: skip


def test_a_bounce_says_who_was_not_reached() -> None:
    (shown,) = explained(str(CORPUS / "bounce-delivery-status.eml"))
    assert shown["classification"]["kind"] == "bounce"
    (recipient,) = shown["classification"]["bounce"]["recipients"]
    assert set(recipient) == {"address", "status", "permanent"}


@pytest.mark.parametrize(
    ("head", "action", "ticket"),
    [
        ("Subject: Fatura", "new", ""),
        ("Subject: Re: [Ticket#2026030110000017] Fatura", "follow_up", "2026030110000017"),
        ("References: <x@elsewhere.example>", "new", ""),
    ],
)
def test_a_decision_says_what_names_a_ticket(head: str, action: str, ticket: str) -> None:
    raw = f"From: a@kunde.example\nTo: suporte@empresa.example\n{head}\n\nBom dia\n".encode()
    (shown,) = explained("-", given=raw)
    assert (shown["decision"]["action"], shown["decision"]["ticket"]) == (action, ticket)
    assert shown["decision"]["queue"] == "suporte"


def mbox(mails: Sequence[bytes]) -> bytes:
    return b"\n".join(b"From sender Mon Mar  2 10:00:00 2026\n" + mail for mail in mails)


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_an_mbox_is_as_many_mails_as_it_holds(end: bytes) -> None:
    found = list(split("box", mbox([ONE, TWO]).replace(b"\n", end)))
    assert [source.name for source in found] == ["box#1", "box#2"]
    assert found[0].raw.replace(end, b"\n").rstrip() == ONE.replace(b">From", b"From").rstrip()
    assert found[1].raw.replace(end, b"\n") == TWO


def test_bytes_that_are_no_mbox_are_one_mail() -> None:
    assert [source.raw for source in split("-", TWO)] == [TWO]
    assert [source.raw for source in split("-", b"")] == [b""]


def test_an_mbox_from_stdin_is_explained_mail_by_mail() -> None:
    assert [one["subject"] for one in explained("-", given=mbox([ONE, TWO]))] == ["one", "two"]


def test_a_missing_file_is_said_and_the_others_are_explained(tmp_path: Path) -> None:
    (tmp_path / "one.eml").write_bytes(ONE)
    words = ["explain", "--desk", str(DESK), str(tmp_path / "none.eml"), str(tmp_path / "one.eml")]
    done = CliRunner().invoke(carteiro, words)
    assert done.exit_code == 1
    assert "none.eml: No such file or directory" in done.stderr
    assert "subject   one" in done.stdout


def test_a_desk_that_cannot_be_used_is_wrong_configuration(tmp_path: Path) -> None:
    (tmp_path / "desk.yaml").write_text("queues: [")
    done = CliRunner().invoke(carteiro, ["explain", "--desk", str(tmp_path / "desk.yaml"), "-"], input=ONE)
    assert done.exit_code == 78
    assert "desk.yaml" in done.stderr


def test_without_keys_signed_ids_are_said_to_be_unchecked() -> None:
    raw = b"From: a@kunde.example\nIn-Reply-To: <c1.aaaaaaaaaa.0.bbbbbbbbbbbbb@empresa.example>\n\nBom dia\n"
    (shown,) = explained("-", given=raw)
    assert {"check": "thread:signed_message_id", "saw": "no message_id_keys", "result": "not checked"} in shown["trace"]
    assert "signed ids were not checked" in shown["decision"]["reason"]


def test_a_mail_that_a_filter_refuses_is_said_to_be_refused(tmp_path: Path) -> None:
    desk = tmp_path / "desk.yaml"
    desk.write_text(
        "accounts: {c: {type: pop3s, host: h, user: u, password: {secret: p}, queue: Raw, trusted: true}}\n"
        "filters: {portal: {match: [{header: Subject, pattern: .}], refuse: {subject: s, text: t}}}\n"
    )
    done = CliRunner().invoke(carteiro, ["explain", "--json", "--account", "c", "--desk", str(desk), "-"], input=ONE)
    decision = json.loads(done.stdout)["decision"]
    assert (decision["action"], decision["reason"]) == ("reject", "filter portal refuses new tickets")


def test_an_account_that_the_desk_does_not_know_is_wrong_usage() -> None:
    done = CliRunner().invoke(carteiro, ["explain", "--account", "caxia", "--desk", str(DESK), "-"], input=ONE)
    assert done.exit_code == 2
    assert "caxia" in done.stderr
    assert "did you mean caixa?" in done.stderr
    assert done.stdout == ""


def test_what_a_stranger_wrote_does_not_move_the_cursor() -> None:
    raw = b"From: a@kunde.example\nSubject: =?utf-8?q?=1B[2J?=\n\n\x1b[2J\n"
    done = CliRunner().invoke(carteiro, ["explain", "--desk", str(DESK), "-"], input=raw)
    assert "\x1b" not in done.stdout
