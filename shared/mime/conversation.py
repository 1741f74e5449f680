"""Which conversation a mail belongs to, as far as its own header says: the key of the mail topics."""

import hashlib
from datetime import datetime

from shared.mime.content_key import content_key
from shared.mime.fields import Headers, header_fields
from shared.mime.identifiers import in_reply_to, message_id, references
from shared.mime.limits import DEFAULT
from shared.mime.model import Mail


def named_root(mail: Mail | Headers) -> str:
    """First id of References, else of In-Reply-To, else the Message-ID, without brackets; "" if there is none."""
    headers = mail.headers if isinstance(mail, Mail) else mail
    named = references(headers)[:1] or in_reply_to(headers)[:1] or [message_id(headers)]
    return named[0].removeprefix("<").removesuffix(">")


def conversation_key(raw: bytes, received_at: datetime) -> bytes:
    """The record's key of a raw mail, from a glance at its header block. A wrong key costs order, never correctness."""
    headers = header_fields(raw, DEFAULT)
    return kafka_key(named_root(headers) or content_key(raw, headers, received_at))


def kafka_key(root: str) -> bytes:
    """Lower-case hex of the first 16 bytes of SHA-256 over the root: ids are strangers' input and personal data."""
    return hashlib.sha256(root.encode("utf-8", "replace")).hexdigest()[:32].encode("ascii")
