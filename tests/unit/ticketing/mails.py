"""Mails as the dispatcher describes them, in a few words."""

import hashlib
from datetime import UTC, datetime
from typing import Any

from shared.events import (
    Answer,
    Candidate,
    Check,
    Classification,
    FollowUpPlan,
    Kind,
    MailDispatched,
    NewTicketPlan,
    Origin,
    Party,
)

RECEIVED = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
ANA, BRUNO, MALLORY = "ana@kunde.example", "bruno@kunde.example", "mallory@evil.example"


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def dispatched(
    name: str,
    sender: str = ANA,
    *,
    queue: str = "suporte",
    account: str = "caixa",
    uid: str = "",
    content: str = "",
    raw: str = "",
    replies_to: str = "",
    kind: Kind = Kind.HUMAN,
    follow_up: FollowUpPlan | None = None,
    **more: Any,
) -> MailDispatched:
    """A mail called `name`: its Message-ID, and where nothing else is said its identity. `replies_to` names another
    mail in References."""
    parent = f"<{replies_to}@kunde.example>"
    facts: dict[str, Any] = {
        "transport_key": digest(f"{account} {uid or name}"),
        "content_key": digest(f"content {content or name}"),
        "raw_sha256": digest(f"raw {raw or name} {account}"),
        "original": f"0/{name}.zst",
        "size": 3000,
        "account": account,
        "folder": "INBOX",
        "uidvalidity": 1,
        "uid": uid or name,
        "received_at": RECEIVED,
        "origin": Origin.LIVE,
        "action": "dispatch",
        "message_id": f"<{name}@kunde.example>",
        "references": [parent] if replies_to else [],
        "sender": Party("", sender),
        "to": [Party("Suporte", "suporte@empresa.example")],
        "subject": f"Subject of {name}",
        "text": f"Text of {name}",
        "classification": Classification(kind),
        "answer": Answer(address=sender),
        "candidates": [Candidate(Check.REFERENCES, parent)] if replies_to else [],
        "new": NewTicketPlan(queue=queue, title=f"Subject of {name}", customer_user=sender),
        "follow_up": follow_up or FollowUpPlan(),
    }
    return MailDispatched(**{**facts, **more})
