"""The objectives over 30 days, and the alerts that tell how fast their budgets burn. Pure.

An error budget is what the target leaves: 1 % of the mails of a month. An alert compares the errors of a long window,
so that it means something, and of a short one, so that it ends soon after the fault has; how fast the budget burns
says how urgent it is (four pairs, after the SRE workbook's chapter on alerting on objectives).
"""

from collections.abc import Callable
from typing import NamedTuple

from ops.monitoring.series import series
from shared import metrics

WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d", "30d")
SLOW = ("1d", "3d", "30d")
"""Read so much that they are asked for less often."""
STALE_SECONDS = 600
"""Mail that waits in its mailbox for so long makes the account's minutes bad ones."""
TO_TICKET_SECONDS = 60
TO_RESPONSE_SECONDS = 300
LATE_FLOOR_SECONDS = 900
"""No account is late before this: a provider that throttles, or a restart, may keep one waiting."""
STALE = "carteiro:account_stale:bool"


class Objective(NamedTuple):
    """`errors` and `valid`: PromQL over a window, the share of bad ones by namespace and the number of all.
    `floor`: with fewer valid ones in the long window nobody is woken; one of a few proves nothing."""

    name: str
    alert: str
    target: float
    meaning: str
    errors: Callable[[str], str]
    valid: Callable[[str], str]
    floor: int
    summary: str

    def ratio(self, window: str) -> str:
        """Name of the recorded share of errors."""
        return f"slo:carteiro_{self.name}:error_ratio_rate{window}"

    @property
    def title(self) -> str:
        return self.name.replace("_", " ")

    @property
    def budget(self) -> float:
        return round(1 - self.target, 6)


class Burn(NamedTuple):
    """`factor`: times as fast as would use up the budget in exactly 30 days."""

    factor: float
    long: str
    short: str
    hold: str
    severity: str


BURNS = (
    Burn(14.4, "1h", "5m", "2m", "critical"),
    Burn(6, "6h", "30m", "15m", "critical"),
    Burn(3, "1d", "2h", "1h", "warning"),
    Burn(1, "3d", "6h", "3h", "warning"),
)


def _summed(selector: str, window: str) -> str:
    return f"sum by (namespace) (rate({selector}[{window}]))"


def _late(window: str) -> str:
    """Backfill stays out: a new account's old mail would burn the month."""
    good = series(metrics.mail_to_ticket, "bucket", origin="live", le=f"{TO_TICKET_SECONDS}.0")
    every = series(metrics.mail_to_ticket, "count", origin="live")
    return f"1 - {_summed(good, window)} / ({_summed(every, window)} > 0)"


def _lost(window: str) -> str:
    return (
        f"{_summed(series(metrics.processed, outcome='dead_lettered'), window)}"
        f" / ({_summed(series(metrics.processed), window)} > 0)"
    )


def _stale(window: str) -> str:
    return (
        f"sum by (namespace) (sum_over_time({STALE}[{window}]))"
        f" / sum by (namespace) (count_over_time({STALE}[{window}]))"
    )


def _unanswered(window: str) -> str:
    """Answers that are due and never accepted are in no histogram, so what is due is counted apart."""
    good = series(metrics.mail_to_response, "bucket", le=f"{TO_RESPONSE_SECONDS}.0")
    return f"clamp_min(1 - {_summed(good, window)} / ({_summed(series(metrics.responses_due), window)} > 0), 0)"


def _number(selector: str) -> Callable[[str], str]:
    return lambda window: f"sum by (namespace) (increase({selector}[{window}]))"


OBJECTIVES = (
    Objective(
        "mail_to_ticket",
        "CarteiroMailToTicketBudgetBurn",
        0.99,
        f"live mail is a ticket or an article within {TO_TICKET_SECONDS} s of its arrival at its server",
        _late,
        _number(series(metrics.mail_to_ticket, "count", origin="live")),
        10,
        "{{ $value | humanizePercentage }} of the mails became tickets late",
    ),
    Objective(
        "mail_not_lost",
        "CarteiroDeadLetterBudgetBurn",
        0.999,
        "a mail comes to another end than a dead letter",
        _lost,
        _number(series(metrics.processed)),
        100,
        "{{ $value | humanizePercentage }} of the mails became dead letters",
    ),
    Objective(
        "account_freshness",
        "CarteiroFreshnessBudgetBurn",
        0.995,
        f"minutes of accounts, looked into in time, whose mail waits less than {STALE_SECONDS // 60} minutes",
        _stale,
        _number(series(metrics.account_fetch)),
        0,
        "In {{ $value | humanizePercentage }} of the time accounts were not read",
    ),
    Objective(
        "response",
        "CarteiroResponseBudgetBurn",
        0.99,
        f"an automatic answer is accepted by the SMTP server within {TO_RESPONSE_SECONDS // 60} minutes of the mail",
        _unanswered,
        _number(series(metrics.responses_due)),
        10,
        "{{ $value | humanizePercentage }} of the automatic answers came late or not at all",
    ),
)


def late_accounts() -> str:
    """Accounts, with how many seconds ago the last look succeeded: those that are beyond two of their intervals. One
    that never succeeded since its fetcher started has only the time of its last attempt."""
    success = f"max by (namespace, account) ({series(metrics.account_last_success)})"
    never = f"0 * max by (namespace, account) ({series(metrics.account_last_poll)})"
    interval = f"max by (namespace, account) ({series(metrics.account_interval)})"
    return f"time() - ({success} or {never}) > {{bool}} clamp_min(2 * {interval} + 120, {LATE_FLOOR_SECONDS})"


def recorded() -> list[tuple[str, str]]:
    """Name and expression of every recorded series."""
    waits = f"time() - max by (namespace, account) ({series(metrics.account_oldest_unfetched)} > 0)"
    # an account where nothing waits has no minute that could be bad for its mail
    late = late_accounts().format(bool="bool")
    stale = f"(({waits} > bool {STALE_SECONDS}) > 0) or ({late})"
    ratios = [(each.ratio(window), each.errors(window)) for each in OBJECTIVES for window in WINDOWS]
    return [(STALE, stale), *ratios]


def burns(objective: Objective, burn: Burn) -> str:
    """The expression of one pair of windows."""
    limit = f"{burn.factor} * {objective.budget}"
    expr = f"{objective.ratio(burn.long)} > {limit} and {objective.ratio(burn.short)} > {limit}"
    if objective.floor and burn.severity == "critical":
        expr += f" and {objective.valid(burn.long)} > {objective.floor}"
    return expr
