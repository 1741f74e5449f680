"""What to read from a mailbox, what to leave, what to tidy up: decisions, no I/O.

Vocabulary: a UID has a *final outcome* when its mail was confirmed by Kafka, was older than the start of
watching, or became a dead letter. The *cursor* of a folder is the UID at or below which every UID has one.
A *resync* is a folder read anew: at first contact with a past `start_from`, after the server changed
UIDVALIDITY (RFC 3501 §2.3.1.1), or when its mailbox *went back* (was restored from a copy): either makes every
remembered UID meaningless.
"""

import re
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from shared.events import Origin

GROUP_BYTES = 16 * 1024 * 1024
GROUP_MAILS = 500
ATTEMPTS = 5
RESYNC_ANSWERS_AT_MOST = 500
SEARCH_SPAN = 50_000  # a SEARCH line stays far below the 1 MiB a line may have


@dataclass(frozen=True, slots=True)
class MailboxState:
    """What SELECT or EXAMINE says of a folder. `uidnext_told`: the server named UIDNEXT, it is not counted by us."""

    uidvalidity: int
    uidnext: int
    exists: int
    uidnext_told: bool = True


@dataclass(frozen=True, slots=True)
class Listed:
    """A mail as the server lists it: sizes in bytes (RFC822.SIZE), INTERNALDATE in UTC or None if unreadable.

    `name`: the server's own name for it where that is not the UID (POP3: the UIDL).
    """

    uid: int
    size: int
    flags: frozenset[str]
    internaldate: datetime | None
    name: str = ""


@dataclass(frozen=True, slots=True)
class Folder:
    """What is remembered of a folder.

    `watched_since`: mail received before is never fetched in a resync. UIDs below `resync_below` belong to
    the resync; of those only mail received at or after `live_since` is live (None: none of them).
    """

    uidvalidity: int
    cursor: int
    watched_since: datetime | None
    resync_below: int = 0
    live_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """A UID that could not be fetched: attempts so far, and when the next one is due.

    `suspected`: how often the connection was lost while it was fetched, which proves nothing against it.
    """

    uid: int
    attempts: int
    retry_at: datetime
    suspected: int = 0


# --- first contact and resynchronisation ---------------------------------------------------------------


def first_contact(state: MailboxState, start_from: Literal["now", "all"] | datetime, now: datetime) -> Folder:
    """The folder is seen for the first time; with `now` what is there stays there.

    Otherwise everything already there is backfill, and mail older than the date is not fetched.
    """
    if start_from == "now":
        return Folder(state.uidvalidity, cursor=state.uidnext - 1, watched_since=now)
    since = None if start_from == "all" else start_from
    return Folder(state.uidvalidity, cursor=0, watched_since=since, resync_below=state.uidnext)


def counts_as_new(listed: Listed, last_success: datetime | None) -> bool:
    """Whether a mail met in a resync came after the account was last read in full."""
    return last_success is not None and (listed.internaldate is None or listed.internaldate >= last_success)


def resync(folder: Folder, state: MailboxState, last_success: datetime | None, new_mails: int) -> Folder:
    """UIDVALIDITY changed: read the folder anew (repeats are recognised later, by content).

    `new_mails` is how many mails `counts_as_new` holds for. More than 500 of them are more likely a
    restored mailbox than a rush: all of the resync is then backfill, and `is_silenced` says so.
    """
    silenced = new_mails > RESYNC_ANSWERS_AT_MOST
    return Folder(
        state.uidvalidity,
        cursor=0,
        watched_since=folder.watched_since,
        resync_below=state.uidnext,
        live_since=None if silenced else last_success,
    )


def went_back(folder: Folder, state: MailboxState, highest: int) -> bool:
    """Whether the mailbox was restored from an older copy: it gives UIDs again that it has given before.

    `highest` is the last UID it lists. A server that lists a UID at or above its own UIDNEXT counts wrong, and
    would be read anew with every look.
    """
    return state.uidnext_told and state.uidnext <= folder.cursor and highest < state.uidnext


def is_silenced(folder: Folder, last_success: datetime | None) -> bool:
    """Whether `resync` made mail silent that would have been answered."""
    return folder.resync_below > 0 and folder.live_since is None and last_success is not None


def origin(folder: Folder, uid: int, internaldate: datetime | None) -> Origin:
    """Live mail may be answered, backfill is silent."""
    if uid >= folder.resync_below:
        return Origin.LIVE
    if folder.live_since is None:
        return Origin.BACKFILL
    late = internaldate is None or internaldate >= folder.live_since
    return Origin.LIVE if late else Origin.BACKFILL


# --- what to fetch -------------------------------------------------------------------------------------


def search_windows(cursor: int, state: MailboxState) -> Iterator[tuple[int, int | None]]:
    """UID ranges to search, ascending; the end None is `*`.

    A mailbox of ordinary size is one range. Only where an answer could outgrow a response line is it
    cut, and then up to UIDNEXT, which bounds it even on a server that counts UIDs in leaps.
    """
    if state.exists <= SEARCH_SPAN:
        yield cursor + 1, None
        return
    first = cursor + 1
    while first < state.uidnext:
        yield first, min(first + SEARCH_SPAN - 1, state.uidnext - 1)
        first += SEARCH_SPAN


def due(
    uids: Iterable[int], folder: Folder, final: Collection[int], failed: Mapping[int, Failed], now: datetime
) -> list[int]:
    """UIDs to look at now, ascending: above the cursor, without a final outcome, no retry still waiting.

    `n:*` gives the last mail even when it is below n (RFC 3501 §6.4.8), hence the comparison.
    """
    return sorted(
        uid
        for uid in set(uids)
        if uid > folder.cursor and uid not in final and (uid not in failed or failed[uid].retry_at <= now)
    )


def is_too_old(folder: Folder, listed: Listed) -> bool:
    """Received before watching began: not fetched, which is a final outcome. Only met in a resync."""
    if folder.watched_since is None or listed.internaldate is None or listed.uid >= folder.resync_below:
        return False
    return listed.internaldate < folder.watched_since


@dataclass(frozen=True, slots=True)
class Window:
    """A listed window, sorted into what is to be done with each mail."""

    groups: tuple[tuple[Listed, ...], ...]  # fetched whole, a group with one command
    oversize: tuple[Listed, ...]  # header block only
    too_old: tuple[int, ...]


def sort_window(listed: Sequence[Listed], folder: Folder, failed: Mapping[int, Failed], max_size: int) -> Window:
    """Sorts listed mails, in UID order; `max_size` (bytes) is the account's limit."""
    wanted = [mail for mail in listed if not is_too_old(folder, mail)]
    return Window(
        groups=tuple(_groups([mail for mail in wanted if mail.size <= max_size], failed)),
        oversize=tuple(mail for mail in wanted if mail.size > max_size),
        too_old=tuple(mail.uid for mail in listed if is_too_old(folder, mail)),
    )


def _groups(mails: Iterable[Listed], failed: Mapping[int, Failed]) -> Iterator[tuple[Listed, ...]]:
    """Groups of at most 500 mails and 16 MiB; a larger mail alone.

    A mail that failed before comes alone and last, the one that failed most at the very end: should it take the
    connection with it, the mails beside it are already safe, and the blame falls on nobody else.
    """
    group: list[Listed] = []
    alone: list[Listed] = []
    size = 0
    for mail in mails:
        if mail.uid in failed:
            alone.append(mail)
            continue
        if group and (size + mail.size > GROUP_BYTES or len(group) >= GROUP_MAILS):
            yield tuple(group)
            group, size = [], 0
        group.append(mail)
        size += mail.size
    if group:
        yield tuple(group)
    for mail in sorted(alone, key=lambda mail: (failed[mail.uid].attempts + failed[mail.uid].suspected, mail.uid)):
        yield (mail,)


_SUBSTITUTE = re.compile(
    rb"^subject:\s*retrieval using the (?:imap4|pop3) protocol failed for the following", re.MULTILINE | re.IGNORECASE
)
_OF_A_MAIL = re.compile(rb"^(?:received|message-id):", re.MULTILINE | re.IGNORECASE)
_FROM = re.compile(rb"^from:[^\r\n]*@", re.MULTILINE | re.IGNORECASE)


def body_fault(body: bytes | None) -> str | None:
    """Why this body is no mail, or None. A tagged OK and a complete literal prove a body; that its length is not
    the announced one is a defect of many servers."""
    if body is None:
        return "the server sent no body (NIL, or the UID was missing from its answer)"
    if not body:
        return "the server sent an empty body"
    head = body.partition(b"\r\n\r\n")[0]
    if _SUBSTITUTE.search(head) and not _OF_A_MAIL.search(head) and not _FROM.search(head):
        return "Exchange could not convert the mail and sent a notice in its place"
    return None


def after_failure(uid: int, before: Failed | None, now: datetime) -> Failed:
    """One more attempt has failed; the next waits 30 s, 1, 2, 4 minutes."""
    attempts = (before.attempts if before else 0) + 1
    suspected = before.suspected if before else 0
    return Failed(uid, attempts, now + timedelta(seconds=30 * 2 ** (attempts - 1)), suspected)


def after_loss(uid: int, before: Failed | None, now: datetime) -> Failed:
    """The connection was lost over it: no attempt, but from now on it comes alone, and last.

    The first time at once, as most losses are the network's; then after 30 s, 1, 2 … minutes, up to an hour, so
    that a mail that breaks every connection does not take IDLE from the others.
    """
    attempts, suspected = (before.attempts, before.suspected + 1) if before else (0, 1)
    wait = 30 * 2 ** min(suspected - 2, 10) if suspected > 1 else 0
    return Failed(uid, attempts, now + timedelta(seconds=min(wait, 3600)), suspected)


def gives_up(failed: Failed) -> bool:
    """After five attempts the UID becomes a dead letter and its mail stays on the server."""
    return failed.attempts >= ATTEMPTS


# --- after the confirmations ---------------------------------------------------------------------------


def advance(folder: Folder, seen: Iterable[int], final: Collection[int]) -> Folder:
    """The folder with its cursor moved over every UID that has a final outcome.

    `seen` are the UIDs the server listed above the cursor. Gaps count as final (a UID is never given
    twice, RFC 3501 §2.3.1.1), but only below a listed UID: a server may show a mail later than it
    counts it in UIDNEXT. A UID still to be tried holds the cursor.
    """
    cursor = folder.cursor
    for uid in sorted(set(seen)):
        if uid <= cursor:
            continue
        if uid not in final:
            return replace(folder, cursor=max(cursor, uid - 1))
        cursor = uid
    return replace(folder, cursor=cursor)


def passed_over(before: Folder, after: Folder, outcomes: Collection[int]) -> list[tuple[int, int]]:
    """Ranges of UIDs that the cursor passed and that nobody has read: never listed, or removed by somebody.

    `outcomes`: UIDs whose mail was read, set aside or left alone on purpose.
    """
    gaps = []
    first = before.cursor + 1
    for uid in (*sorted(uid for uid in outcomes if before.cursor < uid <= after.cursor), after.cursor + 1):
        if uid > first:
            gaps.append((first, uid - 1))
        first = uid + 1
    return gaps


COMPARED_EVERY = timedelta(days=1)
GAPS_KEPT = timedelta(days=30)


def is_to_be_compared(compared_at: datetime | None, moment: datetime) -> bool:
    """Whether the gaps below the cursor are due; None: the folder is new, nothing was passed over yet."""
    return compared_at is not None and moment - compared_at >= COMPARED_EVERY


def shown_late(listed: Iterable[int], gaps: Iterable[tuple[int, int]]) -> list[int]:
    """Those of the listed UIDs that were passed over, ascending."""
    ranges = sorted(gaps)
    starts = [first for first, _ in ranges]
    late = []
    for uid in sorted(set(listed)):
        place = bisect_right(starts, uid) - 1
        if place >= 0 and uid <= ranges[place][1]:
            late.append(uid)
    return late


def is_another_mail(landmark: tuple[int, datetime], listed: Iterable[Listed]) -> bool:
    """Whether the last mail that was read is now another one: its arrival (INTERNALDATE) never changes."""
    uid, date = landmark
    return any(mail.uid == uid and mail.internaldate not in {None, date} for mail in listed)


def to_clean(confirmed: Iterable[tuple[int, int]], state: MailboxState) -> list[int]:
    """UIDs to flag, move or delete: confirmed under the UIDVALIDITY the server shows now.

    `confirmed` are pairs (uidvalidity, uid). The cursor permits nothing: under another UIDVALIDITY the
    same UID is another mail, perhaps one nobody has read.
    """
    return sorted(uid for uidvalidity, uid in confirmed if uidvalidity == state.uidvalidity)
