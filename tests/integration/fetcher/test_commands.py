"""`carteiro receive` and `carteiro account test`, as processes."""

import asyncio
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.installation import REPO
from tests.integration.fetcher.conftest import OnDovecot
from tests.integration.fetcher.world import World, mail


async def carteiro(world: World, *words: str, given: bytes = b"", **changes: str) -> subprocess.CompletedProcess[bytes]:
    settings = {
        "kafka": world.at.kafka,
        "postgres": world.dsn,
        "prefix": world.prefix,
        "objects": f"file://{world.folder}/objects",
        "desk": str(world.folder / "desk.yaml"),
        "secrets": str(world.secrets),
        "ca_file": str(world.at.ca_file),
    } | changes
    environment = dict(os.environ) | {f"CARTEIRO_{name.upper()}": value for name, value in settings.items()}  # noqa: TID251  # passed on to the child
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "ops.cli", *words],
        env=environment,
        cwd=REPO,
        input=given,
        capture_output=True,
        timeout=90,
        check=False,
    )


# --- receive


@pytest.mark.parametrize("size", [100, 400_000], ids=["small", "large"])
async def test_a_mail_on_stdin_is_on_kafka_when_the_status_is_0(world: World, size: int) -> None:
    raw = mail(1, "x" * size)
    ended = await carteiro(world, "receive", "--account", "caixa", given=raw)
    assert (ended.returncode, ended.stderr) == (0, b"")
    (received,) = await world.received(1)
    assert (received.account, received.uid, received.size) == ("caixa", hashlib.sha256(raw).hexdigest(), len(raw))
    assert bool(received.raw_ref) is (size > 300_000)


@pytest.mark.parametrize("given", [b"", b"\n\n", b"Subject: x\n\n" + b"y" * 20_000], ids=["nothing", "blank", "large"])
async def test_what_is_no_mail_is_65_and_nothing_is_sent(world: World, given: bytes) -> None:
    world.write_desk(max_size="10KiB")
    ended = await carteiro(world, "receive", "--account", "caixa", given=given)
    assert ended.returncode == 65
    assert ended.stderr


@pytest.mark.parametrize(
    ("account", "changes"),
    [
        ("caixa", {"kafka": "127.0.0.1:1"}),
        ("nobody", {}),
        ("caixa", {"desk": "/nowhere/desk.yaml"}),
        ("caixa", {"postgres": "mysql://x"}),
    ],
    ids=["no Kafka", "unknown account", "no desk", "wrong settings"],
)
async def test_whatever_else_happens_is_75_so_that_the_mail_is_kept(
    world: World, account: str, changes: dict[str, str]
) -> None:
    ended = await carteiro(world, "receive", "--account", account, given=mail(1), **changes)
    assert ended.returncode == 75
    assert ended.stderr


async def test_a_store_that_refuses_is_75(world: World) -> None:
    (world.folder / "objects").write_text("no folder")
    ended = await carteiro(world, "receive", "--account", "caixa", given=mail(1, "x" * 400_000))
    assert ended.returncode == 75


# --- account test


@pytest.mark.parametrize("account_type", ["imaps", "imaptls", "pop3s", "imap"])
async def test_every_step_is_named_and_nothing_is_changed(on_dovecot: OnDovecot, account_type: str) -> None:
    on_dovecot.put(mail(1), mail(2))
    on_dovecot.use(account_type)
    ended = await carteiro(on_dovecot, "account", "test", "caixa", "--json")
    steps = [json.loads(line) for line in ended.stdout.splitlines()]
    assert [step["step"] for step in steps] == [
        "secret", "resolve", "connect", "TLS", "log in", "capabilities", "folder",
    ], steps  # fmt: skip
    found = {step["step"]: step["found"] for step in steps}
    assert found["folder"] == "INBOX holds 2 mails"
    assert ("days left" in found["TLS"]) is (account_type != "imap")
    assert ended.returncode == 0
    maildir = on_dovecot.maildir_names()
    assert len(maildir) == 2
    assert all("S" not in name.partition(":2,")[2] for name in maildir)
    assert await on_dovecot.row("SELECT count(*) AS known FROM fetcher.folders") == {"known": 0}


async def test_the_step_that_fails_says_what_to_do_and_never_the_password(on_dovecot: OnDovecot) -> None:
    on_dovecot.use("imaps")
    on_dovecot.password("wrong-canary")
    ended = await carteiro(on_dovecot, "account", "test", "caixa")
    assert ended.returncode == 1
    last = ended.stdout.decode().splitlines()[-1]
    assert last.startswith("failed  log in")
    assert "app password" in last
    assert b"canary" not in ended.stdout + ended.stderr


async def test_a_folder_that_cannot_be_opened_is_told(on_dovecot: OnDovecot) -> None:
    on_dovecot.use("imaps", folders="[INBOX, nowhere]")
    ended = await carteiro(on_dovecot, "account", "test", "caixa")
    assert ended.returncode == 1
    assert b"nowhere cannot be opened" in ended.stdout


async def test_an_unknown_authority_is_a_failed_step(on_dovecot: OnDovecot, other_authority: Path) -> None:
    on_dovecot.use("imaps")
    ended = await carteiro(on_dovecot, "account", "test", "caixa", ca_file=str(other_authority))
    assert ended.returncode == 1
    assert b"CARTEIRO_CA_FILE" in ended.stdout


async def test_an_account_nobody_named_is_78(world: World) -> None:
    ended = await carteiro(world, "account", "test", "nobody")
    assert ended.returncode == 78


async def test_an_outbound_account_is_tried_without_sending(world: World) -> None:
    with (world.folder / "desk.yaml").open("a") as desk:
        desk.write(
            f"outbound:\n  padrao: {{type: smtps, host: {world.at.mail.host}, port: {world.at.mail.smtps}, "
            f"user: {world.user}, password: {{secret: imap}}}}\n"
        )
    ended = await carteiro(world, "account", "test", "padrao", "--json")
    steps = [json.loads(line) for line in ended.stdout.splitlines()]
    assert [step["step"] for step in steps if step["result"] == "failed"] == []
    assert [step["step"] for step in steps][-2:] == ["log in", "capabilities"]
    assert ended.returncode == 0
