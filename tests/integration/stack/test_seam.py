"""Each fixture of tests/conftest.py, used once."""

import asyncio
import smtplib
import ssl
from collections.abc import Awaitable, Callable
from imaplib import IMAP4_SSL

import asyncpg
import pytest

from ops.stack import ready
from shared.kafka.admin import apply_topics, differences
from shared.topics import TOPICS
from tests.conftest import Mailbox
from tests.servers import OwnServers, Servers


async def test_topics_are_made_behind_the_tests_own_prefix(servers: Servers, prefix: str) -> None:
    await apply_topics(servers.kafka, prefix, 1)
    async with asyncio.timeout(20):  # the broker spreads the word after it has answered
        while await differences(servers.kafka, prefix, 1, [topic.name for topic in TOPICS]):
            await asyncio.sleep(0.1)


async def test_a_fresh_database_has_every_migration_applied(database: str) -> None:
    connection = await asyncpg.connect(database)
    try:
        assert await connection.fetchval("SELECT current_database()") in database
        assert await connection.fetchval("SELECT count(*) FROM pg_roles WHERE rolname = 'carteiro_ticketing'") == 1
    finally:
        await connection.close()


def test_a_mail_to_a_new_mailbox_is_read_over_verified_tls(servers: Servers, mailbox: Callable[[str], Mailbox]) -> None:
    ana = mailbox("ana")
    trust = ssl.create_default_context(cafile=str(servers.ca_file))
    with smtplib.SMTP_SSL(servers.mail.host, servers.mail.smtps, context=trust) as smtp:
        smtp.sendmail("kunde@kunde.test", [ana.address], "Subject: oi\r\n\r\nbom dia\r\n")
    with IMAP4_SSL(servers.mail.host, servers.mail.imaps, ssl_context=trust) as imap:
        imap.login(ana.address, ana.password)
        assert imap.select("INBOX") == ("OK", [b"1"])


@pytest.mark.kills
async def test_private_servers_come_back_with_their_data_after_kill_9(
    own_servers: Callable[..., Awaitable[OwnServers]],
) -> None:
    own = await own_servers("postgres", "kafka", "greenmail")
    connection = await asyncpg.connect(own.servers.postgres)
    await connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    await apply_topics(own.servers.kafka, "", 1)
    await asyncio.gather(own.kill("postgres"), own.kill("kafka"))
    connection.terminate()
    with pytest.raises(OSError):
        await ready.kafka(int(own.servers.kafka.split(":")[1]))

    await asyncio.gather(own.restart("postgres"), own.restart("kafka"))

    connection = await asyncpg.connect(own.servers.postgres)
    try:
        assert await connection.fetchval("SELECT answer FROM kept") == 42
    finally:
        await connection.close()
    assert await differences(own.servers.kafka, "", 1, [topic.name for topic in TOPICS]) == []
