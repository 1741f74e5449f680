"""`carteiro trace`: where a mail is now, and every step it took.

What is settled is known to the database, with its event and the mails it led to. What is not settled is sought among
what the readers have not read, and among the dead letters. The records on Kafka of a settled mail are looked for around
the time it was settled, so far as that is cheap.
"""

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec

from ops.database import connected
from ops.show import one_line, printable, say
from ops.steps import Mail, place, steps
from ops.tickets import number_of
from services.mailer import queries as mailer
from services.ticketing import queries as ticketing
from shared.kafka.admin import group_lags
from shared.kafka.reader import reading
from shared.kafka.record import Record
from shared.mime.fields import header_fields
from shared.mime.identifiers import message_id as message_id_of
from shared.postgres import Connection
from shared.settings import Settings
from shared.topics import DISPATCHED, GROUPS, RECEIVED
from shared.wire import decode_dispatched

_HEADER = 64 * 1024
_MOST_READ = 20_000  # of what is unread
_AROUND = timedelta(seconds=60)
_MOST_AROUND = 5_000
_MOST_LOOKED_FOR = 5


@dataclass(frozen=True)
class Sought:
    """One of them: a transport key or an event's id (hexadecimal), a ticket's number, a Message-ID without brackets."""

    key: str = ""
    event: str = ""
    number: str = ""
    message_id: str = ""


def sought(written: str) -> Sought:
    """What somebody pastes, by its look. Pure."""
    text = written.strip()
    if "@" in text:
        return Sought(message_id=text.strip("<>"))
    if re.fullmatch(r"[0-9a-fA-F]{64}", text):
        return Sought(key=text.lower())
    if re.fullmatch(r"[0-9a-fA-F]{32}", text):
        return Sought(event=text.lower())
    return Sought(number=number_of(text))


async def trace(written: str, *, as_json: bool) -> int:
    """1 when nothing is known of it. Raises PostgresUnreachable, KafkaUnreachable, ReadFailed."""
    settings = Settings()
    async with connected(settings) as connection:
        mails = await _mails(settings, connection, sought(written))
    if not mails:
        said = f"nothing is known of {printable(written)}: no mail, event or ticket, and nothing unread on Kafka"
        print(f"{said}. It may still be in its mailbox: `carteiro account list`", file=sys.stderr)
        return 1
    for mail in mails:
        say(_json(mail) if as_json else _page(mail))
    return 0


async def _mails(settings: Settings, connection: Connection, wanted: Sought) -> list[Mail]:
    claims = await _claims(connection, wanted)
    if not claims:
        return await _unsettled(settings, connection, wanted)
    events = [claim["event_id"] for claim in claims]
    waiting = await ticketing.unpublished(connection, events)
    claimed = await mailer.claimed(connection, events)
    deliveries = await mailer.deliveries_of(connection, events)
    return [
        Mail(
            claim["transport_key"].hex(),
            claim,
            await _records_of(settings, claim) if len(claims) <= _MOST_LOOKED_FOR else {},
            claim["event_id"] not in waiting,
            claimed.get(claim["event_id"]),
            [row for row in deliveries if row["event_id"] == claim["event_id"]],
            await _letters(connection, [claim["transport_key"].hex(), claim["event_id"]], claim["raw_sha256"]),
        )
        for claim in claims
    ]


async def _claims(connection: Connection, wanted: Sought) -> list[dict[str, Any]]:
    if wanted.key:
        return await ticketing.settled(connection, transport_key=bytes.fromhex(wanted.key))
    if wanted.number:
        return await ticketing.settled(connection, number=wanted.number)
    if wanted.message_id:
        found = await ticketing.settled(connection, message_id=wanted.message_id)
        if found:
            return found
    # an event, or a mail of ours: the mail that it came of
    numbers = await mailer.tickets_of(
        connection, message_id=wanted.message_id and f"<{wanted.message_id}>", event_id=wanted.event
    )
    found = [claim for number in numbers for claim in await ticketing.settled(connection, number=number)]
    if wanted.event:
        return [claim for claim in found if claim["event_id"] == wanted.event]
    own = {
        row["event_id"]
        for row in await mailer.deliveries_of(connection, [claim["event_id"] for claim in found])
        if row["message_id"].strip("<>") == wanted.message_id
    }
    return [claim for claim in found if claim["event_id"] in own]


async def _letters(
    connection: Connection, ids: Sequence[str], raw_sha256: bytes = b"", message_id: str = ""
) -> list[dict[str, Any]]:
    return await ticketing.letters_of(connection, ids, [raw_sha256] if raw_sha256 else [], message_id)


# --- what is not settled ----------------------------------------------------------------------------------------------


async def _unsettled(settings: Settings, connection: Connection, wanted: Sought) -> list[Mail]:
    if not (wanted.key or wanted.message_id):
        return []
    unread = {
        RECEIVED: {
            lag.partition: lag.committed or 0
            for lag in await group_lags(settings.cluster, settings.prefix)
            if lag.group == GROUPS["dispatcher"][0]
        },
        DISPATCHED: await ticketing.next_offsets(connection, DISPATCHED),
    }
    found: dict[str, dict[str, Record]] = {}
    for topic, starts in unread.items():
        for record in await _found(settings, topic, starts, lambda record: _is(record, wanted), _MOST_READ):
            found.setdefault(record.header("ce_id").decode("ascii", "replace"), {})[topic] = record
    letters = await _letters(connection, [wanted.key] if wanted.key else [], message_id=wanted.message_id)
    if not found and letters:
        return [Mail(wanted.key or wanted.message_id, letters=letters)]
    return [Mail(name, records=records, letters=await _letters(connection, [name])) for name, records in found.items()]


def _is(record: Record, wanted: Sought) -> bool:
    if wanted.key:
        return record.header("ce_id") == wanted.key.encode()
    if record.topic == RECEIVED:
        return message_id_of(header_fields((record.value or b"")[:_HEADER])).strip("<>") == wanted.message_id
    try:
        return decode_dispatched(record.value or b"").message_id.strip("<>") == wanted.message_id
    except msgspec.DecodeError:
        return False


# --- the records of a settled mail ------------------------------------------------------------------------------------


async def _records_of(settings: Settings, claim: Mapping[str, Any]) -> dict[str, Record]:
    found: dict[str, Record] = {}
    name = claim["transport_key"].hex().encode()
    until: datetime = claim["settled_at"]
    for topic in (DISPATCHED, RECEIVED):
        around = await _around(settings, topic, until - _AROUND, lambda record: record.header("ce_id") == name)
        if around is None:
            return found
        found[topic] = around
        until = datetime.fromtimestamp(around.timestamp / 1000, until.tzinfo)
    return found


async def _around(settings: Settings, topic: str, start: datetime, matches: Callable[[Record], bool]) -> Record | None:
    async with reading(settings.cluster, settings.prefix, topic) as reader:
        starts = await reader.offsets_at(start)
    found = await _found(settings, topic, starts, matches, _MOST_AROUND)
    return found[0] if found else None


async def _found(
    settings: Settings, topic: str, starts: Mapping[int, int], matches: Callable[[Record], bool], most: int
) -> list[Record]:
    """Those of the first `most` records behind `starts` that match; stops at the first one."""
    read = 0
    async with reading(settings.cluster, settings.prefix, topic) as reader:
        async for records in reader.since(starts):
            if matching := [record for record in records if matches(record)]:
                return matching
            read += len(records)
            if read >= most:
                break
    return []


# --- how it is shown --------------------------------------------------------------------------------------------------


def _json(mail: Mail) -> str:
    rows = [{"mail": mail.id, **step._asdict()} for step in steps(mail)]
    return "\n".join(one_line(row) for row in [*rows, {"mail": mail.id, "now": place(mail)}])


def _page(mail: Mail) -> str:
    rows = [
        {"at": step.at and f"{step.at:%Y-%m-%d %H:%M:%S}", "step": step.step, "what": step.what} for step in steps(mail)
    ]
    table = "\n".join(
        "  ".join((str(row["at"] or "-").ljust(19), str(row["step"]).ljust(11), printable(str(row["what"]))))
        for row in rows
    )
    return f"Mail {mail.id}\n{table}\nnow: {printable(place(mail))}"
