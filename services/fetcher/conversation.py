"""The key of a mail on `mail.received.v1`: mails of one conversation travel in order, if their headers say so.

A glance at the header block, not a parser: a wrong key costs order, never correctness.
"""

import hashlib
import re

_LOOKED_AT = 64 * 1024
_HEADER = re.compile(rb"^(references|in-reply-to|message-id):(.*(?:\n[ \t].*)*)", re.IGNORECASE | re.MULTILINE)
_ID = re.compile(rb"<([^<>\s]+)>")
_END = re.compile(rb"\r?\n\r?\n")


def conversation_key(raw: bytes) -> bytes:
    """Lower-case hex of the first 16 bytes of SHA-256 over the conversation root, without its brackets.

    The root (RFC 5322 §3.6.4) is the first id of References, else of In-Reply-To, else Message-ID, else the
    raw bytes stand for it. Ids are hashed: they are strangers' input, and personal data.
    """
    head = raw[:_LOOKED_AT]
    if end := _END.search(head):
        head = head[: end.start()]
    ids: dict[bytes, bytes] = {}
    for match in _HEADER.finditer(head):
        if found := _ID.search(match[2]):
            ids.setdefault(match[1].lower(), found[1])
    root = next((ids[name] for name in (b"references", b"in-reply-to", b"message-id") if name in ids), raw)
    return hashlib.sha256(root).hexdigest()[:32].encode()
