"""POP3 where it differs: UIDLs that change or come again, ends that are lost, servers that lie or hang."""

import asyncio
import contextlib
import ssl
import time
from base64 import b64encode
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

import pytest

from services.fetcher import faults
from services.fetcher.drop_store import Drops
from services.fetcher.plan import Listed
from services.fetcher.pop3.client import Drop, Mailbox
from services.fetcher.pop3.connect import connect
from services.fetcher.pop3.wire import Limits
from services.fetcher.protocol import Security
from services.fetcher.reading import Looked, Reader
from services.fetcher.session import Session
from services.fetcher.store import Lease
from services.fetcher.watch import Surroundings
from shared.desk.model import Account
from shared.events import Origin
from tests.integration.fetcher.dialogue import Server, scripted
from tests.integration.fetcher.looks import leased
from tests.integration.fetcher.scripted_drop import ScriptedDrop
from tests.integration.fetcher.world import World, mail, until

QUICK = Limits(command=1.0, silence=0.4, bytes_per_second=65_536)
ACCOUNT = Account.model_validate(
    {"type": "pop3", "host": "127.0.0.1", "user": "u", "password": {"secret": "imap"}, "queue": "Raw"}
)


class InOrder:
    """A numbering without memory."""

    async def number(self, listing: Sequence[tuple[str, int]]) -> Drop:
        return Drop(1, len(listing) + 1, range(1, len(listing) + 1), {})

    async def keep_hashes(self, hashes: Mapping[int, str]) -> None: ...

    async def forget(self, uids: Collection[int]) -> None: ...


async def enter(
    port: int,
    *,
    security: Security = Security.plain,
    context: ssl.SSLContext | None = None,
    host: str = "127.0.0.1",
    user: str = "u",
    password: str = "geheim",
    bearer: bool = False,
) -> Mailbox:
    return await connect(
        host,
        port,
        security,
        context or ssl.create_default_context(),
        user=user,
        password=password,
        bearer=bearer,
        numbering=InOrder(),
        deadline=2.0,
        limits=QUICK,
    )


async def look(around: Surroundings, lease: Lease, port: int, after: str, start: str = "all") -> Looked:
    account = ACCOUNT.model_copy(update={"after": after})
    mailbox = await connect(
        "127.0.0.1",
        port,
        Security.plain,
        ssl.create_default_context(),
        user="u",
        password="p",
        numbering=Drops(around.rim.store, lease),
    )
    try:
        session = Session(around.rim, lease, account, mailbox, account.folder)
        looked = await Reader(session, "now" if start == "now" else "all").look()
        await around.rim.store.succeeded(lease, looked.began, connected=False)
        return looked
    finally:
        await mailbox.close()


def uidls(*numbers: int) -> list[tuple[str, bytes]]:
    return [(f"id-{number}", mail(number)) for number in numbers]


# --- removal


@pytest.mark.parametrize("said", ["", "-ERR [SYS/TEMP] not removed"], ids=["connection lost", "refused"])
async def test_a_lost_end_removes_later_and_repeats_nothing(world: World, said: str) -> None:
    drop = ScriptedDrop(uidls(1, 2), quit_says=said)
    async with scripted(drop) as server, leased(world) as (around, lease):
        for _ in range(2):
            with pytest.raises((faults.ConnectFailed, faults.Busy)):
                await look(around, lease, server.port, "delete")
        drop.quit_says = "+OK bye"
        await look(around, lease, server.port, "delete")
        assert drop.mails == []
        assert drop.count("RETR") == 6  # read again, as only what was read in a session may be removed in it
    assert len(await world.received(2)) == 2
    assert await world.row("SELECT count(*) AS known FROM fetcher.uidls") == {"known": 0}


async def test_another_mail_under_the_uidl_of_a_confirmed_one_is_not_removed_but_read(world: World) -> None:
    drop = ScriptedDrop([("1", b"Subject: first\r\n\r\none\r\n")], quit_says="")
    async with scripted(drop) as server, leased(world) as (around, lease):
        with pytest.raises(faults.ConnectFailed):
            await look(around, lease, server.port, "delete")
        drop.mails = [("1", b"Subject: other\r\n\r\ntwo\r\n")]  # the same UIDL and size
        drop.quit_says = "+OK bye"
        drop.quit_removes = False
        await look(around, lease, server.port, "delete")
        assert drop.count("DELE") == 1
        await look(around, lease, server.port, "delete")
    assert {m.raw for m in await world.received(2)} == {
        b"Subject: first\r\n\r\none\r\n",
        b"Subject: other\r\n\r\ntwo\r\n",
    }


async def test_without_uidl_nothing_is_deleted_each_mail_read_once_and_the_reason_told(world: World) -> None:
    drop = ScriptedDrop(uidls(1, 2), has_uidl=False)
    async with scripted(drop) as server, leased(world) as (around, lease):
        for _ in range(2):
            assert "UIDL" in (await look(around, lease, server.port, "delete")).complaint
    assert drop.count("DELE") == 0
    assert drop.count("RETR") == 2
    assert len(await world.received(2)) == 2


# --- identity


async def test_a_uidl_that_comes_again_after_its_mail_was_gone_is_a_new_mail(world: World) -> None:
    drop = ScriptedDrop([("1", b"Subject: first\r\n\r\none\r\n")])
    async with scripted(drop) as server, leased(world) as (around, lease):
        await look(around, lease, server.port, "keep")
        drop.mails = []
        await look(around, lease, server.port, "keep")
        drop.mails = [("1", b"Subject: other\r\n\r\ntwo\r\n")]
        await look(around, lease, server.port, "keep")
    assert len(await world.received(2)) == 2


async def test_a_uidl_twice_in_one_listing_loses_no_mail(world: World) -> None:
    drop = ScriptedDrop([("x", b"Subject: first\r\n\r\none\r\n"), ("x", b"Subject: other\r\n\r\ntwo\r\n")])
    async with scripted(drop) as server, leased(world) as (around, lease):
        await look(around, lease, server.port, "delete")
    assert len(await world.received(2)) == 2
    assert drop.mails == []


async def test_when_every_uidl_changes_older_mail_is_silent_and_what_was_left_alone_stays_so(world: World) -> None:
    def drop_of(prefix: str, *dates: str) -> list[tuple[str, bytes]]:
        heads = [f"Received: by mx; {date}\r\nSubject: {place}\r\n\r\nx\r\n" for place, date in enumerate(dates)]
        return [(f"{prefix}{place}", head.encode()) for place, head in enumerate(heads)]

    old, new = "Mon, 2 Jan 2023 10:00:00 +0000", "Fri, 1 Jan 2100 10:00:00 +0000"
    drop = ScriptedDrop(drop_of("a", old, old))
    async with scripted(drop) as server, leased(world) as (around, lease):
        await look(around, lease, server.port, "keep", start="now")
        drop.mails = drop_of("b", old, old, new)
        await look(around, lease, server.port, "keep", start="now")
    (only,) = await world.received(1)
    assert (only.uid, only.origin) == ("b2", Origin.LIVE)


async def test_a_listing_that_is_empty_once_makes_no_old_mail_new(world: World) -> None:
    drop = ScriptedDrop(uidls(1, 2))
    kept = drop.mails
    async with scripted(drop) as server, leased(world) as (around, lease):
        for mails in (kept, [], kept):
            drop.mails = mails
            await look(around, lease, server.port, "keep", start="now")
    assert drop.count("RETR") == 0


# --- faults


@pytest.mark.parametrize("said", ["-ERR [IN-USE] another session", "-ERR [LOGIN-DELAY] wait", "-ERR [SYS/TEMP] later"])
async def test_a_drop_in_use_is_busy_and_no_wrong_password(said: str) -> None:
    async with scripted(ScriptedDrop([], pass_says=said)) as server:
        with pytest.raises(faults.Busy):
            await enter(server.port)


@pytest.mark.parametrize("echo", ["geheim", b64encode(b"\0u\0geheim").decode(), "%67%65%68%65%69%6d"])
async def test_a_server_that_repeats_the_password_is_not_quoted(echo: str) -> None:
    async with scripted(ScriptedDrop([], pass_says=f"-ERR not with {echo}")) as server:
        with pytest.raises(faults.AuthFailed, match="withheld") as refused:
            await enter(server.port)
        assert echo not in str(refused.value)


async def test_characters_beyond_ascii_log_in_with_plain() -> None:
    async def serve(server: Server) -> None:
        await server.says("+OK ready")
        assert await server.hears_line() == "CAPA"
        await server.says("+OK", "USER", "SASL PLAIN", ".")
        assert await server.hears_line() == "AUTH PLAIN " + b64encode("\0u\0canário".encode()).decode()
        await server.says("+OK in")
        assert await server.hears_line() == "CAPA"
        await server.says("+OK", ".")
        await server.hangs()

    async with scripted(serve) as server:
        await enter(server.port, password="canário")


Call = Callable[[Mailbox], Awaitable[object]]
CALLS: dict[str, Call] = {
    "LIST": lambda mailbox: mailbox.open("INBOX"),
    "QUIT": lambda mailbox: mailbox.finish(),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("closes", [False, True], ids=["never answered", "connection closed"])
async def test_every_command_ends_when_the_server_does_not_answer(call: str, closes: bool) -> None:
    class Silent(ScriptedDrop):
        async def _answer(self, server: Server, command: str, argument: str) -> None:
            if command != call:
                await super()._answer(server, command, argument)
            elif closes:
                raise ConnectionResetError
            else:
                await server.hangs()

        async def _quit(self, server: Server, marked: set[int]) -> None:
            await self._answer(server, "QUIT", "")

    async with scripted(Silent(uidls(1))) as server:
        mailbox = await enter(server.port)
        for _ in range(2):  # and the connection stays dead
            with pytest.raises(faults.ConnectFailed if closes else faults.TimedOut):
                async with asyncio.timeout(3):
                    await CALLS[call](mailbox)


async def read(mailbox: Mailbox, size: int) -> bytes | None:
    await mailbox.open("INBOX")
    (got,) = await mailbox.fetch([Listed(1, size, frozenset(), None)], 1_000_000)
    return got.body


async def test_a_byte_now_and_then_does_not_stretch_the_deadline() -> None:
    class Trickles(ScriptedDrop):
        async def _answer(self, server: Server, command: str, argument: str) -> None:
            if command != "RETR":
                await super()._answer(server, command, argument)
                return
            await server.says("+OK")
            while True:
                await server.sends(b"x")
                await asyncio.sleep(0.05)

    async with scripted(Trickles(uidls(1))) as server:
        mailbox = await enter(server.port)
        began = time.monotonic()
        with pytest.raises(faults.TimedOut):
            await read(mailbox, 100)
        assert 0.9 < time.monotonic() - began < 1.8


async def test_more_than_was_announced_is_cut_off() -> None:
    class Floods(ScriptedDrop):
        async def _answer(self, server: Server, command: str, argument: str) -> None:
            if command != "RETR":
                await super()._answer(server, command, argument)
                return
            with contextlib.suppress(ConnectionError):
                await server.says("+OK")
                while True:
                    await server.sends(b"x" * 60_000)

    async with scripted(Floods(uidls(1))) as server:
        mailbox = await enter(server.port)
        with pytest.raises(faults.TooLarge):
            await read(mailbox, 100)


async def test_a_stripped_stls_is_refused_before_the_password_is_sent(trusting: ssl.SSLContext) -> None:
    drop = ScriptedDrop([])
    async with scripted(drop) as server:
        with pytest.raises(faults.TlsFailed, match="does not offer STLS"):
            await enter(server.port, security=Security.starttls, context=trusting, host="localhost")
    assert drop.count("USER") == 0


@pytest.mark.parametrize("together", [True, False], ids=["in one packet", "a moment later"])
async def test_bytes_behind_the_ok_to_stls_are_an_attack(trusting: ssl.SSLContext, together: bool) -> None:
    async def inject(server: Server) -> None:
        await server.says("+OK ready")
        await server.hears_line()
        await server.says("+OK", "STLS", ".")
        await server.hears_line()
        await server.sends(b"+OK begin\r\n" + (b"+OK\r\nUSER\r\n.\r\n" if together else b""))
        if not together:
            await server.sends(b"+OK\r\nUSER\r\n.\r\n")
        await server.hangs()

    async with scripted(inject) as server:
        with pytest.raises(faults.TlsFailed, match="bytes came" if together else None):
            await enter(server.port, security=Security.starttls, context=trusting, host="localhost")


async def test_a_refused_body_is_an_attempt_and_the_drop_is_looked_at_again(world: World) -> None:
    drop = ScriptedDrop(uidls(1), retr_says="-ERR cannot open")
    async with scripted(drop) as server:
        world.write_desk(type="pop3", host="127.0.0.1", port=server.port)
        async with world.fetcher():

            async def failed() -> bool:
                return (await world.row("SELECT attempts FROM fetcher.failed")).get("attempts") == 1

            await until(failed)
    assert drop.count("RETR") == 1
