"""The sendmail program of the machine (Postfix, Exim, OpenSMTPD bring one): its exit status, by sysexits.h, says what
came of the mail. One process a mail; end of file is what the final dot is to SMTP."""

import asyncio
import contextlib
import shlex
from collections.abc import Callable
from typing import NamedTuple

from services.mailer.states import Outcome, Result
from services.mailer.transports.faults import AccountFault, Expired
from shared.clock import boottime

END_SECONDS = 600.0


class Exit(NamedTuple):
    """`result` None: a fault of the account."""

    result: Result | None
    word: str


STATUS = {
    0: Exit(Result.ACCEPTED, "accepted"),
    64: Exit(None, "usage"),  # EX_USAGE: the command in the desk is wrong
    65: Exit(Result.REFUSED, "data"),  # EX_DATAERR
    66: Exit(None, "no_input"),
    67: Exit(Result.REFUSED, "recipient"),  # EX_NOUSER
    68: Exit(Result.REFUSED, "recipient"),  # EX_NOHOST
    69: Exit(None, "unavailable"),
    70: Exit(None, "software"),
    71: Exit(None, "system"),
    72: Exit(None, "system_file"),
    73: Exit(None, "cannot_create"),
    74: Exit(None, "input_output"),
    75: Exit(Result.POSTPONED, "later"),  # EX_TEMPFAIL
    76: Exit(None, "protocol"),
    77: Exit(None, "no_permission"),  # EX_NOPERM: this user may not send as that sender
    78: Exit(None, "configuration"),
    126: Exit(None, "program_missing"),
    127: Exit(None, "program_missing"),
}


class SendmailTransport:
    def __init__(self, command: str, clock: Callable[[], float] = boottime, end_seconds: float = END_SECONDS) -> None:
        self._command = shlex.split(command)
        self._clock = clock
        self._end_seconds = end_seconds

    async def deliver(self, sender: str, recipient: str, raw: bytes, dot_before: float) -> Outcome:
        """One try. Raises AccountFault, Expired."""
        if self._clock() > dot_before:
            raise Expired
        process = await self._start(sender, recipient)
        ended = False
        try:
            async with asyncio.timeout(self._end_seconds):
                await _write(process, raw.replace(b"\r\n", b"\n"))
                if self._clock() > dot_before:
                    raise Expired
                ended = True
                _close(process)
                status = await process.wait()
        except TimeoutError:
            return Outcome(Result.UNKNOWN if ended else Result.POSTPONED, word="timeout")
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()  # before the end of file: it throws away what it has
                await process.wait()
        if status < 0:
            return Outcome(Result.UNKNOWN, word="killed")
        result, word = STATUS.get(status, Exit(None, "unknown_status"))
        if result is None:
            raise AccountFault(word, named=True)
        return Outcome(result, word=word)

    async def close(self) -> None:
        """Nothing is open."""

    async def _start(self, sender: str, recipient: str) -> asyncio.subprocess.Process:
        """-i: a line with a single dot is text; -f: the envelope's sender; what follows `--` is no option."""
        try:
            return await asyncio.create_subprocess_exec(
                *self._command,
                "-i",
                "-f",
                sender or "<>",
                "--",
                recipient,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
            )
        except OSError as error:
            raise AccountFault("program_missing") from error


async def _write(process: asyncio.subprocess.Process, text: bytes) -> None:
    """A program that ends without reading says why by its status."""
    if process.stdin is not None:
        with contextlib.suppress(ConnectionError):
            process.stdin.write(text)
            await process.stdin.drain()


def _close(process: asyncio.subprocess.Process) -> None:
    if process.stdin is not None:
        process.stdin.close()
