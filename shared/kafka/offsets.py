"""Where the database is the truth about what is done, the consumer reads on from there.

A database that was restored from an older copy knows less than Kafka's committed offsets: what it lost is read
again, on assignment and under a running consumer alike. Claims make the repeats empty.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition

from shared import metrics
from shared.logs import fields

log = logging.getLogger(__name__)

StoredOffsets = Callable[[Sequence[int]], Awaitable[Mapping[int, int]]]
"""Partitions -> next offset of each that the service's database knows."""


class Rewind:
    """Seeks one consumer back where its database is behind."""

    def __init__(self, stored: StoredOffsets, topic: str, group: str) -> None:
        self._stored = stored
        self._topic = topic
        self._group = group
        self._rewound: dict[int, int] = {}

    async def on_assignment(self, consumer: AIOKafkaConsumer, partitions: set[TopicPartition]) -> None:
        """Seeks to the smaller of the database's offset and Kafka's; without either, `earliest` rules."""
        self._rewound.clear()
        if not partitions:
            return
        stored = await self._stored([tp.partition for tp in partitions])
        for tp in partitions:
            known = stored.get(tp.partition)
            committed = await consumer.committed(tp)
            if known is None:
                if committed is not None:  # the database is new or was emptied: everything the topic still has
                    await consumer.seek_to_beginning(tp)
            elif committed is None or known < committed:
                consumer.seek(tp, known)

    async def if_behind(self, consumer: AIOKafkaConsumer, positions: Mapping[TopicPartition, int]) -> bool:
        """Seeks back where the database knows less than the consumer is about to read. True: the batch in hand is
        to be dropped, all of it comes again. Once per stored offset: below the retention there is nothing to seek to.
        """
        stored = await self._stored([tp.partition for tp in positions])
        behind = {}
        for tp, position in positions.items():
            known = stored.get(tp.partition, 0)
            if known < position and self._rewound.get(tp.partition) != known:
                behind[tp] = known
        if not behind:
            return False
        starts = await consumer.beginning_offsets(list(behind))
        sought = False
        for tp, known in behind.items():
            self._rewound[tp.partition] = known
            target = max(known, starts[tp])
            if target < positions[tp]:
                consumer.seek(tp, target)
                metrics.rewinds.labels(self._topic, self._group).inc()
                sought = True
        if not sought:
            return False
        for tp in positions.keys() - behind.keys():  # the others of this batch come again as well
            consumer.seek(tp, positions[tp])
        log.warning("the database knows less than Kafka", extra=fields(action="rewind", topic=self._topic))
        return True
