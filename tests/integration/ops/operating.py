"""The commands as an operator calls them, against a database and topics of the test's own; no service runs."""

import asyncio
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from shared.topics import BY_NAME
from tests.e2e.installation import REPO
from tests.integration.ticketing.situations import desk_file


@dataclass
class Operator:
    kafka: str
    postgres: str
    prefix: str
    folder: Path

    async def run(self, *words: str, **changes: str) -> subprocess.CompletedProcess[str]:
        """`changes`: settings that differ, e.g. `kafka="127.0.0.1:1"`."""
        settings = {
            "kafka": self.kafka,
            "kafka_replicas": "1",
            "postgres": self.postgres,
            "prefix": self.prefix,
            "objects": (self.folder / "objects").as_uri(),
            "desk": str(desk_file(self.folder)),
            "secrets": str(self.folder),
        } | changes
        environment = dict(os.environ) | {f"CARTEIRO_{name.upper()}": value for name, value in settings.items()}  # noqa: TID251  # passed on to the child
        return await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "ops.cli", *words],
            env=environment | {"LOGNAME": "olga"},
            cwd=REPO,
            capture_output=True,
            text=True,
            timeout=90,
        )

    async def rows(self, *words: str, **changes: str) -> list[dict[str, Any]]:
        """What `--json` says: one object a line."""
        said = await self.run(*words, "--json", **changes)
        return [json.loads(line) for line in said.stdout.splitlines()]

    async def sent(self, topic: str) -> list[ConsumerRecord[bytes, bytes]]:
        """Every record of a topic."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self.kafka, auto_offset_reset="earliest")
        await consumer.start()
        try:
            parts = [TopicPartition(self.prefix + topic, n) for n in range(BY_NAME[topic].partitions)]
            consumer.assign(parts)
            ends = await consumer.end_offsets(parts)
            found: list[ConsumerRecord[bytes, bytes]] = []
            while len(found) < sum(ends.values()):
                for records in (await consumer.getmany(timeout_ms=500)).values():
                    found += records
            return found
        finally:
            await consumer.stop()
