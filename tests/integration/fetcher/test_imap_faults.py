"""A logged-in connection against scripted servers: hanging, flooding, lying, going away."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

import pytest
from aioimaplib.aioimaplib import IMAP4ClientProtocol

from services.fetcher import faults
from services.fetcher.imap.client import Mailbox
from services.fetcher.imap.wire import Limits, Wire
from services.fetcher.plan import Listed
from tests.integration.fetcher.conftest import Connect
from tests.integration.fetcher.dialogue import Server, scripted

LIMIT = 1_000_000


def mail(uid: int, size: int) -> Listed:
    return Listed(uid, size, frozenset(), None)


def fetch_line(uid: int, body: bytes) -> bytes:
    return b"* 1 FETCH (UID %d BODY[] {%d}\r\n" % (uid, len(body)) + body + b")"


async def opened(log_in: Connect, port: int, **options: object) -> Mailbox:
    mailbox = await log_in(port, **options)
    await mailbox.open("INBOX")
    return mailbox


# --- deadlines


async def test_a_server_that_hangs_inside_a_literal_is_given_up(log_in: Connect) -> None:
    async def hang(server: Server) -> None:
        await server.lets_in_and_opens()
        await server.hears("UID FETCH 1 ")
        await server.sends(b"* 1 FETCH (UID 1 BODY[] {1000}\r\nhalf of it")
        await server.hangs()

    async with scripted(hang) as server:
        mailbox = await opened(log_in, server.port)
        with pytest.raises(faults.TimedOut):
            async with asyncio.timeout(3):
                await mailbox.fetch([mail(1, 1000)], LIMIT)


async def test_a_byte_now_and_then_does_not_stretch_the_deadline(log_in: Connect) -> None:
    async def trickle(server: Server) -> None:
        await server.lets_in_and_opens()
        await server.hears("UID FETCH 1 ")
        await server.sends(b"* 1 FETCH (UID 1 BODY[] {1000}\r\n")
        while True:
            await server.sends(b"x")
            await asyncio.sleep(0.05)

    async with scripted(trickle) as server:
        mailbox = await opened(log_in, server.port)
        began = time.monotonic()
        with pytest.raises(faults.TimedOut):
            await mailbox.fetch([mail(1, 1000)], LIMIT)
        assert 0.9 < time.monotonic() - began < 1.6  # the command's second, not the silence of 0.4 s


async def test_a_large_mail_gets_the_time_it_needs(log_in: Connect) -> None:
    body = b"x" * 100_000

    async def dawdle(server: Server) -> None:
        await server.lets_in_and_opens()
        await server.hears("UID FETCH 1 ")
        line = fetch_line(1, body) + b"\r\n"
        for start in range(0, len(line), 20_000):
            await server.sends(line[start : start + 20_000])
            await asyncio.sleep(0.25)
        await server.answers()
        await server.hangs()

    async with scripted(dawdle) as server:
        mailbox = await opened(log_in, server.port)
        (fetched,) = await mailbox.fetch([mail(1, len(body))], LIMIT)
        assert fetched.body == body


@pytest.mark.parametrize("command", ["STORE", "MOVE", "EXPUNGE", "IDLE", "SEARCH"])
@pytest.mark.parametrize("closes", [False, True], ids=["never answered", "connection closed"])
async def test_every_command_ends_when_the_server_does_not_answer(log_in: Connect, command: str, closes: bool) -> None:
    async def ignore(server: Server) -> None:
        await server.lets_in_and_opens()
        await server.hears("IDLE" if command == "IDLE" else "UID ")
        if command == "EXPUNGE":
            await server.answers()
            await server.hears("UID EXPUNGE")
        if not closes:
            await server.hangs()

    async with scripted(ignore) as server:
        mailbox = await opened(log_in, server.port)
        calls: dict[str, Callable[[], Awaitable[object]]] = {
            "STORE": lambda: mailbox.flag([1], "\\Seen"),
            "MOVE": lambda: mailbox.move([1], "done"),
            "EXPUNGE": lambda: mailbox.remove([1]),
            "IDLE": lambda: mailbox.idle(60),
            "SEARCH": lambda: mailbox.search(1, None),
        }
        with pytest.raises(faults.ConnectFailed if closes else faults.TimedOut):
            async with asyncio.timeout(3):
                await calls[command]()


async def test_after_a_deadline_the_connection_is_dead_and_says_so(log_in: Connect) -> None:
    async def ignore(server: Server) -> None:
        await server.lets_in_and_opens()
        await server.hears("UID SEARCH")
        await server.hangs()

    async with scripted(ignore) as server:
        mailbox = await opened(log_in, server.port)
        for _ in range(2):
            with pytest.raises(faults.TimedOut):
                await mailbox.search(1, None)


async def test_a_cancelled_command_ends_the_connection(log_in: Connect) -> None:
    async def ignore(server: Server) -> None:
        await server.lets_in_and_opens()
        await server.hears("UID SEARCH")
        await server.hangs()

    async with scripted(ignore) as server:
        mailbox = await opened(log_in, server.port)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await mailbox.search(1, None)
        with pytest.raises(faults.ConnectFailed):
            await mailbox.search(1, None)


async def test_commands_asked_at_once_go_one_after_the_other(log_in: Connect) -> None:
    async def serve(server: Server) -> None:
        await server.lets_in_and_opens()
        for _ in range(3):
            uid = int((await server.hears("UID FETCH ")).split()[0])
            await server.answers(fetch_line(uid, b"mail %d" % uid))
        await server.hangs()

    async with scripted(serve) as server:
        mailbox = await opened(log_in, server.port)
        answers = await asyncio.gather(*(mailbox.fetch([mail(uid, 6)], LIMIT) for uid in (1, 2, 3)))
        assert [a.body for (a,) in answers] == [b"mail 1", b"mail 2", b"mail 3"]


# --- going away


async def test_a_connection_lost_in_idle_is_noticed_at_once(log_in: Connect) -> None:
    async def leave(server: Server) -> None:
        await server.lets_in_and_opens()
        await server.hears("IDLE")
        await server.says("+ idling")

    async with scripted(leave) as server:
        mailbox = await opened(log_in, server.port)
        with pytest.raises(faults.ConnectFailed):
            async with asyncio.timeout(1.0):
                await mailbox.idle(540)


async def test_the_reason_of_a_bye_is_kept(log_in: Connect) -> None:
    async def dismiss(server: Server) -> None:
        await server.lets_in_and_opens()
        await server.hears("IDLE")
        await server.says("+ idling", "* BYE Session invalidated: AccessTokenExpired")
        await server.hangs()

    async with scripted(dismiss) as server:
        mailbox = await opened(log_in, server.port)
        with pytest.raises(faults.ConnectFailed, match="AccessTokenExpired"):
            await mailbox.idle(540)


# --- floods


async def test_five_thousand_lines_in_one_piece_are_read_quickly(log_in: Connect) -> None:
    async def flood(server: Server) -> None:
        await server.lets_in_and_opens()
        await server.hears("UID STORE")
        await server.sends(b"".join(b"* %d FETCH (FLAGS (\\Seen))\r\n" % n for n in range(1, 5001)))
        await server.answers()
        await server.hangs()

    async with scripted(flood) as server:
        mailbox = await opened(log_in, server.port)
        began = time.process_time()
        await mailbox.flag([1], "\\Seen")
        assert time.process_time() - began < 0.5


async def test_a_literal_of_nine_gigabytes_is_refused_before_a_byte_is_kept(log_in: Connect) -> None:
    async def lie(server: Server) -> None:
        await server.lets_in_and_opens()
        await server.hears("UID FETCH")
        await server.says("* 1 FETCH (UID 1 BODY[] {9000000000}")
        await server.hangs()

    async with scripted(lie) as server:
        mailbox = await opened(log_in, server.port)
        with pytest.raises(faults.TooLarge):
            await mailbox.fetch([mail(1, 1000)], LIMIT)


@pytest.mark.parametrize("digits", ["100000000000000000000000", "1000000"])
async def test_a_literal_above_the_announced_size_is_too_large(log_in: Connect, digits: str) -> None:
    async def lie(server: Server) -> None:
        await server.lets_in_and_opens()
        await server.hears("UID FETCH")
        await server.says("* 1 FETCH (UID 1 BODY[] {" + digits + "}")
        await server.hangs()

    async with scripted(lie) as server:
        mailbox = await opened(log_in, server.port)
        with pytest.raises(faults.TooLarge):
            await mailbox.fetch([mail(1, 1000)], LIMIT)


async def test_several_literals_share_one_budget(log_in: Connect) -> None:
    async def lie(server: Server) -> None:
        await server.lets_in_and_opens()
        await server.hears("UID FETCH")
        body = b"y" * 60_000
        await server.answers(fetch_line(1, body), fetch_line(1, body), fetch_line(1, body))
        await server.hangs()

    async with scripted(lie) as server:
        mailbox = await opened(log_in, server.port)
        with pytest.raises(faults.TooLarge):
            await mailbox.fetch([mail(1, 50_000)], LIMIT)


async def test_a_literal_outside_a_fetch_opens_nothing(log_in: Connect) -> None:
    async def tease(server: Server) -> None:
        await server.lets_in_and_opens()
        await server.hears("UID SEARCH")
        await server.answers("* OK look at this {9000000000}", "* SEARCH 4 5")
        await server.hangs()

    async with scripted(tease) as server:
        mailbox = await opened(log_in, server.port)
        assert await mailbox.search(1, None) == [4, 5]


async def test_a_line_without_an_end_is_cut_off(log_in: Connect) -> None:
    async def flood(server: Server) -> None:
        await server.lets_in_and_opens()
        await server.hears("UID SEARCH")
        while True:
            await server.sends(b"* SEARCH" + b" 1" * 50_000)

    async with scripted(flood) as server:
        mailbox = await opened(log_in, server.port)
        with pytest.raises(faults.ProtocolFault, match="1 MiB"):
            await mailbox.search(1, None)


async def test_untagged_lines_without_end_are_cut_off(log_in: Connect) -> None:
    async def flood(server: Server) -> None:
        await server.lets_in_and_opens()
        await server.hears("UID SEARCH")
        while True:
            await server.sends(b"* OK still searching\r\n" * 1000)

    async with scripted(flood) as server:
        mailbox = await opened(log_in, server.port, limits=Limits(command=20, text=100_000))
        with pytest.raises(faults.ProtocolFault, match="untagged"):
            await mailbox.search(1, None)


# --- what is made of the answers


async def test_a_mail_arrives_byte_for_byte_however_it_is_cut(log_in: Connect) -> None:
    body = b"Subject: * 2 FETCH (UID 9 BODY[] {3}\r\n\r\n* (odd) \x00\xff ) A1 OK done\r\n\r\n"

    async def drip(server: Server) -> None:
        await server.lets_in_and_opens()
        await server.hears("UID FETCH 1 (UID BODY.PEEK[])")
        answer = fetch_line(1, body) + f"\r\n{server.tag} OK done\r\n".encode()
        for position in range(len(answer)):
            await server.sends(answer[position : position + 1])
        await server.hangs()

    async with scripted(drip) as server:
        mailbox = await opened(log_in, server.port)
        (fetched,) = await mailbox.fetch([mail(1, len(body))], LIMIT)
        assert fetched.body == body


async def test_unsolicited_lines_are_not_taken_for_mail(log_in: Connect) -> None:
    async def chatter(server: Server) -> None:
        await server.lets_in_and_opens()
        await server.hears("UID FETCH 1,3 ")
        await server.answers(
            "* 9 FETCH (FLAGS (\\Seen $Junk))",
            "* 2 EXPUNGE",
            fetch_line(1, b"one"),
            '* 4 FETCH (UID 3 FLAGS ("(" ")") ENVELOPE ("broken ((" NIL',
            "* 12 EXISTS",
            b'* 3 FETCH (BODY[] "th\\"ree" UID 3)',
        )
        await server.hangs()

    async with scripted(chatter) as server:
        mailbox = await opened(log_in, server.port)
        fetched = await mailbox.fetch([mail(1, 3), mail(3, 6)], LIMIT)
        assert [(f.uid, f.body) for f in fetched] == [(1, b"one"), (3, b'th"ree')]


async def test_nil_and_missing_bodies_are_none(log_in: Connect) -> None:
    async def withhold(server: Server) -> None:
        await server.lets_in_and_opens()
        await server.hears("UID FETCH 1:2 ")
        await server.answers("* 1 FETCH (UID 1 BODY[] NIL)")
        await server.hangs()

    async with scripted(withhold) as server:
        mailbox = await opened(log_in, server.port)
        fetched = await mailbox.fetch([mail(1, 30), mail(2, 30)], LIMIT)
        assert [f.body for f in fetched] == [None, None]


async def test_search_beyond_the_end_gives_nothing(log_in: Connect) -> None:
    async def serve(server: Server) -> None:
        await server.lets_in_and_opens()
        assert await server.hears("UID SEARCH") == "UID 5:*"
        await server.answers("* SEARCH 4")
        await server.hangs()

    async with scripted(serve) as server:
        mailbox = await opened(log_in, server.port)
        assert await mailbox.search(5, None) == []


async def test_folder_names_travel_quoted_in_modified_utf7(log_in: Connect) -> None:
    async def listen(server: Server) -> None:
        await server.lets_in()
        assert await server.hears("SELECT") == '"Entw&APw-rfe & \\"mehr\\""'.replace(" & ", " &- ")
        await server.answers("* OK [UIDVALIDITY 1]", "* OK [UIDNEXT 1]", "* 0 EXISTS")
        await server.hangs()

    async with scripted(listen) as server:
        mailbox = await log_in(server.port)
        await mailbox.open('Entwürfe & "mehr"')


async def test_a_test_of_the_account_opens_read_only(log_in: Connect) -> None:
    async def listen(server: Server) -> None:
        await server.lets_in()
        await server.hears("EXAMINE")
        await server.answers("* OK [UIDVALIDITY 1]", "* OK [UIDNEXT 1]", "* 0 EXISTS")
        await server.hangs()

    async with scripted(listen) as server:
        mailbox = await log_in(server.port)
        assert (await mailbox.open("INBOX", read_only=True)).uidvalidity == 1


async def test_a_server_without_uidvalidity_is_refused(log_in: Connect) -> None:
    async def withhold(server: Server) -> None:
        await server.lets_in()
        await server.hears("SELECT")
        await server.answers("* 3 EXISTS")
        await server.hangs()

    async with scripted(withhold) as server:
        mailbox = await log_in(server.port)
        with pytest.raises(faults.ProtocolFault, match="UIDVALIDITY"):
            await mailbox.open("INBOX")


# --- removing


async def test_move_without_the_extension_removes_only_what_was_copied(log_in: Connect) -> None:
    async def serve(server: Server) -> None:
        await server.lets_in_and_opens("IMAP4rev1 UIDPLUS")
        await server.hears('UID COPY 1:3 "done"')
        await server.answers(tagged="OK [COPYUID 7 1,3 40:41] copied")
        await server.hears("UID STORE 1,3 +FLAGS.SILENT (\\Deleted)")
        await server.answers()
        await server.hears("UID EXPUNGE 1,3")
        await server.answers("* 1 EXPUNGE", "* 2 EXPUNGE")
        await server.hangs()

    async with scripted(serve) as server:
        mailbox = await opened(log_in, server.port)
        copied = await mailbox.copy([1, 2, 3], "done")
        assert copied == {1, 3}
        await mailbox.remove(sorted(copied))


@pytest.mark.parametrize(
    ("answer", "copied"), [("OK [COPYUID 7  ] nothing", set()), ("OK copied", None)], ids=["nothing", "not said"]
)
async def test_a_copy_proves_what_the_server_says_and_no_more(
    log_in: Connect, answer: str, copied: set[int] | None
) -> None:
    async def serve(server: Server) -> None:
        await server.lets_in_and_opens("IMAP4rev1 UIDPLUS")
        await server.hears("UID COPY 1")
        await server.answers(tagged=answer)
        await server.hangs()

    async with scripted(serve) as server:
        mailbox = await opened(log_in, server.port)
        assert await mailbox.copy([1], "done") == copied


async def test_without_uidplus_nothing_is_deleted_and_the_reason_told(log_in: Connect) -> None:
    async def serve(server: Server) -> None:
        await server.lets_in_and_opens("IMAP4rev1")
        await server.hears("UID SEARCH")
        await server.answers("* SEARCH")
        await server.hangs()

    async with scripted(serve) as server:
        mailbox = await opened(log_in, server.port)
        with pytest.raises(faults.Refused, match="UIDPLUS"):
            await mailbox.remove([1])
        assert await mailbox.search(1, None) == []  # the connection lives on


async def test_a_refused_expunge_leaves_the_connection_usable(log_in: Connect) -> None:
    async def serve(server: Server) -> None:
        await server.lets_in_and_opens()
        await server.hears("UID STORE")
        await server.answers()
        await server.hears("UID EXPUNGE")
        await server.answers(tagged="NO not today")
        await server.hears("UID SEARCH")
        await server.answers("* SEARCH 1")
        await server.hangs()

    async with scripted(serve) as server:
        mailbox = await opened(log_in, server.port)
        with pytest.raises(faults.Refused):
            await mailbox.remove([1])
        assert await mailbox.search(1, None) == [1]


# --- IDLE


@pytest.mark.parametrize("push", ["* 2 EXISTS", "* 1 EXPUNGE"])
async def test_idle_ends_when_the_server_has_news(log_in: Connect, push: str) -> None:
    async def serve(server: Server) -> None:
        await server.lets_in_and_opens()
        await server.hears("IDLE")
        tag = server.tag
        await server.says("+ idling", "* OK still here", push)
        assert await server.hears_line() == "DONE"
        await server.says(f"{tag} OK idle done")
        await server.hears("UID SEARCH")
        await server.answers("* SEARCH 2")
        await server.hangs()

    async with scripted(serve) as server:
        mailbox = await opened(log_in, server.port)
        async with asyncio.timeout(2):
            await mailbox.idle(540)
        assert await mailbox.search(2, None) == [2]


async def test_news_between_two_commands_are_not_slept_through(log_in: Connect) -> None:
    async def serve(server: Server) -> None:
        await server.lets_in_and_opens()
        await server.hears("UID SEARCH")
        await server.answers("* SEARCH", "* 2 EXISTS")
        await server.hears_nothing_more()

    async with scripted(serve) as server:
        mailbox = await opened(log_in, server.port)
        await mailbox.search(2, None)
        async with asyncio.timeout(1):
            await mailbox.idle(540)


async def test_idle_is_renewed_after_the_time_asked_for(log_in: Connect) -> None:
    async def serve(server: Server) -> None:
        await server.lets_in_and_opens()
        for _ in range(2):
            await server.hears("IDLE")
            tag = server.tag
            await server.says("+ idling")
            assert await server.hears_line() == "DONE"
            await server.says(f"{tag} OK")
        await server.hangs()

    async with scripted(serve) as server:
        mailbox = await opened(log_in, server.port)
        await mailbox.idle(0.05)
        await mailbox.idle(0.05)


# --- the library underneath


def test_the_names_overridden_still_exist_in_the_library() -> None:
    ours = {
        "connection_made", "connection_lost", "data_received", "send", "execute", "idle", "new_tag",
    }  # fmt: skip
    assert ours <= set(dir(IMAP4ClientProtocol))
    assert {"connection_lost", "data_received", "send", "execute", "idle"} <= set(vars(Wire))


async def test_nothing_of_a_session_reaches_the_log(log_in: Connect, caplog: pytest.LogCaptureFixture) -> None:
    async def serve(server: Server) -> None:
        await server.lets_in_and_opens()
        await server.hears("UID FETCH")
        await server.answers(fetch_line(1, b"canary-body"))
        await server.hangs()

    caplog.set_level(logging.DEBUG)
    async with scripted(serve) as server:
        mailbox = await opened(log_in, server.port, password="canary-password")
        await mailbox.fetch([mail(1, 11)], LIMIT)
    assert "canary" not in caplog.text
