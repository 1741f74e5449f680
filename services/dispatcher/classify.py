"""Who wrote a mail: a person, or a machine of one of several kinds; and what speaks against answering it.

Two questions. A mark of a machine names the kind; a mark that only asks for no answer (`X-Auto-Response-Suppress`,
`List-Unsubscribe` alone, the list headers of a group whose address is ours) makes nobody a machine: a person's reply
reopens, answered or not. Every mark that speaks is collected, the strongest one names the kind. A reason reads
`rule (Header: value)`. The marks are those of RFC 3834 and the union of what desks have learnt to look for: RFC 3834
alone misses a good part of automatic mail.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from services.dispatcher import bounces
from services.dispatcher.fields import addresses
from shared.desk.model import Desk
from shared.events import Classification, Kind
from shared.message_ids import verify
from shared.mime.model import Mail

_SHOWN = 80
_MOST_REASONS = 20
_STRENGTH = (Kind.BOUNCE, Kind.LOOP, Kind.OUT_OF_OFFICE, Kind.LIST, Kind.AUTOMATIC)
_COMMENT = re.compile(r"\([^()]*\)")
_AUTO_REPLIED = ("auto-replied", "auto-reply")
_OFF = ("no", "false", "0", "none", "")
_PRECEDENCE = {
    "bulk": Kind.AUTOMATIC,
    "junk": Kind.AUTOMATIC,
    "list": Kind.LIST,
    "auto_reply": Kind.OUT_OF_OFFICE,
    "auto-reply": Kind.OUT_OF_OFFICE,
    "autoreply": Kind.OUT_OF_OFFICE,
}
_SUPPRESS = frozenset(("all", "oof", "autoreply"))
_PRESENT = {
    "x-loop": Kind.AUTOMATIC,
    "x-no-loop": Kind.AUTOMATIC,
    "x-fc-machinegenerated": Kind.AUTOMATIC,
    "x-cron-env": Kind.AUTOMATIC,
    "x-ms-exchange-generated-message-source": Kind.AUTOMATIC,
    "x-otrs-loop": Kind.LOOP,
    "x-otobo-loop": Kind.LOOP,
    "x-carteiro-loop": Kind.LOOP,
}
_REPLIES = re.compile(
    r"x-(?:mail-|amazon-)?auto-?repl(?:y|ied)(?:-[a-z-]*)?|x-auto-?respon(?:d|der|se)(?!-suppress)(?:-[a-z-]*)?|"
    r"x-vacation(?:-[a-z-]*)?"
)
_NO_REPLY = re.compile(
    r"(?:.*-)?(?:(?:no|not|donot|do-not|dont)-?reply|(?:nao|não|no|ne-pas)-?(?:responda|responder|repondre))(?:[-+].*)?"
)


class Mark(NamedTuple):
    """One thing that speaks against a person, or (`kind` None) only against an answer."""

    kind: Kind | None
    reason: str


class Judged(NamedTuple):
    """What a mail is. `unanswered`: the first mark that asks for no answer, "" if there is none. `returned`: ids of
    the mail whose delivery this one reports, with brackets; [] of any other mail."""

    classification: Classification
    unanswered: str
    returned: list[str]


def classify(mail: Mail, raw: bytes, desk: Desk, keys: Sequence[bytes], *, alone: bool = True) -> Judged:
    """The kind with every reason for it. `keys` are those of our Message-IDs: a mail under one of them is our own.
    `raw`, `alone`: see `bounces.recipients`."""
    report = bounces.report(mail)
    marks = [
        *(Mark(kind, why) for kind, why in report.marks),
        *_header_marks(mail, desk),
        *_sender_marks(mail, desk, keys, null=report.null_path),
    ]
    kinds = {mark.kind for mark in marks}
    kind = next((kind for kind in _STRENGTH if kind in kinds), Kind.HUMAN)
    bounced = bounces.recipients(mail, raw, report, alone=alone) if kind is Kind.BOUNCE else []
    reasons = list(dict.fromkeys(mark.reason for mark in marks))
    unanswered = next((mark.reason for mark in marks if mark.kind is None), "")
    returned = bounces.original_ids(mail, keys) if report.about_delivery or kind is Kind.BOUNCE else []
    return Judged(Classification(kind, reasons[:_MOST_REASONS], bounced), unanswered, returned)


def is_no_reply(address: str) -> bool:
    """Does the address say that nobody reads what is sent to it?"""
    local = address.rpartition("@")[0].lower().replace("_", "-").replace(".", "-")
    return bool(_NO_REPLY.fullmatch(local))


def _header_marks(mail: Mail, desk: Desk) -> Iterator[Mark]:
    lists = _lists(mail, desk)
    for name in mail.headers.fields:
        if name in _VALUE_MARKS:
            yield from _VALUE_MARKS[name](mail, name, lists)
        elif name in _PRESENT:
            yield Mark(_PRESENT[name], reason("loop_header" if "loop" in name else "machine", name, mail.header(name)))
        elif name.startswith("list-") or name == "mailing-list":
            yield Mark(lists, reason("mailing_list", name, mail.header(name)))
        elif name.startswith("x-") and _REPLIES.fullmatch(name) and _on(value := mail.header(name)):
            yield Mark(Kind.OUT_OF_OFFICE, reason("machine", name, value))


def _lists(mail: Mail, desk: Desk) -> Kind | None:
    """What the headers of a list make of a mail: nothing where the list is a group of ours, or only says how one
    leaves it, which programs for writing to customers add to a person's mail."""
    named = [name for name in mail.headers.fields if name.startswith("list-") or name == "mailing-list"]
    if named and all(name.startswith("list-unsubscribe") for name in named):
        return None
    for name in named:
        if name in ("list-id", "list-post", "mailing-list", "list-owner"):
            text = (mail.header(name) or "").lower()
            if any(address in text or address.replace("@", ".") in text for address in desk.system_addresses):
                return None
    return Kind.LIST


def _on(value: str | None) -> bool:
    return (value or "yes").strip().lower() not in _OFF


def _auto_submitted(mail: Mail, name: str, _: Kind | None) -> Iterator[Mark]:
    """RFC 3834 section 5: anything but `no`, comments, parameters and unknown keywords included."""
    for value in mail.headers_all(name):
        keyword = _COMMENT.sub("", value).partition(";")[0].strip().lower()
        if keyword != "no":
            kind = Kind.OUT_OF_OFFICE if keyword in _AUTO_REPLIED else Kind.AUTOMATIC
            yield Mark(kind, reason("auto_submitted", name, value))


def _precedence(mail: Mail, name: str, lists: Kind | None) -> Iterator[Mark]:
    """Only those values that machines write: `first-class` and the like are people's."""
    for value in mail.headers_all(name):
        keyword = _COMMENT.sub("", value).partition(";")[0].strip().lower()
        if keyword in _PRECEDENCE:
            yield Mark(lists if keyword == "list" else _PRECEDENCE[keyword], reason("precedence", name, value))


def _suppress(mail: Mail, name: str, _: Kind | None) -> Iterator[Mark]:
    """MS-OXCMAIL 2.1.3.2.20; what only suppresses receipts (DR, NDR, RN, NRN) says nothing about answers."""
    for value in mail.headers_all(name):
        if not _SUPPRESS.isdisjoint(token.strip().lower() for token in value.split(",")):
            yield Mark(None, reason("response_suppressed", name, value))


def _autogenerated(mail: Mail, name: str, _: Kind | None) -> Iterator[Mark]:
    value = mail.header(name) or ""
    if _on(value):
        kind = Kind.OUT_OF_OFFICE if "repl" in value.lower() else Kind.AUTOMATIC
        yield Mark(kind, reason("machine", name, value))


def _apple_action(mail: Mail, name: str, _: Kind | None) -> Iterator[Mark]:
    """iCloud's absence notes; its other actions (a rule that moved the mail) stand in people's mail too."""
    value = mail.header(name) or ""
    if "vacation" in value.lower() or "reply" in value.lower():
        yield Mark(Kind.OUT_OF_OFFICE, reason("machine", name, value))


def _delivered_to(mail: Mail, name: str, _: Kind | None) -> Iterator[Mark]:
    for value in mail.headers_all(name):
        if value.strip("<> ").lower().partition("@")[0] in ("autoresponder", "auto-responder", "autoresponse"):
            yield Mark(Kind.OUT_OF_OFFICE, reason("machine", name, value))


def _message_class(mail: Mail, name: str, _: Kind | None) -> Iterator[Mark]:
    """`9; Autoresponder`, of German providers."""
    value = mail.header(name) or ""
    if "autoresponder" in value.lower():
        yield Mark(Kind.OUT_OF_OFFICE, reason("machine", name, value))


_VALUE_MARKS = {
    "auto-submitted": _auto_submitted,
    "x-auto-submitted": _auto_submitted,
    "precedence": _precedence,
    "x-precedence": _precedence,
    "preference": _precedence,  # misspelt by several autoresponders
    "x-auto-response-suppress": _suppress,
    "x-autogenerated": _autogenerated,
    "x-auto-generated": _autogenerated,
    "x-apple-action": _apple_action,
    "delivered-to": _delivered_to,
    "x-post-messageclass": _message_class,
}


def _sender_marks(mail: Mail, desk: Desk, keys: Sequence[bytes], *, null: bool) -> Iterator[Mark]:
    if null:
        yield Mark(Kind.AUTOMATIC, reason("null_return_path", "Return-Path", "<>"))
    if verify(mail.message_id, keys):
        yield Mark(Kind.LOOP, reason("own_message_id", "Message-ID", mail.message_id))
    for address in mail.all_from or ([mail.sender] if mail.sender else []):
        if desk.owns(address.address):
            # a web form or a group of ours writes so, and says who the person is; else it is our own mail, come back
            wrote = writer(mail, desk)
            own = wrote.address is None or desk.owns(wrote.address)
            yield Mark(Kind.LOOP if own else None, reason("own_address", "From", address.address))
        elif is_no_reply(address.address):
            yield Mark(Kind.AUTOMATIC, reason("no_reply", "From", address.address))


class Writer(NamedTuple):
    """Who a mail is from: the address, its name, and the header that says so (None: nobody can be named)."""

    name: str
    address: str | None
    source: str


def writer(mail: Mail, desk: Desk) -> Writer:
    """The first address of From; where that is ours, the person whom Reply-To, or a group in X-Original-…, names."""
    if mail.sender is None:
        return Writer("", None, "none")
    if mail.sender_source == "from" and desk.owns(mail.sender.address):
        for source in ("reply-to", "x-original-from", "x-original-sender"):
            for each in mail.reply_to if source == "reply-to" else addresses(mail, source):
                if not desk.owns(each.address) and not is_no_reply(each.address):
                    return Writer(each.name, each.address, source)
    return Writer(mail.sender.name, mail.sender.address, mail.sender_source)


def reason(rule: str, header: str, value: str | None) -> str:
    """`rule (Header: value)`, bounded: the value is a stranger's."""
    shown = header if header[:1].isupper() else "-".join(part.capitalize() for part in header.split("-"))
    return f"{rule} ({shown[:_SHOWN]}: {(value or '')[:_SHOWN]})"
