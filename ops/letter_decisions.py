"""What becomes of a dead letter, decided by a person on the command line or over HTTP: one place for both.

A replay sends the record to its topic as if it had come now, with the header `replay-of`, and is confirmed before
the row says so: a crash between the two leaves the letter open, and the claims make a second replay empty.
"""

from typing import Any

from ops.replays import record_of
from ops.show import ago
from services.ticketing import queries
from shared.kafka.producer import Outgoing, Producer
from shared.originals import Originals
from shared.postgres import Connection


class NoLetter(Exception):
    """There is none of this id."""


class Decided(Exception):
    """Somebody decided before; the text says who, and when."""


async def replay(
    connection: Connection, producer: Producer, originals: Originals, letter_id: int, who: str, *, again: bool
) -> Outgoing:
    """Gives the record that was sent. Raises NoLetter, Decided, CannotReplay, and Transient when Kafka or the object
    store does not serve."""
    async with connection.transaction():
        letter = await _open(connection, letter_id, again=again)
        record = await record_of(letter, originals)
        await producer.send_all([record])
        await queries.decide_letter(connection, letter_id, "replayed", who, None)
    return record


async def discard(connection: Connection, letter_id: int, who: str, why: str) -> None:
    """Raises NoLetter, Decided."""
    async with connection.transaction():
        await _open(connection, letter_id, again=False)
        await queries.decide_letter(connection, letter_id, "discarded", who, why)


async def _open(connection: Connection, letter_id: int, *, again: bool) -> dict[str, Any]:
    # the lock makes a second operator wait, and then see the first one's decision
    letter = await queries.letter(connection, letter_id, lock=True)
    if letter is None:
        raise NoLetter(f"no dead letter has the id {letter_id}")
    if letter["state"] != "open" and not again:
        raise Decided(decided(letter))
    return letter


def decided(letter: dict[str, Any]) -> str:
    return f"dead letter {letter['id']} was {letter['state']} by {letter['decided_by']} {ago(letter['decided_at'])}"
