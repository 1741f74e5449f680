"""Every metric of every service, one sentence each; `docs/metrics.md` is generated from this file.

Timestamps are exported, not ages: `time() - timestamp` keeps growing when a process hangs, an age gauge freezes.
Labels are bounded by configuration (account, topic, template), never an address, an id or a subject. In batch
handlers count once per batch.
"""

import math

from prometheus_client import REGISTRY, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.exposition import choose_encoder

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series a counter, which nobody asks for


def page(accept: str = "") -> tuple[str, bytes]:
    """Content-Type and text, in the format that is asked for; exemplars are in OpenMetrics only."""
    encode, content_type = choose_encoder(accept)
    return content_type, encode(REGISTRY)


_LATENCY = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 14400)
_STAGE = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60)

build_info = Gauge("carteiro_build_info", "Always 1; what is running.", ["version", "revision", "python"])

# fetcher
accounts_configured = Gauge("carteiro_accounts_configured", "Accounts that the desk names.")
account_oldest_unfetched = Gauge(
    "carteiro_account_oldest_unfetched_timestamp_seconds",
    "When the oldest mail that waits on the server arrived there; 0: nothing waits.",
    ["account"],
)
account_last_success = Gauge(
    "carteiro_account_last_success_timestamp_seconds", "Last complete look into the mailbox.", ["account"]
)
account_last_poll = Gauge("carteiro_account_last_poll_timestamp_seconds", "Last attempt, good or bad.", ["account"])
account_interval = Gauge(
    "carteiro_account_interval_seconds", "How often the desk wants the mailbox looked into, at least.", ["account"]
)
account_failing = Gauge(
    "carteiro_account_failing_timestamp_seconds",
    "Since when looks into the mailbox have failed, with the last result; no series: the last one succeeded.",
    ["account", "result"],
)
account_fetch = Counter("carteiro_account_fetch", "Looks into a mailbox by result.", ["account", "result"])
account_fetch_duration = Histogram(
    "carteiro_account_fetch_duration_seconds", "Duration of one look into a mailbox.", ["protocol"], buckets=_STAGE
)
account_idle_connections = Gauge("carteiro_account_idle_connections", "Connections in IDLE.", ["protocol"])
messages_fetched = Counter("carteiro_messages_fetched", "Mails fetched and confirmed by the broker.", ["protocol"])
message_size = Histogram(
    "carteiro_message_size_bytes",
    "Size of fetched mails.",
    ["protocol"],
    buckets=(1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 33554432),
)
messages_skipped = Counter("carteiro_messages_skipped", "Mails not fetched, by reason.", ["reason"])
brake = Gauge(
    "carteiro_fetcher_brake", "1: no mail is taken in, as what is on Kafka has waited half its retention unread."
)
resync_silenced = Counter(
    "carteiro_account_resync_silenced", "Unknown mails of one resync beyond the limit, taken in silently.", ["account"]
)

OF_ACCOUNTS = (
    account_oldest_unfetched,
    account_last_success,
    account_last_poll,
    account_interval,
    account_failing,
    account_fetch,
    resync_silenced,
)

# fetcher and mailer: log-in with OAuth2
oauth_token_expires = Gauge(
    "carteiro_oauth_token_expires_timestamp_seconds",
    "When the access token in hand expires; the next is asked for before, when there is something to do with it.",
    ["account", "protocol"],
)
oauth_refresh_token_expires = Gauge(
    "carteiro_oauth_refresh_token_expires_timestamp_seconds",
    "When the refresh token expires unless it is used before; only where the provider says so.",
    ["account", "protocol"],
)
oauth_refused = Gauge(
    "carteiro_oauth_grant_refused",
    "1: the provider gives out no access token until somebody acts.",
    ["account", "protocol"],
)

# every consumer
processed = Counter(
    "carteiro_messages_processed",
    "Mails by their one final outcome, counted after its effect is committed.",
    ["outcome"],
)
dead_letters = Counter("carteiro_dead_letters", "Records set aside.", ["topic", "reason"])
dead_letters_pending = Gauge("carteiro_dead_letters_pending", "Dead letters nobody has decided on.", ["topic"])
fuse_open = Gauge(
    "carteiro_consumer_fuse_open", "1: most records are bad, the partitions are paused.", ["topic", "group"]
)
retries = Counter("carteiro_retries", "Batches tried again after a transient fault.", ["topic", "attempt_bucket"])
events_skipped = Counter("carteiro_events_skipped", "Facts of a type this version does not know.", ["type"])
assigned_partitions = Gauge("carteiro_consumer_assigned_partitions", "Partitions held.", ["topic", "group"])
rebalances = Counter("carteiro_consumer_rebalances", "Assignments received.", ["topic", "group"])
last_progress = Gauge(
    "carteiro_consumer_last_progress_timestamp_seconds", "Last poll or finished batch.", ["topic", "group"]
)
position_lag = Gauge(
    "carteiro_consumer_position_lag_messages", "Records not read yet.", ["topic", "group", "partition"]
)
commits_refused = Counter("carteiro_consumer_commits_refused", "Offset commits the group refused.", ["topic", "group"])
rewinds = Counter(
    "carteiro_consumer_rewinds", "Partitions read again from an offset that had gone back.", ["topic", "group"]
)
gap_noticed = Gauge(
    "carteiro_consumer_gap_timestamp_seconds",
    "When it was last noticed that records had gone from the topic before they were read.",
    ["topic", "group"],
)
unaccounted = Gauge(
    "carteiro_consumer_unaccounted_records",
    "Offsets that were passed, less the outcomes that were recorded for them, since the start; always 0.",
    ["topic"],
)
waiting_since = Gauge(
    "carteiro_consumer_waiting_timestamp_seconds",
    "Since when the partition that waits longest has waited for its next record; 0: none waits.",
    ["topic", "group"],
)
drains_exceeded = Counter(
    "carteiro_consumer_drains_exceeded", "Stops that did not wait for the batch in hand.", ["topic"]
)
stage_duration = Histogram(
    "carteiro_stage_duration_seconds", "Duration of one batch in a stage.", ["stage"], buckets=_STAGE
)

# ticketing
mail_to_ticket = Histogram(
    "carteiro_mail_to_ticket_seconds",
    "From the mail's arrival at its server to the commit of its ticket or article.",
    ["origin", "kind"],
    buckets=_LATENCY,
)
filter_hits = Counter("carteiro_filter_hits", "Mails that a filter of the desk matched, each once.", ["filter"])
outbox_pending = Gauge(
    "carteiro_outbox_pending", "Events committed and not yet published, about; NaN where another process publishes."
)
outbox_oldest = Gauge(
    "carteiro_outbox_oldest_pending_timestamp_seconds",
    "When the oldest unpublished event was committed; 0: none; NaN where another process publishes.",
)
for _gauge in (outbox_pending, outbox_oldest):
    _gauge.set(math.nan)  # until a process leads the outbox: a zero would speak for the one who does
del _gauge
outbox_published = Counter("carteiro_outbox_published", "Events published by the relay.", ["result"])

# mailer
mail_to_response = Histogram(
    "carteiro_mail_to_response_seconds",
    "From the mail's arrival at its server to the SMTP server's 250 for its answer.",
    ["template"],
    buckets=_LATENCY,
)
responses_due = Counter("carteiro_responses_due", "Automatic answers that were queued for an SMTP server.")
smtp_attempts = Counter("carteiro_smtp_attempts", "Deliveries tried, by result.", ["result", "code_class"])
smtp_queue_oldest = Gauge(
    "carteiro_smtp_queue_oldest_timestamp_seconds",
    "Since when the mail that waits longest could have been sent: queued then, or due again then; 0: none.",
)
autoresponse_suppressed = Counter(
    "carteiro_autoresponse_suppressed", "Automatic answers withheld, by reason.", ["reason"]
)
notification_suppressed = Counter("carteiro_notification_suppressed", "Notifications withheld, by reason.", ["reason"])
window_full = Gauge(
    "carteiro_mail_window_full_timestamp_seconds",
    "When mail was last withheld because as much as a window allows had gone out.",
    ["reason"],
)
bounces = Counter("carteiro_bounces", "Mails of ours that were sent and came back.")
smtp_failed = Gauge("carteiro_smtp_failed_mails", "Mails that failed for good in the last 24 hours.")

# database and desk
schema_version = Gauge("carteiro_schema_version", "Last migration applied.", ["schema"])
schema_version_required = Gauge("carteiro_schema_version_required", "Last migration this version brings.", ["schema"])
desk_reload_successful = Gauge("carteiro_desk_last_reload_successful", "0: the last change of the desk was refused.")
desk_reload_success_time = Gauge(
    "carteiro_desk_last_reload_success_timestamp_seconds", "When the desk in use was loaded."
)
desk_info = Gauge("carteiro_desk_info", "Always 1; which desk is in use.", ["sha256"])

# label values that the code bounds: known here, so that a counter begins with 0 and its first event is an increase
VALUES: dict[Counter | Histogram, dict[str, tuple[str, ...]]] = {
    processed: {
        "outcome": (
            "ticket_created",
            "article_added",
            "follow_up_rejected",
            "ignored",
            "oversize",
            "duplicate",
            "quarantined",
            "dead_lettered",
        )
    },
    outbox_published: {"result": ("ok", "failed")},
    messages_fetched: {"protocol": ("imap", "pop3")},
    messages_skipped: {"reason": ("oversize", "vanished")},
    stage_duration: {"stage": ("fetch", "publish", "dispatch", "store", "relay", "render", "send")},
}
for _metric, _values in VALUES.items():
    ((_, _words),) = _values.items()
    for _word in _words:
        _metric.labels(_word)
del _metric, _values, _words, _word


def forget_account(account: str) -> None:
    """Another process tells its series now; one left behind would look like a hanging account."""
    for metric in OF_ACCOUNTS:
        metric.remove_by_labels({"account": account})
