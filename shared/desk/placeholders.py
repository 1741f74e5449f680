"""The placeholders that texts of the desk may hold, and a word about those that they may not. Pure."""

import re
from collections.abc import Iterator, Mapping

from shared.desk.findings import Complaint, Loc, suggest
from shared.desk.model import Desk

FOUND = re.compile(r"(?:<|&lt;)OTRS_([A-Za-z0-9_:]{1,100})(?:\[[A-Za-z0-9_/+-]{1,64}\])?(?:>|&gt;)")
ANSWERS = frozenset(
    {
        "ticket_ticketnumber", "ticket_ticketid", "ticket_id", "ticket_queue", "ticket_state", "ticket_lock",
        "ticket_priority",
        "ticket_title", "customer_realname", "customer_from", "customer_to", "customer_cc", "customer_subject",
        "email_date", *Desk().named_settings,
    }
)  # fmt: skip
"""Names that an automatic answer knows, lower case."""
NOTIFICATIONS = (
    ANSWERS
    | {f"notification_recipient_user{each}" for each in ("fullname", "firstname", "login", "email")}
    | {f"{each}_userfullname" for each in ("owner", "responsible", "current")}
    | {"ticket_owner", "ticket_responsible", "agent_subject", "comment"}
)


def unknown_placeholders(desk: Desk, texts: Mapping[str, str]) -> Iterator[Complaint]:
    """Placeholders of the desk's texts that would become `-`."""
    for loc, text, known, what in _texts(desk, texts):
        for unknown in sorted({each for each in FOUND.findall(text) if each.lower() not in known}):
            yield Complaint(
                loc, f"<OTRS_{unknown}> is no placeholder of {what} and becomes -", suggest(unknown.lower(), known)
            )


def _texts(desk: Desk, texts: Mapping[str, str]) -> Iterator[tuple[Loc, str, frozenset[str], str]]:
    for name, response in desk.auto_responses.items():
        for key, text in (
            ("subject", response.subject or ""),
            ("text", texts.get(response.text or "", "")),
            ("html", texts.get(response.html or "", "")),
        ):
            yield ("auto_responses", name, key), text, ANSWERS, "an automatic answer"
    for name, queue in desk.queues.items():
        for key, file in (("salutation", queue.salutation), ("signature", queue.signature)):
            yield ("queues", name, key), texts.get(file or "", ""), ANSWERS, "an automatic answer"
    for name, rule in desk.notifications.rules.items():
        customers = "customer" in rule.recipients
        known, what = (ANSWERS, "a customer's notification") if customers else (NOTIFICATIONS, "a notification")
        for language, wording in rule.texts.items():
            for key, text in (("subject", wording.subject), ("text", texts.get(wording.text, ""))):
                yield ("notifications", "rules", name, "texts", language, key), text, known, what
