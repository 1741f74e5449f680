"""Where fetched mail goes: Kafka, and before that the object store for what is too large to travel.

Bodies are dear: providers lock accounts that download a mail again and again. So once a hand-over has failed,
broker and store are asked, by whoever comes first, before any account fetches another body.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from shared.clock import monotonic
from shared.events import INLINE_LIMIT, DeadLetter, ReceivedMail
from shared.failures import Transient
from shared.kafka.admin import KafkaUnreachable, ping
from shared.kafka.connection import Kafka
from shared.kafka.dead_letters import send_dead_letter
from shared.kafka.producer import Outgoing, Producer
from shared.mime.conversation import conversation_key
from shared.originals import Originals, Reference
from shared.topics import RECEIVED
from shared.wire import encode_received

_PROBE = b"carteiro asks whether the store takes objects"
_ASKED_AT_MOST_EVERY = 0.5


class NotHandedOver(Transient):
    """Kafka or the object store did not take a mail: it waits in its mailbox."""


class Away(Transient):
    """Kafka or the object store was asked and takes nothing, or may not be given more."""


class Outlet:
    """One for the process; any call may come from several accounts at once."""

    def __init__(self, producer: Producer, originals: Originals, kafka: Kafka) -> None:
        self._producer = producer
        self._originals = originals
        self._kafka = kafka
        self._doubtful = False
        self._asking = asyncio.Lock()
        self._answered = (0.0, "")
        self.brake = ""  # why nothing may be taken in, see `brake`

    async def ask(self) -> None:
        """Returns when mail would be taken, as far as one can know. Raises Away."""
        if self.brake:
            raise Away(self.brake)
        if not self._doubtful:
            return
        async with self._asking:
            when, trouble = self._answered
            if trouble and monotonic() - when < _ASKED_AT_MOST_EVERY:
                raise Away(trouble)
            try:
                await ping(self._kafka)
                (probe,) = await self._originals.put_many([_PROBE])
            except (Transient, KafkaUnreachable) as error:
                self._answered = (monotonic(), str(error))
                raise Away(str(error)) from error
            self._answered = (monotonic(), "")
            self._doubtful = False
            with suppress(Transient):  # a store may let us write and not delete: `originals sweep` finds it
                await self._originals.delete([Reference.parse(probe).pack])

    async def hand_over(self, mails: Sequence[ReceivedMail]) -> None:
        """Returns when Kafka has confirmed all of them. Raises NotHandedOver: nothing is known of any."""
        try:
            await self._producer.send_all([await self._record_of(mail) for mail in mails])
        except Transient as error:
            self._doubtful = True
            raise NotHandedOver(str(error)) from error

    async def set_aside(self, letter: DeadLetter) -> None:
        """The same for a dead letter."""
        try:
            await send_dead_letter(self._producer, letter)
        except Transient as error:
            self._doubtful = True
            raise NotHandedOver(str(error)) from error

    async def _record_of(self, mail: ReceivedMail) -> Outgoing:
        """A large mail is in the object store before its reference is on Kafka."""
        key = conversation_key(mail.raw, mail.received_at)
        if len(mail.raw) > INLINE_LIMIT:
            (reference,) = await self._originals.put_many([mail.raw])
            mail = mail._replace(raw=b"", raw_ref=reference)
        value, headers = encode_received(mail)
        return Outgoing(RECEIVED, key, value, headers)
