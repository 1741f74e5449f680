"""Bearer tokens (RFC 6750): what one is, and what it may do. Pure but for the randomness of a new one.

A token is 32 random bytes, so a plain SHA-256 keeps it: there is nothing to guess that a slow hash would slow down.
"""

import hashlib
import re
import secrets
from enum import Enum
from typing import NamedTuple

PREFIX = "carteiro_"
_FORM = re.compile(rf"{PREFIX}[A-Za-z0-9_-]{{43}}")


class Scope(Enum):
    """`read`: tickets and mails. `agent`: change tickets (and read them). `operator`: the installation: dead letters,
    deliveries, accounts, explain; it reaches every queue."""

    READ = "read"
    AGENT = "agent"
    OPERATOR = "operator"


class Token(NamedTuple):
    """Who asks. `queues` None: every queue. `agent`: whom its changes are made by, empty for a program."""

    id: int
    name: str
    scopes: frozenset[Scope]
    queues: frozenset[str] | None
    agent: str

    def may(self, scope: Scope) -> bool:
        return scope in self.scopes or (scope is Scope.READ and Scope.AGENT in self.scopes)

    def reaches(self, queue: str) -> bool:
        return self.queues is None or queue in self.queues

    @property
    def who(self) -> str:
        """Written beside what it decides."""
        return self.agent or f"token {self.name}"


def new_secret() -> str:
    """Shown once."""
    return PREFIX + secrets.token_urlsafe(32)


def digest(secret: str) -> bytes | None:
    """What is kept of it; None for what is no token of ours."""
    return hashlib.sha256(secret.encode()).digest() if _FORM.fullmatch(secret) else None
