"""What a mail is: a person's, or one of the kinds that nobody must answer.

Every mark that speaks against a person is collected, the strongest one names the kind. A reason reads
`rule (Header: value)`. The marks are those of RFC 3834 and the union of what desks have learnt to look for:
RFC 3834 alone misses a good part of automatic mail.
"""

import re
from collections.abc import Iterator

from services.dispatcher import bounces
from shared.events import Classification, Kind
from shared.mime.model import Mail

Mark = tuple[Kind, str]

_SHOWN = 80
_MOST_REASONS = 20
_STRENGTH = (Kind.BOUNCE, Kind.LOOP, Kind.OUT_OF_OFFICE, Kind.LIST, Kind.AUTOMATIC)
_COMMENT = re.compile(r"\([^()]*\)")
_AUTO_REPLIED = ("auto-replied", "auto-reply")
_PRECEDENCE = {
    "bulk": Kind.AUTOMATIC,
    "junk": Kind.AUTOMATIC,
    "list": Kind.LIST,
    "auto_reply": Kind.OUT_OF_OFFICE,
    "auto-reply": Kind.OUT_OF_OFFICE,
}
_SUPPRESS = frozenset(("all", "oof", "autoreply"))
_PRESENT = {
    "mailing-list": Kind.LIST,
    "x-loop": Kind.AUTOMATIC,
    "x-no-loop": Kind.AUTOMATIC,
    "x-autoreply": Kind.OUT_OF_OFFICE,
    "x-autorespond": Kind.OUT_OF_OFFICE,
    "x-fc-machinegenerated": Kind.AUTOMATIC,
    "x-otrs-loop": Kind.LOOP,
    "x-carteiro-loop": Kind.LOOP,
}
_NO_REPLY = re.compile(
    r"(?:.*-)?(?:(?:no|not|donot|do-not|dont)-?reply|(?:nao|não|no|ne-pas)-?(?:responda|responder|repondre))(?:[-+].*)?"
)


def classify(mail: Mail, own_addresses: frozenset[str]) -> Classification:
    """The kind with every reason for it. `own_addresses` are lower-case: mail from one of ours is a loop."""
    marks = [*bounces.marks(mail), *_header_marks(mail), *_sender_marks(mail, own_addresses)]
    kinds = {kind for kind, _ in marks}
    kind = next((kind for kind in _STRENGTH if kind in kinds), Kind.HUMAN)
    bounced = bounces.recipients(mail) if kind is Kind.BOUNCE else []
    reasons = list(dict.fromkeys(why for _, why in marks))
    return Classification(kind, reasons[:_MOST_REASONS], bounced)


def is_no_reply(address: str) -> bool:
    """Does the address say that nobody reads what is sent to it?"""
    local = address.rpartition("@")[0].lower().replace("_", "-").replace(".", "-")
    return bool(_NO_REPLY.fullmatch(local))


def _header_marks(mail: Mail) -> Iterator[Mark]:
    for name in mail.headers.fields:
        if name in _VALUE_MARKS:
            yield from _VALUE_MARKS[name](mail)
        elif name in _PRESENT:
            yield _PRESENT[name], reason("loop_header" if "loop" in name else "machine", name, mail.header(name))
        elif name.startswith("list-"):
            yield Kind.LIST, reason("mailing_list", name, mail.header(name))


def _auto_submitted(mail: Mail) -> Iterator[Mark]:
    """RFC 3834 section 5: anything but `no`, comments, parameters and unknown keywords included."""
    for value in mail.headers_all("auto-submitted"):
        keyword = _COMMENT.sub("", value).partition(";")[0].strip().lower()
        if keyword != "no":
            kind = Kind.OUT_OF_OFFICE if keyword in _AUTO_REPLIED else Kind.AUTOMATIC
            yield kind, reason("auto_submitted", "Auto-Submitted", value)


def _precedence(mail: Mail) -> Iterator[Mark]:
    """Only those values that machines write: `first-class` and the like are people's."""
    for value in mail.headers_all("precedence"):
        kind = _PRECEDENCE.get(_COMMENT.sub("", value).strip().lower())
        if kind:
            yield kind, reason("precedence", "Precedence", value)


def _suppress(mail: Mail) -> Iterator[Mark]:
    """MS-OXCMAIL 2.1.3.2.20; what only suppresses receipts (DR, NDR, RN, NRN) says nothing about answers."""
    for value in mail.headers_all("x-auto-response-suppress"):
        if not _SUPPRESS.isdisjoint(token.strip().lower() for token in value.split(",")):
            yield Kind.AUTOMATIC, reason("response_suppressed", "X-Auto-Response-Suppress", value)


_VALUE_MARKS = {
    "auto-submitted": _auto_submitted,
    "precedence": _precedence,
    "x-auto-response-suppress": _suppress,
}


def _sender_marks(mail: Mail, own_addresses: frozenset[str]) -> Iterator[Mark]:
    if mail.return_path == "":
        yield Kind.AUTOMATIC, reason("null_return_path", "Return-Path", "<>")
    for address in mail.all_from or ([mail.sender] if mail.sender else []):
        if address.address.lower() in own_addresses:
            yield Kind.LOOP, reason("own_address", "From", address.address)
        elif is_no_reply(address.address):
            yield Kind.AUTOMATIC, reason("no_reply", "From", address.address)


def reason(rule: str, header: str, value: str | None) -> str:
    """`rule (Header: value)`, bounded: the value is a stranger's."""
    shown = header if header[:1].isupper() else "-".join(part.capitalize() for part in header.split("-"))
    return f"{rule} ({shown[:_SHOWN]}: {(value or '')[:_SHOWN]})"
