"""Mailboxes on Dovecot that are made anew, or brought back from a copy: no mail is skipped, none is removed unread."""

import asyncio
import imaplib
import os

from shared.events import Origin
from tests.integration.fetcher.conftest import OnDovecot
from tests.integration.fetcher.world import mail, until


async def _read_up_to(world: OnDovecot, uid: int, folder: str = "INBOX") -> None:
    async def read() -> bool:
        row = await world.row("SELECT cursor_uid FROM fetcher.folders WHERE folder = $1", folder)
        return bool(row) and row["cursor_uid"] >= uid

    await until(read)


def _make_anew(world: OnDovecot, folder: str) -> None:
    assert world.dovecot is not None
    with imaplib.IMAP4(world.dovecot.host, world.dovecot.imap) as imap:
        imap.login(world.user, world.user)
        for status, said in (imap.delete(folder), imap.create(folder)):
            assert status == "OK", said


async def _run(*command: str) -> None:
    """As it is, owners too."""
    process = await asyncio.create_subprocess_exec(*command)
    assert await process.wait() == 0


async def _uidvalidity(world: OnDovecot, folder: str) -> int:
    return int((await world.row("SELECT uidvalidity FROM fetcher.folders WHERE folder = $1", folder))["uidvalidity"])


async def test_m7_a_folder_deleted_and_made_anew_is_read_anew_and_nothing_in_it_is_removed_unread(
    on_dovecot: OnDovecot,
) -> None:
    world = on_dovecot
    world.put(mail(1), mail(2), folder="Fragen")
    world.use("imaps", folder="Fragen", after="delete")
    async with world.fetcher():
        await world.received(2)
        await until(lambda: world.left("Fragen") == 0)
        await _read_up_to(world, 2, "Fragen")
    before = await _uidvalidity(world, "Fragen")
    await asyncio.to_thread(_make_anew, world, "Fragen")
    world.put(mail(3), mail(4), folder="Fragen")  # UIDs 1 and 2 again
    assert world.dovecot is not None
    for path in (world.dovecot.maildir(world.user, "Fragen") / "new").iterdir():
        if b"Frage 3" in path.read_bytes():
            os.utime(path, (1_700_000_000, 1_700_000_000))  # older than the last success
    async with world.fetcher(holder="two"):
        received = await world.received(4)
        await until(lambda: world.left("Fragen") == 0)
    assert await _uidvalidity(world, "Fragen") > before
    assert {(m.uid, m.uidvalidity == before) for m in received} == {
        ("1", True), ("2", True), ("1", False), ("2", False),
    }  # fmt: skip
    anew = {b"Frage 3" in m.raw: m.origin for m in received if m.uidvalidity != before}
    assert anew == {True: Origin.BACKFILL, False: Origin.LIVE}


async def test_m7_after_a_restore_of_the_mail_server_what_comes_under_an_old_uid_is_read(on_dovecot: OnDovecot) -> None:
    world = on_dovecot
    assert world.dovecot is not None
    home = world.dovecot.folder / "mail" / world.user
    world.put(mail(1), mail(2))
    world.use("imaps", after="keep")
    async with world.fetcher():
        await world.received(2)
        await _read_up_to(world, 2)
    await _run("cp", "-a", str(home), f"{home}.copy")
    world.put(mail(3), mail(4))
    async with world.fetcher(holder="two"):
        await world.received(4)
        await _read_up_to(world, 4)
    before = await _uidvalidity(world, "INBOX")
    await _run("rm", "-r", str(home))
    await _run("mv", f"{home}.copy", str(home))
    world.put(mail(5))  # UID 3, which another mail had
    async with world.fetcher(holder="three"):

        async def came() -> bool:
            return any(b"Frage 5" in m.raw for m in await world.received(5))

        await until(came)
    assert await _uidvalidity(world, "INBOX") == before
