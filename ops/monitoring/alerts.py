"""Alerts on symptoms, one page of docs/runbooks each. Pure.

A timestamp of 0 means: nothing waits. Pods of one service may all export it, so it is aggregated. An expression keeps
`namespace`: one Prometheus may watch several installations.
"""

from typing import Literal, NamedTuple

from ops.monitoring.objectives import STALE_SECONDS, late_accounts
from ops.monitoring.series import series
from shared import metrics
from shared.topics import GROUPS

_OUTBOX = series(metrics.outbox_oldest)
_LAG = f"sum by (namespace, topic, group) ({series(metrics.position_lag)})"
_SILENCED = f"sum by (namespace, account) ({series(metrics.resync_silenced)})"
_FETCHED = f"sum by (namespace) (rate({series(metrics.messages_fetched)}[1h]"
_TRIED = "sum by (namespace) (increase({}[30m]))"
_LOG_IN_REFUSED = "~auth_failed|mailbox_refused|grant_refused"
_HELD = f"count by (namespace) (count by (namespace, account) ({series(metrics.account_last_poll)}))"
_CONFIGURED = f"max by (namespace) ({series(metrics.accounts_configured)})"
_SAYING = f"count by (namespace) (count by (namespace, group) ({series(metrics.last_progress)}))"


class Alert(NamedTuple):
    """`hold`: how long the expression must be true, `linger`: how long the alert stays. `board` and `panel`: where the
    same thing is drawn (ops/monitoring/boards)."""

    name: str
    severity: Literal["critical", "warning"]
    hold: str
    expr: str
    summary: str
    board: str
    panel: str


ALERTS = (
    Alert(
        "CarteiroAccountUnfetchedMailTooOld",
        "critical",
        "2m",
        f"time() - max by (namespace, account) ({series(metrics.account_oldest_unfetched)} > 0) > {STALE_SECONDS}",
        "Mail waits in the mailbox of {{ $labels.account }} for {{ $value | humanizeDuration }}",
        "accounts",
        "Oldest mail that waits",
    ),
    Alert(
        "CarteiroAccountNotPolled",
        "critical",
        "5m",
        late_accounts().format(bool="").replace("  ", " "),
        "No look into the mailbox of {{ $labels.account }} has succeeded for two of its intervals, or since the start",
        "accounts",
        "Last successful look",
    ),
    # an account nobody holds has no series of its own: the two alerts above cannot see it
    Alert(
        "CarteiroAccountUnowned",
        "critical",
        "5m",
        f"{_CONFIGURED} - ({_HELD} or 0 * {_CONFIGURED}) > 0",
        "{{ $value }} of the desk's accounts are watched by no fetcher",
        "accounts",
        "Accounts without a fetcher",
    ),
    # since the first refusal, not by their number: after three of them the next try is a quarter of an hour away
    Alert(
        "CarteiroAccountAuthFailing",
        "warning",
        "1m",
        f"time() - min by (namespace, account) ({series(metrics.account_failing, result=_LOG_IN_REFUSED)}) > 30",
        "The log-in of {{ $labels.account }} has been refused for {{ $value | humanizeDuration }}",
        "accounts",
        "Looks by result",
    ),
    # accounts in both directions: an outbound one has no looks that fail
    Alert(
        "CarteiroOauthGrantRefused",
        "critical",
        "1m",
        f"max by (namespace, account) ({series(metrics.oauth_refused)}) == 1",
        "The provider gives out no access token for {{ $labels.account }} until somebody acts",
        "accounts",
        "Looks by result",
    ),
    Alert(
        "CarteiroResyncSilenced",
        "warning",
        "",
        f"increase({_SILENCED}[1h:1m]) > 0",
        "The mailbox of {{ $labels.account }} is read anew: about {{ $value | humanize }} mails come in unanswered",
        "accounts",
        "Mails of resyncs, unanswered",
    ),
    Alert(
        "CarteiroPipelineSilent",
        "warning",
        "30m",
        f"{_FETCHED})) == 0 and {_FETCHED} offset 1w)) > 0.01",
        "No mail has come for an hour; a week ago there was some",
        "overview",
        "Mail in and out",
    ),
    Alert(
        "CarteiroBrake",
        "critical",
        "",
        f"max by (namespace) ({series(metrics.brake)}) == 1",
        "No mail is taken in: what is on Kafka has waited half its retention unread",
        "pipeline",
        "Brake and fuse",
    ),
    # the gauge, not an increase of the counter: a series that begins with its first dead letter has no increase
    Alert(
        "CarteiroDeadLettersPresent",
        "warning",
        "",
        f"max by (namespace, topic) ({series(metrics.dead_letters_pending)}) > 0",
        "{{ $value }} records of {{ $labels.topic }} were set aside and wait for a decision",
        "pipeline",
        "Dead letters that wait for a decision",
    ),
    Alert(
        "CarteiroFuseOpen",
        "critical",
        "",
        f"max by (namespace, topic, group) ({series(metrics.fuse_open)}) == 1",
        "Most records of {{ $labels.topic }} are bad: {{ $labels.group }} has paused",
        "pipeline",
        "Brake and fuse",
    ),
    Alert(
        "CarteiroPartitionWaits",
        "critical",
        "",
        f"time() - min by (namespace, topic, group) ({series(metrics.waiting_since)} > 0) > 600",
        "A partition of {{ $labels.topic }} has waited for {{ $value | humanizeDuration }} for its next record",
        "pipeline",
        "Longest wait of a partition",
    ),
    Alert(
        "CarteiroConsumerLagGrowing",
        "warning",
        "15m",
        f"{_LAG} > 100 and deriv({_LAG}[15m:1m]) > 0",
        "{{ $labels.group }} falls behind: {{ $value | humanize }} records of {{ $labels.topic }} wait",
        "pipeline",
        "Records not read yet",
    ),
    # for a day, also when the process that noticed it is gone
    Alert(
        "CarteiroRecordsUnaccounted",
        "critical",
        "",
        f"max by (namespace, topic) (max_over_time(abs({series(metrics.unaccounted)})[1d:1m])) > 0",
        "{{ $value }} records of {{ $labels.topic }} were passed without an outcome",
        "pipeline",
        "Records not read yet",
    ),
    # ends by itself a week later: nothing brings the records back, somebody has to know
    Alert(
        "CarteiroRecordsMissing",
        "critical",
        "",
        f"time() - max by (namespace, topic, group) ({series(metrics.gap_noticed)}) < 604800",
        "Records of {{ $labels.topic }} had gone before {{ $labels.group }} read them",
        "pipeline",
        "Records not read yet",
    ),
    # the age is the patience: while the lead changes nobody tells it, and a long `for` would begin anew each time
    Alert(
        "CarteiroOutboxStuck",
        "critical",
        "1m",
        f"time() - min by (namespace) ({_OUTBOX} > 0) > 300",
        "Events of tickets wait for {{ $value | humanizeDuration }}: nobody is answered or notified",
        "pipeline",
        "Oldest event in the outbox",
    ),
    Alert(
        "CarteiroOutboxUnled",
        "critical",
        "5m",
        f"absent({_OUTBOX} >= 0)",
        "No process leads the outbox: nothing is settled, nobody is answered or notified",
        "pipeline",
        "Oldest event in the outbox",
    ),
    Alert(
        "CarteiroOutboundStuck",
        "warning",
        "5m",
        f"time() - min by (namespace) ({series(metrics.smtp_queue_oldest)} > 0) > 1800",
        "The oldest mail waits to be sent for {{ $value | humanizeDuration }}",
        "pipeline",
        "Oldest mail to be sent",
    ),
    Alert(
        "CarteiroSmtpDeferredHigh",
        "warning",
        "15m",
        f"{_TRIED} / {_TRIED} > 0.2 and {_TRIED} > 10".format(
            series(metrics.smtp_attempts, result="postponed"),
            series(metrics.smtp_attempts),
            series(metrics.smtp_attempts),
        ),
        "{{ $value | humanizePercentage }} of the deliveries are postponed by the servers",
        "pipeline",
        "Deliveries by result",
    ),
    Alert(
        "CarteiroMailFailed",
        "warning",
        "",
        f"max by (namespace) ({series(metrics.smtp_failed)}) > 0",
        "{{ $value }} mails to customers or agents failed for good in the last 24 hours",
        "pipeline",
        "Mails that failed for good",
    ),
    # the moment, not the counter: a window is full again in the next hour only if the mail goes on
    Alert(
        "CarteiroMailWithheld",
        "warning",
        "",
        f"time() - max by (namespace, reason) ({series(metrics.window_full)} > 0) < 3600",
        "Automatic mail is withheld ({{ $labels.reason }}): more would go out than the desk allows",
        "pipeline",
        "Automatic mail withheld",
    ),
    Alert(
        "CarteiroDeskReloadFailed",
        "warning",
        "5m",
        f"min by (namespace) ({series(metrics.desk_reload_successful)}) == 0",
        "The last change of the desk was refused: the one before is in use",
        "overview",
        "Desk in use",
    ),
    Alert(
        "CarteiroMetricsAbsent",
        "critical",
        "10m",
        f"absent({series(metrics.build_info)}) or {_SAYING} < {len(GROUPS)}",
        "A service of Carteiro reports nothing",
        "overview",
        "Processes",
    ),
)
