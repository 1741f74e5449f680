"""What the fields of a desk say about each other: references, exclusions, doubles. Refused by the loader. Pure."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from shared.desk.controls import FOLLOW_UP, INTERNAL, NEW, control, known, shown
from shared.desk.findings import Complaint, Loc, suggest
from shared.desk.model import IMPLICIT_QUEUE, Account, Desk, Outbound, Rule
from shared.desk.oauth import log_in_mistakes
from shared.desk.rules import BY_MAIL
from shared.desk.values import normal_address

_SMTP = {"smtp", "smtps", "smtptls"}
_HELO = re.compile(r"(?=.{1,253}$)([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?\.)+[A-Za-z0-9-]+|\[[0-9A-Za-z:.]+\]")


class Names(NamedTuple):
    """Every name that the file uses, also of entries that are wrong in themselves: a reference to one of
    those is not a second mistake."""

    queues: frozenset[str]
    agents: frozenset[str]
    accounts: frozenset[str]
    system_addresses: frozenset[str]
    outbound: frozenset[str]


def names_of(sections: Mapping[str, Iterable[str]]) -> Names:
    queues = {IMPLICIT_QUEUE, *sections.get("queues", ())}
    addresses = (normal_address(name) for name in sections.get("system_addresses", ()))
    return Names(
        frozenset(queues),
        frozenset(sections.get("agents", ())),
        frozenset(sections.get("accounts", ())),
        frozenset(addresses),
        frozenset(sections.get("outbound", ())),
    )


def contradictions(desk: Desk) -> list[Complaint]:
    """Fields and entries that exclude each other."""
    return [
        *_account_fields(desk),
        *_same_mailbox(desk),
        *_outbound_fields(desk),
        *_two_defaults(desk),
        *_two_answers(desk),
        *_unknown_controls(desk),
        *_html_alone(desk),
        *_idle_rules(desk),
    ]


def references(desk: Desk, names: Names) -> list[Complaint]:
    """Names that nothing in the file has."""
    places: list[tuple[str, frozenset[str], Iterable[tuple[Loc, str | None]]]] = [
        ("queue", names.queues, _queue_references(desk)),
        (
            "agent",
            names.agents,
            ((("queues", q, "agents", i), a) for q, v in desk.queues.items() for i, a in enumerate(v.agents)),
        ),
        (
            "account",
            names.accounts,
            ((("filters", f, "accounts", i), a) for f, v in desk.filters.items() for i, a in enumerate(v.accounts)),
        ),
        (
            "system address",
            names.system_addresses,
            ((("queues", q, "system_address"), v.system_address) for q, v in desk.queues.items()),
        ),
        (
            "outbound account",
            names.outbound,
            ((("system_addresses", a, "outbound"), v.outbound) for a, v in desk.system_addresses.items()),
        ),
    ]
    return [
        Complaint(loc, f"no {what} named {name}", suggest(name, known))
        for what, known, named in places
        for loc, name in named
        if name is not None and name not in known
    ]


def _queue_references(desk: Desk) -> Iterator[tuple[Loc, str | None]]:
    yield ("postmaster_default_queue",), desk.postmaster_default_queue
    for address, own in desk.system_addresses.items():
        yield ("system_addresses", address, "queue"), own.queue
    for name, account in desk.accounts.items():
        yield ("accounts", name, "queue"), account.queue
    for name, response in desk.auto_responses.items():
        for at, queue in enumerate(response.queues):
            yield ("auto_responses", name, "queues", at), queue
    for name, rule in desk.notifications.rules.items():
        for at, queue in enumerate(rule.queues):
            yield ("notifications", "rules", name, "queues", at), queue


def _account_fields(desk: Desk) -> Iterator[Complaint]:
    for name, account in desk.accounts.items():
        log_in = log_in_mistakes(account.password, account.oauth2)
        for field, found, wanted in (*_account_mistakes(account), *_folder_mistakes(account), *log_in):
            yield Complaint(("accounts", name, *(field.split(".") if field else [])), found, wanted)


def _account_mistakes(account: Account) -> Iterator[tuple[str, str, str]]:
    if account.dispatch and account.queue:
        yield "queue", "stands beside dispatch: by_to", "expected one of the two"
    if not account.dispatch and not account.queue:
        yield "", "neither dispatch nor queue", "expected dispatch: by_to, or queue: NAME"
    if not account.is_imap:
        for field in ("folder", "folders", "idle"):
            if field in account.model_fields_set:
                yield field, f"a field of IMAP beside {account.type}", "expected nothing here"
        if account.after not in {"keep", "delete"}:
            yield "after", f"{account.after} beside {account.type}", "expected keep or delete"
    elif account.after == "move" and account.move_to is None:
        yield "move_to", "missing", "expected the folder for fetched mails, as after is move"
    elif account.after == "move" and _folder(account.move_to or "") in {_folder(name) for name in account.watched}:
        yield "move_to", "the watched folder itself", "expected another folder"
    if account.after != "move" and account.move_to is not None:
        yield "move_to", f"a folder beside after: {account.after}", "expected after: move, or nothing here"


def _folder_mistakes(account: Account) -> Iterator[tuple[str, str, str]]:
    if {"folder", "folders"} <= account.model_fields_set:
        yield "folder", "stands beside folders", "expected one of the two"
    if len({_folder(name) for name in account.folders}) < len(account.folders):
        yield "folders", "the same folder twice", "expected each folder once"


def _folder(name: str) -> str:
    return "INBOX" if name.upper() == "INBOX" else name  # RFC 9051 section 5.1: in any case of letters


def _same_mailbox(desk: Desk) -> Iterator[Complaint]:
    """POP3 and IMAP reach the same INBOX: two readers would each make a ticket of every mail."""
    seen: dict[tuple[str, str, str], str] = {}
    for name, account in desk.accounts.items():
        for folder in account.watched:
            mailbox = (account.host.lower(), account.user.lower(), _folder(folder))
            first = seen.setdefault(mailbox, name)
            if first != name:
                yield Complaint(
                    ("accounts", name),
                    f"the same host, user and folder as account {first}",
                    "expected one account for each mailbox",
                )


def _outbound_fields(desk: Desk) -> Iterator[Complaint]:
    for name, account in desk.outbound.items():
        for field, found, wanted in _outbound_mistakes(account):
            yield Complaint(("outbound", name, *field.split(".")), found, wanted)


def _outbound_mistakes(account: Outbound) -> Iterator[tuple[str, str, str]]:
    if account.type != "sendmail" and "command" in account.model_fields_set:
        yield "command", f"a field of sendmail beside {account.type}", "expected nothing here"
    if account.type in _SMTP:
        yield from _smtp_mistakes(account)
        return
    for field in ("host", "port", "user", "password", "oauth2", "tls_verify", "helo"):
        if field in account.model_fields_set:
            yield field, f"a field of SMTP beside {account.type}", "expected nothing here"


def _smtp_mistakes(account: Outbound) -> Iterator[tuple[str, str, str]]:
    if account.host is None:
        yield "host", "missing", f"expected the name of the server, as type is {account.type}"
    if account.helo and not _HELO.fullmatch(account.helo):
        yield "helo", "no full name of a host", "expected a name such as mail.company.example, or [192.0.2.1]"
    if account.port == 0:
        yield "port", "0", "expected a number from 1 to 65535"
    if account.user:
        yield from log_in_mistakes(account.password, account.oauth2)
    elif account.password or account.oauth2:
        beside = "password" if account.password else "oauth2"
        yield "user", f"missing beside {beside}", "expected the name to log in with"


def _two_defaults(desk: Desk) -> Iterator[Complaint]:
    defaults = [name for name, account in desk.outbound.items() if account.default]
    for name in defaults[1:]:
        yield Complaint(("outbound", name, "default"), f"true, as in account {defaults[0]}", "expected one default")


def _two_answers(desk: Desk) -> Iterator[Complaint]:
    seen: dict[tuple[str, str], Loc] = {}
    for name, response in desk.auto_responses.items():
        for at, queue in enumerate(response.queues):
            loc: Loc = ("auto_responses", name, "queues", at)
            first = seen.setdefault((queue, response.type), loc)
            if first != loc:
                yield Complaint(
                    loc,
                    f"queue {queue} has its {response.type} already in {first[1]}",
                    "expected one of each type for a queue",
                )


def _html_alone(desk: Desk) -> Iterator[Complaint]:
    for name, response in desk.auto_responses.items():
        if response.html and not response.text:
            loc: Loc = ("auto_responses", name, "html")
            yield Complaint(loc, "stands without text", "expected the same as plain text in text")


def _unknown_controls(desk: Desk) -> Iterator[Complaint]:
    """A control header that means nothing would be believed to work."""
    names = [shown(name) for name in (*NEW, *FOLLOW_UP, *INTERNAL)]
    for name, each in desk.filters.items():
        for header in each.set:
            meant = control(header)
            if meant is not None and not known(meant):
                yield Complaint(("filters", name, "set", header), "no control header", suggest(header, names))


def _idle_rules(desk: Desk) -> Iterator[Complaint]:
    """Rules that could tell nobody, or with a text that is for somebody else."""
    for name, rule in desk.notifications.rules.items():
        if rule.valid:
            for field, found, wanted in (*_rule_mistakes(rule), *_failure_mistakes(rule)):
                yield Complaint(("notifications", "rules", name, field), found, wanted)


def _rule_mistakes(rule: Rule) -> Iterator[tuple[str, str, str]]:
    if not rule.events:
        yield "events", "none", "expected at least one, or valid: false"
    if not rule.recipients and not rule.addresses:
        yield "recipients", "none, and no addresses", "expected at least one, or valid: false"
    if "customer" in rule.recipients and not rule.texts:
        yield "texts", "none beside a customer", "expected a text: the shipped ones are for agents"
    if "customer" in rule.recipients and not set(rule.events) <= BY_MAIL:
        found = "a customer beside an event that no mail causes"
        yield "recipients", found, "expected new_ticket and follow_up alone"


def _failure_mistakes(rule: Rule) -> Iterator[tuple[str, str, str]]:
    """Of a mail that failed only the ticket's queue, owner and responsible are known."""
    if "delivery_failure" not in rule.events:
        return
    for field in ("states", "priorities", "locks", "once_per_day"):
        if field in rule.model_fields_set:
            yield field, "stands beside delivery_failure", "expected nothing here"
    if "watchers" in rule.recipients:
        yield "recipients", "watchers beside delivery_failure", "expected owner, responsible, queue_agents"
