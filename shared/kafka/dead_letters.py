"""From a record that no retry can help to a dead letter on Kafka, where ticketing copies it into its table."""

from collections.abc import Awaitable, Callable

from shared import metrics
from shared.clock import now, rfc3339
from shared.events import DeadLetter
from shared.failures import describe, reason_of
from shared.kafka.producer import Outgoing, Producer
from shared.kafka.record import Record
from shared.topics import DEAD_LETTERS, EVENTS
from shared.wire import encode_dead_letter


def dead_letter_of(record: Record, error: BaseException, service: str) -> DeadLetter:
    return DeadLetter(
        origin_topic=record.topic,
        origin_partition=record.partition,
        origin_offset=record.offset,
        service=service,
        reason=reason_of(error),
        exception=describe(error),
        key=record.key,
        value=record.value,
        headers=list(record.headers),
    )


async def send_dead_letter(producer: Producer, letter: DeadLetter) -> None:
    """Returns when the broker has confirmed it. Raises SendFailed. The key keeps letters of one partition together."""
    key = f"{letter.origin_topic}/{letter.origin_partition}".encode()
    headers = encode_dead_letter(letter, rfc3339(now()))
    value = letter.value if letter.value is None or len(letter.value) <= 900_000 else letter.value[:900_000]
    await producer.send_all([Outgoing(DEAD_LETTERS, key, value, headers)])
    metrics.dead_letters.labels(letter.origin_topic, letter.reason).inc()
    if letter.origin_topic != EVENTS:  # the mail behind an event has had its outcome
        metrics.processed.labels("dead_lettered").inc()


def dead_letter_sink(producer: Producer, service: str) -> Callable[[Record, BaseException], Awaitable[None]]:
    """What a consumer's `set_aside` is made of."""

    async def set_aside(record: Record, error: BaseException) -> None:
        await send_dead_letter(producer, dead_letter_of(record, error, service))

    return set_aside
