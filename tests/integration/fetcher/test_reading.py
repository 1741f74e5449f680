"""From a real mailbox to Kafka, once each: on GreenMail, PostgreSQL and Kafka."""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from services.fetcher.plan import Folder
from services.fetcher.store import Lease, Passed, Store
from shared.events import Origin
from shared.originals import open_originals
from tests.integration.fetcher.world import World, mail, until


async def test_fifty_mails_are_produced_once_each_and_then_flagged(world: World) -> None:
    await world.deliver(*(mail(number) for number in range(50)))
    async with world.fetcher():
        received = await world.received(50)
        assert len(received) == 50
        assert len({m.transport_key for m in received}) == 50
        assert all(b"Bom dia." in m.raw for m in received)
        await until(lambda: _all_seen(world))
        await until(lambda: _nothing_kept(world))
    row = await world.row("SELECT cursor_uid FROM fetcher.folders")
    assert row == {"cursor_uid": max(int(m.uid) for m in received)}


async def _is_watched(world: World) -> bool:
    return bool((await world.status()).get("connected"))


async def _all_seen(world: World) -> bool:
    return all("\\Seen" in flags for flags in (await world.flags()).values())


async def _nothing_kept(world: World) -> bool:
    return await world.row("SELECT count(*) AS kept FROM fetcher.confirmed") == {"kept": 0}


async def test_mail_that_comes_while_watching_is_fetched_at_once(world: World) -> None:
    async with world.fetcher():
        await until(lambda: _is_watched(world))
        await world.deliver(mail(1))
        (first,) = await world.received(1)
        assert first.origin is Origin.LIVE
        await world.deliver(mail(2))
        assert len(await world.received(2)) == 2
        assert (await world.status())["error"] == ""


async def test_start_from_now_leaves_older_mail_alone(world: World) -> None:
    await world.deliver(mail(1), mail(2))
    world.write_desk(start_from="now")
    async with world.fetcher():
        await until(lambda: _is_watched(world))
        await world.deliver(mail(3))
        (only,) = await world.received(1)
        assert b"Frage 3" in only.raw
    assert [("\\Seen" in flags) for _, flags in sorted((await world.flags()).items())] == [False, False, True]


async def test_mail_from_before_watching_is_backfill(world: World) -> None:
    await world.deliver(mail(1))
    async with world.fetcher():
        (old,) = await world.received(1)
        assert old.origin is Origin.BACKFILL


async def test_mail_read_by_another_client_is_fetched_all_the_same(world: World) -> None:
    await world.deliver(mail(1))
    async with world.mailbox() as mailbox:
        await mailbox.run("SELECT", "INBOX")
        await mailbox.flag([1], "\\Seen")
    async with world.fetcher():
        assert len(await world.received(1)) == 1


async def test_a_large_mail_is_in_the_object_store_before_its_reference(world: World) -> None:
    body = "Zeile mit etwas Text.\r\n" * 15_000
    await world.deliver(mail(1, body))
    async with world.fetcher():
        (large,) = await world.received(1)
    assert large.raw == b""
    stored = await open_originals(f"file://{world.folder}/objects").get(large.raw_ref)
    assert len(stored) == large.size > 300_000
    assert b"Frage 1" in stored


async def test_of_an_oversize_mail_only_the_header_block_travels_and_it_is_not_touched(world: World) -> None:
    await world.deliver(mail(1, "x" * 70 + "\r\n", "X-Odd: 1"), mail(2, "Zeile.\r\n" * 3000))
    world.write_desk(max_size="10KiB")
    async with world.fetcher():
        small, large = sorted(await world.received(2), key=lambda m: int(m.uid))
        await until(lambda: _nothing_kept(world))
    assert not small.oversize
    assert large.oversize
    assert large.size > 20_000
    assert b"Subject: Frage 2" in large.raw
    assert b"Zeile." not in large.raw
    assert ["\\Seen" in flags for _, flags in sorted((await world.flags()).items())] == [True, False]


@pytest.mark.parametrize("after", ["delete", "move"])
async def test_confirmed_mail_leaves_the_folder_when_the_desk_says_so(world: World, after: str) -> None:
    async with world.mailbox() as mailbox:
        await mailbox.run("CREATE", "done")
    await world.deliver(mail(1), mail(2))
    world.write_desk(after=after, move_to="done" if after == "move" else None)
    async with world.fetcher():
        assert len(await world.received(2)) == 2
        await until(lambda: _is_empty(world))
        await world.deliver(mail(3))
        assert len(await world.received(3)) == 3
    if after == "move":
        async with world.mailbox() as mailbox:
            assert (await mailbox.open("done", read_only=True)).exists >= 2


async def _is_empty(world: World) -> bool:
    return not await world.flags()


async def test_a_folder_that_does_not_exist_stops_the_tidying_not_the_fetching(world: World) -> None:
    await world.deliver(mail(1))
    world.write_desk(after="move", move_to="nowhere")
    async with world.fetcher():
        assert len(await world.received(1)) == 1

        async def told() -> bool:
            return "nowhere" in (await world.status()).get("error_text", "")

        await until(told)
        await world.deliver(mail(2))
        assert len(await world.received(2)) == 2
    assert len(await world.flags()) == 2


# --- a fetcher that dies


class DiesBeforeRecording(Store):
    """The process ends between Kafka's confirmation and the record of it."""

    died = 0

    async def confirm(
        self,
        lease: Lease,
        name: str,
        folder: Folder,
        to_clean: Iterable[int],
        settled: Iterable[int],
        *,
        passed: Passed | None = None,
    ) -> None:
        if list(to_clean):
            type(self).died += 1
            await asyncio.Event().wait()


async def test_a_mail_confirmed_but_not_recorded_comes_again_under_the_same_key(world: World) -> None:
    await world.deliver(mail(1))
    async with world.fetcher(DiesBeforeRecording) as dying:
        await until(lambda: DiesBeforeRecording.died)
        assert all("\\Seen" not in flags for flags in (await world.flags()).values())
        for task in asyncio.all_tasks():  # as SIGKILL would: no time to finish
            if "_hand_over" in repr(task.get_coro()):
                task.cancel()
        dying.die()
    async with world.fetcher(holder="two"):
        first, second = await world.received(2)
        assert first.transport_key == second.transport_key
        assert first.raw == second.raw
        await until(lambda: _all_seen(world))


async def test_a_stopped_fetcher_leaves_nothing_half_done_and_gives_its_lease_back(world: World) -> None:
    await world.deliver(*(mail(number) for number in range(20)))
    async with world.fetcher(ttl=60):
        await world.received(20)
    async with world.fetcher(holder="two", ttl=60):
        await until(lambda: _holder_is(world, "two"), seconds=5)
        await world.deliver(mail(20))
        assert len(await world.received(21)) == 21


async def _holder_is(world: World, holder: str) -> bool:
    return (await world.status()).get("holder") == holder


async def test_of_two_fetchers_one_holds_the_mailbox_and_the_other_takes_over(world: World) -> None:
    async with world.fetcher(holder="one") as one:
        await until(lambda: _holder_is(world, "one"))
        async with world.fetcher(holder="two"):
            await world.deliver(mail(1))
            assert len(await world.received(1)) == 1
            assert await _holder_is(world, "one")
            one.die()
            await world.deliver(mail(2))
            assert len(await world.received(2)) == 2
            await until(lambda: _holder_is(world, "two"))
    assert len(await world.received(2)) == 2


# --- accounts that cannot be read


async def _error_is(world: World, error: str) -> bool:
    return (await world.status()).get("error") == error


async def test_a_wrong_password_is_told_and_a_corrected_one_tried_soon(world: World) -> None:
    await world.deliver(mail(1))
    world.password("wrong")
    async with world.fetcher():
        await until(lambda: _error_is(world, "auth_failed"))
        assert "wrong" not in (await world.status())["error_text"]
        world.password(world.user)
        assert len(await world.received(1)) == 1
        await until(lambda: _error_is(world, ""))


async def test_a_missing_secret_names_the_file_to_write(world: World) -> None:
    (world.secrets / "imap").unlink()
    async with world.fetcher():
        await until(lambda: _error_is(world, "auth_failed"))
        assert str(world.secrets / "imap") in (await world.status())["error_text"]


async def test_a_certificate_of_an_unknown_issuer_is_refused(world: World, other_authority: Path) -> None:
    await world.deliver(mail(1))
    async with world.fetcher(ca_file=other_authority):
        await until(lambda: _error_is(world, "tls_failed"))
    row = await world.row("SELECT count(*) AS folders FROM fetcher.folders")
    assert row["folders"] == 0


async def test_one_account_out_of_order_does_not_hold_up_another(world: World) -> None:
    await world.deliver(mail(1))
    desk = (world.folder / "desk.yaml").read_text()
    broken = desk.removeprefix("accounts:\n").replace("caixa", "aaa").replace(world.user, "x" + world.user)
    (world.folder / "desk.yaml").write_text(desk + broken.replace(f"port: {world.at.mail.imaps}", "port: 1"))
    async with world.fetcher():
        assert len(await world.received(1)) == 1


# --- a new UIDVALIDITY


async def test_after_a_new_uidvalidity_nothing_is_skipped_and_old_mail_is_silent(world: World) -> None:
    await world.deliver(mail(1), mail(2))
    async with world.fetcher():
        await world.received(2)
        await until(lambda: _nothing_kept(world))
    await world.execute("UPDATE fetcher.folders SET uidvalidity = 1")
    await world.execute("UPDATE fetcher.account_status SET last_success = clock_timestamp()")
    await asyncio.sleep(1.1)  # INTERNALDATE counts whole seconds
    await world.deliver(mail(3))
    async with world.fetcher(holder="two"):
        again = (await world.received(5))[2:]
    origins = {int(m.uid): m.origin for m in again}
    assert origins == {1: Origin.BACKFILL, 2: Origin.BACKFILL, 3: Origin.LIVE}


class SlowToRecord(Store):
    """The database takes its time between Kafka's confirmation and the record of it."""

    began = False

    async def confirm(
        self,
        lease: Lease,
        name: str,
        folder: Folder,
        to_clean: Iterable[int],
        settled: Iterable[int],
        *,
        passed: Passed | None = None,
    ) -> None:
        type(self).began = True
        await asyncio.sleep(1)
        await super().confirm(lease, name, folder, to_clean, settled, passed=passed)


async def test_a_fetcher_that_is_stopped_while_it_records_ends_when_it_has_recorded(world: World) -> None:
    await world.deliver(mail(1))
    async with world.fetcher(SlowToRecord):
        await until(lambda: SlowToRecord.began)
    assert await world.row("SELECT uid FROM fetcher.confirmed") == {"uid": 1}
    async with world.fetcher(holder="two"):
        await until(lambda: _all_seen(world))
        assert len(await world.received(1)) == 1


class HangingDatabase(Store):
    """The database takes connections and answers nothing any more."""

    hangs = False

    async def renew(self, leases: Sequence[Lease], holder: str, ttl: timedelta) -> set[str]:
        if type(self).hangs:
            await asyncio.sleep(60)
        return await super().renew(leases, holder, ttl)


async def test_a_renewal_that_is_overdue_ends_the_connections(world: World) -> None:
    async with world.fetcher(HangingDatabase) as fetcher:
        await until(lambda: _is_watched(world))
        (running,) = fetcher.accounts._running.values()
        HangingDatabase.hangs = True
        await until(running.task.done, seconds=10)
        HangingDatabase.hangs = False
