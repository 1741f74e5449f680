"""One look into a folder: list, fetch with BODY.PEEK, produce with confirmation, record, and only then tidy up.

The order is the guarantee: a mail is on Kafka before the database says so, and the database says so before the
server's copy is touched. Dying between two steps repeats the mail under the same transport key.
"""

import asyncio
import hashlib
import logging
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from services.fetcher import faults, plan
from services.fetcher.budget import ByteBudget
from services.fetcher.imap.client import HEADERS_AT_MOST, Fetched, Mailbox
from services.fetcher.plan import Failed, Folder, Listed, MailboxState
from services.fetcher.store import Lease, Memory, Store
from shared import metrics
from shared.clock import monotonic
from shared.desk.model import Account
from shared.events import INLINE_LIMIT, DeadLetter, ReceivedMail, transport_key
from shared.kafka.dead_letters import send_dead_letter
from shared.kafka.producer import Outgoing, Producer
from shared.logs import fields
from shared.mime.conversation import conversation_key
from shared.originals import Originals
from shared.topics import RECEIVED
from shared.wire import encode_received

log = logging.getLogger(__name__)

LISTED_AT_ONCE = 500
CLEANED_AT_ONCE = 200
_FINISHING = 35.0  # longer than a send may take


@dataclass(frozen=True, slots=True)
class Rim:
    """What a reader acts upon; shared by all accounts of a process."""

    store: Store
    producer: Producer
    originals: Originals
    budget: ByteBudget


@dataclass(frozen=True, slots=True)
class Looked:
    """A complete look. `began`: database time; `retry_at`: when a failed mail is due again; `complaint`: what the
    server refused while tidying up."""

    began: datetime
    retry_at: datetime | None
    complaint: str


@dataclass(frozen=True, slots=True)
class Session:
    """One account, under one lease, on one connection."""

    rim: Rim
    lease: Lease
    account: Account
    mailbox: Mailbox


class Reader:
    """Looks into the account's folder; `start_from` counts when it is seen for the first time."""

    def __init__(self, session: Session, start_from: Literal["now", "all"] | datetime) -> None:
        self._session = session
        self._rim = session.rim
        self._lease = session.lease
        self._start_from = start_from
        self._mailbox = session.mailbox
        self._name = session.account.folder

    async def look(self) -> Looked:
        """Raises faults.Fault (the mailbox), Transient (Kafka, object store, database) or LeaseLost."""
        state = await self._mailbox.open(self._name)
        memory = await self._rim.store.load(self._lease.account, self._name)
        if memory.folder is None or memory.folder.uidvalidity != state.uidvalidity:
            folder = await self._begun(state, memory)
            memory = Memory(memory.moment, folder, frozenset(), (), {}, memory.last_success)
        else:
            folder = memory.folder
        look = _Look(self._session, state, memory, folder)
        await look.tidy_up()
        for first, last in plan.search_windows(folder.cursor, state):
            await look.take(await self._mailbox.search(first, last))
        metrics.account_oldest_unfetched.labels(self._lease.account).set(look.oldest_waiting)
        retries = [failed.retry_at for failed in look.failed.values()]
        return Looked(memory.moment, min(retries, default=None), look.complaint)

    async def _begun(self, state: MailboxState, memory: Memory) -> Folder:
        """The folder begun, or begun anew under another UIDVALIDITY."""
        known = memory.folder
        if known is None:
            folder = plan.first_contact(state, self._start_from, memory.moment)
        else:
            new = await self._new_mails(state, memory.last_success)
            folder = plan.resync(known, state, memory.last_success, new)
            log.warning(
                "the server changed UIDVALIDITY: the folder is read anew",
                extra=fields(action="resync", account=self._lease.account, new_mails=new),
            )
            if plan.is_silenced(folder, memory.last_success):
                metrics.resync_silenced.labels(self._lease.account).inc(new)
        await self._rim.store.adopt(self._lease, self._name, folder)
        return folder

    async def _new_mails(self, state: MailboxState, last_success: datetime | None) -> int:
        """How many mails of the folder came since the last success; counted no further than the limit."""
        count = 0
        if last_success is None:
            return count
        day_before = last_success - timedelta(days=1)  # SINCE knows days of the server's zone only
        for first, last in plan.search_windows(0, state):
            for uids in _slices(await self._mailbox.search(first, last, since=day_before), LISTED_AT_ONCE):
                listed = await self._mailbox.sizes(uids)
                count += sum(plan.counts_as_new(mail, last_success) for mail in listed)
                if count > plan.RESYNC_ANSWERS_AT_MOST:
                    return count
        return count


class _Look:
    """The state of one look: what is final, what failed, what still holds the cursor."""

    def __init__(self, session: Session, state: MailboxState, memory: Memory, folder: Folder) -> None:
        self._rim = session.rim
        self._lease = session.lease
        self._account = session.account
        self._mailbox = session.mailbox
        self._state = state
        self._moment = memory.moment
        self._folder = folder
        self._final = set(memory.final)
        self._uncleaned = list(memory.uncleaned)
        self._seen: set[int] = set()  # listed above the cursor
        self.failed: dict[int, Failed] = dict(memory.failed)
        self.oldest_waiting = 0.0
        self.complaint = ""

    # --- taking mail in

    async def take(self, uids: Sequence[int]) -> None:
        """Everything due among the listed UIDs, in order."""
        self._seen.update(uid for uid in uids if uid > self._folder.cursor)
        for due in _slices(plan.due(uids, self._folder, self._final, self.failed, self._moment), LISTED_AT_ONCE):
            listed = await self._mailbox.sizes(due)
            self._note_waiting(listed)
            window = plan.sort_window(listed, self._folder, self.failed, self._account.max_size)
            if window.too_old:
                await self._settle((), window.too_old)
            for mail in window.oversize:
                await self._attempt((mail,), headers_only=True)
            for group in window.groups:
                await self._attempt(group)
            unlisted = set(due) - {mail.uid for mail in listed}
            await self._record_failures([(uid, "the server lists no size for it") for uid in sorted(unlisted)])
        self.oldest_waiting = 0.0
        await self._settle((), ())

    def _note_waiting(self, listed: Iterable[Listed]) -> None:
        dates = [mail.internaldate.timestamp() for mail in listed if mail.internaldate]
        if dates:
            self.oldest_waiting = min(dates)
            metrics.account_oldest_unfetched.labels(self._lease.account).set(self.oldest_waiting)

    async def _attempt(self, group: Sequence[Listed], *, headers_only: bool = False) -> None:
        """Fetches a group and makes it final. When the connection dies of it, that counts as an attempt for each:
        next time they come one by one, and a mail that breaks every connection is found out."""
        size = HEADERS_AT_MOST if headers_only else sum(mail.size for mail in group)
        async with self._rim.budget.hold(size):
            began = monotonic()
            try:
                if headers_only:
                    fetched = [await self._mailbox.headers(group[0])]
                else:
                    fetched = await self._mailbox.fetch(group, self._account.max_size)
            except faults.Fault as fault:
                await self._record_failures([(mail.uid, str(fault)) for mail in group])
                raise
            metrics.stage_duration.labels("fetch").observe(monotonic() - began)
            await _to_the_end(self._hand_over(group, fetched, headers_only=headers_only))
        await self.tidy_up()

    async def _hand_over(self, group: Sequence[Listed], fetched: Sequence[Fetched], *, headers_only: bool) -> None:
        bad: list[tuple[int, str]] = []
        mails: list[ReceivedMail] = []
        for listed, got in zip(group, fetched, strict=True):
            fault = plan.body_fault(0 if headers_only else listed.size, got.body)
            if fault or got.body is None:
                bad.append((listed.uid, fault or ""))
            else:
                mails.append(self._received(listed, got.body, oversize=headers_only))
        began = monotonic()
        records = [await self._record_of(mail) for mail in mails]
        await self._rim.producer.send_all(records)
        metrics.stage_duration.labels("publish").observe(monotonic() - began)
        confirmed = [int(mail.uid) for mail in mails]
        if headers_only:  # it stays on the server, untouched: nobody has its body
            await self._settle((), confirmed)
            metrics.messages_skipped.labels("oversize").inc(len(confirmed))
        else:
            await self._settle(confirmed, ())
            metrics.messages_fetched.labels("imap").inc(len(confirmed))
        for mail in mails:
            metrics.message_size.labels("imap").observe(mail.size)
        await self._record_failures(bad)

    def _received(self, listed: Listed, body: bytes, *, oversize: bool) -> ReceivedMail:
        return ReceivedMail(
            account=self._lease.account,
            folder=self._account.folder,
            uidvalidity=self._state.uidvalidity,
            uid=str(listed.uid),
            size=listed.size if oversize else len(body),
            sha256=hashlib.sha256(body).hexdigest(),
            received_at=listed.internaldate or self._moment,
            origin=plan.origin(self._folder, listed.uid, listed.internaldate),
            raw=body,
            oversize=oversize,
        )

    async def _record_of(self, mail: ReceivedMail) -> Outgoing:
        """A large mail is in the object store before its reference is on Kafka."""
        key = conversation_key(mail.raw, mail.received_at)
        if len(mail.raw) > INLINE_LIMIT:
            (reference,) = await self._rim.originals.put_many([mail.raw])
            mail = mail._replace(raw=b"", raw_ref=reference)
        value, headers = encode_received(mail)
        return Outgoing(RECEIVED, key, value, headers)

    # --- outcomes

    async def _settle(self, to_clean: Sequence[int], settled: Sequence[int]) -> None:
        """Records final outcomes, and the cursor as far as they carry it."""
        keep = self._account.after == "keep"
        self._final.update(to_clean, settled)
        advanced = plan.advance(self._folder, self._seen, self._final)
        if not to_clean and not settled and advanced == self._folder:
            return
        clean, rest = ([], [*to_clean, *settled]) if keep else (list(to_clean), list(settled))
        await self._rim.store.confirm(self._lease, self._account.folder, advanced, clean, rest)
        self._folder = advanced
        self._seen = {uid for uid in self._seen if uid > advanced.cursor}
        self._final = {uid for uid in self._final if uid > advanced.cursor}
        self._uncleaned += [(advanced.uidvalidity, uid) for uid in clean]
        for uid in (*to_clean, *settled):
            self.failed.pop(uid, None)

    async def _record_failures(self, bad: Sequence[tuple[int, str]]) -> None:
        """Counts an attempt for each; the fifth makes a dead letter, and the mail stays on the server."""
        again: list[tuple[Failed, str]] = []
        for uid, reason in bad:
            failed = plan.after_failure(uid, self.failed.get(uid), self._moment)
            if plan.gives_up(failed):
                await send_dead_letter(self._rim.producer, self._dead_letter(uid, reason))
                await self._settle((), (uid,))
            else:
                self.failed[uid] = failed
                again.append((failed, reason))
        if again:
            await self._rim.store.fail(self._lease, self._account.folder, self._folder, again)

    def _dead_letter(self, uid: int, reason: str) -> DeadLetter:
        account, folder, uidvalidity = self._lease.account, self._account.folder, self._state.uidvalidity
        where = {"account": account, "folder": folder, "uidvalidity": str(uidvalidity), "uid": str(uid)}
        log.error("a mail cannot be fetched: dead letter", extra=fields(action="dead_letter", **where, cause=reason))
        return DeadLetter(
            origin_topic=RECEIVED,
            origin_partition=-1,
            origin_offset=-1,
            service="fetcher",
            reason="unfetchable",
            exception=reason,
            key=None,
            value=None,
            headers=[(name, value.encode()) for name, value in where.items()],
            origin_id=f"{account}/{transport_key(account, folder, uidvalidity, str(uid))}",
        )

    # --- the server's copy

    async def tidy_up(self) -> None:
        """Flags, moves or removes what is confirmed; a refusal is reported and tried again with the next look."""
        if self.complaint or self._account.after == "keep":
            return
        for uids in _slices(plan.to_clean(self._uncleaned, self._state), CLEANED_AT_ONCE):
            try:
                await self._tidy(uids)
            except faults.Refused as refusal:
                self.complaint = str(refusal)
                return
            await self._rim.store.cleaned(self._lease, self._account.folder, self._folder, uids)
            done = set(uids)
            self._uncleaned = [entry for entry in self._uncleaned if entry[1] not in done]

    async def _tidy(self, uids: Sequence[int]) -> None:
        match self._account.after:
            case "move":
                await self._mailbox.move(uids, self._account.move_to or "")
            case "delete":
                await self._mailbox.remove(uids)
            case _:
                await self._mailbox.flag(uids, "\\Seen")


def _slices(uids: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    for start in range(0, len(uids), size):
        yield uids[start : start + size]


async def _to_the_end(work: Coroutine[None, None, None]) -> None:
    """Lets what is being confirmed be recorded although the watch is cancelled: else it would come twice."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task}, timeout=_FINISHING)
        if not task.done():
            task.cancel()
        elif not task.cancelled():
            task.exception()  # looked at: it comes again with the next holder
        raise
