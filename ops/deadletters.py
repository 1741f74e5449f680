"""`carteiro deadletters`: records that could not be handled, and what somebody decides about them."""

import base64
import getpass
import json
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from ops import letter_decisions
from ops.database import connected
from ops.letter_decisions import Decided, NoLetter, decided
from ops.replays import CannotReplay
from ops.show import ago, lines, one_line, printable, say
from services.ticketing import queries
from shared.failures import Transient
from shared.kafka.producer import Producer, SendFailed
from shared.originals import Originals, open_originals
from shared.postgres import Connection
from shared.settings import Settings

COLUMNS = ("id", "state", "topic", "service", "reason", "exception", "received_at", "decided_by", "why")
_SHOWN_BYTES = 4000


async def list_letters(*, decided: bool, as_json: bool) -> int:
    """Open ones, with `decided` all. Raises PostgresUnreachable."""
    async with connected(Settings()) as connection:
        rows = await queries.letters(connection, decided=decided)
    columns = COLUMNS if decided else COLUMNS[:-2]
    say(lines(rows, columns, as_json=as_json, empty="no dead letters wait for a decision"))
    return 0


async def show_letter(letter_id: int, *, as_json: bool) -> int:
    """1 when there is none of this id. Raises PostgresUnreachable."""
    async with connected(Settings()) as connection:
        letter = await queries.letter(connection, letter_id)
    if letter is None:
        print(f"no dead letter has the id {letter_id}", file=sys.stderr)
        return 1
    print(one_line(_coded(letter)) if as_json else "\n".join(_page(letter)))
    return 0


async def replay(ids: Sequence[int], *, again: bool) -> int:
    """Each in the order given; 1 when one could not be replayed. Raises PostgresUnreachable, SendFailed."""
    settings = Settings()
    producer = Producer(settings.cluster, settings.prefix, client_id=f"{settings.prefix}carteiro-ops")
    originals = open_originals(settings.objects)
    try:
        async with connected(settings) as connection:
            done = [await _replay(connection, producer, originals, letter_id, again=again) for letter_id in ids]
    finally:
        await producer.close()
    return 0 if all(done) else 1


async def _replay(
    connection: Connection, producer: Producer, originals: Originals, letter_id: int, *, again: bool
) -> bool:
    try:
        record = await letter_decisions.replay(connection, producer, originals, letter_id, who(), again=again)
    except Decided as error:
        print(f"{error}; --again replays it nevertheless", file=sys.stderr)
    except NoLetter as error:
        print(error, file=sys.stderr)
    except SendFailed:
        raise
    except (CannotReplay, Transient) as error:
        print(f"dead letter {letter_id}: {error}", file=sys.stderr)
    else:
        print(f"dead letter {letter_id}: sent to {record.topic}")
        return True
    return False


async def discard(ids: Sequence[int], why: str) -> int:
    """1 when one was decided before, or is not there. Raises PostgresUnreachable."""
    async with connected(Settings()) as connection:
        done = [await _discard(connection, letter_id, why) for letter_id in ids]
    return 0 if all(done) else 1


async def _discard(connection: Connection, letter_id: int, why: str) -> bool:
    try:
        await letter_decisions.discard(connection, letter_id, who(), why)
    except (NoLetter, Decided) as error:
        print(error, file=sys.stderr)
        return False
    print(f"dead letter {letter_id}: discarded")
    return True


def who() -> str:
    """The name this person is logged in with."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        return "unknown"


def _coded(letter: dict[str, Any]) -> dict[str, Any]:
    """Bytes as base64: key, value and the values of the headers."""
    coded = {name: None if letter[name] is None else base64.b64encode(letter[name]).decode() for name in _BYTES}
    return letter | coded | {"headers": json.loads(letter["headers"])}


_BYTES = ("key", "value")


def _page(letter: dict[str, Any]) -> Iterator[str]:
    yield f"Dead letter {letter['id']}: {letter['reason']} ({letter['exception']}), {letter['state']}"
    yield f"  {letter['topic']}, partition {letter['partition']}, offset {letter['offset']}"
    yield f"  set aside by the {letter['service']} {ago(letter['received_at'])}"
    if letter["state"] != "open":
        yield f"  {decided(letter)}" + (f": {printable(letter['why'])}" if letter["why"] else "")
    yield "headers"
    for name, coded in json.loads(letter["headers"]):
        yield f"  {printable(name)}: {_text(base64.b64decode(coded))}"
    value: bytes = letter["value"] or b""
    yield f"value, {len(value)} bytes"
    yield _text(value[:_SHOWN_BYTES]) + ("…" if len(value) > _SHOWN_BYTES else "")


def _text(value: bytes) -> str:
    return printable(value.decode("utf-8", "replace").replace("\r\n", "\n"))
