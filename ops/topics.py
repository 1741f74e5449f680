"""`carteiro topics`: the declaration against the broker."""

import json

from shared.kafka.admin import apply_topics, differences
from shared.settings import Settings
from shared.topics import TOPICS


async def apply() -> int:
    """Raises KafkaUnreachable, or RuntimeError with the broker's word."""
    settings = Settings()
    done = await apply_topics(settings.cluster, settings.prefix, settings.kafka_replicas)
    for sentence in done or ["the topics are as declared"]:
        print(sentence)
    return 0


async def show(*, as_json: bool) -> int:
    """1 when the broker differs."""
    settings = Settings()
    names = [topic.name for topic in TOPICS]
    wrong = await differences(settings.cluster, settings.prefix, settings.kafka_replicas, names)
    for topic in TOPICS:
        own = [item for item in wrong if item.topic == settings.prefix + topic.name]
        if as_json:
            shown = {
                "topic": settings.prefix + topic.name,
                "partitions": topic.partitions,
                "retention_seconds": topic.retention_days * 86400,
                "settings": topic.settings(settings.kafka_replicas),
                "differences": [str(item) for item in own],
            }
            print(json.dumps(shown))
        else:
            print(f"{settings.prefix + topic.name:24} {topic.partitions:3} partitions, {topic.retention_days} days")
            for item in own:
                print(f"    differs: {item}")
    return 1 if wrong else 0
