"""Mails as people and machines send them. Each customer is somebody else; a mail is told by its Message-ID."""

import base64
from collections.abc import Callable
from dataclasses import dataclass, replace
from email.header import Header

PDF = b"%PDF-1.4\n" + bytes(range(256)) * 390  # about 100 KB


@dataclass(frozen=True)
class Sent:
    """A mail that went into the mailbox: who sent it, its id, its bytes (CRLF)."""

    sender: str
    message_id: str
    subject: str
    raw: bytes

    def named(self, mark: str) -> "Sent":
        """The same of somebody else."""
        raw = self.raw.replace(b"From: ", b"From: " + mark.encode(), 1)
        return replace(self, sender=mark + self.sender, raw=raw)


def plain(sender: str, to: str, message_id: str, subject: str, *, headers: str = "", text: str = "Bom dia.") -> Sent:
    """7-bit text with whatever headers a case needs (`Name: value` lines)."""
    extra = "".join(f"{line}\r\n" for line in headers.splitlines())
    raw = (
        f"From: {sender}\r\nTo: {to}\r\nSubject: {subject}\r\nMessage-ID: {message_id}\r\n"
        f"Date: Tue, 3 Mar 2026 10:00:00 -0300\r\n{extra}\r\n{text}\r\n"
    )
    return Sent(sender, message_id, subject, raw.encode("ascii"))


def _with_body(sender: str, to: str, message_id: str, subject: str, head: bytes, body: bytes) -> Sent:
    encoded = Header(subject, "utf-8").encode()
    top = (
        f"From: {sender}\r\nTo: {to}\r\nSubject: {encoded}\r\nMessage-ID: {message_id}\r\n"
        "Date: Tue, 3 Mar 2026 10:00:00 -0300\r\nMIME-Version: 1.0\r\n"
    ).encode("ascii")
    return Sent(sender, message_id, subject, top + head + b"\r\n" + body + b"\r\n")


def alternative(sender: str, to: str, message_id: str, subject: str, *, lines: int = 1) -> Sent:
    body = (
        "--b1\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
        + "A impressora não responde.\r\n" * lines
        + "--b1\r\nContent-Type: text/html; charset=utf-8\r\n\r\n"
        + "<p>A impressora <b>não</b> responde.</p>\r\n" * lines
        + "--b1--\r\n"
    ).encode()
    return _with_body(sender, to, message_id, subject, b"Content-Type: multipart/alternative; boundary=b1\r\n", body)


def with_attachment(sender: str, to: str, message_id: str, subject: str) -> Sent:
    packed = base64.encodebytes(PDF).replace(b"\n", b"\r\n")
    body = (
        b"--b2\r\nContent-Type: text/plain\r\n\r\nSegue a nota.\r\n--b2\r\nContent-Type: application/pdf\r\n"
        b'Content-Disposition: attachment; filename="nota.pdf"\r\nContent-Transfer-Encoding: base64\r\n\r\n'
        + packed
        + b"--b2--\r\n"
    )
    return _with_body(sender, to, message_id, subject, b"Content-Type: multipart/mixed; boundary=b2\r\n", body)


def in_charset(charset: str, text: str) -> Callable[[str, str, str, str], Sent]:
    def build(sender: str, to: str, message_id: str, subject: str) -> Sent:
        head = f"Content-Type: text/plain; charset={charset}\r\nContent-Transfer-Encoding: 8bit\r\n".encode()
        return _with_body(sender, to, message_id, subject, head, text.encode(charset))

    return build


def no_charset(sender: str, to: str, message_id: str, subject: str) -> Sent:
    return _with_body(sender, to, message_id, subject, b"", "Endereço errado, coração partido.".encode())


KINDS: tuple[Callable[[str, str, str, str], Sent], ...] = (
    plain,
    alternative,
    with_attachment,
    in_charset("iso-8859-1", "Não consigo entrar."),
    in_charset("koi8-r", "Не работает принтер."),
    in_charset("iso-2022-jp", "プリンターが動きません。"),
    no_charset,
)


def customers(count: int, to: str, domain: str, mark: str = "m") -> list[Sent]:
    """One mail each of `count` people, all kinds in turn; subjects are ASCII for the plain kind only."""
    made = []
    for n in range(count):
        kind = KINDS[n % len(KINDS)]
        subject = f"Problem {n}" if kind is plain else f"Impressão {n} não funciona"
        made.append(kind(f"c{n}@{domain}", to, f"<{mark}{n}@{domain}>", subject))
    return made


_MARKS = (
    "Auto-Submitted: auto-replied",
    "Auto-Submitted: auto-generated (vacation)",
    "Precedence: bulk",
    "Precedence: list",
    "List-Id: <news.example>",
    "X-Auto-Response-Suppress: All",
    "X-Loop: yes",
    "X-Autoreply: yes",
    "List-Unsubscribe: <mailto:leave@news.example>",
    "X-Auto-Response-Suppress: OOF, AutoReply",
)


def automatic(count: int, to: str, domain: str) -> list[Sent]:
    """Machines' mails, each with one of the marks that say so."""
    return [
        plain(f"bot{n}@{domain}", to, f"<auto{n}@{domain}>", f"Status {n}", headers=_MARKS[n % len(_MARKS)])
        for n in range(count)
    ]


def reply(sender: str, to: str, message_id: str, subject: str, answer_id: str, way: str) -> Sent:
    """A reply to our answer that can be told by one thing only: `subject`, `references` or `in_reply_to`."""
    if way == "subject":
        return plain(sender, to, message_id, subject)
    header = "References" if way == "references" else "In-Reply-To"
    return plain(sender, to, message_id, "Re: obrigado", headers=f"{header}: {answer_id}")
