"""The server's copy of what is safe on Kafka: flagged, moved or removed, by UID, as the account says."""

from collections.abc import Iterable, Sequence

from services.fetcher import faults, plan
from services.fetcher.plan import Folder, MailboxState
from services.fetcher.session import Session, slices
from services.fetcher.store import Memory

CLEANED_AT_ONCE = 500


class Tidying:
    """What is still to be tidied up in one look. `complaint`: what the server refused, for the status; a refusal
    ends the tidying of this look, and is tried again with the next."""

    def __init__(self, session: Session, state: MailboxState, memory: Memory) -> None:
        self._session = session
        self._state = state
        self._uncleaned = list(memory.uncleaned)
        self._copies = dict(memory.copies)
        self._promised: set[int] = set()  # removed as soon as the session has ended well
        self.complaint = ""

    def add(self, uidvalidity: int, uids: Iterable[int]) -> None:
        """Confirmed by Kafka, and recorded."""
        self._uncleaned += [(uidvalidity, uid) for uid in uids]

    async def go_on(self, folder: Folder) -> None:
        if self.complaint or self._session.account.after == "keep":
            return
        for uids in slices(plan.to_clean(self._uncleaned, self._state), CLEANED_AT_ONCE):
            try:
                done = set(await self._tidy(uids, folder))
            except faults.Refused as refusal:
                self.complaint = str(refusal)
                return
            if self._session.mailbox.removes_at_end:
                self._promised |= done
            else:
                await self._cleaned(done, folder)
            self._uncleaned = [entry for entry in self._uncleaned if entry[1] not in done]

    async def finish(self, folder: Folder) -> None:
        """After the last mail of the look."""
        if self._promised:
            await self._session.mailbox.finish()
            await self._cleaned(self._promised, folder)

    async def _cleaned(self, uids: Iterable[int], folder: Folder) -> None:
        await self._session.rim.store.cleaned(self._session.lease, self._session.folder, folder, sorted(uids))

    async def _tidy(self, uids: Sequence[int], folder: Folder) -> Sequence[int]:
        """Returns what was done."""
        account, mailbox = self._session.account, self._session.mailbox
        match account.after:
            case "move" if mailbox.moves_at_once:
                await mailbox.move(uids, account.move_to or "")
            case "move":
                return await self._copy_and_remove(uids, folder, account.move_to or "")
            case "delete":
                await mailbox.remove(uids)
            case _:
                await mailbox.flag(uids, "\\Seen")
        return uids

    async def _copy_and_remove(self, uids: Sequence[int], folder: Folder, target: str) -> Sequence[int]:
        """A copy is remembered before its mail is removed: a server that refuses to remove is not given another
        copy with every look. What it does not say it has copied is never removed."""
        new = [uid for uid in uids if uid not in self._copies]
        if new and (copied := await self._session.mailbox.copy(new, target)) is not None:
            await self._remember(copied, folder, proven=True)
        elif new:
            await self._remember(new, folder, proven=False)
        unproven = [uid for uid in uids if not self._copies.get(uid, True)]
        await self._session.mailbox.remove([uid for uid in uids if self._copies.get(uid)])
        if unproven:
            self.complaint = (
                f"UID COPY to {target}: the server does not say what it copied (no COPYUID), so {len(unproven)} mails "
                "were left where they are; compare the folders, or choose `after: seen`"
            )
        return [uid for uid in uids if uid not in unproven]

    async def _remember(self, uids: Iterable[int], folder: Folder, *, proven: bool) -> None:
        copied = sorted(uids)
        await self._session.rim.store.copied(self._session.lease, self._session.folder, folder, copied, proven=proven)
        self._copies.update(dict.fromkeys(copied, proven))
