"""Taking mail in, within one look: list, fetch, hand over, record; and what to make of a mail that will not come.

The order is the guarantee: a mail is on Kafka before the database says so, and the database says so before the
server's copy is touched. Dying between two steps repeats the mail under the same transport key.
"""

import hashlib
import logging
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import repeat
from time import time_ns

from services.fetcher import faults, plan
from services.fetcher.plan import Failed, Folder, Listed, MailboxState
from services.fetcher.protocol import HEADERS_AT_MOST, Fetched
from services.fetcher.session import Session, slices, to_the_end
from services.fetcher.store import Memory, Passed
from services.fetcher.tidying import Tidying
from shared import metrics, tracing
from shared.clock import monotonic
from shared.events import DeadLetter, ReceivedMail, transport_key
from shared.logs import fields
from shared.topics import RECEIVED

log = logging.getLogger(__name__)


class Taking:
    """The state of one look: what is final, what failed, what still holds the cursor."""

    def __init__(self, session: Session, state: MailboxState, memory: Memory, folder: Folder) -> None:
        self._rim = session.rim
        self._lease = session.lease
        self._account = session.account
        self._mailbox = session.mailbox
        self._pace = session.pace
        self._name = session.folder
        self._state = state
        self._uidvalidity = state.uidvalidity if session.mailbox.protocol == "imap" else None
        self._names: dict[int, str] = {}  # where the server's name of a mail is not its UID
        self._moment = memory.moment
        self._folder = folder
        self._final = set(memory.final)
        self._seen: set[int] = set()  # listed above the cursor
        self._vanished: set[int] = set()
        self._dates: dict[int, datetime] = {}  # of what was listed
        self.tidying = Tidying(session, state, memory)
        self.failed: dict[int, Failed] = dict(memory.failed)
        self.oldest_waiting = 0.0
        self.fetched = 0
        self.complaint = ""

    async def tidy_up(self) -> None:
        await self.tidying.go_on(self._folder)

    async def finish(self) -> None:
        """Everything was taken: what failed before and vanished is forgotten, what was removed is gone."""
        await self._there(sorted(self.failed.keys() - self._seen))
        await self.tidying.finish(self._folder)

    async def take(self, uids: Sequence[int]) -> None:
        """Everything due among the listed UIDs, in order."""
        self._seen.update(uid for uid in uids if uid > self._folder.cursor)
        for due in slices(plan.due(uids, self._folder, self._final, self.failed, self._moment), self._pace.listed):
            listed = await self._pace.sizes(self._mailbox, due)
            self._note_waiting(listed)
            self._dates.update({mail.uid: mail.internaldate for mail in listed if mail.internaldate})
            self._names.update({mail.uid: mail.name for mail in listed if mail.name})
            window = plan.sort_window(listed, self._folder, self.failed, self._account.max_size)
            if window.too_old:
                await self._settle((), window.too_old)
            for mail in window.oversize:
                await self._attempt((mail,), headers_only=True)
            for group in window.groups:
                await self._attempt(group)
            unlisted = set(due) - {mail.uid for mail in listed}
            await self._count_failures([(uid, "the server lists no size for it") for uid in sorted(unlisted)])
        self.oldest_waiting = 0.0
        await self._settle((), ())

    def _note_waiting(self, listed: Iterable[Listed]) -> None:
        dates = [mail.internaldate.timestamp() for mail in listed if mail.internaldate]
        if dates:
            self.oldest_waiting = min(dates)
            metrics.account_oldest_unfetched.labels(self._lease.account).set(self.oldest_waiting)

    async def _attempt(self, group: Sequence[Listed], *, headers_only: bool = False) -> None:
        """Fetches a group and makes it final."""
        # one that failed alone may be larger than its server says
        at_most = self._account.max_size if group[0].uid in self.failed else sum(mail.size for mail in group)
        size = HEADERS_AT_MOST if headers_only else at_most
        async with self._rim.budget.hold(size):
            await self._rim.outlet.ask()  # what cannot be handed over is not fetched
            began, since = monotonic(), time_ns()
            try:
                if headers_only:
                    fetched = [await self._mailbox.headers(group[0])]
                else:
                    believed = group[0].uid not in self.failed
                    fetched = await self._mailbox.fetch(group, self._account.max_size, sizes_hold=believed)
            except faults.Fault as fault:
                await self._blame(group, fault)
                return
            metrics.stage_duration.labels("fetch").observe(monotonic() - began)
            await to_the_end(self._traced(since, group, fetched, headers_only=headers_only))
        await self._count_failures(_faulty(fetched))
        await self.tidy_up()

    async def _traced(
        self, since: int, group: Sequence[Listed], fetched: Sequence[Fetched], *, headers_only: bool
    ) -> None:
        """The traces of these mails begin with their fetch, at `since` (ns since 1970), and go on in their records."""
        bad = {uid for uid, _ in _faulty(fetched)}
        good = [(listed, got.body) for listed, got in zip(group, fetched, strict=True) if listed.uid not in bad]
        with tracing.batch("fetch", repeat(b"", len(good)), since=since) as spans:
            mails = [
                self._received(listed, body, oversize=headers_only, traceparent=spans.of(position))
                for position, (listed, body) in enumerate(good)
                if body is not None
            ]
            for position, mail in enumerate(mails if tracing.on() else ()):
                spans.note(position, transport_key=mail.transport_key, origin=mail.origin, size=mail.size)
            await self._hand_over(mails, [listed.uid for listed, _ in good], headers_only=headers_only)

    async def _hand_over(self, mails: Sequence[ReceivedMail], uids: Sequence[int], *, headers_only: bool) -> None:
        began = monotonic()
        await self._rim.outlet.hand_over(mails)
        metrics.stage_duration.labels("publish").observe(monotonic() - began)
        self.fetched += len(mails)
        if headers_only:  # it stays on the server, untouched: nobody has its body
            await self._settle((), uids)
            metrics.messages_skipped.labels("oversize").inc(len(uids))
        else:
            await self._settle(uids, ())
            metrics.messages_fetched.labels(self._mailbox.protocol).inc(len(uids))
        for mail in mails:
            metrics.message_size.labels(self._mailbox.protocol).observe(mail.size)

    def _received(self, listed: Listed, body: bytes, *, oversize: bool, traceparent: bytes) -> ReceivedMail:
        return ReceivedMail(
            account=self._lease.account,
            folder=self._name,
            uidvalidity=self._uidvalidity,
            uid=listed.name or str(listed.uid),
            size=listed.size if oversize else len(body),
            sha256=hashlib.sha256(body).hexdigest(),
            received_at=listed.internaldate or self._moment,
            origin=plan.origin(self._folder, listed.uid, listed.internaldate),
            raw=body,
            oversize=oversize,
            traceparent=traceparent,
        )

    # --- outcomes

    async def _settle(self, to_clean: Sequence[int], settled: Sequence[int]) -> None:
        """Records final outcomes, and the cursor as far as they carry it."""
        keep = self._account.after == "keep"
        self._final.update(to_clean, settled)
        advanced = plan.advance(self._folder, self._seen, self._final)
        if not to_clean and not settled and advanced == self._folder:
            return
        clean, rest = ([], [*to_clean, *settled]) if keep else (list(to_clean), list(settled))
        passed = self._passed(advanced)
        await self._rim.store.confirm(self._lease, self._name, advanced, clean, rest, passed=passed)
        self._folder = advanced
        self._seen = {uid for uid in self._seen if uid > advanced.cursor}
        self._final = {uid for uid in self._final if uid > advanced.cursor}
        self.tidying.add(advanced.uidvalidity, clean)
        for uid in (*to_clean, *settled):
            self.failed.pop(uid, None)

    def _passed(self, advanced: Folder) -> Passed:
        gaps = plan.passed_over(self._folder, advanced, self._final - self._vanished)
        last = max((uid for uid in self._dates if self._folder.cursor < uid <= advanced.cursor), default=0)
        return Passed(gaps, (last, self._dates[last]) if last else None)

    # --- failures

    async def _blame(self, group: Sequence[Listed], fault: faults.Fault) -> None:
        """A fetch failed as a whole. A group is blamed for nothing: its mails come one by one from now on, and
        the one that fails alone is found out. What the server does to everybody is nobody's fault."""
        alive = isinstance(fault, faults.Refused)
        there = await self._there([mail.uid for mail in group]) if alive else {mail.uid for mail in group}
        reason = str(fault)
        guilty = fault.blames and len(group) == 1 and (not alive or self.fetched > 0)
        if guilty:
            await self._record_failures([(uid, reason) for uid in there])
        elif fault.suspects:
            await self._suspect(there, reason)
        if alive:
            self.complaint = self.complaint or reason
            return
        raise fault

    async def _there(self, uids: Sequence[int]) -> set[int]:
        """Those the server still has. What two searches agree to be gone is final: somebody removed it."""
        there = await self._mailbox.present(uids)
        gone = [uid for uid in uids if uid not in there]
        if gone:
            self._vanished.update(gone)
            await self._settle((), gone)
            metrics.messages_skipped.labels("vanished").inc(len(gone))
        return there

    async def _count_failures(self, bad: Sequence[tuple[int, str]]) -> None:
        """An attempt for each of them that is still there."""
        if bad:
            there = await self._there([uid for uid, _ in bad])
            await self._record_failures([(uid, reason) for uid, reason in bad if uid in there])

    async def _suspect(self, uids: Iterable[int], reason: str) -> None:
        suspects = [plan.after_loss(uid, self.failed.get(uid), self._moment) for uid in sorted(uids)]
        self.failed.update({failed.uid: failed for failed in suspects})
        await self._rim.store.fail(self._lease, self._name, self._folder, [(failed, reason) for failed in suspects])

    async def _record_failures(self, bad: Sequence[tuple[int, str]]) -> None:
        """Counts an attempt for each; the fifth makes a dead letter, and the mail stays on the server."""
        again: list[tuple[Failed, str]] = []
        for uid, reason in bad:
            failed = plan.after_failure(uid, self.failed.get(uid), self._moment)
            if plan.gives_up(failed):
                await self._rim.outlet.set_aside(self._dead_letter(uid, reason))
                await self._settle((), (uid,))
            else:
                self.failed[uid] = failed
                again.append((failed, reason))
        if again:
            await self._rim.store.fail(self._lease, self._name, self._folder, again)

    def _dead_letter(self, uid: int, reason: str) -> DeadLetter:
        account, folder, name = self._lease.account, self._name, self._names.get(uid, str(uid))
        where = {"account": account, "folder": folder, "uidvalidity": str(self._uidvalidity or ""), "uid": name}
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
            origin_id=f"{account}/{transport_key(account, folder, self._uidvalidity, name)}",
        )


def _faulty(fetched: Sequence[Fetched]) -> list[tuple[int, str]]:
    """UIDs whose body is no mail, each with the reason."""
    judged = ((got.uid, plan.body_fault(got.body)) for got in fetched)
    return [(uid, reason) for uid, reason in judged if reason]
