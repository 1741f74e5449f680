"""The placeholders that texts of the desk may hold, and a word about those that they may not. Pure."""

import re
from collections.abc import Iterator, Mapping

from shared.desk.findings import Complaint, suggest
from shared.desk.model import Desk

FOUND = re.compile(r"(?:<|&lt;)OTRS_([A-Za-z0-9_:]{1,100})(?:\[[A-Za-z0-9_/+-]{1,64}\])?(?:>|&gt;)")
CONFIG = (
    "Ticket::Hook", "Ticket::HookDivider", "SystemID", "NotificationSenderName", "NotificationSenderEmail",
    "DefaultLanguage", "OTRSTimeZone",
)  # fmt: skip
ANSWERS = frozenset(
    {
        "ticket_ticketnumber", "ticket_ticketid", "ticket_id", "ticket_queue", "ticket_state", "ticket_lock",
        "ticket_title", "customer_realname", "customer_from", "customer_to", "customer_cc", "customer_subject",
        "email_date", *(f"config_{name.lower()}" for name in CONFIG),
    }
)  # fmt: skip
"""Names that an automatic answer knows, lower case."""
NOTIFICATIONS = ANSWERS | {f"notification_recipient_user{each}" for each in ("fullname", "firstname", "login", "email")}


def unknown_placeholders(desk: Desk, texts: Mapping[str, str]) -> Iterator[Complaint]:
    """Placeholders of automatic answers that would become `-`."""
    for name, response in desk.auto_responses.items():
        for key, text in (
            ("subject", response.subject),
            ("text", texts.get(response.text, "")),
            ("html", texts.get(response.html or "", "")),
        ):
            for unknown in sorted({each for each in FOUND.findall(text) if each.lower() not in ANSWERS}):
                yield Complaint(
                    ("auto_responses", name, key),
                    f"<OTRS_{unknown}> is no placeholder of an automatic answer and becomes -",
                    suggest(unknown.lower(), ANSWERS),
                )
