"""The bytes of an outgoing mail: 7-bit, CRLF throughout, no line over 998 octets (RFC 5322 section 2.1.1).

Written by hand and total: an EmailMessage costs fifty times as much, raises on a line end in a subject, and
encodes identifiers over 78 characters, which breaks threads. Whatever comes in, nothing but the headers named here
goes out: values lose every control character before they are written (mail-header injection).
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from email.utils import format_datetime
from functools import lru_cache
from typing import NamedTuple

from shared.desk.model import Mailbox

MAX_REFERENCES = 20
_MAX_ID = 250
_MAX_LINE = 900
_WORD_BYTES = 45  # 60 characters of base64 and 12 around them: an encoded word has at most 75 (RFC 2047 section 2)

# C0, C1, line and paragraph separators, lone surrogates; bidi and zero-width controls, which let a text pose as another
_CONTROLS = re.compile(
    "[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]+"
)
_BODY_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_LINE_END = re.compile("\r\n|\r|\n|\u2028|\u2029|\x0b|\x0c|\x85")
_LONG_LINE = re.compile(rf"[^\r\n]{{{_MAX_LINE}}}")
_MESSAGE_ID = re.compile(r"<[!-;=?A-~]+@[!-;=?A-~]+>")  # printable ASCII, one @, no blank
_HIGH = bytes(range(128, 256))
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]+")


class Letter(NamedTuple):
    """What a mail says. `html` empty: the text alone. `sender` and `recipient.address` are ASCII; identifiers carry
    their angle brackets.

    `reply_to`: an address, where replies shall not go to the sender's (ASCII; empty: they do).
    `to` and `cc`: what an agent's mail shows to all who get it, instead of the recipient alone. `by_agent`: a person
    wrote it. `answer`: RFC 3834 tells an automatic answer (`auto-replied`) from what no mail asked for
    (`auto-generated`).
    """

    sender: Mailbox
    recipient: Mailbox
    subject: str
    text: str
    html: str
    message_id: str
    in_reply_to: str
    references: Sequence[str]
    date: datetime
    answer: bool
    loop_mark: str
    to: Sequence[Mailbox] = ()
    cc: Sequence[Mailbox] = ()
    by_agent: bool = False
    reply_to: str = ""


def compose(letter: Letter) -> bytes:
    """The mail as it is handed to SMTP, before dot-stuffing."""
    head = [
        f"Date: {format_datetime(letter.date)}",
        f"From: {_mailbox(letter.sender)}",
        *([f"Reply-To: {letter.reply_to}"] if letter.reply_to else []),
        "To: " + ",\r\n ".join(map(_mailbox, letter.to or [letter.recipient])),
        *(["Cc: " + ",\r\n ".join(map(_mailbox, letter.cc))] if letter.cc else []),
        f"Subject: {header_text(letter.subject)}",
        f"Message-ID: {letter.message_id}",
    ]
    if letter.in_reply_to:
        head.append(f"In-Reply-To: {letter.in_reply_to}")
    if letter.references:
        head.append("References: " + "\r\n ".join(letter.references))
    if not letter.by_agent:
        head.append("Auto-Submitted: " + ("auto-replied" if letter.answer else "auto-generated"))
        if letter.answer:  # a group refuses a notification that bears one of these
            head += ["Precedence: bulk", "X-Loop: yes"]
        head.append("X-Auto-Response-Suppress: All")
    head += [
        f"X-Carteiro-Loop: {_clean(letter.loop_mark)}",
        "MIME-Version: 1.0\r\n",
    ]
    return "\r\n".join(head).encode("ascii") + _content(letter)


def _content(letter: Letter) -> bytes:
    """Content-Type and what follows: the text, or multipart/alternative with the better form last (RFC 2046 5.1.4).
    The boundary comes from the identifier, so that a mail composed again is the same."""
    text = _part("plain", letter.text)
    if not letter.html:
        return text
    mark = b"=_" + hashlib.sha256(letter.message_id.encode()).hexdigest()[:32].encode()
    head = b'Content-Type: multipart/alternative; boundary="' + mark + b'"\r\n\r\n'
    parts = b"".join(b"--" + mark + b"\r\n" + part for part in (text, _part("html", letter.html)))
    return head + parts + b"--" + mark + b"--\r\n"


def _part(subtype: str, text: str) -> bytes:
    encoding, body = _body(text)
    head = f"Content-Type: text/{subtype}; charset=utf-8\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
    return head.encode("ascii") + body


def valid_id(message_id: str) -> bool:
    """Whether an identifier from outside may be repeated in a header."""
    return len(message_id) <= _MAX_ID and _MESSAGE_ID.fullmatch(message_id) is not None


def thread(references: Iterable[str], parent: str, stable: str) -> list[str]:
    """The References of a mail: those of the parent, valid ones only, once each; the ticket's stable reference just
    before the parent, because clients take the last one for the parent; the first and the latest when there are
    too many."""
    before = [each for each in dict.fromkeys(references) if valid_id(each) and each not in (parent, stable)]
    if len(before) > MAX_REFERENCES - 2:
        before = [before[0], *before[-(MAX_REFERENCES - 3) :]]
    return [*before, stable, parent] if valid_id(parent) else [*before, stable]


def header_text(text: str) -> str:
    """Unstructured header text: one line, encoded words where it is not plain ASCII (RFC 2047)."""
    text = _clean(text)
    if text.isascii() and len(text) <= _MAX_LINE and "=?" not in text:
        return text
    return "\r\n ".join(f"=?utf-8?b?{base64.b64encode(word).decode()}?=" for word in _words(text))


def _words(text: str) -> Iterable[bytes]:
    """Pieces of UTF-8 of at most 45 bytes that never part a character."""
    raw = text.encode()
    start = 0
    while start < len(raw):
        end = min(start + _WORD_BYTES, len(raw))
        while end < len(raw) and raw[end] & 0xC0 == 0x80:
            end -= 1
        yield raw[start:end]
        start = end


@lru_cache(maxsize=1024)
def _mailbox(mailbox: Mailbox) -> str:
    name = _clean(mailbox.name)
    if not name:
        return mailbox.address
    if not name.isascii() or len(name) > 200 or "=?" in name:
        return f"{header_text(name)} <{mailbox.address}>"
    if not _ATOMS.fullmatch(name):
        name = '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return f"{name} <{mailbox.address}>"


def _clean(text: str) -> str:
    return (text if text.isprintable() else _CONTROLS.sub(" ", text)).strip()


def _body(text: str) -> tuple[str, bytes]:
    """Transfer encoding and encoded body, which ends with a line end."""
    text = _BODY_CONTROLS.sub("", _LINE_END.sub("\r\n", text.rstrip())) + "\r\n"
    raw = text.encode()
    if text.isascii() and not _LONG_LINE.search(text):
        return "7bit", raw
    foreign = len(raw) - len(raw.translate(None, _HIGH))
    if foreign * 5 > len(raw):  # quoted-printable takes three octets for each of them
        return "base64", base64.encodebytes(raw).replace(b"\n", b"\r\n")
    # the CRLF at the end of the text is what makes its soft line breaks CRLF as well
    return "quoted-printable", binascii.b2a_qp(raw, istext=True)
