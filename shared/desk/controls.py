"""The control headers of OTRS, `X-OTRS-…`: what a trusted mail, or a filter, can say about its ticket. Pure."""

import re

PREFIX = "x-otrs-"
OTHER_PREFIX = "x-otobo-"
_FOLLOW_UP = "followup-"
_BOTH = frozenset(
    [
        *("owner", "ownerid", "responsible", "responsibleid", "priority", "queue", "lock", "state"),
        *("state-pendingtime", "type", "service", "sla", "title", "sendertype", "isvisibleforcustomer"),
    ]
)
NEW = _BOTH | {"loop", "ignore", "customerno", "customeruser", "attachmentexists", "attachmentcount", "bodydecrypted"}
FOLLOW_UP = frozenset(f"{_FOLLOW_UP}{name}" for name in (*_BOTH, "state-keep"))
INTERNAL = frozenset(
    ("bounce", "bounce-originalmessageid", "bounce-errormessage", f"{_FOLLOW_UP}recognizedticketnumber")
)
"""Set by filters, never read from a mail."""
_DYNAMIC = re.compile(r"(followup-)?dynamicfield-([a-z0-9]{1,200})", re.IGNORECASE)
_LEGACY = re.compile(
    r"(followup-)?(ticketkey|ticketvalue|tickettime|articlekey|articlevalue)([0-9]{1,2})", re.IGNORECASE
)
_FREE = {
    "ticketkey": "TicketFreeKey",
    "ticketvalue": "TicketFreeText",
    "tickettime": "TicketFreeTime",
    "articlekey": "ArticleFreeKey",
    "articlevalue": "ArticleFreeText",
}


def control(header: str) -> str | None:
    """Name of a control header in lower case without its prefix (of a dynamic field as it is written); None for any
    other header."""
    lower = header.lower()
    for prefix in (PREFIX, OTHER_PREFIX):
        if lower.startswith(prefix):
            rest = header[len(prefix) :]
            return rest if _DYNAMIC.fullmatch(rest) else rest.lower()
    return None


def known(name: str) -> bool:
    """Is it one of the headers that mean something? `name` as `control` gives it."""
    return name in NEW or name in FOLLOW_UP or name in INTERNAL or dynamic_field(name) is not None


def dynamic_field(name: str) -> tuple[bool, str] | None:
    """(is it for a follow-up, the field's name); OTRS's old free fields are fields of that name."""
    if found := _DYNAMIC.fullmatch(name):
        return bool(found[1]), found[2]
    if found := _LEGACY.fullmatch(name):
        return bool(found[1]), f"{_FREE[found[2].lower()]}{int(found[3])}"
    return None


def shown(name: str) -> str:
    """As an administrator writes it, e.g. `X-OTRS-FollowUp-State`."""
    spelt = {"followup": "FollowUp", "customerno": "CustomerNo", "customeruser": "CustomerUser", "sla": "SLA",
             "ownerid": "OwnerID", "responsibleid": "ResponsibleID", "pendingtime": "PendingTime",
             "sendertype": "SenderType", "isvisibleforcustomer": "IsVisibleForCustomer"}  # fmt: skip
    return "X-OTRS-" + "-".join(spelt.get(part, part[:1].upper() + part[1:]) for part in name.split("-"))
