"""`carteiro customer erase` and `carteiro retention apply`: what a person wrote goes, and what is kept too long.

Each is one transaction (of retention one a hundred tickets); `--dry-run` does the same and takes it back, so that what
it says is what would be done.
"""

import re
import sys
from collections import Counter
from datetime import datetime

from ops.database import connected
from ops.show import one_line, printable, say
from services.mailer import erasure_store as mailer
from services.ticketing import erasure_store as ticketing
from services.ticketing.erasure_store import Gone, whole
from shared.clock import now
from shared.desk.findings import DeskError
from shared.desk.load import load_desk
from shared.originals import OriginalMissing, Originals, open_originals
from shared.postgres import Connection
from shared.process import Misconfigured
from shared.settings import Settings
from shared.topics import TOPICS

WRONG_USAGE = 2
AT_ONCE = 100
_ADDRESS = re.compile(r"[^@\s\"\\]+@[^@\s\"\\]+")


class _TakenBack(Exception):
    """A dry run ends like this: its transaction is rolled back."""


async def erase_customer(address: str, *, dry_run: bool, as_json: bool) -> int:
    """2 for what is no address. Raises PostgresUnreachable, Misconfigured."""
    address = address.strip().lower()
    if not _ADDRESS.fullmatch(address):
        print(f"{printable(address)} is no address", file=sys.stderr)
        return WRONG_USAGE
    settings = Settings()
    originals = _originals(settings)
    counts: Counter[str] = Counter()
    async with connected(settings) as connection:
        try:
            async with connection.transaction():
                counts = await _erase_customer(connection, originals, address)
                if dry_run:
                    raise _TakenBack
        except _TakenBack:
            pass
    _tell(counts, {"address": address}, dry_run=dry_run, as_json=as_json)
    return 0


async def _erase_customer(connection: Connection, originals: Originals, address: str) -> Counter[str]:
    tickets = await ticketing.own_tickets(connection, address)
    own = await ticketing.erase_tickets(connection, tickets, now())
    others = await ticketing.erase_articles(connection, address)
    counts = _counted(own, others)
    events = [*own.events, *others.events]
    counts["deliveries"] = await mailer.erase(connection, tickets, events, address, whole(address))
    counts["letters"], counts["unread"] = await _erase_letters(connection, originals, address)
    bare, unread = await _erase_bare(connection, originals, address)
    counts["decisions"] += bare
    counts["unread"] += unread
    counts["replaced"] = await ticketing.replace_address(connection, address)
    await ticketing.drop_answers(connection)
    return counts


def _counted(*parts: Gone) -> Counter[str]:
    counts: Counter[str] = Counter()
    for part in parts:
        counts.update(tickets=part.tickets, articles=part.articles, decisions=part.decisions)
    return counts


async def _erase_letters(connection: Connection, originals: Originals, address: str) -> tuple[int, int]:
    """Those whose record or original names the address; and how many originals could not be read."""
    found, unread = [], 0
    async for letter in ticketing.letter_contents(connection):
        names = _names(letter.said, address)
        if not names and letter.original:
            names, readable = await _original_names(originals, letter.original, address)
            unread += not readable
        if names:
            found.append(letter.id)
    return await ticketing.drop_letters(connection, found), unread


async def _erase_bare(connection: Connection, originals: Originals, address: str) -> tuple[int, int]:
    """Mails that became nothing have no sender in the tables: their originals say."""
    found, unread = [], 0
    async for transport_key, raw_sha256, original in ticketing.bare_decisions(connection):
        names, readable = await _original_names(originals, original, address)
        unread += not readable
        if names:
            found.append((transport_key, raw_sha256))
    return await ticketing.drop_decisions(connection, found), unread


async def _original_names(originals: Originals, reference: str, address: str) -> tuple[bool, bool]:
    """Whether it names the address, and whether it could be read."""
    try:
        return _names(await originals.get(reference), address), True
    except OriginalMissing:
        return False, False


def _names(said: bytes, address: str) -> bool:
    return re.search(whole(address).encode(), said, re.IGNORECASE) is not None


async def apply_retention(*, dry_run: bool, as_json: bool) -> int:
    """Every queue of the desk that has `keep_closed`. 1 when none has. Raises PostgresUnreachable, Misconfigured."""
    settings = Settings()
    try:
        desk = load_desk(settings.desk).desk
    except DeskError as error:
        raise Misconfigured(str(error)) from error
    over = {name: now() - queue.keep_closed for name, queue in desk.queues.items() if queue.keep_closed is not None}
    if not over:
        print("no queue of the desk has keep_closed: nothing is erased by age", file=sys.stderr)
        return 1
    async with connected(settings) as connection:
        for queue, before in over.items():
            counts: Counter[str] = Counter()
            while not counts["done"]:
                counts.update(await _retained(connection, queue, before, dry_run=dry_run))
            del counts["done"]
            _tell(counts, {"queue": queue, "closed_before": before}, dry_run=dry_run, as_json=as_json)
    return 0


async def _retained(connection: Connection, queue: str, before: datetime, *, dry_run: bool) -> Counter[str]:
    """A part of the tickets; a dry run looks at all of them at once."""
    counts: Counter[str] = Counter()
    try:
        async with connection.transaction():
            tickets = await ticketing.tickets_over(connection, queue, before, None if dry_run else AT_ONCE)
            gone = await ticketing.erase_tickets(connection, tickets, now())
            counts = _counted(gone)
            counts["deliveries"] = await mailer.erase(connection, tickets, gone.events)
            if len(tickets) < AT_ONCE or dry_run:
                counts["done"] = 1
                counts["decisions"] += await ticketing.drop_old_decisions(connection, queue, before)
            if dry_run:
                raise _TakenBack
    except _TakenBack:
        pass
    return counts


def _originals(settings: Settings) -> Originals:
    try:
        return open_originals(settings.objects)
    except ValueError as error:
        raise Misconfigured(f"CARTEIRO_OBJECTS: {error}") from error


_WORDS = {
    "tickets": "tickets emptied",
    "articles": "articles",
    "decisions": "decisions",
    "letters": "dead letters",
    "deliveries": "mails of ours",
    "replaced": "rows of others in which the address was replaced",
    "unread": "originals that could not be read: run it again when the object store serves",
}


def _tell(counts: Counter[str], about: dict[str, object], *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        say(one_line({**about, "erased": not dry_run, **{name: counts[name] for name in _WORDS}}))
        return
    said = ", ".join(f"{printable(str(value))}" for value in about.values())
    print(f"{said}: {'would be erased' if dry_run else 'erased'}")
    for name, words in _WORDS.items():
        if counts[name]:
            print(f"  {counts[name]:>6} {words}")
    days = ", ".join(f"{topic.name} after {topic.retention_days} days" for topic in TOPICS)
    print(
        f"Originals went with their keys; what is left of their packs cannot be read. Kafka forgets by itself: {days}."
    )
