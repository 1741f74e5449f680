"""Agents are told of answers that failed for good: found in the queue, because a failure is no event.

Only an answer's failure is told, never a notification's: telling could not end.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from services.mailer.audience import About, Absences, Notification, once, told
from services.mailer.letters import Desktop, Failed, Sign, write_failure
from services.mailer.plans import Birth, Outbound, delivery_key
from services.mailer.queue_store import QueueStore
from services.mailer.recipients import MailKind
from services.mailer.states import State
from shared.desk.model import Desk
from shared.desk.watch import DeskWatch

AT_ONCE = 20


@dataclass(frozen=True)
class Notices:
    store: QueueStore
    desk: DeskWatch
    sign: Sign

    async def tell(self) -> None:
        """Each failure of the last day once, some at a time. Raises StoreUnavailable."""
        loaded = self.desk.current
        desktop = Desktop(loaded.desk, loaded.texts, self.sign)
        absences = await self.store.absences()
        async with self.store.failures(AT_ONCE) as (batch, failed):
            notices = [notice for each in failed for notice in _notices(each, desktop, absences)]
            if notices:
                ids, birth = await batch.birth(len(notices), {})
                await batch.enqueue([_row(row, birth, *notice) for row, notice in zip(ids, notices, strict=True)])


def _notices(failed: Failed, desktop: Desktop, absences: Absences) -> Iterator[tuple[Failed, Outbound]]:
    for notification in told_of_failure(failed, desktop.desk, absences):
        event_id = f"{failed.event_id}/failed"
        delivery = delivery_key(event_id, notification.rule, notification.reader.email)
        sender = notification.sender.address if notification.sender else ""
        mail = write_failure(failed, notification, delivery, desktop)
        yield (
            failed,
            Outbound(
                id=0,
                event_id=event_id,
                rule=notification.rule,
                recipient=notification.reader.email,
                ticket_id=failed.ticket_id,
                ticket_number=failed.ticket_number,
                kind=MailKind.NOTIFICATION,
                template=f"{notification.rule}/{notification.reader.language}",
                state=State.QUEUED,
                reason="",
                account=desktop.desk.outbound_for(sender)[0],
                sender=sender,
                message_id=mail.message_id,
                raw=mail.raw,
                received_at=failed.failed_at,
                attempts=0,
                due_at=failed.failed_at,
                claimed_by="",
                claimed_until=None,
                queue=failed.queue,
                owner=failed.owner,
                responsible=failed.responsible,
            ),
        )


def told_of_failure(failed: Failed, desk: Desk, absences: Absences) -> list[Notification]:
    """Who learns of it, by the desk's rules; nobody at an address of ours, where it would come back as a ticket."""
    queue = failed.queue or desk.queue_for_recipient(failed.sender) or desk.default_queue
    about = About("delivery_failure", failed.failed_at, queue, owner=failed.owner, responsible=failed.responsible)
    own = desk.own_addresses
    return [
        each for each in once(told(about, desk, absences)) if not each.skip and each.reader.email.lower() not in own
    ]


def _row(row_id: int, birth: Birth, _: Failed, row: Outbound) -> Outbound:
    return row._replace(id=row_id, due_at=birth.now)
