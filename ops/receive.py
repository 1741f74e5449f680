"""`carteiro receive --account NAME`: one mail from standard input, as an MTA's pipe hands it over.

The exit status is all an MTA understands: 0 only after Kafka has confirmed the mail, 65 for what is no mail and would
be none tomorrow, 75 for everything else, so that the MTA keeps the mail and tries again.
"""

import asyncio
import hashlib
import logging
import sys

from services.fetcher.outlet import Outlet
from shared.clock import now
from shared.desk.load import load_desk
from shared.events import Origin, ReceivedMail
from shared.kafka.producer import Producer
from shared.logs import fields
from shared.originals import open_originals
from shared.process import TRY_AGAIN
from shared.settings import Settings

log = logging.getLogger(__name__)

NO_MAIL = 65  # EX_DATAERR of sysexits.h
_AT_MOST = 60.0


def receive(account: str) -> int:
    """Reads the mail, hands it over, returns the exit status; what went wrong is one sentence on stderr."""
    try:
        settings = Settings()
        desk = load_desk(settings.desk).desk
        if account not in desk.accounts:
            raise LookupError(f"{settings.desk} names no account {account}; there are {', '.join(desk.accounts)}")
        limit = desk.accounts[account].max_size
        raw = sys.stdin.buffer.read(limit + 1)
        if complaint := _no_mail(raw, limit):
            print(complaint, file=sys.stderr)
            return NO_MAIL
        asyncio.run(_hand_over(settings, account, raw))
    except Exception as error:  # whatever it is: the MTA keeps the mail
        log.warning("not taken", exc_info=True, extra=fields(action="receive", account=account))
        print(f"not taken, try again later: {type(error).__name__}: {error}", file=sys.stderr)
        return TRY_AGAIN
    return 0


def _no_mail(raw: bytes, limit: int) -> str:
    if not raw.strip():
        return "no mail on standard input"
    if len(raw) > limit:
        return f"the mail is larger than max_size of the account ({limit} bytes): refused"
    return ""


async def _hand_over(settings: Settings, account: str, raw: bytes) -> None:
    producer = Producer(settings.cluster, settings.prefix, client_id=f"{settings.prefix}carteiro-receive")
    digest = hashlib.sha256(raw).hexdigest()
    mail = ReceivedMail(
        account=account,
        folder="",
        uidvalidity=None,
        uid=digest,
        size=len(raw),
        sha256=digest,
        received_at=now(),
        origin=Origin.LIVE,
        raw=raw,
    )
    try:
        async with asyncio.timeout(_AT_MOST):
            await Outlet(producer, open_originals(settings.objects), settings.cluster).hand_over([mail])
    finally:
        await producer.close()
