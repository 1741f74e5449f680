"""The board of a mail's way, from left to right."""

from ops.monitoring.objectives import STALE_SECONDS
from ops.monitoring.panels import Board, Panel, Query, age, of, quantiles, rate
from shared import metrics


def _stage(name: str) -> Panel:
    return Panel(
        f"Duration of a batch: {name}",
        "lines",
        "s",
        quantiles(metrics.stage_duration, stage=name),
        6,
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
                    "Fetched", "lines", "ops", (Query(rate(metrics.messages_fetched, "protocol"), "{{protocol}}"),), 6
                ),
                Panel(
                    "Oldest mail in a mailbox",
                    "lines",
                    "s",
                    (Query(age(metrics.account_oldest_unfetched, "namespace"), "oldest"),),
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
                    (Query(f"sum by (group) ({of(metrics.position_lag)})", "{{group}}"),),
                    8,
                    ("CarteiroConsumerLagGrowing", "CarteiroRecordsMissing", "CarteiroRecordsUnaccounted"),
                ),
                Panel(
                    "Longest wait of a partition",
                    "lines",
                    "s",
                    (Query(age(metrics.waiting_since, "group"), "{{group}}"),),
                    8,
                    ("CarteiroPartitionWaits",),
                    600,
                ),
                Panel(
                    "Batches tried again",
                    "lines",
                    "ops",
                    (
                        Query(rate(metrics.retries, "topic"), "{{topic}}"),
                        Query(rate(metrics.rewinds, "topic"), "{{topic}}, read anew"),
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
                    "Mails by outcome", "lines", "ops", (Query(rate(metrics.processed, "outcome"), "{{outcome}}"),), 12
                ),
                _stage("dispatch"),
                _stage("store"),
                Panel(
                    "Dead letters that wait for a decision",
                    "lines",
                    "short",
                    (Query(f"max by (topic) ({of(metrics.dead_letters_pending)})", "{{topic}}"),),
                    8,
                    ("CarteiroDeadLettersPresent", "CarteiroDeadLetterBudgetBurn"),
                    1,
                ),
                Panel(
                    "Records set aside",
                    "lines",
                    "ops",
                    (Query(rate(metrics.dead_letters, "topic, reason"), "{{topic}}: {{reason}}"),),
                    8,
                    ("CarteiroDeadLettersPresent",),
                ),
                Panel(
                    "Brake and fuse",
                    "lines",
                    "short",
                    (
                        Query(f"max({of(metrics.brake)})", "brake"),
                        Query(f"max by (group) ({of(metrics.fuse_open)})", "fuse of {{group}}"),
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
                    (Query(age(metrics.outbox_oldest, "namespace"), "oldest"),),
                    8,
                    ("CarteiroOutboxStuck", "CarteiroOutboxUnled"),
                    300,
                ),
                Panel(
                    "Events published",
                    "lines",
                    "ops",
                    (Query(rate(metrics.outbox_published, "result"), "{{result}}"),),
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
                    (Query(age(metrics.smtp_queue_oldest, "namespace"), "oldest"),),
                    6,
                    ("CarteiroOutboundStuck",),
                    1800,
                ),
                Panel(
                    "Deliveries by result",
                    "lines",
                    "ops",
                    (Query(rate(metrics.smtp_attempts, "result, code_class"), "{{result}} {{code_class}}"),),
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
                        Query(rate(metrics.autoresponse_suppressed, "reason"), "answer: {{reason}}"),
                        Query(rate(metrics.notification_suppressed, "reason"), "notification: {{reason}}"),
                    ),
                    12,
                    ("CarteiroMailWithheld",),
                ),
                Panel(
                    "Mails that failed for good",
                    "lines",
                    "short",
                    (
                        Query(f"max({of(metrics.smtp_failed)})", "in 24 hours"),
                        Query(f"sum(increase({of(metrics.bounces)}[1h]))", "came back, in an hour"),
                    ),
                    12,
                    ("CarteiroMailFailed",),
                    1,
                ),
            ),
        ),
    ),
)
