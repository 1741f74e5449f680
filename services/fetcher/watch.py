"""One account, for as long as its lease is held: connect, look, wait for news, look again; back off after a fault.

Nothing that happens here reaches another account. A fault of the mailbox becomes the account's status; a fault
of Kafka, the object store or the database leaves the mail where it is.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Literal
from zoneinfo import ZoneInfo

from services.fetcher import faults, waiting
from services.fetcher.credentials import Credentials, SecretMissing
from services.fetcher.dialing import Trust
from services.fetcher.drop_store import Drops
from services.fetcher.entrance import enter
from services.fetcher.outlet import NotHandedOver
from services.fetcher.protocol import Mailbox
from services.fetcher.reading import Looked, Reader, look_into_all
from services.fetcher.session import Pace, Rim, Session
from services.fetcher.store import Lease, LeaseLost
from shared import metrics
from shared.clock import monotonic, now
from shared.desk.model import Account
from shared.failures import Transient
from shared.logs import fields

log = logging.getLogger(__name__)

_HELD_BACK = "held_back"
_NO_SECRET = "no_secret"  # noqa: S105  # a result, not a password
# other failures end when a session lives: a server that lets us look and then goes away must not be asked for ever
_REFUSED = {faults.AuthFailed.result, faults.MailboxRefused.result, faults.GrantRefused.result}
_ENDED_BY_A_LOOK = {_HELD_BACK, _NO_SECRET, *_REFUSED}
_SECRET_LOOKED_AT = 5.0  # a corrected password is tried at once, not after hours


@dataclass(frozen=True)
class Surroundings:
    """What a watch needs beside the account."""

    rim: Rim
    trust: Trust
    credentials: Credentials
    zone: ZoneInfo


def start_of(start_from: Literal["now", "all"] | date, zone: ZoneInfo) -> Literal["now", "all"] | datetime:
    """The desk's `start_from` with a date as the begin of that day in the desk's time zone."""
    if isinstance(start_from, date):
        return datetime.combine(start_from, time.min, zone).astimezone(UTC)
    return start_from


class Watch:
    """Runs one account until it is cancelled or the lease is gone."""

    def __init__(self, around: Surroundings, lease: Lease, account: Account) -> None:
        self._around = around
        self._store = around.rim.store
        self._lease = lease
        self._account = account
        self._name = lease.account
        self._last_result = ""
        self._in_a_row = 0
        self._began = 0.0  # when the session looked for the first time
        self._not_taken = 0
        self._complaint = ""
        self._failing_since = 0.0
        self._pace = Pace()
        self._log_in = around.credentials.of(self._name, account)

    async def run(self) -> None:
        metrics.account_interval.labels(self._name).set(self._account.interval.total_seconds())
        metrics.resync_silenced.labels(self._name)  # begins with 0, so that the first one is an increase
        try:
            while True:
                await self._sleep(await self._one_session())
        except LeaseLost:
            log.warning(
                "the lease is gone: another fetcher reads on", extra=fields(action="lease_lost", account=self._name)
            )
        finally:
            self._log_in.forget()
            metrics.forget_account(self._name)

    async def _one_session(self) -> float:
        """A connection from its begin to its end; returns the seconds to wait before the next."""
        try:
            self._began = 0.0
            await self._around.rim.outlet.ask()  # while nothing is taken nobody logs in
            return await self._session()
        except faults.Fault as fault:
            if fault.result in _REFUSED:
                self._log_in.refused()
            await self._report(fault.result, str(fault))
            return self._back_off(_NO_SECRET if isinstance(fault, SecretMissing) else fault.result)
        except NotHandedOver as error:
            await self._report(_HELD_BACK, str(error), counted=False)
            self._not_taken += 1
            if self._not_taken == 1:
                return self._back_off(_HELD_BACK)
            self._last_result = _HELD_BACK
            return waiting.back_off("not_taken", self._not_taken - 1, random.random())  # noqa: S311  # jitter
        except Transient as error:
            # nothing was lost and nothing confirmed: the mail waits in the mailbox
            await self._report(_HELD_BACK, str(error), counted=False)
            return self._back_off(_HELD_BACK)
        except LeaseLost:
            raise
        except Exception as error:
            log.exception("unexpected", extra=fields(action="account_crashed", account=self._name))
            await self._report("protocol_error", f"unexpected {type(error).__name__}: see the log")
            return self._back_off("protocol_error")

    def _back_off(self, result: str) -> float:
        if self._began and monotonic() - self._began >= waiting.CALM:
            self._last_result = ""
        self._in_a_row = self._in_a_row + 1 if result == self._last_result else 1
        self._last_result = result
        return waiting.back_off(result, self._in_a_row, random.random())  # noqa: S311  # jitter

    async def _session(self) -> float:
        metrics.account_last_poll.labels(self._name).set(now().timestamp())
        account = self._account
        mailbox = await self._connect()
        self._began = monotonic()
        hasty = 0
        try:
            rim, start = self._around.rim, start_of(account.start_from, self._around.zone)
            readers = [
                Reader(Session(rim, self._lease, account, mailbox, folder, self._pace), start)
                for folder in account.watched
            ]
            idles = account.idle and mailbox.can_idle
            while True:
                looked = await self._look(readers, stays=idles)
                pause = self._pause(looked)
                if not idles:
                    return pause
                ended = monotonic()
                idles = await self._idle(mailbox, pause)
                hasty = waiting.hasty_looks(hasty, waited=monotonic() - ended, found=looked.found > 0)
                await asyncio.sleep(waiting.distance(hasty))
        finally:
            await mailbox.close()

    async def _idle(self, mailbox: Mailbox, seconds: float) -> bool:
        """False where the server offers IDLE and refuses it: the account is looked at every `interval`."""
        try:
            with metrics.account_idle_connections.labels(mailbox.protocol).track_inprogress():
                await mailbox.idle(seconds)
        except faults.Refused as refusal:
            self._complaint = f"{refusal}: the mailbox is looked at every `interval` only"
            return False
        self._complaint = ""
        return True

    async def _connect(self) -> Mailbox:
        credential = await self._log_in.credential()
        return await enter(self._account, credential, self._around.trust, Drops(self._store, self._lease))

    async def _look(self, readers: Sequence[Reader], *, stays: bool) -> Looked:
        """One look into every folder, and its success told."""
        began = monotonic()
        looked = await look_into_all(readers)
        complaint = looked.complaint or self._complaint
        error = faults.Refused.result if complaint else ""
        await self._store.succeeded(self._lease, looked.began, connected=stays, error=error, text=complaint)
        self._not_taken = 0
        if self._last_result in _ENDED_BY_A_LOOK:
            self._last_result, self._in_a_row = "", 0
        metrics.account_fetch.labels(self._name, "success").inc()
        metrics.account_fetch_duration.labels("imap" if self._account.is_imap else "pop3").observe(monotonic() - began)
        metrics.account_last_success.labels(self._name).set(looked.began.timestamp())
        metrics.account_last_poll.labels(self._name).set(now().timestamp())
        self._tell_failing("")
        return looked

    def _pause(self, looked: Looked) -> float:
        interval = self._account.interval.total_seconds()
        if looked.retry_at is None:
            return interval
        return max(1.0, min(interval, (looked.retry_at - looked.began).total_seconds()))

    def _tell_failing(self, result: str) -> None:
        """Since when, with the last result; empty: it works."""
        if not result:
            self._failing_since = 0.0
        elif not self._failing_since:
            self._failing_since = now().timestamp()
        metrics.account_failing.remove_by_labels({"account": self._name})
        if result:
            metrics.account_failing.labels(self._name, result).set(self._failing_since)

    async def _report(self, result: str, text: str, *, counted: bool = True) -> None:
        self._tell_failing(result)
        if counted:
            metrics.account_fetch.labels(self._name, result).inc()
        log.warning(
            "the account cannot be read",
            extra=fields(action="fetch_failed", account=self._name, result=result, cause=text),
        )
        with contextlib.suppress(Transient):  # the log has it
            await self._store.failed_look(self._lease, result, text)

    async def _sleep(self, seconds: float) -> None:
        """Waits; after a refused log-in no longer than until the secret changes."""
        ends = monotonic() + seconds
        watched = self._last_result in {*_REFUSED, _NO_SECRET}
        before = self._log_in.fingerprint() if watched else None
        while (left := ends - monotonic()) > 0:
            await asyncio.sleep(min(left, _SECRET_LOOKED_AT) if watched else left)
            if watched and self._log_in.fingerprint() not in {None, before}:
                self._last_result, self._in_a_row = "", 0
                return
