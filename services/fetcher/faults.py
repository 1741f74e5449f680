"""What can go wrong with an account: one exception type per class of failure.

`result` is the label value of `carteiro_account_fetch_total` and of the account's status. The text is one
sentence for an administrator; it may quote the server, never a password, a token or a mail.
"""

import re
from base64 import b64decode
from typing import ClassVar

from shared.redaction import Redaction

_QUOTED_AT_MOST = 200
_BUSY = re.compile(
    r"\[(?:INUSE|IN-USE|LIMIT|UNAVAILABLE|LOGIN-DELAY|SYS/TEMP)[\] ]"
    r"|too many|simultaneous|maximum number of connections",
    re.IGNORECASE,
)
_NO_MAILBOX = re.compile(r"authenticated but not connected", re.IGNORECASE)  # Exchange
_THROTTLED = re.compile(r"\[THROTTLED\]|throttl|rate limit|bandwidth|try again later|quota exceeded", re.IGNORECASE)


class Fault(Exception):
    """An account cannot be read just now. Never raised itself: see the subclasses.

    `suspects`: the connection went away, so a mail that was being fetched may be the cause, or not;
    `blames`: the mail that was being fetched is the cause, if it came alone.
    """

    result: ClassVar[str]
    suspects: ClassVar[bool] = False
    blames: ClassVar[bool] = False


class AuthFailed(Fault):
    """The server refused name or password: repeating it soon locks the account."""

    result = "auth_failed"


class MailboxRefused(Fault):
    """The log-in went well and leads to no mailbox: the wrong one, or rights on it are missing."""

    result = "mailbox_refused"


class GrantRefused(Fault):
    """The provider gives out no access token (OAuth2) until somebody acts."""

    result = "grant_refused"


class TokenUnavailable(Fault):
    """No access token just now: the token endpoint is away."""

    result = "token_unavailable"


class Busy(Fault):
    """Too many connections, mailbox in use (RFC 5530 INUSE, LIMIT, UNAVAILABLE): no fault of ours."""

    result = "busy"


class ConnectFailed(Fault):
    """No connection, or it went away."""

    result = "connect_failed"
    suspects = True


class TlsFailed(Fault):
    """No verified TLS where TLS is demanded. There is no fallback."""

    result = "tls_failed"


class TimedOut(Fault):
    """A deadline passed."""

    result = "timeout"
    suspects = True


class Throttled(Fault):
    """The server asks for fewer requests."""

    result = "throttled"


class ProtocolFault(Fault):
    """The server does not speak as RFC 3501 says, or more than we take."""

    result = "protocol_error"
    suspects = True
    blames = True


class TooLarge(ProtocolFault):
    """A literal above what its command may bring; refused before a byte of it was kept."""


class Refused(ProtocolFault):
    """A command was answered NO or BAD; the connection lives on."""


def quote(said: bytes) -> str:
    """What a server said, fit for a status line: printable, at most 200 characters."""
    text = said[: 4 * _QUOTED_AT_MOST].decode("utf-8", "replace")
    return "".join(c if c.isprintable() else " " for c in text)[:_QUOTED_AT_MOST].strip()


def decoded(challenge: bytes) -> bytes:
    """What stands in a SASL challenge, at most 4 KiB; itself when it is no base64."""
    try:
        return b64decode(challenge[:4096], validate=True)
    except ValueError:
        return challenge[:4096]


def of_refusal(said: bytes, otherwise: type[Fault], doing: str, secrets: Redaction) -> Fault:
    """The fault behind a NO, BAD or BYE: response codes of RFC 5530 and the words servers really use."""
    text = quote(said)
    said_to_us = f"the server says {quote(secrets.words(said))!r}"
    if _NO_MAILBOX.search(text):
        return MailboxRefused(f"{doing}: logged in, but to no mailbox; {said_to_us}")
    kind = Busy if _BUSY.search(text) else Throttled if _THROTTLED.search(text) else otherwise
    return kind(f"{doing}: {said_to_us}")
