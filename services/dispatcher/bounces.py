"""Bounces: that a mail is one, whom it could not reach, and which mail it is about.

A missed bounce costs an answer that nobody gets; so the rules that suppress are wide, but for one thing: a person
who attaches or forwards a bounce is a person. Recipients are named where a delivery status (RFC 3464) or
`X-Failed-Recipients` says them, else by the recognisers of flufl.bounce and the words around an address.
"""

import email
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from flufl.bounce import all_failures

from shared.events import BouncedRecipient, Kind
from shared.message_ids import signed_ids
from shared.mime.fields import header_fields
from shared.mime.identifiers import message_id, references
from shared.mime.model import Attachment, Mail

_READ = 64 * 1024
_RECOGNISED = 32 * 1024
_MOST_RECIPIENTS = 100
_ADDRESS = re.compile(r"[^\s<>;,\"]{1,256}@[^\s<>;,\"]{1,253}")
_ORIGINALS = ("message/rfc822", "text/rfc822-headers", "message/rfc822-headers", "message/global")
_STATUS_PARTS = ("message/delivery-status", "message/global-delivery-status")
_REPORT = re.compile(rb"^\s*multipart/report\b", re.IGNORECASE)
_REPORT_TYPE = re.compile(rb"report-type\s*=\s*\"?\s*([a-z-]{1,40})", re.IGNORECASE)
_NAMED = frozenset(("original-recipient", "final-recipient"))
_NOT_FAILED = ("delivered", "relayed", "expanded", "delayed")
_DAEMON = re.compile(r"(?:^|[<\s\"'(])(?:mailer[-_.]?daemon|mail[-_.]?daemon|mdaemon)(?:@|[>\s\"')]|$)", re.IGNORECASE)
# no part of an IP address
_CODE = re.compile(r"(?<![\d.])([245]\.[0-9]{1,3}\.[0-9]{1,3})(?!\.?\d)")
_REPLY = re.compile(r"(?<![\d.])([45])[0-9]{2}(?![\d.]?\d)")
_RETURNED_ID = re.compile(r"^[> \t|]{0,9}Message-ID:\s{0,4}(<[^<>\s]{1,996}>)", re.IGNORECASE | re.MULTILINE)
_FAILED_LINE = re.compile(r"^[ \t*-]{0,9}(?:(?:To|Recipient|RCPT TO|Final-Recipient)\b.{0,20}?:)?[ \t]{0,9}"
                          r"<?([^\s<>;,\"():]{1,64}@[^\s<>;,\"():]{1,253}?)>?[ \t]{0,9}[:.;-]?[ \t]*$",
                          re.IGNORECASE | re.MULTILINE)  # fmt: skip
_FAILURE = re.compile(
    r"undeliver|not be delivered|delivery (?:has |status|to the |failure)|failed|failure|permanent error|unknown user|"
    r"user unknown|no such|mailbox (?:is )?(?:full|unavail|not found)|returned mail|rejected|does not exist|"
    r"n[aã]o (?:p[oô]de|foi) (?:ser )?entreg|no se (?:pudo|ha podido) entregar|unzustellbar",
    re.IGNORECASE,
)
_WHERE = re.compile(
    r"^[> \t]{0,9}(?:-{2,}|={3,}|Message-ID:|Return-Path:|Received:|From:)", re.IGNORECASE | re.MULTILINE
)


class Aside(Exception):
    """The mail must be looked at by recognisers whose cost nobody knows: only in a process that can be killed."""


class Report(NamedTuple):
    """What the cheap rules say. `marks`: kind and reason each; `status`: what the status parts say of recipients,
    also of those whom the mail reached or will reach."""

    marks: list[tuple[Kind, str]]
    status: list["_Status"]
    null_path: bool

    @property
    def about_delivery(self) -> bool:
        """Does it tell of the delivery of another mail, whatever became of that?"""
        return bool(self.status) or any(kind is Kind.BOUNCE for kind, _ in self.marks)


class _Status(NamedTuple):
    recipient: BouncedRecipient
    action: str


def report(mail: Mail) -> Report:
    parts = [part for part in mail.attachments if part.content_type in _STATUS_PARTS]
    null = null_path(mail)
    marks = [*_report_marks(mail), *_daemon_marks(mail, parts, null=null)]
    machine = bool(marks) or null
    # a status part that a person attached says nothing about her own mail
    status = [each for part in parts for each in _recipients_of(part)] if machine else []
    if parts and machine and not marks:
        marks.append((Kind.BOUNCE, "delivery_status (part message/delivery-status)"))
    failed = mail.header("x-failed-recipients")
    if failed is not None:
        marks.append((Kind.BOUNCE, f"failed_recipients (X-Failed-Recipients: {failed[:80]})"))
    elif status and all(each.action in _NOT_FAILED for each in status):
        action = status[0].action
        marks = [(Kind.AUTOMATIC, f"delivery_status (Action: {action})")]
    return Report(marks, status, null)


def null_path(mail: Mail) -> bool:
    """`Return-Path: <>`, which some servers write as MAILER-DAEMON; a path without a domain is not the null path."""
    path = mail.headers.first("return-path")
    if path is None:
        return False
    bare = path.strip(b" \t<>").lower()
    return not bare or bare.partition(b"@")[0] == b"mailer-daemon"


def _report_marks(mail: Mail) -> Iterator[tuple[Kind, str]]:
    content_type = mail.headers.first("content-type") or b""
    if _REPORT.match(content_type):
        found = _REPORT_TYPE.search(content_type)
        about = found[1].decode("ascii").lower() if found else "delivery-status"
        # a read receipt or an abuse report tells of no failed delivery
        kind = Kind.BOUNCE if about == "delivery-status" else Kind.AUTOMATIC
        yield kind, f"report (Content-Type: multipart/report; {about})"


def _daemon_marks(mail: Mail, parts: Sequence[Attachment], *, null: bool) -> Iterator[tuple[Kind, str]]:
    written = mail.header("from") or ""
    if _DAEMON.search(written):
        yield Kind.BOUNCE, f"mailer_daemon (From: {written[:80]})"
        return
    returned = bool(parts) or any(part.content_type in _ORIGINALS for part in mail.attachments)
    local = mail.sender.address.rpartition("@")[0].lower() if mail.sender else ""
    if local == "postmaster":
        bounced = returned or null or _tells_of_failure(mail)
        yield (Kind.BOUNCE if bounced else Kind.AUTOMATIC), f"postmaster (From: {local})"
    elif null and (returned or _tells_of_failure(mail)):
        yield Kind.BOUNCE, "returned_mail (Return-Path: <>)"


def _tells_of_failure(mail: Mail) -> bool:
    """A text that returns a mail: words of failure, and the returned mail's own header behind them."""
    text = mail.text[:_READ]
    return bool(_RETURNED_ID.search(text)) and bool(_FAILURE.search(mail.subject) or _FAILURE.search(text))


def recipients(mail: Mail, raw: bytes, found: Report, *, alone: bool = True) -> list[BouncedRecipient]:
    """Whom the bounced mail did not reach, each once; [] where it does not say so in a readable way.

    `raw` are the mail's bytes. `alone`: this process may be killed; raises Aside where it may not and the text has
    to be recognised.
    """
    named: dict[str, BouncedRecipient] = {}
    for each in found.status:
        if each.action not in _NOT_FAILED:
            named.setdefault(each.recipient.address.lower(), each.recipient)
    for value in mail.headers_all("x-failed-recipients"):
        for address in _ADDRESS.findall(value):
            named.setdefault(address.lower(), BouncedRecipient(address, *_said_of(mail, address)))
    if not named and not found.status:
        if not alone:
            raise Aside
        for recipient in _recognised(mail, raw):
            named.setdefault(recipient.address.lower(), recipient)
    return list(named.values())[:_MOST_RECIPIENTS]


def original_ids(mail: Mail, keys: Sequence[bytes] = ()) -> list[str]:
    """Message-ID of the mail that this report is about, then its References newest first; with brackets, each once:
    of the returned mail where it is attached, else as it stands in the text behind the bounce's words. Our own
    signed ids count wherever they stand."""
    ids: list[str] = []
    texts = [mail.text[:_READ]]
    for part in mail.attachments[:20]:
        if part.content_type in _ORIGINALS:
            headers = header_fields(part.content)
            ids += [found for found in (message_id(headers),) if found]
            ids += reversed(references(headers))
        elif part.content_type.startswith(("text/", "message/")) or part.filename.lower().endswith((".eml", ".msg")):
            texts.append(part.content[:_READ].decode("utf-8", "replace"))
    for text in texts:
        ids += _RETURNED_ID.findall(text)
        ids += signed_ids(text, keys)
    return list(dict.fromkeys(ids))


# --- the delivery status (RFC 3464) ---------------------------------------------------------------------------------


def _recipients_of(part: Attachment) -> Iterator[_Status]:
    text = part.content[:_READ].decode("utf-8", "replace").replace("\r\n", "\n")
    for fields in _groups(re.sub(r"\n[ \t]+(?=\S)", " ", text)):
        named = _ADDRESS.search(fields.get("original-recipient", "")) or _ADDRESS.search(
            fields.get("final-recipient", "")
        )
        if named:
            action = fields.get("action", "failed").lower().partition("(")[0].split(" ")[0]
            yield _Status(_recipient(named[0], action, fields), action)


def _groups(text: str) -> Iterator[dict[str, str]]:
    """A group of fields for each recipient (RFC 3464 2.3); some servers forget the empty line between them."""
    fields: dict[str, str] = {}
    for line in text.split("\n"):
        name, colon, value = line.partition(":")
        name = name.strip().lower()
        begins = name.endswith("-recipient") and _NAMED & fields.keys() and (name in fields or "action" in fields)
        if not line.strip() or begins:
            yield fields
            fields = {}
        if colon:
            fields.setdefault(name, value.strip())
    yield fields


def _recipient(address: str, action: str, fields: dict[str, str]) -> BouncedRecipient:
    """Hard or soft by the status, where there is none by the server's reply, else by the action."""
    status = _CODE.search(fields.get("status", "")) or _CODE.search(fields.get("diagnostic-code", ""))
    code = status[1] if status else ""
    reply = _REPLY.search(fields.get("diagnostic-code", "")) if not code else None
    permanent = code.startswith("5") if code else reply[1] == "5" if reply else action == "failed"
    return BouncedRecipient(address, code, permanent)


# --- bounces in words -----------------------------------------------------------------------------------------------


def _recognised(mail: Mail, raw: bytes) -> Iterator[BouncedRecipient]:
    """By the recognisers of flufl.bounce, else every address that stands on a line of its own in a text of failure."""
    temporary, permanent = _flufl(raw)
    for addresses, lasting in ((permanent, True), (temporary, False)):
        for address in sorted(each.decode("utf-8", "replace") for each in addresses):
            if _ADDRESS.fullmatch(address):
                status, hard = _said_of(mail, address)
                yield BouncedRecipient(address, status, hard if status else lasting)
    if permanent or temporary:
        return
    words = _words(mail)
    if _FAILURE.search(words) or _FAILURE.search(mail.subject):
        for address in dict.fromkeys(_FAILED_LINE.findall(words) or _named_in(words) or _beside_failure(words)):
            yield BouncedRecipient(address, *_said_of(mail, address))


def _flufl(raw: bytes) -> tuple[frozenset[bytes], frozenset[bytes]]:
    try:
        found: tuple[frozenset[bytes], frozenset[bytes]] = all_failures(email.message_from_bytes(raw[:_RECOGNISED]))
    except Exception:  # noqa: BLE001  # a recogniser that chokes on a stranger's bounce recognises nothing
        return frozenset(), frozenset()
    return found


def _words(mail: Mail) -> str:
    """The text before the returned mail: what stands behind are the returned mail's own addresses."""
    text = mail.text[:_READ]
    starts = [found.start() for found in _WHERE.finditer(text)]
    return next((text[:start] for start in starts if _ADDRESS.search(text[:start])), text)


def _named_in(words: str) -> list[str]:
    """Addresses that a sentence of failure names in angles or quotes."""
    return re.findall(r"[<\"']([^\s<>;,\"'()]{1,64}@[^\s<>;,\"'()]{1,253})[>\"']", words)


def _beside_failure(words: str) -> list[str]:
    """Addresses in a line that tells of a failure: `no such user ana@kunde.example`."""
    lines = [line for line in words.split("\n") if _FAILURE.search(line)]
    return [address.strip(".:()[]'") for line in lines for address in _ADDRESS.findall(line)]


def _said_of(mail: Mail, address: str) -> tuple[str, bool]:
    """Status, and whether it is for good, as the lines behind the address say."""
    text = mail.text[:_READ]
    at = text.lower().find(address.lower())
    near = text[at : at + 600] if at >= 0 else ""
    status = _CODE.search(near)
    if status:
        return status[1], status[1].startswith("5")
    reply = _REPLY.search(near)
    return "", reply is None or reply[1] == "5"
