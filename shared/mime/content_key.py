"""The content key: two deliveries of one mail agree on it, whatever the servers on the way added."""

import hashlib
import re
from datetime import UTC, datetime

from shared.mime.fields import Headers, with_line_feeds
from shared.mime.identifiers import message_id
from shared.mime.model import Mail

_LONE_CR = re.compile(rb"\r(?!\n)")
_FIELDS = ("from", "to", "cc", "subject", "date", "message-id")


def content_key(raw: bytes, mail: Mail | Headers, internal_date: datetime | None = None) -> str:
    """Hex SHA-256 over From, To, Cc, Subject, Date, Message-ID and the body with LF line ends and no trailing
    blank lines. Trace headers stay out.

    Without a Message-ID over the raw bytes and `internal_date` (aware; whole seconds count): two equal alerts are
    two mails.
    """
    headers = mail.headers if isinstance(mail, Mail) else mail
    digest = hashlib.sha256()
    if mail.message_id_derived if isinstance(mail, Mail) else not message_id(headers):
        if internal_date is not None:
            digest.update(internal_date.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ\n").encode("ascii"))
        digest.update(raw)
        return digest.hexdigest()
    for name in _FIELDS:
        for value in headers.all(name):
            # folding may differ between two ways; an unfolded value holds no line end, so lines cannot be forged
            digest.update(name.encode("ascii") + b":" + b" ".join(value.split()) + b"\n")
    body = with_line_feeds(raw)[headers.body :]
    # taking out a byte is three times as fast as replacing two; the same where no CR stands alone
    body = body.replace(b"\r\n", b"\n") if _LONE_CR.search(body) else body.translate(None, b"\r")
    digest.update(b"\n")
    digest.update(body.rstrip(b"\n"))
    return digest.hexdigest()
