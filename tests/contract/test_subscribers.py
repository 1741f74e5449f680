"""FastStream's defaults lose mail: every subscriber of every service is built by one constructor, asserted here."""

import ast
import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from faststream import AckPolicy

from shared.kafka.consumer import Consumer, _raw_headers
from shared.kafka.record import Record
from shared.settings import Settings
from shared.topics import GROUPS

ROOT = Path(__file__).resolve().parents[2]


def consumer(name: str, **settings: object) -> Consumer:
    async def handle(_: Sequence[Record]) -> None: ...

    async def set_aside(_: Record, __: BaseException) -> None: ...

    return Consumer(
        name,
        Settings.model_validate({"prefix": "acme-", **settings}),
        handle,
        set_aside,
        lambda _: "",
        asyncio.Event(),
        lambda _: None,
    )


@pytest.mark.parametrize("name", GROUPS)
async def test_every_subscriber_keeps_what_it_has_not_handled(name: str) -> None:
    built = consumer(name, instance="dispatcher-0")
    subscriber = built.subscriber
    connection = subscriber._connection_args
    assert subscriber.ack_policy is AckPolicy.NACK_ON_ERROR
    assert subscriber.group_id == f"acme-{GROUPS[name][0]}"
    assert subscriber.topic_names == [f"acme-{GROUPS[name][1]}"]
    assert connection["auto_offset_reset"] == "earliest"
    assert connection["enable_auto_commit"] is False
    assert connection["group_instance_id"] == "acme-dispatcher-0"
    assert connection["session_timeout_ms"] == connection["rebalance_timeout_ms"] == 60_000
    assert connection["max_poll_interval_ms"] > 60_000, "a handler may retry for 60 s"
    assert subscriber._listener is not None
    assert subscriber._call_options.parser is _raw_headers, "a header that is not UTF-8 must not stop a partition"
    assert type(subscriber).__name__ == "BatchSubscriber"
    assert subscriber.specification.config.title_ == name
    assert (built.broker.config.graceful_timeout or 0) in range(5, 60)
    assert not built.broker.config.broker_config.allow_auto_create_topics


@pytest.mark.parametrize("name", GROUPS)
async def test_an_empty_instance_means_dynamic_membership(name: str) -> None:
    assert consumer(name).subscriber._connection_args["group_instance_id"] is None


def test_nobody_builds_a_subscriber_elsewhere() -> None:
    offenders = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for folder in ("services", "shared", "ops")
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in ("subscriber", "publisher", "publish_batch")
        if path != ROOT / "shared" / "kafka" / "consumer.py"
    ]
    assert offenders == []
