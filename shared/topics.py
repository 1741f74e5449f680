"""The topics, declared once: applied by `carteiro topics apply`, read back by every service at its start.

Values for three replicas; on a single-node broker `flush.messages=1` on the mail topics takes the place of
the in-sync replicas, so that an acknowledged mail survives a crash of the machine.
"""

from dataclasses import dataclass

_DAY_MS = 24 * 60 * 60 * 1000
RECEIVED = "mail.received.v1"
DISPATCHED = "mail.dispatched.v1"
EVENTS = "ticket.events.v1"
DEAD_LETTERS = "deadletters.v1"


@dataclass(frozen=True)
class Topic:
    """A topic's declaration. `key` and `value` are documentation; retention in days."""

    name: str
    partitions: int
    retention_days: int
    key: str
    value: str
    producer: str
    consumers: str
    mail: bool
    max_message_bytes: int | None = None

    def settings(self, replicas: int) -> dict[str, str]:
        """The topic's configuration on the broker.

        LogAppendTime, because a producer's wrong clock must not decide retention; no unclean election,
        because a stale replica would drop acknowledged mail.
        """
        settings = {
            "message.timestamp.type": "LogAppendTime",
            "retention.ms": str(self.retention_days * _DAY_MS),
            "min.insync.replicas": "2" if replicas >= 3 else "1",
            "unclean.leader.election.enable": "false",
            "compression.type": "producer",
        }
        if replicas == 1 and self.mail:
            settings["flush.messages"] = "1"
        if self.max_message_bytes:
            settings["max.message.bytes"] = str(self.max_message_bytes)
        return settings


TOPICS: tuple[Topic, ...] = (
    Topic(
        name=RECEIVED,
        partitions=12,
        retention_days=14,
        key="conversation root: hex of the first 16 bytes of SHA-256 over the root id without brackets",
        value="the raw message as fetched, up to 256 KiB; above that empty, with a reference into the object store",
        producer="fetcher",
        consumers="dispatcher",
        mail=True,
    ),
    Topic(
        name=DISPATCHED,
        partitions=12,
        retention_days=14,
        key="the same",
        value="JSON: classification, evidence, two plans, parties, text, attachments' metadata, decision trace",
        producer="dispatcher",
        consumers="ticketing",
        mail=True,
    ),
    Topic(
        name=EVENTS,
        partitions=6,
        retention_days=14,
        key="the ticket's key; of `mail-oversize` the transport key",
        value="JSON facts in the past tense, without bodies: the public event API",
        producer="ticketing (outbox)",
        consumers="mailer, anybody's own consumers",
        mail=False,
    ),
    Topic(
        name=DEAD_LETTERS,
        partitions=3,
        retention_days=30,
        key="origin topic and partition",
        value="the record as it came; what was wrong stands in the headers",
        producer="all services",
        consumers="ticketing (table `ticketing.dead_letters`)",
        mail=False,
        max_message_bytes=2 * 1024 * 1024,
    ),
)
BY_NAME = {topic.name: topic for topic in TOPICS}

GROUPS = {
    "dispatcher": ("carteiro-dispatcher-received", RECEIVED),
    "ticketing": ("carteiro-ticketing-dispatched", DISPATCHED),
    "ticketing-deadletters": ("carteiro-ticketing-deadletters", DEAD_LETTERS),
    "mailer": ("carteiro-mailer-events", EVENTS),
}
"""Consumer group and topic of each subscriber; a group of its own each, so that no rebalance touches another's."""
