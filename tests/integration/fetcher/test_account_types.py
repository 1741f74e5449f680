"""One suite on both protocols and all six account types, on Dovecot."""

from pathlib import Path

import pytest

from shared.events import Origin
from tests.integration.fetcher.conftest import OnDovecot
from tests.integration.fetcher.world import mail, until

TYPES = ["imap", "imaps", "imaptls", "pop3", "pop3s", "pop3tls"]
PROTOCOLS = ["imaps", "pop3s"]


async def nothing_uncleaned(world: OnDovecot) -> bool:
    row = await world.row("SELECT count(*) FILTER (WHERE NOT cleaned) AS left FROM fetcher.confirmed")
    return row == {"left": 0}


@pytest.mark.parametrize("account_type", TYPES)
async def test_every_type_reads_each_mail_once_and_removes_it_when_it_is_safe(
    on_dovecot: OnDovecot, account_type: str
) -> None:
    on_dovecot.put(*(mail(number) for number in range(5)))
    on_dovecot.use(account_type, after="delete")
    async with on_dovecot.fetcher():
        received = await on_dovecot.received(5)
        await until(lambda: on_dovecot.left() == 0)
        await until(lambda: nothing_uncleaned(on_dovecot))
    assert len({m.transport_key for m in received}) == len(received) == 5
    assert {m.raw.split(b"Subject: ")[1].split(b"\r\n")[0] for m in received} == {b"Frage %d" % n for n in range(5)}


@pytest.mark.parametrize("account_type", ["imaps", "imaptls", "pop3s", "pop3tls"])
async def test_a_certificate_of_an_unknown_issuer_is_refused(
    on_dovecot: OnDovecot, account_type: str, other_authority: Path
) -> None:
    on_dovecot.put(mail(1))
    on_dovecot.use(account_type)
    async with on_dovecot.fetcher(ca_file=other_authority):

        async def refused() -> bool:
            return (await on_dovecot.status()).get("error") == "tls_failed"

        await until(refused)
    assert on_dovecot.left() == 1


@pytest.mark.parametrize("account_type", ["imaps", "pop3s"])
async def test_a_certificate_for_another_host_is_refused(on_dovecot: OnDovecot, account_type: str) -> None:
    on_dovecot.use(account_type, host="127.0.0.2")
    async with on_dovecot.fetcher():

        async def refused() -> bool:
            return (await on_dovecot.status()).get("error") in {"tls_failed", "connect_failed"}

        await until(refused)


@pytest.mark.parametrize("account_type", PROTOCOLS)
async def test_what_is_kept_is_read_once_over_several_looks(on_dovecot: OnDovecot, account_type: str) -> None:
    on_dovecot.put(mail(1), mail(2))
    on_dovecot.use(account_type, after="keep", interval="10s")
    async with on_dovecot.fetcher(holder="one"):
        await until(lambda: _succeeded(on_dovecot, "one"))
    async with on_dovecot.fetcher(holder="two"):
        await until(lambda: _succeeded(on_dovecot, "two"))
    on_dovecot.put(mail(3))
    async with on_dovecot.fetcher(holder="three"):
        assert len(await on_dovecot.received(3)) == 3
    assert on_dovecot.left() == 3


async def _succeeded(world: OnDovecot, holder: str) -> bool:
    status = await world.status()
    done = bool(status.get("holder") == holder and status.get("last_success"))
    if done:
        await world.execute("UPDATE fetcher.account_status SET last_success = NULL")
    return done


@pytest.mark.parametrize("account_type", PROTOCOLS)
async def test_start_from_now_leaves_older_mail_alone(on_dovecot: OnDovecot, account_type: str) -> None:
    on_dovecot.put(mail(1), mail(2))
    on_dovecot.use(account_type, after="delete", start_from="now")
    async with on_dovecot.fetcher():
        await until(lambda: _succeeded(on_dovecot, "one"))
    on_dovecot.put(mail(3))
    async with on_dovecot.fetcher(holder="two"):
        (only,) = await on_dovecot.received(1)
        await until(lambda: on_dovecot.left() == 2)
    assert b"Frage 3" in only.raw
    assert only.origin is Origin.LIVE


@pytest.mark.parametrize("account_type", PROTOCOLS)
async def test_mail_from_before_watching_is_backfill(on_dovecot: OnDovecot, account_type: str) -> None:
    on_dovecot.put(mail(1))
    on_dovecot.use(account_type)
    async with on_dovecot.fetcher():
        (old,) = await on_dovecot.received(1)
    assert old.origin is Origin.BACKFILL


@pytest.mark.parametrize("account_type", PROTOCOLS)
async def test_of_an_oversize_mail_only_the_header_block_travels(on_dovecot: OnDovecot, account_type: str) -> None:
    on_dovecot.put(mail(1), mail(2, "Zeile.\r\n" * 3000))
    on_dovecot.use(account_type, after="delete", max_size="10KiB")
    async with on_dovecot.fetcher():
        small, large = sorted(await on_dovecot.received(2), key=lambda m: m.size)
        await until(lambda: on_dovecot.left() == 1)
    assert (small.oversize, large.oversize) == (False, True)
    assert large.size > 20_000
    assert b"Subject: Frage 2" in large.raw
    assert b"Zeile." not in large.raw


@pytest.mark.parametrize("account_type", PROTOCOLS)
async def test_a_wrong_password_is_told_and_a_corrected_one_tried_soon(
    on_dovecot: OnDovecot, account_type: str
) -> None:
    on_dovecot.put(mail(1))
    on_dovecot.use(account_type)
    on_dovecot.password("wrong-canary")
    async with on_dovecot.fetcher():

        async def refused() -> bool:
            return (await on_dovecot.status()).get("error") == "auth_failed"

        await until(refused)
        assert "canary" not in (await on_dovecot.status())["error_text"]
        on_dovecot.password(on_dovecot.user)
        assert len(await on_dovecot.received(1)) == 1


@pytest.mark.parametrize("account_type", PROTOCOLS)
@pytest.mark.parametrize("body", ["plain", ".\r\n..dots\r\n.\r\n. at the begin\r\n.\r\n"], ids=["plain", "dots"])
async def test_a_mail_arrives_byte_for_byte(on_dovecot: OnDovecot, account_type: str, body: str) -> None:
    sent = mail(1, body)
    on_dovecot.put(sent)
    on_dovecot.use(account_type)
    async with on_dovecot.fetcher():
        (received,) = await on_dovecot.received(1)
    assert received.raw.rstrip(b"\r\n") == sent.rstrip(b"\r\n")


# --- several folders


async def test_every_folder_has_its_own_cursor_and_the_first_tells_of_new_mail(on_dovecot: OnDovecot) -> None:
    on_dovecot.put(mail(1))
    on_dovecot.put(mail(2), folder="R&APw-ckfragen")  # modified UTF-7 on disk
    on_dovecot.put(mail(3), folder="Spam")
    on_dovecot.use("imaps", folders="[INBOX, Rückfragen, Spam]", after="delete", interval="1h")
    async with on_dovecot.fetcher():
        received = await on_dovecot.received(3)
        assert {m.folder for m in received} == {"INBOX", "Rückfragen", "Spam"}
        await until(lambda: on_dovecot.left("Spam") == 0)
        on_dovecot.put(mail(4), folder="Spam")
        on_dovecot.put(mail(5))  # a push in the first folder looks at the others too
        assert {m.folder for m in (await on_dovecot.received(5))[3:]} == {"INBOX", "Spam"}
    assert await on_dovecot.row("SELECT count(*) AS folders FROM fetcher.folders") == {"folders": 3}


async def test_a_folder_that_does_not_exist_is_told_and_keeps_nobody_from_the_others(on_dovecot: OnDovecot) -> None:
    on_dovecot.put(mail(1))
    on_dovecot.put(mail(2), folder="Spam")
    on_dovecot.use("imaps", folders="[INBOX, nowhere, Spam]")
    async with on_dovecot.fetcher():
        assert len(await on_dovecot.received(2)) == 2

        async def told() -> bool:
            return "nowhere" in (await on_dovecot.status()).get("error_text", "")

        await until(told)
