"""The real mail server of other tests does what they rely on: four ports, accounts, mail in its order."""

import imaplib
import poplib
import ssl
import tempfile
from pathlib import Path

import pytest

from ops.stack import certificates
from ops.stack.supervisor import Supervisor
from tests import dovecot

BOX = "suporte@demo.test"
MAILS = [b"Subject: %d\r\n\r\nBom dia\r\n" % n for n in range(3)]


@pytest.mark.skipif(bool(dovecot.not_run()), reason=dovecot.not_run())
async def test_mail_that_is_put_is_read_over_every_port() -> None:
    with tempfile.TemporaryDirectory(prefix="dc") as name:
        folder = Path(name)
        folder.chmod(0o755)
        made = certificates.ensure(folder / "tls")
        trust = ssl.create_default_context(cafile=str(made.ca))
        async with Supervisor(folder) as supervisor:
            server = await dovecot.Dovecot.start(supervisor, folder / "d", made)
            server.make_mailbox(BOX)
            server.put(BOX, MAILS)
            with (
                imaplib.IMAP4(server.host, server.imap) as plain,
                imaplib.IMAP4_SSL("localhost", server.imaps, ssl_context=trust) as secure,
            ):
                for imap in (plain, secure):
                    imap.login(BOX, BOX)
                    assert imap.select("INBOX")[1] == [b"3"]
                    (answer,) = {part[1] for part in imap.fetch("1", "(BODY.PEEK[])")[1] if isinstance(part, tuple)}
                    assert answer == MAILS[0]
            for pop in (
                poplib.POP3(server.host, server.pop3),
                poplib.POP3_SSL("localhost", server.pop3s, context=trust),
            ):
                pop.user(BOX)
                pop.pass_(BOX)
                assert pop.stat()[0] == 3
                pop.quit()
            assert server.left(BOX) == 3


@pytest.mark.skipif(bool(dovecot.not_run()), reason=dovecot.not_run())
async def test_an_account_can_log_in_as_soon_as_it_is_made() -> None:
    with tempfile.TemporaryDirectory(prefix="dc") as name:
        folder = Path(name)
        folder.chmod(0o755)
        async with Supervisor(folder) as supervisor:
            server = await dovecot.Dovecot.start(supervisor, folder / "d", certificates.ensure(folder / "tls"))
            for address in ("um@demo.test", "dois@demo.test", "tres@demo.test"):  # within a second
                server.make_mailbox(address)
                pop = poplib.POP3(server.host, server.pop3)
                pop.user(address)
                pop.pass_(address)
                pop.quit()
