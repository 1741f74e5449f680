"""What works in a desk but will be regretted: shown by `carteiro desk check`, it breaks nothing. Pure."""

from collections.abc import Iterator

from shared.desk.controls import control
from shared.desk.findings import Complaint, Loc, suggest
from shared.desk.model import SHIPPED_ADDRESS, Account, Desk, Outbound
from shared.desk.values import LOOPBACK


def warnings(desk: Desk, replicas: int | None = None) -> list[Complaint]:
    """What works but will be regretted. `replicas`: of the mail topics; None where no broker was asked."""
    return [
        *_after_without_copy(desk, replicas),
        *_unprotected(desk),
        *_shipped_address(desk),
        *_nobody_answered(desk),
        *_filter_values(desk),
        *_filters_of_nobody(desk),
        *_told_nobody(desk),
    ]


def _told_nobody(desk: Desk) -> Iterator[Complaint]:
    for name, agent in desk.agents.items():
        if agent.email.lower() in desk.own_addresses:
            yield Complaint(
                ("agents", name, "email"),
                "an address of ours or a log-in: this agent is never told, his mail would come back as a ticket",
                "expected an address that no account reads",
            )


def _filters_of_nobody(desk: Desk) -> Iterator[Complaint]:
    if desk.filters and desk.accounts and not any(account.filters_mail for account in desk.accounts.values()):
        yield Complaint(
            ("filters",), "no account applies them", "expected an account with trusted or apply_filters: true"
        )


def _after_without_copy(desk: Desk, replicas: int | None) -> Iterator[Complaint]:
    """`after: delete` and `move` while the mail topics keep fewer than two copies (None: unknown)."""
    if replicas is not None and replicas >= 2:
        return
    kept = "an unknown number of copies" if replicas is None else f"{replicas} copy"
    for name, account in desk.accounts.items():
        if account.after in {"delete", "move"}:
            yield Complaint(
                ("accounts", name, "after"),
                f"{account.after} while the mail topics keep {kept}",
                "safe with two replicas or more; seen and keep leave the mail where it is",
            )


def _unprotected(desk: Desk) -> Iterator[Complaint]:
    servers: list[tuple[Loc, Account | Outbound]] = [
        *((("accounts", name), account) for name, account in desk.accounts.items()),
        *((("outbound", name), account) for name, account in desk.outbound.items()),
    ]
    for loc, account in servers:
        if not account.tls_verify:
            yield Complaint(
                (*loc, "tls_verify"),
                "the server's certificate is not verified",
                "anybody on the way can read the password",
            )
        sent = "password" if account.password else "access token" if account.oauth2 else ""
        if account.type in {"imap", "pop3", "smtp"} and sent and account.host not in LOOPBACK:
            yield Complaint(
                (*loc, "type"),
                f"{account.type} sends the {sent} in clear",
                f"{account.type}s and {account.type}tls protect it",
            )


def _shipped_address(desk: Desk) -> Iterator[Complaint]:
    wanted = "write your own address"
    if desk.agents and desk.notifications.sender_email == SHIPPED_ADDRESS:
        yield Complaint(
            ("notifications", "sender_email"), f"the shipped address {SHIPPED_ADDRESS} stands unchanged", wanted
        )
    if SHIPPED_ADDRESS in desk.system_addresses:
        yield Complaint(("system_addresses", SHIPPED_ADDRESS), "the shipped address stands unchanged", wanted)


def _nobody_answered(desk: Desk) -> Iterator[Complaint]:
    by_to = [name for name, account in desk.accounts.items() if account.dispatch]
    if by_to and not desk.system_addresses:
        yield Complaint(
            ("accounts", by_to[0], "dispatch"),
            "by_to without any system address",
            f"every mail will go to the queue {desk.default_queue}",
        )
    if desk.outbound and not any(account.default for account in desk.outbound.values()):
        yield Complaint(
            ("outbound",),
            "no account is the default",
            "mail from addresses that name no account is recorded but not sent",
        )
    for name, response in desk.auto_responses.items():
        for at, queue in enumerate(response.queues):
            if desk.sender_of_queue(queue) is None:
                yield Complaint(
                    ("auto_responses", name, "queues", at),
                    f"queue {queue} has no system address",
                    "this answer will not be sent",
                )


def _filter_values(desk: Desk) -> Iterator[Complaint]:
    """Values of filters that no queue and no agent has; those with a capture in them are known only to a mail."""
    for name, each in desk.filters.items():
        for header, value in each.set.items():
            meant = (control(header) or "").removeprefix("followup-")
            if "[**" in value:
                continue
            if meant == "queue" and desk.queue(value) is None:
                yield Complaint(
                    ("filters", name, "set", header), f"no queue named {value}", suggest(value, desk.queues)
                )
            elif meant in ("owner", "responsible") and value not in desk.agents:
                yield Complaint(
                    ("filters", name, "set", header), f"no agent named {value}", suggest(value, desk.agents)
                )
