"""Bounces, by cheap rules: that a mail is one, whom it could not reach, and which mail it is about.

A missed bounce costs an answer that nobody gets; so the rules that suppress are wide. The recipients are named
where a delivery status (RFC 3464) or `X-Failed-Recipients` says them.
"""

import re
from collections.abc import Iterator

from shared.events import BouncedRecipient, Kind
from shared.mime.fields import header_fields
from shared.mime.identifiers import message_id, references
from shared.mime.model import Mail

_READ = 64 * 1024
_MOST_RECIPIENTS = 100
_ADDRESS = re.compile(r"[^\s<>;,\"]{1,256}@[^\s<>;,\"]{1,253}")
_ORIGINALS = ("message/rfc822", "text/rfc822-headers", "message/rfc822-headers", "message/global")
_REPORT = re.compile(rb"^\s*multipart/report\b", re.IGNORECASE)
_REPORT_TYPE = re.compile(rb"report-type\s*=\s*\"?\s*([a-z-]{1,40})", re.IGNORECASE)
_DELIVERED = ("delivered", "relayed", "expanded")


def marks(mail: Mail) -> Iterator[tuple[Kind, str]]:
    """Kind and reason of everything that makes this mail a bounce, or a report of another kind."""
    content_type = mail.headers.first("content-type") or b""
    if _REPORT.match(content_type):
        found = _REPORT_TYPE.search(content_type)
        about = found[1].decode("ascii").lower() if found else "delivery-status"
        # a read receipt or an abuse report tells of no failed delivery
        kind = Kind.BOUNCE if about == "delivery-status" else Kind.AUTOMATIC
        yield kind, f"report (Content-Type: multipart/report; {about})"
    elif any(part.content_type == "message/delivery-status" for part in mail.attachments):
        yield Kind.BOUNCE, "delivery_status (part message/delivery-status)"
    failed = mail.header("x-failed-recipients")
    if failed is not None:
        yield Kind.BOUNCE, f"failed_recipients (X-Failed-Recipients: {failed[:80]})"
    local = mail.sender.address.rpartition("@")[0].lower() if mail.sender else ""
    if local == "mailer-daemon":
        yield Kind.BOUNCE, f"mailer_daemon (From: {local})"
    elif local == "postmaster":
        yield (Kind.BOUNCE if mail.return_path == "" else Kind.AUTOMATIC), f"postmaster (From: {local})"


def recipients(mail: Mail) -> list[BouncedRecipient]:
    """Whom the bounced mail did not reach, each once; [] where it does not say so in a readable way."""
    found: dict[str, BouncedRecipient] = {}
    for part in mail.attachments:
        if part.content_type in ("message/delivery-status", "message/global-delivery-status"):
            text = part.content[:_READ].decode("utf-8", "replace").replace("\r\n", "\n")
            for recipient in _delivery_status(text):
                found.setdefault(recipient.address.lower(), recipient)
    for value in mail.headers_all("x-failed-recipients"):
        for address in _ADDRESS.findall(value):
            found.setdefault(address.lower(), BouncedRecipient(address))
    return list(found.values())[:_MOST_RECIPIENTS]


def original_ids(mail: Mail) -> list[str]:
    """Message-ID of the mail that bounced, then its References newest first; with brackets, each once."""
    ids: list[str] = []
    for part in mail.attachments:
        if part.content_type in _ORIGINALS:
            headers = header_fields(part.content)
            ids += [found for found in (message_id(headers),) if found]
            ids += reversed(references(headers))
    return list(dict.fromkeys(ids))


def _delivery_status(text: str) -> Iterator[BouncedRecipient]:
    """RFC 3464 2.3: after the fields of the message a group of fields for each recipient."""
    for group in re.split(r"\n[ \t]*\n", text):
        fields = {
            name.strip().lower(): value.strip()
            for name, _, value in (line.partition(":") for line in group.split("\n"))
        }
        named = _ADDRESS.search(fields.get("original-recipient", "") + " " + fields.get("final-recipient", ""))
        action = fields.get("action", "failed").lower()
        if named and action not in _DELIVERED:
            status = fields.get("status", "").partition(" ")[0][:12]
            permanent = status.startswith("5") if status else action == "failed"
            yield BouncedRecipient(named[0], status, permanent)
