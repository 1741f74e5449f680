"""Leases and the fence around every write, on PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest

from services.fetcher.lease import Leases
from services.fetcher.plan import Failed, Folder
from services.fetcher.store import Lease, LeaseLost, Store, StoreUnavailable
from shared.postgres import Pool, create_pool
from tests.integration.fetcher.world import until

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
LONG = timedelta(minutes=1)
OVER = timedelta(0)
BEGUN = Folder(7, cursor=10, watched_since=NOW)


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    pool = await create_pool(database, "fetcher")
    yield pool
    await pool.close()


@pytest.fixture
def store(pool: Pool) -> Store:
    return Store(pool)


async def held(store: Store, holder: str = "one", ttl: timedelta = LONG) -> Lease:
    (lease,) = await store.acquire(["caixa"], holder, ttl)
    return lease


async def test_a_lease_that_is_alive_is_not_taken(store: Store) -> None:
    await held(store)
    assert await store.acquire(["caixa"], "two", LONG) == []


async def test_a_lease_that_ran_out_goes_to_the_next_with_a_higher_epoch(store: Store) -> None:
    first = await held(store, ttl=OVER)
    second = await held(store, "two")
    assert second.epoch > first.epoch
    assert await store.renew([first], "one", LONG) == set()
    assert await store.renew([second], "two", LONG) == {"caixa"}


async def test_of_many_who_ask_at_once_one_gets_each_lease(store: Store) -> None:
    accounts = [f"a{number}" for number in range(20)]
    answers = await asyncio.gather(*(store.acquire(accounts, str(holder), LONG) for holder in range(5)))
    assert sorted(lease.account for leases in answers for lease in leases) == sorted(accounts)


async def test_a_released_lease_is_free_at_once(store: Store) -> None:
    await store.release(await held(store))
    assert (await held(store, "two")).holder == "two"


STALE_WRITES: dict[str, Callable[[Store, Lease], Awaitable[None]]] = {
    "adopt": lambda store, lease: store.adopt(lease, "INBOX", Folder(8, 0, None)),
    "confirm": lambda store, lease: store.confirm(lease, "INBOX", Folder(7, 12, NOW), [11], [12]),
    "fail": lambda store, lease: store.fail(lease, "INBOX", BEGUN, [(Failed(11, 1, NOW), "NIL")]),
    "cleaned": lambda store, lease: store.cleaned(lease, "INBOX", BEGUN, [11]),
    "succeeded": lambda store, lease: store.succeeded(lease, NOW, connected=True),
    "failed_look": lambda store, lease: store.failed_look(lease, "timeout", "too slow"),
}


@pytest.mark.parametrize("write", STALE_WRITES)
async def test_without_the_lease_nothing_is_written(store: Store, write: str) -> None:
    stale = await held(store, ttl=OVER)
    await store.adopt(stale, "INBOX", BEGUN)
    await held(store, "two")
    before = await store.load("caixa", "INBOX")
    with pytest.raises(LeaseLost):
        await STALE_WRITES[write](store, stale)
    after = await store.load("caixa", "INBOX")
    assert (after.folder, after.final, after.failed) == (before.folder, before.final, before.failed)
    assert after.last_success is None


async def test_what_is_confirmed_is_kept_until_it_is_tidied_up_and_passed(store: Store) -> None:
    lease = await held(store)
    await store.adopt(lease, "INBOX", BEGUN)
    await store.confirm(lease, "INBOX", BEGUN, [12, 13], [14])  # 11 still holds the cursor
    memory = await store.load("caixa", "INBOX")
    assert memory.final == {12, 13, 14}
    assert sorted(memory.uncleaned) == [(7, 12), (7, 13)]
    await store.cleaned(lease, "INBOX", BEGUN, [12])
    advanced = Folder(7, cursor=14, watched_since=NOW)
    await store.confirm(lease, "INBOX", advanced, [], [11])
    memory = await store.load("caixa", "INBOX")
    assert memory.folder == advanced
    assert memory.uncleaned == ((7, 13),)
    await store.cleaned(lease, "INBOX", advanced, [13])
    memory = await store.load("caixa", "INBOX")
    assert (memory.final, memory.uncleaned) == (frozenset(), ())


async def test_the_cursor_never_goes_back(store: Store) -> None:
    lease = await held(store)
    await store.adopt(lease, "INBOX", BEGUN)
    await store.confirm(lease, "INBOX", Folder(7, 5, NOW), [], [])
    assert (await store.load("caixa", "INBOX")).folder == BEGUN


async def test_failures_are_remembered_until_the_mail_is_final(store: Store) -> None:
    lease = await held(store)
    await store.adopt(lease, "INBOX", BEGUN)
    for attempts in (1, 2):
        await store.fail(lease, "INBOX", BEGUN, [(Failed(11, attempts, NOW), "NIL")])
    assert (await store.load("caixa", "INBOX")).failed == {11: Failed(11, 2, NOW)}
    await store.confirm(lease, "INBOX", Folder(7, 11, NOW), [11], [])
    assert (await store.load("caixa", "INBOX")).failed == {}


async def test_a_new_uidvalidity_forgets_what_the_old_one_permitted(store: Store) -> None:
    lease = await held(store)
    await store.adopt(lease, "INBOX", BEGUN)
    await store.confirm(lease, "INBOX", BEGUN, [11], [])
    await store.fail(lease, "INBOX", BEGUN, [(Failed(12, 1, NOW), "NIL")])
    await store.adopt(lease, "INBOX", Folder(8, 0, NOW))
    memory = await store.load("caixa", "INBOX")
    assert (memory.final, memory.uncleaned, memory.failed) == (frozenset(), (), {})


async def test_since_when_an_account_fails_is_kept_while_the_reason_stays(store: Store, pool: Pool) -> None:
    lease = await held(store)

    async def since() -> object:
        return await pool.fetchval("SELECT error_since FROM fetcher.account_status_v1")

    await store.failed_look(lease, "timeout", "once")
    first = await since()
    await store.failed_look(lease, "timeout", "twice")
    assert await since() == first
    await store.failed_look(lease, "tls_failed", "something else")
    assert await since() != first
    await store.succeeded(lease, NOW, connected=True)
    assert await since() is None


class Away(Store):
    """A database that stops serving."""

    away = False

    async def renew(self, *args: object) -> set[str]:
        if self.away:
            raise StoreUnavailable
        return {"caixa"}

    async def acquire(self, *args: object) -> list[Lease]:
        return [] if self.away else [Lease("caixa", "one", 1)]


async def test_while_the_database_is_away_a_lease_is_held_no_longer_than_it_lasts(pool: Pool) -> None:
    time = 100.0
    store = Away(pool)
    leases = Leases(store, "one", ttl=timedelta(seconds=20), clock=lambda: time)
    assert await leases.keep(["caixa"])
    store.away = True
    time += 19
    assert await leases.keep(["caixa"])
    time += 1
    assert not await leases.keep(["caixa"])


async def test_a_dead_holder_is_replaced_when_its_lease_runs_out(store: Store) -> None:
    dead = Leases(store, "dead", ttl=timedelta(seconds=0.5))
    assert await dead.keep(["caixa"])
    heir = Leases(store, "heir", ttl=timedelta(seconds=0.5))
    assert not await heir.keep(["caixa"])
    await until(lambda: heir.keep(["caixa"]), seconds=5)


async def test_an_account_no_longer_wanted_is_released(store: Store) -> None:
    one, two = Leases(store, "one"), Leases(store, "two")
    assert await one.keep(["caixa"])
    assert not await one.keep([])
    assert await two.keep(["caixa"])


async def test_the_same_holder_under_an_older_epoch_writes_and_renews_nothing(store: Store) -> None:
    """A process that lost its lease and got it back has two watches for a moment: the old one may do nothing."""
    stale = await held(store, ttl=OVER)
    await store.adopt(stale, "INBOX", BEGUN)
    fresh = await held(store)
    assert (stale.holder, stale.epoch) < (fresh.holder, fresh.epoch)
    with pytest.raises(LeaseLost):
        await store.confirm(stale, "INBOX", Folder(7, 12, NOW), [11], [12])
    assert await store.renew([stale], "one", LONG) == set()
    assert await store.renew([fresh], "one", LONG) == {"caixa"}


async def test_a_take_over_waits_for_a_write_that_has_begun(store: Store) -> None:
    lease = await held(store, ttl=timedelta(seconds=1))
    await store.adopt(lease, "INBOX", BEGUN)
    async with store.fenced(lease):
        await asyncio.sleep(1.1)  # the lease runs out in the middle of the transaction
        taking_over = asyncio.create_task(store.acquire(["caixa"], "two", LONG))
        done, _ = await asyncio.wait([taking_over], timeout=1)
        assert not done
    (heir,) = await taking_over
    assert heir.epoch > lease.epoch


async def test_a_lease_is_counted_from_before_it_was_asked_for(pool: Pool) -> None:
    """The answer may be slow: the database counted from some moment in between."""
    time = 100.0

    class Slow(Away):
        async def acquire(self, *args: object) -> list[Lease]:
            nonlocal time
            time += 15
            return await super().acquire(*args)

    store = Slow(pool)
    leases = Leases(store, "one", ttl=timedelta(seconds=20), clock=lambda: time)
    assert await leases.keep(["caixa"])
    store.away = True
    time += 6  # 21 s since it was asked for
    assert not await leases.keep(["caixa"])


# --- sharing


async def shared_out(holders: list[Leases], accounts: list[str], rounds: int = 4) -> list[set[str]]:
    """What each holds after some rounds, in turns."""
    held: list[set[str]] = []
    for _ in range(rounds):
        held = [set(await leases.keep(accounts)) for leases in holders]
    return held


async def test_fetchers_that_come_and_go_share_the_accounts_and_none_moves_without_need(store: Store) -> None:
    accounts = [f"a{number}" for number in range(10)]
    one, two, three = (Leases(store, name) for name in ("one", "two", "three"))
    assert [len(held) for held in await shared_out([one], accounts)] == [10]
    both = await shared_out([one, two], accounts)
    assert sorted(len(held) for held in both) == [5, 5]
    all_three = await shared_out([one, two, three], accounts)
    assert sorted(len(held) for held in all_three) == [3, 3, 4]
    assert sum(len(now & before) for now, before in zip(all_three, both, strict=False)) == 7  # three have moved
    assert await shared_out([one, two, three], accounts, rounds=1) == all_three
    await two.give_back()
    left = await shared_out([one, three], accounts)
    assert sorted(len(held) for held in left) == [5, 5]
    assert all_three[0] <= left[0]
    assert all_three[2] <= left[1]


async def test_all_at_once_no_account_has_two_readers_and_none_has_none(store: Store) -> None:
    accounts = [f"a{number}" for number in range(20)]
    fetchers = [Leases(store, str(number)) for number in range(4)]
    for _ in range(5):
        held = await asyncio.gather(*(leases.keep(accounts) for leases in fetchers))
        taken = [name for mine in held for name in mine]
        assert len(taken) == len(set(taken))
    assert [len(mine) for mine in held] == [5, 5, 5, 5]


async def test_during_a_roll_out_an_account_only_the_new_desk_knows_is_read(store: Store) -> None:
    old, new = Leases(store, "old"), Leases(store, "new")
    await shared_out([old], ["a", "b"])
    for _ in range(3):
        await old.keep(["a", "b"])
        held = await new.keep(["a", "b", "c"])
    assert set(held) == {"c"}


async def test_a_killed_fetcher_s_accounts_go_to_the_others_when_its_time_is_over(store: Store) -> None:
    accounts = [f"a{number}" for number in range(6)]
    dead, heir = Leases(store, "dead", ttl=timedelta(seconds=1)), Leases(store, "heir")
    await shared_out([dead, heir], accounts)

    async def all_mine() -> bool:
        return len(await heir.keep(accounts)) == 6

    await until(all_mine, seconds=10)
