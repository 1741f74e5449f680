"""From a dead letter to the record that is sent again: the original as it came, and the mark `replay-of`.

The mark makes the mail take over the claim of its first attempt where that became neither ticket nor article.
"""

import base64
import json
from typing import Any

import msgspec

from shared.events import INLINE_LIMIT, Headers, MailDispatched, ReceivedMail
from shared.kafka.producer import Outgoing
from shared.originals import Originals
from shared.topics import BY_NAME, DISPATCHED, RECEIVED
from shared.wire import decode_dispatched, encode_received

QUARANTINE = "quarantine:"
_MARK = "replay-of"


class CannotReplay(Exception):
    """There is no record that could be sent; the text says what to do instead."""


async def record_of(letter: dict[str, Any], originals: Originals) -> Outgoing:
    """The record of a row of `ticketing.dead_letters`, with the topic it goes to.

    Raises CannotReplay, and Transient when the object store does not serve the original.
    """
    topic, value = letter["topic"], letter["value"]
    if topic not in BY_NAME:
        raise CannotReplay(f"it names the topic {topic}, which is none of ours: look at it, then discard it")
    if letter["partition"] < 0:
        raise CannotReplay("it never reached Kafka; move the mail out of its folder and back: it is then fetched anew")
    mark = f"{topic}/{letter['partition']}/{letter['offset']}"
    if topic == DISPATCHED and letter["reason"].startswith(QUARANTINE):
        return await _quarantined(letter, mark, originals)
    headers = _headers(letter, mark)
    if topic == DISPATCHED and value is not None:
        value = _marked(value, mark)
    return Outgoing(topic, letter["key"], value, headers)


async def _quarantined(letter: dict[str, Any], mark: str, originals: Originals) -> Outgoing:
    """The mail itself, before anybody read it: a newer version or other limits may read it now."""
    try:
        event = decode_dispatched(letter["value"])
    except msgspec.DecodeError as error:
        raise CannotReplay("its decision cannot be read") from error
    raw = await originals.get(event.original)  # also where it goes by reference: a missing one would hold up mail
    large = len(raw) > INLINE_LIMIT
    value, headers = encode_received(_received(event, b"" if large else raw, event.original if large else "", mark))
    return Outgoing(RECEIVED, letter["key"], value, headers)


def _received(event: MailDispatched, raw: bytes, reference: str, mark: str) -> ReceivedMail:
    return ReceivedMail(
        account=event.account,
        folder=event.folder,
        uidvalidity=event.uidvalidity,
        uid=event.uid,
        size=event.size,
        sha256=event.raw_sha256,
        received_at=event.received_at,
        origin=event.origin,
        raw=raw,
        raw_ref=reference,
        replay_of=mark,
    )


def _headers(letter: dict[str, Any], mark: str) -> Headers:
    came = [(name, base64.b64decode(coded)) for name, coded in json.loads(letter["headers"])]
    return [(name, value) for name, value in came if name != _MARK] + [(_MARK, mark.encode())]


def _marked(value: bytes, mark: str) -> bytes:
    """A decision carries the mark in its JSON; fields of a newer version stay. Bytes that are none go as they came."""
    try:
        fields = msgspec.json.decode(value)
    except msgspec.DecodeError:
        return value
    return msgspec.json.encode(fields | {"replay_of": mark}) if isinstance(fields, dict) else value
