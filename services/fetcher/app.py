"""The fetcher's composition root: reads mailboxes, states facts."""

import asyncio
import logging
import os
import secrets
import socket
import ssl

from services.fetcher.accounts import Accounts
from services.fetcher.brake import keep_watch
from services.fetcher.budget import ByteBudget
from services.fetcher.credentials import Credentials
from services.fetcher.dialing import Trust
from services.fetcher.lease import Leases
from services.fetcher.outlet import Outlet
from services.fetcher.session import Rim
from services.fetcher.store import Store
from services.fetcher.watch import Surroundings
from shared import oauth, process
from shared.kafka.producer import Producer
from shared.oauth import PostgresVault
from shared.originals import open_originals
from shared.process import Misconfigured, Process
from shared.settings import Settings
from shared.topics import DEAD_LETTERS, RECEIVED

log = logging.getLogger(__name__)


async def serve(proc: Process) -> None:
    """Runs until `proc.stop`; what is on its way to Kafka is confirmed and recorded before it returns."""
    settings = proc.settings
    desk = proc.desk()
    trust, oauth_trust = _trust(settings)
    try:
        originals = open_originals(settings.objects)
    except ValueError as error:
        raise Misconfigured(f"CARTEIRO_OBJECTS={settings.objects}: {error}") from error
    pool = await proc.database("fetcher")
    await proc.kafka(RECEIVED, DEAD_LETTERS)
    store = Store(pool)
    producer = Producer(settings.cluster, settings.prefix, client_id=f"{settings.prefix}carteiro-fetcher")
    outlet = Outlet(producer, originals, settings.cluster)
    rim = Rim(store, outlet, ByteBudget())
    credentials = Credentials(settings.secrets, PostgresVault(pool, "fetcher"), oauth_trust)
    around = Surroundings(rim, trust, credentials, desk.current.desk.zone)
    accounts = Accounts(around, Leases(store, holder_name(settings)), desk)
    proc.health.alive["fetcher leases"] = lambda: accounts.last_progress
    brake = asyncio.create_task(keep_watch(outlet, settings.cluster, settings.prefix), name="brake")
    try:
        await accounts.run(proc.stop)
    finally:
        brake.cancel()
        await accounts.close()
        await producer.close()
        await pool.close()


def holder_name(settings: Settings) -> str:
    """Who holds a lease, for people; the random end tells a process from the one before it in the same pod."""
    return f"{settings.instance or socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"


def _trust(settings: Settings) -> tuple[Trust, ssl.SSLContext]:
    """Of mail servers, and of token endpoints."""
    try:
        return Trust.load(settings.ca_file), oauth.trust(settings.ca_file)
    except OSError as error:
        raise Misconfigured(f"CARTEIRO_CA_FILE={settings.ca_file} cannot be used: {error.strerror}") from error


def run() -> int:
    """The process `carteiro run fetcher`; returns the exit status."""
    return process.run({"fetcher": serve})
