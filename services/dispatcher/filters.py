"""The administrator's filters and the control headers of trusted mail, with OTRS's semantics. Pure.

Filters run in the order of their names; the rows of one are ANDed; what one sets, later ones see; a stop flag ends the
list where its filter matched. A row looks at the first field of its name. A header that is not there never matches,
not even negated; one that is empty is there.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from services.dispatcher.fields import addresses
from shared.desk.controls import INTERNAL, control, known, shown
from shared.desk.model import Account, Desk, ExternalNumber, Filter, Match
from shared.desk.patterns import search, whole
from shared.events import TraceStep
from shared.mime.model import Mail

TEXT = 64 * 1024
"""Characters of the text that filters look at: what the event holds."""
_EMAIL = "EMAILADDRESS:"
_SHOWN = 160
_MOST_VALUE = 4000
_WRITTEN = re.compile(rb"^(X-OT(?:RS|OBO)-[!-9;-~]{1,230})[ \t]*:", re.IGNORECASE | re.MULTILINE)
_NAMED = re.compile(r"\[\*\*\\([A-Za-z_][A-Za-z0-9_]*)\*\*\]")
_LAST = "[***]"
_ADDRESS_FIELDS = {"from", "to", "cc", "reply-to", "delivered-to", "resent-to", "envelope-to", "x-original-to"}


class Filtered(NamedTuple):
    """What control headers and filters said. `controls`: by the lower-case name without `X-OTRS-` (of a dynamic
    field as it is written); `hits`: filters that matched; `rewritten`: a filter
    set the text; `refused`: the one whose notice is to be sent if the mail
    would be a new ticket; `ignored`: why the mail is ignored, "" if it is not; `loop`: what a filter says of
    `X-OTRS-Loop`, None where none does."""

    controls: dict[str, str]
    hits: list[str]
    trace: list[TraceStep]
    subject: str
    text: str
    rewritten: bool = False
    refused: str = ""
    ignored: str = ""
    loop: bool | None = None


class _View:
    """The mail's headers as filters see them, with what was set over them."""

    def __init__(self, mail: Mail, known_values: dict[str, str]) -> None:
        self._mail = mail
        self._set: dict[str, str] = {name.lower(): value for name, value in known_values.items()}

    def value(self, header: str) -> str | None:
        name = {"replyto": "reply-to"}.get(header.lower(), header.lower()).replace("x-otobo-", "x-otrs-")
        if name in self._set:
            return self._set[name]
        if name == "body":
            return self._mail.text[:TEXT].removesuffix("\n")
        if name == "subject":
            return self._mail.subject if self._mail.headers.first("subject") is not None else None
        if name == "x-sender":
            return self._mail.all_from[-1].address if self._mail.all_from else None
        return None if name.startswith("x-otrs-") else self._mail.header(name)

    def addresses(self, header: str) -> list[str]:
        name = header.lower()
        if name in self._set or name not in self._mail.headers.fields:
            return re.findall(r"[^\s<>;,\"()]+@[^\s<>;,\"()]+", self.value(header) or "")
        if name == "from":
            return [each.address for each in self._mail.all_from]
        return [each.address for each in addresses(self._mail, name)]

    def was_set(self, header: str) -> bool:
        return header in self._set

    def set(self, header: str, value: str) -> None:
        self._set[header.lower().replace("x-otobo-", "x-otrs-")] = value


class _Captures(NamedTuple):
    last: str
    named: dict[str, str]


def filtered(mail: Mail, raw: bytes, account: str, desk: Desk, facts: dict[str, str], *, names: bool) -> Filtered:
    """Control headers of the mail, then the desk's filters, where the account says so. `facts`: headers that we set
    ourselves (X-OTRS-Bounce, …). `names`: the mail names a ticket or another mail."""
    known_account = desk.accounts.get(account)
    trace: list[TraceStep] = []
    controls = dict(_written(mail, raw, known_account, trace))
    view = _View(mail, {shown(name): value for name, value in controls.items()} | facts)
    hits: list[str] = []
    refused = ""
    loop: bool | None = None
    ignored_by = "header X-OTRS-Ignore" if _yes(controls.get("ignore", "")) else ""
    if known_account is None or not known_account.filters_mail:
        trace.append(TraceStep("filters", _account(account, known_account), "not applied"))
    else:
        for name in sorted(desk.filters):
            each = desk.filters[name]
            why, captures = _matches(each, view, account, names=names)
            if captures is None:
                trace.append(TraceStep(f"filter:{name}"[:_SHOWN], why, "no match"))
                continue
            hits.append(name)
            values = {header: _filled(value, captures) for header, value in each.set.items()}
            for header, value in values.items():
                view.set(header, value)
                meant = control(header)
                if meant is not None:
                    controls[meant] = value
            if "ignore" in map(control, values):
                ignored_by = f"filter {name}" if _yes(controls.get("ignore", "")) else ""
            if "loop" in map(control, values):
                loop = controls["loop"].strip().lower() not in ("no", "false", "")
            refused = name if each.refuse and not refused else refused
            trace.append(TraceStep(f"filter:{name}"[:_SHOWN], why, _said(values, each)))
            if each.stop:
                trace.append(TraceStep("filters", f"stop after {name}"[:_SHOWN], "the rest is left out"))
                break
        if not desk.filters:
            trace.append(TraceStep("filters", "account trusted", "none in the desk"))
    return Filtered(
        controls=controls,
        hits=hits,
        trace=trace,
        subject=view.value("subject") or "",
        text=view.value("body") or "",
        rewritten=view.was_set("body"),
        refused=refused,
        ignored=ignored_by,
        loop=loop,
    )


def _account(name: str, account: Account | None) -> str:
    if account is None:
        return "no account" if not name else "account not in the desk"
    return "account not trusted" if not account.trusted else "account says apply_filters: false"


def _written(mail: Mail, raw: bytes, account: Account | None, trace: list[TraceStep]) -> Iterator[tuple[str, str]]:
    """Control headers that stand in the mail, where its account is trusted; else the trace says what was dropped."""
    if not any(name.startswith(("x-otrs-", "x-otobo-")) for name in mail.headers.fields):
        return
    head = raw[mail.headers.start : mail.headers.body]
    for written in dict.fromkeys(found.decode("ascii") for found in _WRITTEN.findall(head)):
        name, value = control(written), mail.header(written)
        if name is None or value is None:
            continue
        saw = f"{written}: {value}"[:_SHOWN]
        if account is None or not account.obeys_headers:
            trace.append(TraceStep("control_header", saw, "dropped (account not trusted)"))
        elif not known(name) or name in INTERNAL or name == "loop":
            trace.append(TraceStep("control_header", saw, "dropped (not one that a mail may carry)"))
        else:
            trace.append(TraceStep("control_header", saw, "taken"))
            yield name, value[:_MOST_VALUE]


def _matches(each: Filter, view: _View, account: str, *, names: bool) -> tuple[str, _Captures | None]:
    """What was seen, and the captures where every row holds."""
    if each.accounts and account not in each.accounts:
        return f"account {account}"[:_SHOWN], None
    if each.direction != "any" and names != (each.direction == "follow_up"):
        return f"direction {'follow_up' if names else 'new'}", None
    captures = _Captures("", {})
    for row in each.match:
        found = _row(row, view, captures)
        if found is None:
            return f"{'not ' if row.negate else ''}{row.header} ~ {row.pattern}"[:_SHOWN], None
        captures = found
    last = each.match[-1]
    return f"{'not ' if last.negate else ''}{last.header} ~ {last.pattern}"[:_SHOWN], captures


def _row(row: Match, view: _View, before: _Captures) -> _Captures | None:
    value = view.value(row.header)
    if value is None:
        return None
    if row.pattern.startswith(_EMAIL):
        pattern = row.pattern.removeprefix(_EMAIL)
        hit = any(whole(pattern, address) for address in view.addresses(row.header))
        captured = _Captures(pattern, before.named | {"email": pattern})
    else:
        found = search(row.pattern, value)
        hit = found is not None
        captured = before
        if found is not None:
            captured = _Captures(before.last if found.first is None else found.first, before.named | found.named)
    if row.negate:
        return None if hit else before
    return captured if hit else None


def _filled(value: str, captures: _Captures) -> str:
    value = value.replace(_LAST, captures.last, 1)
    return _NAMED.sub(lambda found: captures.named.get(found[1], ""), value)[:_MOST_VALUE]


def _said(values: dict[str, str], each: Filter) -> str:
    said = [f"{header}={value}" for header, value in values.items()]
    said += ["refuses a new ticket"] if each.refuse else []
    return f"matched: {', '.join(said) or 'nothing set'}"[: 2 * _SHOWN]


def _yes(value: str) -> bool:
    return re.search(r"yes|true", value, re.IGNORECASE) is not None


def external_number(mail: Mail, text: str, subject: str, rule: ExternalNumber) -> str:
    """The number of another system that this mail carries, "" if none."""
    sender = mail.sender.address if mail.sender else ""
    if rule.senders is not None and search(rule.senders, sender) is None:
        return ""
    for wanted, value in ((rule.subject, subject), (rule.body, text)):
        if wanted and (found := search(f"({rule.number})", value)):
            inner = search(rule.number, found.first or "")
            return ((inner.first if inner and inner.first else found.first) or "")[:200]
    return ""
