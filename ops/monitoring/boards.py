"""What the three boards show, row by row: overview by objective, the pipeline in the order of a mail's way, accounts.

Pure: `dashboards` makes Grafana's JSON of it, `pictures` of docs/ draw the same from a Prometheus.
"""

from collections.abc import Iterator
from itertools import count
from typing import Literal, NamedTuple

from prometheus_client.metrics import MetricWrapperBase

from ops.monitoring.objectives import LATE_FLOOR_SECONDS, OBJECTIVES, STALE, STALE_SECONDS, Objective
from ops.monitoring.series import series
from shared import metrics

_HERE = 'namespace=~"$namespace"'
Unit = Literal["short", "s", "percentunit", "ops", "bytes"]
Part = Literal["", "bucket", "sum", "count"]


class Query(NamedTuple):
    """`legend` with Grafana's placeholders, `{{label}}`."""

    expr: str
    legend: str


class Panel(NamedTuple):
    """`width` of 24 columns. `alerts`: those that ask the same question; the first one's runbook is linked.
    `limit`: where the alert stands, drawn as a line."""

    title: str
    kind: Literal["lines", "number"]
    unit: Unit
    queries: tuple[Query, ...]
    width: int = 8
    alerts: tuple[str, ...] = ()
    limit: float | None = None
    meaning: str = ""


class Board(NamedTuple):
    """`rows`: a title, and the panels below it."""

    name: str
    title: str
    meaning: str
    rows: tuple[tuple[str, tuple[Panel, ...]], ...]

    @property
    def uid(self) -> str:
        return f"carteiro-{self.name}"

    def numbered(self) -> Iterator[tuple[int, Panel]]:
        """The panels with their ids: what `viewPanel=` of a link names."""
        return zip(count(1), (panel for _, panels in self.rows for panel in panels), strict=False)


def _of(metric: MetricWrapperBase, part: Part = "", /, **labels: str) -> str:
    return series(metric, part, _HERE, **labels)


def _since(metric: MetricWrapperBase, by: str, **labels: str) -> str:
    """Seconds since the last of a timestamp."""
    return f"time() - max by ({by}) ({_of(metric, '', **labels)} > 0)"


def _age(metric: MetricWrapperBase, by: str) -> str:
    """Seconds since a timestamp; 0 and NaN mean that nothing waits. Of several pods the oldest counts, or the one that
    knows."""
    return f"time() - min by ({by}) ({_of(metric)} > 0)"


def _rate(metric: MetricWrapperBase, by: str, /, **labels: str) -> str:
    return f"sum by ({by}) (rate({_of(metric, '', **labels)}[$__rate_interval]))"


def _quantile(metric: MetricWrapperBase, share: str, by: str = "", **labels: str) -> str:
    keep = ", ".join(filter(None, ("le", by)))
    return f"histogram_quantile({share}, sum by ({keep}) (rate({_of(metric, 'bucket', **labels)}[$__rate_interval])))"


def _quantiles(metric: MetricWrapperBase, **labels: str) -> tuple[Query, ...]:
    return tuple(Query(_quantile(metric, share, **labels), f"p{share[2:]:0<2}") for share in ("0.5", "0.9", "0.99"))


def _stage(name: str) -> Panel:
    return Panel(
        f"Duration of a batch: {name}",
        "lines",
        "s",
        _quantiles(metrics.stage_duration, stage=name),
        6,
    )


def _objective(each: Objective) -> tuple[Panel, ...]:
    left = f"1 - max({each.ratio('30d')}{{{_HERE}}}) / {each.budget}"
    windows = ("5m", "1h", "6h", "3d")
    burning = tuple(Query(f"max({each.ratio(window)}{{{_HERE}}})", window) for window in windows)
    return (
        Panel(
            f"Budget left: {each.title}",
            "number",
            "percentunit",
            (Query(left, "of 30 days"),),
            6,
            (each.alert,),
            meaning=f"{each.target:.1%}: {each.meaning}. 100 %: no error in 30 days; below 0: the objective is missed.",
        ),
        Panel(
            f"Errors: {each.title}",
            "lines",
            "percentunit",
            burning,
            18,
            (each.alert,),
            each.budget,
            "Share of errors by window. The line is what would use up the budget in exactly 30 days.",
        ),
    )


OVERVIEW = Board(
    "overview",
    "Carteiro: overview",
    "Does mail flow, and are the objectives kept? Each objective with what is left of its budget.",
    (
        (
            "Mail",
            (
                Panel(
                    "Mail in and out",
                    "lines",
                    "ops",
                    (
                        Query(_rate(metrics.messages_fetched, "protocol"), "fetched, {{protocol}}"),
                        Query(_rate(metrics.processed, "outcome") + " > 0", "{{outcome}}"),
                        Query(_rate(metrics.smtp_attempts, "result", result="accepted"), "sent"),
                    ),
                    12,
                    ("CarteiroPipelineSilent",),
                ),
                Panel(
                    "Mail to ticket",
                    "lines",
                    "s",
                    _quantiles(metrics.mail_to_ticket, origin="live"),
                    12,
                    limit=60,
                    meaning="Live mail, from its arrival at its server to the commit of its ticket or article.",
                ),
            ),
        ),
        *((f"Objective: {each.title}", _objective(each)) for each in OBJECTIVES),
        (
            "Processes",
            (
                Panel(
                    "Processes",
                    "lines",
                    "short",
                    (Query(f"count by (version) ({_of(metrics.build_info)})", "{{version}}"),),
                    12,
                    ("CarteiroMetricsAbsent",),
                ),
                Panel(
                    "Desk in use",
                    "lines",
                    "short",
                    (
                        Query(f"count by (sha256) ({_of(metrics.desk_info)})", "{{sha256}}"),
                        Query(f"count({_of(metrics.desk_reload_successful)} == 0)", "refused the last change"),
                    ),
                    12,
                    ("CarteiroDeskReloadFailed",),
                ),
            ),
        ),
    ),
)

PIPELINE = Board(
    "pipeline",
    "Carteiro: pipeline",
    "One mail's way, from the mailbox to the SMTP server: rates, ages, retries and dead letters of each step.",
    (
        (
            "Fetcher: mailbox → mail.received.v1",
            (
                Panel(
                    "Fetched", "lines", "ops", (Query(_rate(metrics.messages_fetched, "protocol"), "{{protocol}}"),), 6
                ),
                Panel(
                    "Oldest mail in a mailbox",
                    "lines",
                    "s",
                    (Query(_age(metrics.account_oldest_unfetched, "namespace"), "oldest"),),
                    6,
                    ("CarteiroAccountUnfetchedMailTooOld",),
                    STALE_SECONDS,
                ),
                _stage("fetch"),
                _stage("publish"),
            ),
        ),
        (
            "Kafka: what waits between the services",
            (
                Panel(
                    "Records not read yet",
                    "lines",
                    "short",
                    (Query(f"sum by (group) ({_of(metrics.position_lag)})", "{{group}}"),),
                    8,
                    ("CarteiroConsumerLagGrowing", "CarteiroRecordsMissing", "CarteiroRecordsUnaccounted"),
                ),
                Panel(
                    "Longest wait of a partition",
                    "lines",
                    "s",
                    (Query(_age(metrics.waiting_since, "group"), "{{group}}"),),
                    8,
                    ("CarteiroPartitionWaits",),
                    600,
                ),
                Panel(
                    "Batches tried again",
                    "lines",
                    "ops",
                    (
                        Query(_rate(metrics.retries, "topic"), "{{topic}}"),
                        Query(_rate(metrics.rewinds, "topic"), "{{topic}}, read anew"),
                    ),
                    8,
                    ("CarteiroPartitionWaits",),
                ),
            ),
        ),
        (
            "Dispatcher and ticketing: mail.dispatched.v1 → tickets",
            (
                Panel(
                    "Mails by outcome", "lines", "ops", (Query(_rate(metrics.processed, "outcome"), "{{outcome}}"),), 12
                ),
                _stage("dispatch"),
                _stage("store"),
                Panel(
                    "Dead letters that wait for a decision",
                    "lines",
                    "short",
                    (Query(f"max by (topic) ({_of(metrics.dead_letters_pending)})", "{{topic}}"),),
                    8,
                    ("CarteiroDeadLettersPresent", "CarteiroDeadLetterBudgetBurn"),
                    1,
                ),
                Panel(
                    "Records set aside",
                    "lines",
                    "ops",
                    (Query(_rate(metrics.dead_letters, "topic, reason"), "{{topic}}: {{reason}}"),),
                    8,
                    ("CarteiroDeadLettersPresent",),
                ),
                Panel(
                    "Brake and fuse",
                    "lines",
                    "short",
                    (
                        Query(f"max({_of(metrics.brake)})", "brake"),
                        Query(f"max by (group) ({_of(metrics.fuse_open)})", "fuse of {{group}}"),
                    ),
                    8,
                    ("CarteiroBrake", "CarteiroFuseOpen"),
                ),
            ),
        ),
        (
            "Outbox: tickets → ticket.events.v1",
            (
                Panel(
                    "Oldest event in the outbox",
                    "lines",
                    "s",
                    (Query(_age(metrics.outbox_oldest, "namespace"), "oldest"),),
                    8,
                    ("CarteiroOutboxStuck", "CarteiroOutboxUnled"),
                    300,
                ),
                Panel(
                    "Events published",
                    "lines",
                    "ops",
                    (Query(_rate(metrics.outbox_published, "result"), "{{result}}"),),
                    8,
                ),
                _stage("relay")._replace(width=8),
            ),
        ),
        (
            "Mailer: events → SMTP server",
            (
                Panel(
                    "Oldest mail to be sent",
                    "lines",
                    "s",
                    (Query(_age(metrics.smtp_queue_oldest, "namespace"), "oldest"),),
                    6,
                    ("CarteiroOutboundStuck",),
                    1800,
                ),
                Panel(
                    "Deliveries by result",
                    "lines",
                    "ops",
                    (Query(_rate(metrics.smtp_attempts, "result, code_class"), "{{result}} {{code_class}}"),),
                    6,
                    ("CarteiroSmtpDeferredHigh",),
                ),
                _stage("render"),
                _stage("send"),
                Panel(
                    "Automatic mail withheld",
                    "lines",
                    "ops",
                    (
                        Query(_rate(metrics.autoresponse_suppressed, "reason"), "answer: {{reason}}"),
                        Query(_rate(metrics.notification_suppressed, "reason"), "notification: {{reason}}"),
                    ),
                    12,
                    ("CarteiroMailWithheld",),
                ),
                Panel(
                    "Mails that failed for good",
                    "lines",
                    "short",
                    (
                        Query(f"max({_of(metrics.smtp_failed)})", "in 24 hours"),
                        Query(f"sum(increase({_of(metrics.bounces)}[1h]))", "came back, in an hour"),
                    ),
                    12,
                    ("CarteiroMailFailed",),
                    1,
                ),
            ),
        ),
    ),
)

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
                            f"max({_of(metrics.accounts_configured)}) - "
                            f"(count(count by (account) ({_of(metrics.account_last_poll)})) or vector(0))",
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
                            _since(metrics.account_last_success, "account", account=_ACCOUNT),
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
                            _since(metrics.account_oldest_unfetched, "account", account=_ACCOUNT),
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
                            _rate(metrics.account_fetch, "account, result", account=_ACCOUNT), "{{account}}: {{result}}"
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
                            f"time() - min by (account, result) ({_of(metrics.account_failing, account=_ACCOUNT)})",
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
                    (Query(f'max by (account) ({STALE}{{{_HERE},account=~"$account"}})', "{{account}}"),),
                    8,
                    ("CarteiroFreshnessBudgetBurn",),
                ),
                Panel(
                    "Duration of a look",
                    "lines",
                    "s",
                    (Query(_quantile(metrics.account_fetch_duration, "0.9", "protocol"), "p90, {{protocol}}"),),
                    8,
                ),
                Panel(
                    "Mails of resyncs, unanswered",
                    "lines",
                    "short",
                    (
                        Query(
                            f"sum by (account) (increase({_of(metrics.resync_silenced, account=_ACCOUNT)}[1h]))",
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

BOARDS = (OVERVIEW, PIPELINE, ACCOUNTS)


class NoSuchPanel(Exception):
    """An alert names a panel that no board has."""


def place_of(board: str, title: str) -> tuple[str, int]:
    """The uid of a board and the id of its panel. Raises NoSuchPanel."""
    for each in BOARDS:
        for number, panel in each.numbered():
            if (each.name, panel.title) == (board, title):
                return each.uid, number
    raise NoSuchPanel(f"{board}: {title}")
