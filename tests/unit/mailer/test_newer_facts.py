"""What a newer ticketing may write: unknown facts are skipped, unknown words wait, neither is a dead letter."""

import json
from pathlib import Path

import pytest

from services.mailer.handlers import _decoded
from shared.failures import NewerWriter, Permanent
from shared.kafka.record import Record
from shared.topics import EVENTS

SAMPLE = Path(__file__).parents[2] / "contract" / "samples" / "ticket-created.v1.json"


def record(fact: dict[str, object], ce_type: bytes = b"carteiro.ticket-created.v1") -> Record:
    return Record(EVENTS, 0, 7, b"17", json.dumps(fact).encode(), (("ce_id", b"1"), ("ce_type", ce_type)), 0)


def test_an_unknown_fact_is_skipped_and_counted() -> None:
    facts, replies, told, skipped = _decoded([record({}, b"carteiro.ticket-sold.v1")])
    assert (facts, replies, told, skipped) == ({}, {}, 0, {"unknown": 1})


def test_an_unknown_word_waits_for_the_roll_out() -> None:
    with pytest.raises(NewerWriter):
        _decoded([record(json.loads(SAMPLE.read_bytes()) | {"kind": "telepathic"})])


def test_what_is_no_fact_is_permanent_and_named_by_its_field() -> None:
    with pytest.raises(Permanent, match=r"decode: \$\.sequence"):
        _decoded([record(json.loads(SAMPLE.read_bytes()) | {"sequence": "many"})])
