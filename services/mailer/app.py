"""The mailer: facts about tickets become answers and notifications, and these are sent."""

import asyncio
import uuid
from collections.abc import Sequence
from functools import partial

from services.mailer.handlers import Handler, origin_of
from services.mailer.notices import Notices
from services.mailer.queue_store import SCHEMA, QueueStore
from services.mailer.sending import Sending
from shared import message_ids
from shared.kafka.consumer import Consumer
from shared.kafka.dead_letters import dead_letter_sink
from shared.kafka.producer import Producer
from shared.kafka.stored_offsets import StoredOffsets
from shared.process import Misconfigured, Process
from shared.topics import DEAD_LETTERS, EVENTS, GROUPS


async def serve(process: Process) -> None:
    """Runs until `process.stop`; then the batch and the mails in hand are finished."""
    settings = process.settings
    desk = process.desk()
    keys = _keys(process)
    pool = await process.database("mailer", size=6)
    await process.kafka(EVENTS, DEAD_LETTERS)
    # without a static name a restart cannot know its own claims, and waits until they end
    store = QueueStore(pool, settings.prefix + (settings.instance or uuid.uuid4().hex))

    def sign(ticket: str, delivery: str, domain: str) -> str:
        return message_ids.sign(ticket, delivery, domain, keys)

    sending = Sending(store, desk, settings, notices=Notices(store, desk, sign))
    handler = Handler(store, desk, sign, sending)
    producer = Producer(settings.cluster, settings.prefix, client_id=f"{settings.prefix}carteiro-mailer")
    consumer = Consumer(
        "mailer",
        settings,
        handler,
        dead_letter_sink(producer, "mailer"),
        origin_of,
        process.stop,
        process.fatal,
        StoredOffsets(pool, SCHEMA, EVENTS, GROUPS["mailer"][0]),
    )
    process.health.alive["mailer sending"] = lambda: sending.last_progress
    sent = asyncio.create_task(sending.run(process.stop), name="sending")
    sent.add_done_callback(partial(_ended, process))
    try:
        await process.consume(consumer)
        await process.stop.wait()
    finally:
        process.stop.set()
        await consumer.close()
        await asyncio.wait([sent])
        await producer.close()
        await pool.close()


def _keys(process: Process) -> Sequence[bytes]:
    try:
        return message_ids.load_keys(process.secret("message_id_keys"))
    except ValueError as error:
        raise Misconfigured(f"secret message_id_keys: {error}; one key a line, the newest first") from error


def _ended(process: Process, task: asyncio.Task[None]) -> None:
    error = None if task.cancelled() else task.exception()
    if error is not None:
        process.fatal(error)
