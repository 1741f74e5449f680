"""A database that went back learns again what it had published: nobody gets a name that another mail was given.

Events reach further in `ticket.events.v1` than `ticketing.published` says when a relay ended between the broker's
confirmation and its own record, and when the database is an older one: a restored backup, a replica that lagged. What
lies between is read before anything settles (relay_store.must_be_compared). Of each event whose article is not here
the names are kept, for its mail to take when it comes again; ids and numbers go on beyond all of them.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date

import msgspec

from services.ticketing import relay_store
from services.ticketing.batch import Kept, id_hash
from services.ticketing.relay_store import Lead
from services.ticketing.ticket_numbers import counted
from shared.desk.model import Ticket
from shared.events import AgentReplied, ArticleFact, MailRefused, NoteAdded, TicketCreated, TicketSplit, UnknownFact
from shared.kafka.connection import Kafka
from shared.kafka.reader import reading
from shared.kafka.record import Record
from shared.logs import fields
from shared.postgres import Connection
from shared.topics import EVENTS
from shared.wire import decode_fact

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recall:
    """`settings`: how the desk in use makes numbers."""

    kafka: Kafka
    prefix: str
    settings: Callable[[], Ticket]

    async def __call__(self, connection: Connection, lead: Lead, progress: Callable[[], None]) -> Lead:
        """Compares the database with the topic and reads what it does not know. Raises Transient or asyncpg errors;
        it then has to be called again, and goes on where it was."""
        known = await relay_store.positions(connection)
        settings = self.settings()
        async with reading(self.kafka, self.prefix, EVENTS) as reader:
            events = 0
            async for records in reader.since(known):
                names = {name.event_id: name for name in map(kept_of, records) if name}.values()
                reached = {records[-1].partition: records[-1].offset + 1}
                lead = await relay_store.keep(connection, lead, names, counters(names, settings), reached)
                events += len(records)
                progress()
            # a topic that was made anew ends before the place that is remembered of the old one
            lead = await relay_store.keep(connection, lead, (), (), reader.ends)
        if events:
            log.warning("events were published that the database did not know", extra=fields(action="recall", n=events))
        return await relay_store.compared(connection, lead)


def kept_of(record: Record) -> Kept | None:
    """The names that an event gave; None for what names no ticket."""
    try:
        fact = decode_fact(record.header("ce_type"), record.value or b"")
    except (UnknownFact, msgspec.MsgspecError):  # of a newer version, or nobody's: it was no name of ours
        return None
    event_id = record.header("ce_id").decode("utf-8", "replace")
    match fact:
        case MailRefused():
            return None
        case ArticleFact():
            sender, message = fact.sender.address.lower(), id_hash(fact.message_id) if fact.message_id else b""
        # a lost command does not come again; its ticket's replies do
        case TicketSplit() | NoteAdded() | AgentReplied():
            sender, message = fact.customer_user if isinstance(fact, TicketSplit) else "", b""
        case _:
            return None
    return Kept(
        event_id,
        isinstance(fact, TicketCreated | TicketSplit),
        fact.ticket_key,
        fact.number,
        int(fact.ticket_id),
        int(fact.article_id),
        fact.queue,
        fact.title,
        sender,
        message,
    )


def counters(names: Iterable[Kept], settings: Ticket) -> list[tuple[date, str, int]]:
    """Day, system id and the highest count among these numbers."""
    highest: dict[date, int] = {}
    for day, counter in filter(None, (counted(name.number, settings) for name in names)):
        highest[day] = max(counter, highest.get(day, 0))
    return [(day, settings.system_id, counter) for day, counter in highest.items()]
