"""The two plans of a decision: what to do if the mail is a new ticket, and what if it is a reply. Pure.

Both start from the desk's settings; control headers, of a trusted mail or set by a filter, say the rest. Names that
only ticketing can judge (a state, an agent) travel as they were written: what is unknown there is noted in the
ticket's history.
"""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta

from msgspec.structs import replace

from services.dispatcher.filters import Filtered
from shared.desk.controls import dynamic_field
from shared.desk.model import Desk
from shared.events import Classification, FollowUpPlan, NewTicketPlan

_RELATIVE = re.compile(r"\s*([+-]?)\s*(\d{1,9})\s*([smhd]?)\s*", re.IGNORECASE)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_LONGEST = 250
_MOST_FIELDS = 200


def new_ticket(found: Filtered, queue: str, customer: str, desk: Desk, moment: datetime) -> NewTicketPlan:
    """`queue`: the account's, or the recipient's; a queue that a control header names wins, if the desk has it."""
    said = found.controls
    if not said:  # most mails: reading what is not there costs more than all else here
        return NewTicketPlan(
            queue=queue,
            title=found.subject,
            state=desk.postmaster_default_state,
            priority=desk.postmaster_default_priority,
            customer_user=_short(customer),
            refused_by=found.refused,
        )
    wanted = said.get("queue", "").strip()
    return NewTicketPlan(
        queue=wanted if wanted and desk.queue(wanted) else queue,
        title=said.get("title", "") or found.subject,
        state=_short(said.get("state", "")) or desk.postmaster_default_state,
        priority=_short(said.get("priority", "")) or desk.postmaster_default_priority,
        lock=_short(said.get("lock", "")) or "unlock",
        customer_user=_short(said.get("customeruser", "")) or customer,
        customer_no=_short(said.get("customerno", "")),
        type=_short(said.get("type", "")),
        service=_short(said.get("service", "")),
        sla=_short(said.get("sla", "")),
        owner=_short(said.get("owner") or said.get("ownerid", "")),
        responsible=_short(said.get("responsible") or said.get("responsibleid", "")),
        pending_until=pending_time(said.get("state-pendingtime", ""), desk, moment),
        dynamic_fields=_fields(said, follow_up=False),
        sender_type=_sender_type(said.get("sendertype", "")),
        visible=said.get("isvisibleforcustomer", "1").strip() not in ("0", "no", "false"),
        refused_by=found.refused,
    )


def follow_up(found: Filtered, classification: Classification, desk: Desk, moment: datetime) -> FollowUpPlan:
    said = {name.removeprefix("followup-"): value for name, value in found.controls.items() if "followup-" in name}
    if not said:
        return _unchanged(desk, keep=classification.automatic)
    keep = bool(re.search(r"1|yes|true", said.get("state-keep", ""), re.IGNORECASE)) or classification.automatic
    named = _short(said.get("state", ""))
    queue = said.get("queue", "").strip()
    return replace(
        _unchanged(desk, keep=keep, named=named),
        queue=queue if queue and desk.queue(queue) else "",
        title=said.get("title", "")[:_LONGEST],
        priority=_short(said.get("priority", "")),
        lock=_short(said.get("lock", "")),
        type=_short(said.get("type", "")),
        service=_short(said.get("service", "")),
        sla=_short(said.get("sla", "")),
        owner=_short(said.get("owner") or said.get("ownerid", "")),
        responsible=_short(said.get("responsible") or said.get("responsibleid", "")),
        pending_until=pending_time(said.get("state-pendingtime", ""), desk, moment),
        dynamic_fields=_fields(found.controls, follow_up=True),
        sender_type=_sender_type(said.get("sendertype", "")),
        visible=said.get("isvisibleforcustomer", "1").strip() not in ("0", "no", "false"),
    )


def _unchanged(desk: Desk, *, keep: bool, named: str = "") -> FollowUpPlan:
    """The state alone."""
    closed = desk.postmaster_follow_up_state_closed or desk.postmaster_follow_up_state
    return FollowUpPlan(
        state="" if keep else named or desk.postmaster_follow_up_state,
        state_closed="" if keep else named or closed,
        state_named=bool(named) and not keep,
        reopen=not keep,
    )


def pending_time(value: str, desk: Desk, moment: datetime) -> datetime | None:
    """`YYYY-MM-DD hh:mm:ss` in the desk's time zone, or relative to the mail's arrival: `+ 2 d`, `3600`; None for
    what is neither."""
    if relative := _RELATIVE.fullmatch(value):
        seconds = int(relative[2]) * _SECONDS[relative[3].lower() or "s"]
        try:
            return moment + timedelta(seconds=-seconds if relative[1] == "-" else seconds)
        except OverflowError:
            return None
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}", value.strip()):
        return None
    try:
        return datetime.fromisoformat(value.strip()).replace(tzinfo=desk.zone)
    except ValueError:
        return None


def _fields(said: Mapping[str, str], *, follow_up: bool) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in said.items():
        field = dynamic_field(name)
        if field is not None and field[0] is follow_up and len(found) < _MOST_FIELDS:
            found[field[1]] = value
    return found


def _short(value: str) -> str:
    return value.strip()[:_LONGEST]


def _sender_type(value: str) -> str:
    return value if value in ("agent", "system", "customer") else "customer"
