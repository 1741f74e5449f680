"""The dispatcher's composition root: says what a mail is and where it goes."""

from services.dispatcher.handlers import Handler, origin_of
from services.dispatcher.worker import Worker
from shared.kafka.consumer import Consumer
from shared.kafka.dead_letters import dead_letter_sink
from shared.kafka.producer import Producer
from shared.message_ids import load_keys
from shared.originals import Originals, open_originals
from shared.process import Misconfigured, Process
from shared.topics import DEAD_LETTERS, DISPATCHED, RECEIVED

_NAME = "dispatcher"
_MOST_RECORDS = 300  # of up to 256 KiB each: what a batch may hold in memory
_KEYS = "message_id_keys"


async def serve(process: Process) -> None:
    """Runs until `process.stop`; the batch in hand is finished before it returns, or comes again."""
    settings = process.settings
    desk = process.desk()
    keys = _keys(process)
    originals = _originals(settings.objects)
    await process.kafka(RECEIVED, DISPATCHED, DEAD_LETTERS)
    producer = Producer(settings.cluster, settings.prefix, client_id=f"{settings.prefix}carteiro-{_NAME}")
    worker = Worker()
    handler = Handler(desk, keys, originals, producer, worker)
    sink = dead_letter_sink(producer, _NAME)
    consumer = Consumer(
        _NAME, settings, handler.handle, sink, origin_of, process.stop, process.fatal, max_records=_MOST_RECORDS
    )
    handler.progress = consumer.batches.progress
    try:
        await process.consume(consumer)
        await process.stop.wait()
    finally:
        await consumer.close()
        await worker.close()
        await producer.close()


def _keys(process: Process) -> list[bytes]:
    try:
        return load_keys(process.secret(_KEYS))
    except ValueError as error:
        raise Misconfigured(f"the secret {_KEYS} in CARTEIRO_SECRETS cannot be used: {error}") from error


def _originals(url: str) -> Originals:
    try:
        return open_originals(url)
    except ValueError as error:
        raise Misconfigured(f"CARTEIRO_OBJECTS={url}: {error}") from error
