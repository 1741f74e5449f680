"""One look into a folder: what is remembered of it, whether that still holds, and everything new taken in."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from services.fetcher import faults, plan
from services.fetcher.plan import Folder, MailboxState
from services.fetcher.session import Session, slices
from services.fetcher.store import Memory
from services.fetcher.taking import Taking
from shared import metrics
from shared.logs import fields

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Looked:
    """A complete look. `began`: database time; `retry_at`: when a failed mail is due again; `complaint`: what the
    server refused; `found`: mails fetched."""

    began: datetime
    retry_at: datetime | None
    complaint: str
    found: int


class Reader:
    """Looks into the session's folder; `start_from` counts when it is seen for the first time."""

    def __init__(self, session: Session, start_from: Literal["now", "all"] | datetime) -> None:
        self._session = session
        self._store = session.rim.store
        self._lease = session.lease
        self._start_from = start_from
        self._mailbox = session.mailbox
        self._name = session.folder
        self._looked = False

    async def look(self) -> Looked:
        """Raises faults.Fault (the mailbox), Transient (Kafka, object store, database) or LeaseLost."""
        state = await self._mailbox.open(self._name)
        memory = await self._store.load(self._lease.account, self._name)
        folder = await self._folder(state, memory)
        if folder != memory.folder:
            memory = Memory(memory.moment, folder, frozenset(), (), {}, memory.last_success)
        if plan.is_to_be_compared(memory.compared_at, memory.moment) and folder == memory.folder:
            memory = await self._compare(state, memory, folder)
            folder = memory.folder or folder
        taking = Taking(self._session, state, memory, folder)
        await taking.tidy_up()
        for first, last in plan.search_windows(folder.cursor, state):
            await taking.take(await self._mailbox.search(first, last))
        await taking.finish()
        metrics.account_oldest_unfetched.labels(self._lease.account).set(taking.oldest_waiting)
        retries = [failed.retry_at for failed in taking.failed.values()]
        return Looked(
            memory.moment, min(retries, default=None), taking.complaint or taking.tidying.complaint, taking.fetched
        )

    async def _folder(self, state: MailboxState, memory: Memory) -> Folder:
        """The folder as remembered, begun, or begun anew where what is remembered means nothing any more."""
        known = memory.folder
        if known is None:
            folder = plan.first_contact(state, self._start_from, memory.moment)
            await self._store.adopt(self._lease, self._name, folder)
            return folder
        why = await self._why_anew(known, state, memory)
        self._looked = True
        return await self._anew(known, state, memory, why) if why else known

    async def _why_anew(self, known: Folder, state: MailboxState, memory: Memory) -> str:
        if known.uidvalidity != state.uidvalidity:
            return "the server changed UIDVALIDITY"
        if memory.landmark and await self._is_another(memory.landmark):
            return "the mailbox went back, the UID of the last mail names another one"
        if state.uidnext <= known.cursor:
            beyond = await self._mailbox.search(state.uidnext, None) if state.exists else []
            if plan.went_back(known, state, max(beyond, default=0)):
                return "the mailbox went back, UIDs are given again"
        return ""

    async def _is_another(self, landmark: tuple[int, datetime]) -> bool:
        """Asked once for each connection: a restore ends them all. POP3 tells mails apart by their UIDL."""
        if self._looked or self._mailbox.protocol != "imap":
            return False
        return plan.is_another_mail(landmark, await self._mailbox.sizes([landmark[0]]))

    async def _compare(self, state: MailboxState, memory: Memory, folder: Folder) -> Memory:
        """Once a day: a mail that the server lists now, and did not when the cursor passed its UID, is read after
        all. The cursor goes back to before it; what has been read above that stays final."""
        gaps = await self._store.gaps(self._lease, self._name, plan.GAPS_KEPT)
        listed: list[int] = []
        if gaps:
            for first, last in plan.search_windows(gaps[0][0] - 1, state):
                listed += [uid for uid in await self._mailbox.search(first, last) if uid <= folder.cursor]
        late = plan.shown_late(listed, gaps)
        if late:
            log.warning(
                "mails that the server did not list before",
                extra=fields(action="shown_late", account=self._lease.account, mails=len(late)),
            )
        back = replace(folder, cursor=min([late[0] - 1, folder.cursor]) if late else folder.cursor)
        read = {uid for uid in listed if uid > back.cursor} - set(late) if late else set()
        await self._store.compared(self._lease, self._name, back, read)
        return replace(memory, folder=back, final=memory.final | read)

    async def _anew(self, known: Folder, state: MailboxState, memory: Memory, why: str) -> Folder:
        new = await self._new_mails(state, memory.last_success)
        folder = plan.resync(known, state, memory.last_success, new)
        log.warning(
            "%s: the folder is read anew",
            why,
            extra=fields(action="resync", account=self._lease.account, new_mails=new),
        )
        if plan.is_silenced(folder, memory.last_success):
            metrics.resync_silenced.labels(self._lease.account).inc(new)
        await self._store.adopt(self._lease, self._name, folder)
        return folder

    async def _new_mails(self, state: MailboxState, last_success: datetime | None) -> int:
        """How many mails of the folder came since the last success; counted no further than the limit."""
        count = 0
        if last_success is None:
            return count
        day_before = last_success - timedelta(days=1)  # SINCE knows days of the server's zone only
        for first, last in plan.search_windows(0, state):
            pace = self._session.pace
            for uids in slices(await self._mailbox.search(first, last, since=day_before), pace.listed):
                listed = await pace.sizes(self._mailbox, uids)
                count += sum(plan.counts_as_new(mail, last_success) for mail in listed)
                if count > plan.RESYNC_ANSWERS_AT_MOST:
                    return count
        return count


async def look_into_all(readers: Sequence[Reader]) -> Looked:
    """The first folder, the others, and the first again: it is the one that stays open and tells of new mail.

    A folder that cannot be opened is told, and keeps nobody from the others.
    """
    first, *others = readers
    looks = [await first.look()]
    complaints = [looks[0].complaint]
    for reader in others:
        try:
            looks.append(await reader.look())
            complaints.append(looks[-1].complaint)
        except faults.Refused as refusal:
            complaints.append(str(refusal))
    if others:
        looks.append(await first.look())
        complaints.append(looks[-1].complaint)
    retries = [look.retry_at for look in looks if look.retry_at is not None]
    return Looked(
        began=looks[0].began,
        retry_at=min(retries, default=None),
        complaint="; ".join(dict.fromkeys(filter(None, complaints))),
        found=sum(look.found for look in looks),
    )
