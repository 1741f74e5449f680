"""Servers that go back, throttle, forget, refuse or wake for nothing: scripted mailboxes, real Kafka and PostgreSQL."""

import asyncio
import time
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from urllib.parse import quote

import pytest

from services.fetcher import faults, plan
from services.fetcher.outlet import Away, NotHandedOver, Outlet
from tests.integration.fetcher.conftest import Connect
from tests.integration.fetcher.dialogue import Script, Server, scripted
from tests.integration.fetcher.looks import leased, look
from tests.integration.fetcher.scripted_mailbox import ScriptedMailbox
from tests.integration.fetcher.world import World, mail, until

UIDPLUS = "IMAP4rev1 UIDPLUS"


# --- a mailbox that goes back


async def test_a_mailbox_that_went_back_under_the_same_uidvalidity_is_read_anew(world: World, log_in: Connect) -> None:
    box = ScriptedMailbox({uid: mail(uid) for uid in range(1, 21)})
    async with scripted(box) as server, leased(world) as (around, lease):
        await look(around, lease, log_in, server.port)
        for uid in range(9, 21):
            del box.bodies[uid]
        box.uidnext = 9
        await look(around, lease, log_in, server.port)  # restored: everything again
        box.bodies |= {uid: mail(100 + uid) for uid in range(9, 21)}  # twelve new mails under UIDs of old ones
        box.uidnext = 0
        await look(around, lease, log_in, server.port)
    subjects = [m.raw.split(b"Subject: ")[1].split(b"\r\n")[0].decode() for m in await world.received(40)]
    assert sorted(subjects) == sorted(f"Frage {uid}" for uid in (*range(1, 21), *range(1, 9), *range(109, 121)))


async def test_in_a_mailbox_that_went_back_nothing_confirmed_before_permits_a_removal(
    world: World, log_in: Connect
) -> None:
    box = ScriptedMailbox({1: mail(1), 2: mail(2)}, expunge_says="NO not now", capabilities="IMAP4rev1 UIDPLUS")
    async with scripted(box) as server, leased(world) as (around, lease):
        await look(around, lease, log_in, server.port, after="delete")
        box.bodies = {1: None}  # UID 1 is another mail now, and nobody has it
        box.stored.clear()
        for _ in range(2):
            await look(around, lease, log_in, server.port, after="delete")
        assert box.stored == []


async def test_a_server_that_miscounts_uidnext_is_not_read_anew_with_every_look(world: World, log_in: Connect) -> None:
    box = ScriptedMailbox({1: mail(1), 2: mail(2)}, uidnext=1)
    async with scripted(box) as server, leased(world) as (around, lease):
        for _ in range(3):
            await look(around, lease, log_in, server.port)
    assert box.fetched == ["1:2"]


async def test_a_mailbox_that_went_back_and_was_filled_beyond_the_cursor_again_is_known_by_its_last_mail(
    world: World, log_in: Connect
) -> None:
    """Restored to twelve mails, then twelve new ones, before anybody looked: UIDNEXT says nothing any more."""
    box = ScriptedMailbox({uid: mail(uid) for uid in range(1, 21)})
    box.dates = {uid: f"01-Nov-2026 10:00:{uid:02} +0000" for uid in range(1, 21)}
    async with scripted(box) as server, leased(world) as (around, lease):
        await look(around, lease, log_in, server.port)
        box.bodies |= {uid: mail(100 + uid) for uid in range(13, 25)}
        box.dates |= {uid: f"02-Nov-2026 10:00:{uid:02} +0000" for uid in range(13, 25)}
        await look(around, lease, log_in, server.port)
        subjects = {m.raw.split(b"Subject: ")[1].split(b"\r\n")[0] for m in await world.received(44)}
        fetched = len(box.fetched)
        await look(around, lease, log_in, server.port)
        assert len(box.fetched) == fetched
    assert subjects == {b"Frage %d" % n for n in (*range(1, 21), *range(113, 125))}


async def test_a_mail_shown_after_the_cursor_passed_it_is_read_by_the_daily_comparison(
    world: World, log_in: Connect
) -> None:
    box = ScriptedMailbox({uid: mail(uid) for uid in range(1, 7)}, hidden={2, 4})
    async with scripted(box) as server, leased(world) as (around, lease):
        await look(around, lease, log_in, server.port)
        assert await world.row("SELECT cursor_uid FROM fetcher.folders") == {"cursor_uid": 6}
        box.hidden = {4}
        del box.bodies[5]  # read, and removed by its user
        await look(around, lease, log_in, server.port)
        assert len(await world.received(4)) == 4  # not before its time
        await world.execute("UPDATE fetcher.folders SET compared_at = now() - interval '25 hours'")
        await look(around, lease, log_in, server.port)
        assert sorted(m.uid for m in await world.received(5)) == ["1", "2", "3", "5", "6"]
        box.hidden = set()
        await world.execute("UPDATE fetcher.folders SET compared_at = now() - interval '25 hours'")
        await look(around, lease, log_in, server.port)
        assert sorted(m.uid for m in await world.received(6)) == ["1", "2", "3", "4", "5", "6"]
        assert await world.row("SELECT cursor_uid FROM fetcher.folders") == {"cursor_uid": 6}


# --- a mail that vanishes


async def test_a_mail_removed_between_listing_and_fetch_is_final_and_its_neighbours_do_not_wait(
    world: World, log_in: Connect
) -> None:
    box = ScriptedMailbox({uid: mail(uid) for uid in (1, 2, 3)}, vanishing={2})
    async with scripted(box) as server, leased(world) as (around, lease):
        looked = await look(around, lease, log_in, server.port)
        assert looked.retry_at is None
    assert sorted(m.uid for m in await world.received(2)) == ["1", "3"]
    assert await world.row("SELECT count(*) AS left FROM fetcher.failed") == {"left": 0}
    assert await world.row("SELECT cursor_uid FROM fetcher.folders") == {"cursor_uid": 3}


async def test_a_failed_mail_that_somebody_removes_calls_for_no_more_looks(world: World, log_in: Connect) -> None:
    box = ScriptedMailbox({1: mail(1), 2: None})
    async with scripted(box) as server, leased(world) as (around, lease):
        assert (await look(around, lease, log_in, server.port)).retry_at is not None
        del box.bodies[2]
        assert (await look(around, lease, log_in, server.port)).retry_at is None
    assert await world.row("SELECT count(*) AS left FROM fetcher.failed") == {"left": 0}


async def test_a_mail_that_one_search_forgets_is_not_given_up(world: World, log_in: Connect) -> None:
    class Forgetful(ScriptedMailbox):
        """Sends no body and no size for UID 2, which every search still finds."""

        async def _answer(self, server: Server, command: str) -> None:
            if "RFC822.SIZE" in command:
                body = self.bodies.pop(2)
                await super()._answer(server, command)
                self.bodies[2] = body
                return
            await super()._answer(server, command)

    box = Forgetful({1: mail(1), 2: mail(2)})
    async with scripted(box) as server, leased(world) as (around, lease):
        assert (await look(around, lease, log_in, server.port)).retry_at is not None
    assert await world.row("SELECT uid, attempts FROM fetcher.failed") == {"uid": 2, "attempts": 1}
    assert await world.row("SELECT cursor_uid FROM fetcher.folders") == {"cursor_uid": 1}


# --- throttling

THROTTLING = [
    "NO [THROTTLED] slow down",
    "NO [OVERQUOTA] Account exceeded command or bandwidth limits. (Failure)",
    "NO [LIMIT] UID FETCH Rate limit hit",
    "NO [UNAVAILABLE] UID FETCH Server error - Please try again later",
    "NO [SERVERBUG] something went wrong",
    "BAD Request is throttled. Suggested Backoff Time: 92415 milliseconds",
    "* BYE Session invalidated: throttled",
    "* BYE shutting down",
]


@pytest.mark.parametrize("said", THROTTLING)
async def test_a_server_that_throttles_a_fetch_makes_no_mail_a_dead_letter(
    world: World, log_in: Connect, said: str
) -> None:
    box = ScriptedMailbox({uid: mail(uid) for uid in (1, 2, 3)}, fetch_says=said)
    async with scripted(box) as server, leased(world) as (around, lease):
        for _ in range(6):
            with suppress(faults.Throttled, faults.Busy, faults.ConnectFailed):
                looked = await look(around, lease, log_in, server.port)
                assert looked.complaint
            await world.execute("UPDATE fetcher.failed SET retry_at = clock_timestamp()")
        assert await world.row("SELECT count(*) AS blamed FROM fetcher.failed WHERE attempts > 0") == {"blamed": 0}
        box.fetch_says = ""
        await look(around, lease, log_in, server.port)
    assert len(await world.received(3)) == 3


async def test_a_mail_that_is_refused_while_others_are_given_is_a_dead_letter_after_five_attempts(
    world: World, log_in: Connect
) -> None:
    class Refusing(ScriptedMailbox):
        async def _send_bodies(self, server: Server, uids: str) -> None:
            if "2" in uids or ":" in uids:
                self.fetched.append(uids)
                await server.answers(tagged="NO cannot convert message")
            else:
                await super()._send_bodies(server, uids)

    box = Refusing({1: mail(1), 2: mail(2), 3: mail(3)})
    async with scripted(box) as server, leased(world) as (around, lease):
        for number in range(8):
            await look(around, lease, log_in, server.port)
            box.bodies[10 + number] = mail(10 + number)  # others go on coming
            await world.execute("UPDATE fetcher.failed SET retry_at = clock_timestamp()")
        (letter,) = await world.dead_letters(1)
    assert dict(letter.headers)["uid"] == b"2"


async def test_a_group_that_is_refused_while_others_are_given_blames_none_of_its_mails(
    world: World, log_in: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Refusing(ScriptedMailbox):
        async def _send_bodies(self, server: Server, uids: str) -> None:
            if uids == "3:4":
                await server.answers(tagged="NO cannot convert message")
            else:
                await super()._send_bodies(server, uids)

    monkeypatch.setattr(plan, "GROUP_MAILS", 2)
    box = Refusing({uid: mail(uid) for uid in range(1, 5)})
    async with scripted(box) as server, leased(world) as (around, lease):
        await look(around, lease, log_in, server.port)
        assert await world.row("SELECT max(attempts) AS most FROM fetcher.failed") == {"most": 0}
        await look(around, lease, log_in, server.port)
    assert len(await world.received(4)) == 4


# --- waking for nothing


@asynccontextmanager
async def watched(world: World, script: Script) -> AsyncIterator[None]:
    async with scripted(script) as server:
        world.write_desk(type="imap", host="127.0.0.1", port=server.port)
        async with world.fetcher():
            yield


@pytest.mark.parametrize("idle", ["OK idled enough", "NO not supported", "exists"])
async def test_idle_that_ends_at_once_does_not_make_us_look_without_a_pause(world: World, idle: str) -> None:
    box = ScriptedMailbox({1: mail(1)}, idle_says=idle)
    async with watched(world, box):
        await until(lambda: box.times("SELECT"))
        began = time.monotonic()
        await asyncio.sleep(6)  # a rate is measured
        looks = [moment for moment in box.times("SELECT") if moment - began < 6]
    assert len(looks) <= 5
    assert box.log_ins == 1


async def test_where_idle_is_refused_the_status_says_so_and_mail_is_read(world: World) -> None:
    box = ScriptedMailbox({1: mail(1)}, idle_says="NO not for you")
    async with watched(world, box):
        assert len(await world.received(1)) == 1

        async def told() -> bool:
            return "interval" in (await world.status()).get("error_text", "")

        await until(told)


async def test_a_server_that_goes_away_after_every_look_is_asked_less_and_less(world: World) -> None:
    class Leaves(ScriptedMailbox):
        async def _idle(self, server: Server) -> None:
            raise ConnectionResetError

    box = Leaves({1: mail(1)})
    async with watched(world, box):
        await until(lambda: len(box.times("SELECT")) >= 3)
    _, second, third = box.times("SELECT")[:3]
    assert third - second >= 4  # were each look a fresh start, it would be 2


# --- copies


async def test_a_copy_nobody_vouches_for_is_told_made_once_and_nothing_is_removed(
    world: World, log_in: Connect
) -> None:
    box = ScriptedMailbox({1: mail(1), 2: mail(2)}, capabilities=UIDPLUS)
    async with scripted(box) as server, leased(world) as (around, lease):
        for _ in range(3):
            looked = await look(around, lease, log_in, server.port, after="move", move_to="done")
            assert "COPYUID" in looked.complaint
    assert box.copies == 2
    assert box.stored == []
    assert sorted(box.bodies) == [1, 2]


async def test_where_expunge_fails_no_second_copy_is_made(world: World, log_in: Connect) -> None:
    box = ScriptedMailbox(
        {1: mail(1), 2: mail(2)},
        capabilities=UIDPLUS,
        copy_says="OK [COPYUID 9 1:2 5:6] copied",
        expunge_says="NO not now",
    )
    async with scripted(box) as server, leased(world) as (around, lease):
        for _ in range(3):
            looked = await look(around, lease, log_in, server.port, after="move", move_to="done")
            assert "EXPUNGE" in looked.complaint
        assert box.copies == 2
        box.expunge_says = "OK done"
        assert (await look(around, lease, log_in, server.port, after="move", move_to="done")).complaint == ""
    assert box.copies == 2
    assert box.bodies == {}


# --- a store or a broker that is away


class Downloads(ScriptedMailbox):
    @property
    def count(self) -> int:
        return len(self.fetched)


LARGE = b"Subject: large\r\n\r\n" + b"x" * 400_000


async def test_while_the_object_store_refuses_a_large_mail_is_not_downloaded_again(world: World) -> None:
    box = Downloads({1: LARGE})
    objects = world.folder / "objects"
    objects.write_text("no folder")
    async with watched(world, box):

        async def held_back() -> bool:
            return (await world.status()).get("error") == "held_back"

        await until(held_back)
        await asyncio.sleep(6)  # asked again meanwhile
        assert box.count == 1
        objects.unlink()
        assert len(await world.received(1)) == 1
        assert box.count == 2


async def test_a_store_that_answers_and_does_not_take_the_mail_gets_it_rarely(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    box = Downloads({1: LARGE})
    objects = world.folder / "objects"
    objects.write_text("no folder")

    async def says_yes(outlet: Outlet) -> None:
        outlet._doubtful = False

    monkeypatch.setattr(Outlet, "ask", says_yes)
    async with watched(world, box):
        await until(lambda: box.count >= 2)
        await asyncio.sleep(6)
        assert box.count == 2


async def test_a_store_that_was_asked_holds_nothing_more_than_before(world: World) -> None:
    async with world.parts() as around:
        around.rim.outlet._doubtful = True
        await around.rim.outlet.ask()
        assert not around.rim.outlet._doubtful
    assert [path for path in (world.folder / "objects").rglob("*") if path.is_file()] == []


async def test_when_one_account_finds_the_store_away_no_other_fetches(world: World, log_in: Connect) -> None:
    box = Downloads({1: LARGE})
    (world.folder / "objects").write_text("no folder")
    async with scripted(box) as server, leased(world) as (around, lease):
        with pytest.raises(NotHandedOver):
            await look(around, lease, log_in, server.port)
        with pytest.raises(Away):
            await look(around, lease, log_in, server.port)
    assert box.count == 1


async def test_while_kafka_takes_no_records_nobody_logs_in(world: World) -> None:
    box = ScriptedMailbox({1: mail(1)})
    async with scripted(box) as server:
        world.write_desk(type="imap", host="127.0.0.1", port=server.port)
        async with world.fetcher(kafka="127.0.0.1:1"):

            async def held_back() -> bool:
                return (await world.status()).get("error") == "held_back"

            await until(held_back)
            await asyncio.sleep(5)
    assert (box.log_ins, len(box.fetched)) == (1, 1)


# --- secrets

SECRET = 'Canário "geheim" 7\\x'
ECHOES = {
    "quoted": lambda: SECRET.replace("\\", "\\\\").replace('"', '\\"'),
    "base64": lambda: b64encode(f"\0suporte@demo.test\0{SECRET}".encode()).decode(),
    "percent": lambda: quote(SECRET),
}


@pytest.mark.parametrize("how", ECHOES)
@pytest.mark.parametrize("line", ["NO", "BYE"])
async def test_a_server_that_repeats_the_password_is_not_quoted(
    world: World, caplog: pytest.LogCaptureFixture, how: str, line: str
) -> None:
    echo = ECHOES[how]()

    async def refuse(server: Server) -> None:
        await server.greets()
        await server.hears("AUTHENTICATE PLAIN")
        if line == "BYE":
            await server.says(f"* BYE cannot log in with {echo}")
        await server.answers(tagged=f"NO [AUTHENTICATIONFAILED] cannot log in with {echo}")
        await server.hangs()

    world.password(SECRET)
    async with watched(world, refuse):

        async def told() -> str:
            return str((await world.status()).get("error_text", ""))

        text = await until(told)
    everything = text + caplog.text + "".join(str(vars(record)) for record in caplog.records)
    assert "withheld" in text
    assert echo not in everything
    assert "geheim" not in everything


# --- a resync across midnight


async def test_new_mails_of_a_resync_are_searched_from_the_day_before(world: World, log_in: Connect) -> None:
    """SINCE knows days of the server's own zone: the day of the last success there may be the one before ours."""
    box = ScriptedMailbox({1: mail(1)})
    async with scripted(box) as server, leased(world) as (around, lease):
        await look(around, lease, log_in, server.port)
        await around.rim.store.succeeded(lease, datetime(2026, 3, 1, 0, 30, tzinfo=UTC), connected=True)
        box.uidvalidity = 8
        await look(around, lease, log_in, server.port)
    (searched,) = [said for _, said in box.asked if "SINCE" in said]
    assert searched.endswith("SINCE 28-Feb-2026")


async def test_while_the_brake_is_on_nothing_is_taken_in_and_the_status_says_why(world: World, log_in: Connect) -> None:
    box = ScriptedMailbox({1: mail(1)})
    async with scripted(box) as server, leased(world) as (around, lease):
        around.rim.outlet.brake = "the brake is on"
        with pytest.raises(Away, match="brake"):
            await look(around, lease, log_in, server.port)
        assert box.fetched == []
        around.rim.outlet.brake = ""
        await look(around, lease, log_in, server.port)
    assert box.fetched == ["1"]
