"""Dovecot (Debian's package) as the mail server of tests and of the bench: every account type, real timings.

`Dovecot.start` under a supervisor of the stack, everything below one folder, on free loopback ports. Mail is put
straight into a mailbox's Maildir, as fast as the disk takes it; Dovecot sees it like a delivery.
"""

import itertools
import os
import pwd
import shutil
import ssl
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ops.stack import ready
from ops.stack.certificates import Certificates
from ops.stack.settings import HOST, free_ports
from ops.stack.supervisor import Service, Supervisor

_PATH = "/usr/sbin:/usr/bin:/opt/homebrew/sbin"
_names = itertools.count()


def not_run() -> str:
    """Why Dovecot cannot take part on this machine; empty when it can."""
    program = shutil.which("dovecot", path=_PATH)
    if program is None:
        return "no dovecot on this machine (Debian: dovecot-imapd dovecot-pop3d)"
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
    return "" if version.startswith("2.3.") else f"dovecot {version.split()[0]}: these settings are for 2.3"


@dataclass(frozen=True)
class Dovecot:
    """Host, ports, and the folder that holds users and mailboxes. The plain ports offer log-in and STARTTLS."""

    folder: Path
    host: str
    imap: int
    imaps: int
    pop3: int
    pop3s: int

    @classmethod
    async def start(
        cls, supervisor: Supervisor, folder: Path, certificates: Certificates, ports: Iterable[int] = ()
    ) -> "Dovecot":
        """Answers on its four ports. As root it runs as nobody, so `folder` must be reachable for everybody; its path
        is short (Dovecot's sockets lie below it, and a socket's path ends at 107 bytes)."""
        folder.mkdir(parents=True, exist_ok=True)
        server = cls(folder, HOST, *(list(ports) or free_ports(4)))
        (folder / "mail").mkdir(exist_ok=True)
        (folder / "users").mkdir(exist_ok=True)
        shutil.copyfile(certificates.server, folder / "server.pem")
        owner = _owner()
        config = folder / "dovecot.conf"
        config.write_text(
            _CONFIG.format(folder=folder, user=owner.pw_name, uid=owner.pw_uid, gid=owner.pw_gid, ports=server)
        )
        _give(*folder.rglob("*"), folder)
        trust = ssl.create_default_context(cafile=str(certificates.ca))

        async def answers() -> bool:
            return (
                await ready.greets(server.imap, b"* OK")
                and await ready.greets(server.imaps, b"* OK", trust)
                and await ready.greets(server.pop3, b"+OK")
                and await ready.greets(server.pop3s, b"+OK", trust)
            )

        program = shutil.which("dovecot", path=_PATH) or "dovecot"
        argv = [program, "-F", "-c", str(config)]
        await supervisor.start(Service(name="dovecot", argv=argv, ready=answers, grace=10, limit=20))
        return server

    def make_mailbox(self, address: str, password: str = "") -> None:
        """An account; its password is its address unless another is given. A file of its own, because Dovecot looks at
        a file once a second: an account added to one that was just read would be refused."""
        (self.folder / "users" / address).write_text(f"{address}:{{PLAIN}}{password or address}\n")

    def maildir(self, address: str, folder: str = "INBOX") -> Path:
        """Where a mailbox's mail lies; `folder` as Dovecot names it on disk (modified UTF-7)."""
        home = self.folder / "mail" / address / "Maildir"
        return home if folder == "INBOX" else home / f".{folder}"

    def put(self, address: str, mails: Iterable[bytes], folder: str = "INBOX") -> None:
        """New mails of a mailbox (CRLF), in their order."""
        maildir = self.maildir(address, folder)
        made = [maildir / name for name in ("cur", "new", "tmp")]
        for path in made:
            path.mkdir(parents=True, exist_ok=True)
        _give(self.folder / "mail" / address, self.maildir(address), maildir, *made)
        for raw in mails:
            draft = maildir / "tmp" / f"{next(_names):012}.carteiro.{os.getpid()}"
            draft.write_bytes(raw.replace(b"\r\n", b"\n"))
            _give(draft)
            draft.rename(maildir / "new" / draft.name)

    def left(self, address: str, folder: str = "INBOX") -> int:
        """How many mails lie in a mailbox."""
        maildir = self.maildir(address, folder)
        return sum(1 for name in ("cur", "new") if (maildir / name).exists() for _ in (maildir / name).iterdir())


def _owner() -> pwd.struct_passwd:
    return pwd.getpwnam("nobody") if os.getuid() == 0 else pwd.getpwuid(os.getuid())


def _give(*paths: Path) -> None:
    """As root everything belongs to the account that Dovecot's processes run under."""
    if os.getuid() == 0:
        owner = _owner()
        for path in paths:
            os.chown(path, owner.pw_uid, owner.pw_gid)


_CONFIG = """
base_dir = {folder}/run
state_dir = {folder}/state
instance_name = carteiro
log_path = {folder}/dovecot.log
listen = 127.0.0.1
protocols = imap pop3
ssl = yes
ssl_cert = <{folder}/server.pem
ssl_key = <{folder}/server.pem
disable_plaintext_auth = no
auth_mechanisms = plain login
auth_failure_delay = 0
default_internal_user = {user}
default_login_user = {user}
first_valid_uid = 1
first_valid_gid = 1
mail_location = maildir:~/Maildir
mail_max_userip_connections = 1000
mail_fsync = never
pop3_uidl_format = %08Xu%08Xv
namespace inbox {{
  inbox = yes
  separator = /
}}
passdb {{
  driver = passwd-file
  args = scheme=plain username_format=%u {folder}/users/%u
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={folder}/mail/%u
}}
service anvil {{
  chroot =
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service stats {{
  chroot =
}}
service imap-login {{
  chroot =
  process_limit = 1024
  inet_listener imap {{
    port = {ports.imap}
  }}
  inet_listener imaps {{
    port = {ports.imaps}
    ssl = yes
  }}
}}
service pop3-login {{
  chroot =
  inet_listener pop3 {{
    port = {ports.pop3}
  }}
  inet_listener pop3s {{
    port = {ports.pop3s}
    ssl = yes
  }}
}}
service imap {{
  process_limit = 1024
}}
"""
