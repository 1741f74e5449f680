"""The fetcher's decisions as tables: what is read, what is silent, what may be tidied up, how long to wait."""

from datetime import UTC, datetime, timedelta

import pytest

from services.fetcher.plan import (
    ATTEMPTS,
    GROUP_BYTES,
    GROUP_MAILS,
    SEARCH_SPAN,
    Failed,
    Folder,
    Listed,
    MailboxState,
    advance,
    after_failure,
    after_loss,
    body_fault,
    counts_as_new,
    due,
    first_contact,
    gives_up,
    is_silenced,
    is_to_be_compared,
    origin,
    passed_over,
    resync,
    search_windows,
    shown_late,
    sort_window,
    to_clean,
    went_back,
)
from shared.events import Origin

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
MIB = 1024 * 1024


def mail(uid: int, size: int = 1000, received: datetime | None = NOW) -> Listed:
    return Listed(uid, size, frozenset(), received)


def failed(*uids: int, attempts: int = 1, retry_at: datetime = NOW) -> dict[int, Failed]:
    return {uid: Failed(uid, attempts, retry_at) for uid in uids}


# --- first contact and resynchronisation


def test_start_from_now_leaves_what_is_there() -> None:
    folder = first_contact(MailboxState(7, uidnext=101, exists=100), "now", NOW)
    assert folder == Folder(7, cursor=100, watched_since=NOW)
    assert origin(folder, 101, NOW) is Origin.LIVE


def test_start_from_now_in_an_empty_mailbox_takes_its_first_mail() -> None:
    assert first_contact(MailboxState(7, uidnext=1, exists=0), "now", NOW).cursor == 0


def test_a_past_start_reads_everything_since_then_silently() -> None:
    folder = first_contact(MailboxState(7, uidnext=101, exists=100), NOW - DAY, NOW)
    assert folder.cursor == 0
    assert origin(folder, 100, NOW - HOUR) is Origin.BACKFILL
    assert origin(folder, 101, NOW) is Origin.LIVE
    window = sort_window([mail(1, received=NOW - 2 * DAY), mail(2, received=NOW - HOUR)], folder, {}, MIB)
    assert window.too_old == (1,)
    assert [m.uid for m in window.groups[0]] == [2]


def test_start_from_all_leaves_nothing_out() -> None:
    folder = first_contact(MailboxState(7, uidnext=101, exists=100), "all", NOW)
    assert sort_window([mail(1, received=NOW - 9000 * DAY)], folder, {}, MIB).too_old == ()
    assert origin(folder, 1, NOW) is Origin.BACKFILL


def test_after_a_new_uidvalidity_only_what_came_since_the_last_success_is_live() -> None:
    before = Folder(7, cursor=500, watched_since=NOW - 30 * DAY)
    after = resync(before, MailboxState(8, uidnext=51, exists=50), NOW - HOUR, new_mails=2)
    assert (after.uidvalidity, after.cursor) == (8, 0)
    assert origin(after, 1, NOW - 2 * HOUR) is Origin.BACKFILL
    assert origin(after, 2, NOW - HOUR) is Origin.LIVE
    assert origin(after, 51, NOW - 2 * HOUR) is Origin.LIVE  # arrived after the resync began
    assert not is_silenced(after, NOW - HOUR)


def test_a_resync_does_not_fetch_what_came_before_watching_began() -> None:
    before = Folder(7, cursor=500, watched_since=NOW - DAY)
    after = resync(before, MailboxState(8, uidnext=51, exists=50), NOW - HOUR, new_mails=0)
    window = sort_window([mail(1, received=NOW - 2 * DAY), mail(2, received=NOW - 2 * HOUR)], after, {}, MIB)
    assert window.too_old == (1,)


@pytest.mark.parametrize(("new_mails", "silenced"), [(500, False), (501, True)])
def test_more_than_five_hundred_new_mails_in_a_resync_are_silent(new_mails: int, silenced: bool) -> None:
    before = Folder(7, cursor=500, watched_since=None)
    after = resync(before, MailboxState(8, uidnext=1000, exists=900), NOW - HOUR, new_mails)
    assert (origin(after, 5, NOW) is Origin.BACKFILL) is silenced
    assert is_silenced(after, NOW - HOUR) is silenced
    assert origin(after, 1000, NOW) is Origin.LIVE


def test_a_resync_before_any_success_is_silent_without_an_alarm() -> None:
    after = resync(Folder(7, 0, None), MailboxState(8, uidnext=9, exists=8), None, new_mails=0)
    assert origin(after, 5, NOW) is Origin.BACKFILL
    assert not is_silenced(after, None)


@pytest.mark.parametrize(
    ("received", "last_success", "expected"),
    [
        (NOW, NOW - HOUR, True),
        (NOW - HOUR, NOW - HOUR, True),
        (NOW - 2 * HOUR, NOW - HOUR, False),
        (None, NOW - HOUR, True),
        (NOW, None, False),
    ],
)
def test_new_in_a_resync_is_what_came_at_or_after_the_last_success(
    received: datetime | None, last_success: datetime | None, expected: bool
) -> None:
    assert counts_as_new(mail(1, received=received), last_success) is expected


def test_ordinary_mail_is_never_too_old_whatever_its_date_says() -> None:
    folder = Folder(7, cursor=10, watched_since=NOW)
    assert sort_window([mail(11, received=NOW - DAY)], folder, {}, MIB).too_old == ()


# --- what to fetch


def test_a_mailbox_of_ordinary_size_is_searched_at_once() -> None:
    assert list(search_windows(41, MailboxState(7, uidnext=4_000_000_000, exists=20_000))) == [(42, None)]


def test_a_mailbox_of_150000_mails_is_searched_in_ranges() -> None:
    ranges = list(search_windows(0, MailboxState(7, uidnext=150_001, exists=150_000)))
    assert ranges == [(1, 50_000), (50_001, 100_000), (100_001, 150_000)]
    assert all(last is not None and last - first < SEARCH_SPAN for first, last in ranges)


def test_nothing_new_in_a_large_mailbox_searches_nothing() -> None:
    assert list(search_windows(150_000, MailboxState(7, uidnext=150_001, exists=150_000))) == []


def test_due_leaves_out_old_final_and_waiting_uids() -> None:
    waiting = failed(14, retry_at=NOW + HOUR) | failed(15)
    folder = Folder(7, cursor=10, watched_since=None)
    assert due([10, 11, 12, 13, 14, 15, 9], folder, {12}, waiting, NOW) == [11, 13, 15]


def test_groups_keep_within_bytes_and_count() -> None:
    folder = Folder(7, 0, None)
    by_bytes = sort_window([mail(uid, 6 * MIB) for uid in range(1, 6)], folder, {}, 50 * MIB).groups
    assert [[m.uid for m in group] for group in by_bytes] == [[1, 2], [3, 4], [5]]
    by_count = sort_window([mail(uid, 10) for uid in range(1, 2 * GROUP_MAILS + 2)], folder, {}, 50 * MIB).groups
    assert [len(group) for group in by_count] == [GROUP_MAILS, GROUP_MAILS, 1]


def test_a_mail_larger_than_a_group_comes_alone() -> None:
    mails = [mail(1, 1000), mail(2, GROUP_BYTES + 1), mail(3, 1000)]
    groups = sort_window(mails, Folder(7, 0, None), {}, 50 * MIB).groups
    assert [[m.uid for m in group] for group in groups] == [[1], [2], [3]]


def test_a_mail_that_failed_before_comes_alone_and_last() -> None:
    groups = sort_window([mail(1), mail(2), mail(3)], Folder(7, 0, None), failed(1), MIB).groups
    assert [[m.uid for m in group] for group in groups] == [[2, 3], [1]]


@pytest.mark.parametrize(("size", "oversize"), [(MIB, False), (MIB + 1, True)])
def test_above_the_limit_only_the_headers_are_read(size: int, oversize: bool) -> None:
    window = sort_window([mail(1, size)], Folder(7, 0, None), {}, MIB)
    assert bool(window.oversize) is oversize
    assert bool(window.groups) is not oversize


SUBSTITUTE = (
    b"From: Microsoft Exchange Server\r\nSubject: Retrieval using the IMAP4 protocol failed for the following\r\n"
    b" message: 2\r\n\r\nThe server couldn't retrieve the following message:\r\n"
)


@pytest.mark.parametrize(
    ("body", "is_mail"),
    [
        (b"x", True),
        (b"", False),
        (None, False),
        (SUBSTITUTE, False),
        (b"Received: by mx\r\n" + SUBSTITUTE, True),  # somebody sent it on
        (b"Message-ID: <1@x>\r\n" + SUBSTITUTE, True),
        (SUBSTITUTE.replace(b"Exchange Server", b"Exchange <x@y>"), True),
        (b"Subject: Re\r\n\r\n" + SUBSTITUTE, True),
    ],
)
def test_a_strange_body_is_no_mail(body: bytes | None, is_mail: bool) -> None:
    assert (body_fault(body) is None) is is_mail


def test_five_attempts_spread_over_minutes_then_it_is_given_up() -> None:
    now, state = NOW, None
    for _ in range(ATTEMPTS - 1):
        state = after_failure(4, state, now)
        assert not gives_up(state)
        now = state.retry_at
    assert now - NOW == timedelta(seconds=30 + 60 + 120 + 240)
    assert gives_up(after_failure(4, state, now))


# --- after the confirmations


@pytest.mark.parametrize(
    ("cursor", "seen", "final", "expected"),
    [
        (10, [], [], 10),
        (10, [11, 12], [11, 12], 12),
        (10, [11, 12], [12], 10),  # 11 is still to be tried
        (10, [11, 12], [11], 11),
        (10, [20, 21], [20, 21], 21),  # a gap is nobody's
        (10, [20, 21], [21], 19),
        (10, [9, 10], [], 10),
        (10, [20, 25, 30], [20, 30], 24),
        (0, [3], [], 2),
    ],
)
def test_the_cursor_passes_what_is_final_and_stops_at_what_is_not(
    cursor: int, seen: list[int], final: list[int], expected: int
) -> None:
    assert advance(Folder(7, cursor, None), seen, set(final)).cursor == expected


def test_only_uids_confirmed_under_this_uidvalidity_are_cleaned() -> None:
    state = MailboxState(8, uidnext=100, exists=50)
    assert to_clean([(7, 1), (8, 3), (8, 2), (9, 4)], state) == [2, 3]


@pytest.mark.parametrize(
    ("cursor", "uidnext", "told", "highest", "expected"),
    [
        (20, 13, True, 0, True),
        (20, 20, True, 0, True),
        (20, 21, True, 0, False),  # nothing new
        (20, 13, True, 20, False),  # it lists what it says it has not given
        (20, 13, False, 0, False),  # counted by us from the last mail, which may have been removed
    ],
)
def test_a_mailbox_that_gives_uids_again_went_back(
    cursor: int, uidnext: int, told: bool, highest: int, expected: bool
) -> None:
    state = MailboxState(7, uidnext, exists=9, uidnext_told=told)
    assert went_back(Folder(7, cursor, None), state, highest) is expected


def test_a_mail_over_which_the_connection_is_lost_is_tried_at_once_then_ever_more_rarely() -> None:
    state = None
    waits = []
    for _ in range(10):
        state = after_loss(4, state, NOW)
        waits.append(int((state.retry_at - NOW).total_seconds()))
    assert waits == [0, 30, 60, 120, 240, 480, 960, 1920, 3600, 3600]
    assert state is not None
    assert not gives_up(state)


def test_the_mail_that_failed_most_comes_last_of_all() -> None:
    before = {2: Failed(2, 0, NOW, suspected=2), 3: Failed(3, 0, NOW, suspected=1)}
    groups = sort_window([mail(uid) for uid in (1, 2, 3)], Folder(7, 0, None), before, MIB).groups
    assert [[m.uid for m in group] for group in groups] == [[1], [3], [2]]


@pytest.mark.parametrize(
    ("before", "after", "outcomes", "gaps"),
    [
        (10, 14, {11, 12, 13, 14}, []),
        (10, 14, {12, 14}, [(11, 11), (13, 13)]),
        (10, 14, {14}, [(11, 13)]),
        (10, 14, {11}, [(12, 14)]),
        (10, 10, {12}, []),
        (0, 3, {9}, [(1, 3)]),
    ],
)
def test_what_the_cursor_passes_unread_is_a_gap(
    before: int, after: int, outcomes: set[int], gaps: list[tuple[int, int]]
) -> None:
    assert passed_over(Folder(7, before, None), Folder(7, after, None), outcomes) == gaps


def test_a_listed_mail_in_a_gap_was_shown_late() -> None:
    assert shown_late([1, 2, 5, 7, 9], [(7, 8), (2, 4)]) == [2, 7]
    assert shown_late([1], []) == []


@pytest.mark.parametrize(("compared", "due_now"), [(None, False), (NOW - HOUR, False), (NOW - DAY, True)])
def test_gaps_are_compared_once_a_day(compared: datetime | None, due_now: bool) -> None:
    assert is_to_be_compared(compared, NOW) is due_now
