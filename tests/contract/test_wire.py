"""The bytes between services: recorded samples stay readable for ever, and what is written can be read."""

import json
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from shared import events, wire
from shared.topics import BY_NAME, GROUPS, TOPICS

SAMPLES = Path(__file__).parent / "samples"
WHEN = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)


def dispatched(**changes: object) -> events.MailDispatched:
    sample = wire.decode_dispatched((SAMPLES / "mail.dispatched.v1.json").read_bytes())
    return msgspec.structs.replace(sample, **changes)


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*.json")), ids=lambda p: p.stem)
def test_every_recorded_sample_is_read_and_written_again_without_a_loss(path: Path) -> None:
    recorded = path.read_bytes()
    if path.stem == "mail.dispatched.v1":
        written = wire.encode_dispatched(wire.decode_dispatched(recorded))
    else:
        written = wire.encode_fact(wire.decode_fact(f"carteiro.{path.stem}".encode(), recorded))
    old, new = json.loads(recorded), json.loads(written)
    assert _kept(new, old) == old


def _kept(new: object, old: object) -> object:
    """What a newer writer wrote, without the fields the old sample does not have, at any depth."""
    if isinstance(new, dict) and isinstance(old, dict):
        return {key: _kept(value, old[key]) for key, value in new.items() if key in old}
    if isinstance(new, list) and isinstance(old, list) and len(new) == len(old):
        return [_kept(*pair) for pair in zip(new, old, strict=True)]
    return new


def test_there_is_a_sample_of_every_fact() -> None:
    recorded = {f"carteiro.{path.stem}" for path in SAMPLES.glob("*.v1.json")}
    assert set(wire.FACTS) <= recorded


def test_fields_of_a_newer_writer_are_ignored() -> None:
    newer = json.loads((SAMPLES / "mail.dispatched.v1.json").read_bytes()) | {"sentiment": {"score": 0.5}}
    assert wire.decode_dispatched(json.dumps(newer).encode()).subject == dispatched().subject


def test_an_unknown_fact_is_said_to_be_one() -> None:
    with pytest.raises(events.UnknownFact, match=r"carteiro\.ticket-sold\.v1"):
        wire.decode_fact(b"carteiro.ticket-sold.v1", b"{}")


@pytest.mark.parametrize(("name", "path"), [("kind", "classification"), ("origin", None)])
def test_a_word_of_a_newer_version_is_told_from_nonsense(name: str, path: str | None) -> None:
    newer = json.loads((SAMPLES / "mail.dispatched.v1.json").read_bytes())
    (newer[path] if path else newer)[name] = "telepathic"
    with pytest.raises(msgspec.ValidationError) as refused:
        wire.decode_dispatched(json.dumps(newer).encode())
    assert wire.of_newer_writer(refused.value)
    with pytest.raises(msgspec.ValidationError) as nonsense:
        wire.decode_dispatched(b'{"size": "large"}')
    assert not wire.of_newer_writer(nonsense.value)


def test_a_missing_field_is_named_without_its_neighbours_values() -> None:
    with pytest.raises(msgspec.ValidationError, match="transport_key"):
        wire.decode_dispatched(b'{"subject": "my secret"}')


@pytest.mark.parametrize("uidvalidity", [None, 1700000000])
def test_a_received_mail_travels_in_headers_and_bytes(uidvalidity: int | None) -> None:
    mail = events.ReceivedMail(
        account="caixa",
        folder="Entrada/Ação",
        uidvalidity=uidvalidity,
        uid="42",
        size=11,
        sha256="ab" * 32,
        received_at=WHEN,
        origin=events.Origin.BACKFILL,
        raw=b"Subject: x\n",
        raw_ref="a/abc.zst",
        oversize=True,
        replay_of="7",
    )
    value, headers = wire.encode_received(mail)
    assert wire.decode_received(value, dict(headers)) == mail
    assert dict(headers)["ce_id"].decode() == mail.transport_key
    assert dict(headers)["ce_type"] == b"carteiro.mail-received.v1"


def test_the_transport_key_never_changes() -> None:
    """Recorded: it outlives retention, so another recipe would let every old mail in again."""
    assert (
        events.transport_key("caixa", "INBOX", 1700000000, "42")
        == "f435e8acf97f647b49296b15898f7d7ebfc4eac85e8b00b95f873a4cea8a0cc5"
    )


def test_a_dead_letter_keeps_the_record_as_it_came() -> None:
    letter = events.DeadLetter(
        origin_topic="mail.received.v1",
        origin_partition=3,
        origin_offset=99,
        service="dispatcher",
        reason="decoding",
        exception="Permanent $.size",
        key=b"k",
        value=b"\xff\x00",
        headers=[("account", b"caixa"), ("account", b"twice")],
        origin_id="",
    )
    headers = wire.encode_dead_letter(letter, "2026-03-01T12:30:00.000Z")
    assert wire.decode_dead_letter(letter.value, headers) == letter


def test_an_event_over_the_limit_loses_html_then_trace_then_lists_each_marked() -> None:
    parties = [events.Party("n" * 50, f"a{n}@kunde.example") for n in range(2000)]
    trace = [events.TraceStep("check", "s" * 200, "r" * 200) for _ in range(500)]
    event = dispatched(html="h" * 400_000, trace=trace, cc=parties)
    small = wire.decode_dispatched(wire.encode_dispatched(event, 100_000))
    assert small.cut == ["html", "trace", "cc"]
    assert (small.html, len(small.trace), len(small.cc)) == ("", 10, 40)
    assert small.text == event.text


def test_each_topic_says_who_reads_it_and_each_group_reads_a_topic() -> None:
    assert {topic for _, topic in GROUPS.values()} == set(BY_NAME)
    assert len({group for group, _ in GROUPS.values()}) == len(GROUPS)


@pytest.mark.parametrize("topic", TOPICS, ids=lambda t: t.name)
def test_acknowledged_mail_survives_a_broker(topic: object) -> None:
    assert isinstance(topic, type(TOPICS[0]))
    three, one = topic.settings(3), topic.settings(1)
    assert three["min.insync.replicas"] == "2"
    assert three["unclean.leader.election.enable"] == "false"
    assert three["message.timestamp.type"] == "LogAppendTime"
    assert ("flush.messages" in one) == topic.mail
    assert "flush.messages" not in three
