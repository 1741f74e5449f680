"""Events to bytes and back: JSON values, CloudEvents 1.0 headers (Kafka binding, binary mode).

Decoders raise ValueError, KeyError or msgspec.DecodeError for bytes that are no such record; the message names
the field, never its value.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import get_args

import msgspec

from shared.clock import rfc3339
from shared.events import (
    DeadLetter,
    Fact,
    Headers,
    MailDispatched,
    Origin,
    ReceivedMail,
    UnknownFact,
)

MAX_EVENT_BYTES = 512 * 1024
FACTS: dict[str, type[Fact]] = {f"carteiro.{fact.TYPE}.v1": fact for fact in get_args(Fact)}

_encoder = msgspec.json.Encoder()
_dispatched_decoder = msgspec.json.Decoder(MailDispatched)


def cloud_headers(
    *, ce_id: str, ce_type: str, source: str, time: str, content_type: str, traceparent: bytes | None = None
) -> Headers:
    """CloudEvents 1.0 Kafka binding, binary mode. `ce_type` is the bare fact, e.g. `ticket-created`."""
    headers: Headers = [
        ("ce_specversion", b"1.0"),
        ("ce_id", ce_id.encode()),
        ("ce_type", f"carteiro.{ce_type}.v1".encode()),
        ("ce_source", source.encode()),
        ("ce_time", time.encode()),
        ("content-type", content_type.encode()),
    ]
    if traceparent:
        headers.append(("traceparent", traceparent))
    return headers


def encode_received(mail: ReceivedMail) -> tuple[bytes, Headers]:
    """Value and headers of a record on `mail.received.v1`."""
    received = rfc3339(mail.received_at)
    headers = cloud_headers(
        ce_id=mail.transport_key,
        ce_type="mail-received",
        source="carteiro/fetcher",
        time=received,
        content_type="message/rfc822",
        traceparent=mail.traceparent,
    )
    headers += [
        ("account", mail.account.encode()),
        ("folder", mail.folder.encode()),
        ("uidvalidity", b"" if mail.uidvalidity is None else str(mail.uidvalidity).encode()),
        ("uid", mail.uid.encode()),
        ("size", str(mail.size).encode()),
        ("sha256", mail.sha256.encode()),
        ("received-at", received.encode()),
        ("origin", mail.origin.encode()),
    ]
    for name, text in (("raw-ref", mail.raw_ref), ("replay-of", mail.replay_of)):
        if text:
            headers.append((name, text.encode()))
    if mail.oversize:
        headers.append(("oversize", b"1"))
    return mail.raw, headers


def decode_received(value: bytes | None, headers: Mapping[str, bytes]) -> ReceivedMail:
    """The mail of a record. Raises ValueError or KeyError when a header is missing or malformed."""
    uidvalidity = headers["uidvalidity"]
    return ReceivedMail(
        account=headers["account"].decode(),
        folder=headers["folder"].decode(),
        uidvalidity=int(uidvalidity) if uidvalidity else None,
        uid=headers["uid"].decode(),
        size=int(headers["size"]),
        sha256=headers["sha256"].decode(),
        received_at=datetime.fromisoformat(headers["received-at"].decode()),
        origin=Origin(headers["origin"].decode()),
        raw=value or b"",
        raw_ref=headers.get("raw-ref", b"").decode(),
        oversize=headers.get("oversize", b"") == b"1",
        replay_of=headers.get("replay-of", b"").decode(),
        traceparent=headers.get("traceparent", b""),
    )


_LISTS = ("cc", "to", "from_all", "reply_to", "attachments", "references", "in_reply_to", "defects")
_KEPT_ITEMS = 40


def encode_dispatched(event: MailDispatched, limit: int = MAX_EVENT_BYTES) -> bytes:
    """JSON of at most `limit` bytes: html, then the trace, then lists are cut, each with a mark in `cut`; the
    original has it all. Text is bounded by its writer."""
    encoded = _encoder.encode(event)
    if len(encoded) <= limit:
        return encoded
    event = msgspec.structs.replace(event, html="", cut=[*event.cut, "html"])
    encoded = _encoder.encode(event)
    if len(encoded) > limit:
        event = msgspec.structs.replace(event, trace=event.trace[:10], cut=[*event.cut, "trace"])
        encoded = _encoder.encode(event)
    for name in _LISTS:
        if len(encoded) <= limit:
            break
        kept = getattr(event, name)[:_KEPT_ITEMS]
        event = msgspec.structs.replace(event, cut=[*event.cut, name], **{name: kept})
        encoded = _encoder.encode(event)
    return encoded


def decode_dispatched(value: bytes) -> MailDispatched:
    """Raises msgspec.DecodeError or msgspec.ValidationError (names the field, `$.field`)."""
    return _dispatched_decoder.decode(value)


def encode_fact(fact: Fact) -> bytes:
    return _encoder.encode(fact)


def of_newer_writer(error: msgspec.MsgspecError) -> bool:
    """Whether bytes were refused for a word of a closed set that this version does not know: the record waits for
    the roll-out. msgspec's text is the only mark it gives."""
    return str(error).startswith("Invalid enum value")


def decode_fact(ce_type: bytes, value: bytes) -> Fact:
    """The fact of a record on `ticket.events.v1`.

    Raises UnknownFact for a type this version does not know, msgspec.DecodeError for bytes that are no such fact.
    """
    fact = FACTS.get(ce_type.decode("ascii", "replace"))
    if fact is None:
        raise UnknownFact(ce_type.decode("ascii", "replace"))
    return msgspec.json.decode(value, type=fact)


_DEAD = ("origin-topic", "origin-partition", "origin-offset", "service", "reason", "exception", "origin-id")


def encode_dead_letter(letter: DeadLetter, time: str) -> Headers:
    """Headers of a record on `deadletters.v1`; key and value are the record's own, its headers follow."""
    facts: Sequence[str] = (
        letter.origin_topic,
        str(letter.origin_partition),
        str(letter.origin_offset),
        letter.service,
        letter.reason,
        letter.exception,
        letter.origin_id,
    )
    headers = cloud_headers(
        ce_id=f"{letter.origin_topic}/{letter.origin_partition}/{letter.origin_offset}/{letter.origin_id}",
        ce_type="dead-letter",
        source=f"carteiro/{letter.service}",
        time=time,
        content_type="application/octet-stream",
    )
    headers += [(f"dead-{name}", fact.encode()) for name, fact in zip(_DEAD, facts, strict=True)]
    if letter.key is not None:  # the letter's own key is its place
        headers.append(("dead-key", letter.key))
    return headers + [(f"origin.{name}", value) for name, value in letter.headers]


def decode_dead_letter(value: bytes | None, headers: Sequence[tuple[str, bytes]]) -> DeadLetter:
    """Raises KeyError or ValueError when a header is missing or malformed."""
    facts = dict(headers)
    return DeadLetter(
        origin_topic=facts["dead-origin-topic"].decode(),
        origin_partition=int(facts["dead-origin-partition"]),
        origin_offset=int(facts["dead-origin-offset"]),
        service=facts["dead-service"].decode(),
        reason=facts["dead-reason"].decode(),
        exception=facts["dead-exception"].decode(),
        key=facts.get("dead-key"),
        value=value,
        headers=[(name.removeprefix("origin."), raw) for name, raw in headers if name.startswith("origin.")],
        origin_id=facts.get("dead-origin-id", b"").decode(),
    )
