"""The board of the accounts."""

from ops.monitoring.objectives import LATE_FLOOR_SECONDS, STALE, STALE_SECONDS
from ops.monitoring.panels import HERE, Board, Panel, Query, of, quantile, rate, since
from shared import metrics

_ACCOUNT = "~$account"
ACCOUNTS = Board(
    "accounts",
    "Carteiro: accounts",
    "Each mailbox: is it read, does mail wait in it, and what does its server say?",
    (
        (
            "Is every mailbox read?",
            (
                Panel(
                    "Accounts without a fetcher",
                    "number",
                    "short",
                    (
                        Query(
                            f"max({of(metrics.accounts_configured)}) - "
                            f"(count(count by (account) ({of(metrics.account_last_poll)})) or vector(0))",
                            "accounts",
                        ),
                    ),
                    6,
                    ("CarteiroAccountUnowned",),
                ),
                Panel(
                    "Last successful look",
                    "lines",
                    "s",
                    (
                        Query(
                            since(metrics.account_last_success, "account", account=_ACCOUNT),
                            "{{account}}",
                        ),
                    ),
                    9,
                    ("CarteiroAccountNotPolled", "CarteiroFreshnessBudgetBurn"),
                    LATE_FLOOR_SECONDS,
                    "How long ago; the alert stands at two intervals of the account, and at 15 minutes at least.",
                ),
                Panel(
                    "Oldest mail that waits",
                    "lines",
                    "s",
                    (
                        Query(
                            since(metrics.account_oldest_unfetched, "account", account=_ACCOUNT),
                            "{{account}}",
                        ),
                    ),
                    9,
                    ("CarteiroAccountUnfetchedMailTooOld",),
                    STALE_SECONDS,
                ),
            ),
        ),
        (
            "What their servers say",
            (
                Panel(
                    "Looks by result",
                    "lines",
                    "ops",
                    (
                        Query(
                            rate(metrics.account_fetch, "account, result", account=_ACCOUNT), "{{account}}: {{result}}"
                        ),
                    ),
                    12,
                    ("CarteiroAccountAuthFailing", "CarteiroOauthGrantRefused"),
                ),
                Panel(
                    "Failing",
                    "lines",
                    "s",
                    (
                        Query(
                            f"time() - min by (account, result) ({of(metrics.account_failing, account=_ACCOUNT)})",
                            "{{account}}: {{result}}",
                        ),
                    ),
                    12,
                    ("CarteiroAccountAuthFailing",),
                    meaning="For how long, with the last result.",
                ),
            ),
        ),
        (
            "How they are read",
            (
                Panel(
                    "Minutes that count as bad",
                    "lines",
                    "short",
                    (Query(f'max by (account) ({STALE}{{{HERE},account=~"$account"}})', "{{account}}"),),
                    8,
                    ("CarteiroFreshnessBudgetBurn",),
                ),
                Panel(
                    "Duration of a look",
                    "lines",
                    "s",
                    (Query(quantile(metrics.account_fetch_duration, "0.9", "protocol"), "p90, {{protocol}}"),),
                    8,
                ),
                Panel(
                    "Mails of resyncs, unanswered",
                    "lines",
                    "short",
                    (
                        Query(
                            f"sum by (account) (increase({of(metrics.resync_silenced, account=_ACCOUNT)}[1h]))",
                            "{{account}}",
                        ),
                    ),
                    8,
                    ("CarteiroResyncSilenced",),
                ),
            ),
        ),
    ),
)
