"""What an account logs in with: a password, or an access token."""

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from services.fetcher import faults
from shared.desk.model import Account
from shared.desk.secret_files import SecretError, read_secret
from shared.oauth import GrantRefused, Tokens, TokenUnavailable, Vault


class SecretMissing(faults.Fault):
    """A secret's file cannot be read. Nobody refused us, so nobody locks the account."""

    result = "auth_failed"


class Credential(NamedTuple):
    """A password, or with `bearer` an access token."""

    text: str
    bearer: bool = False


@dataclass(frozen=True)
class Credentials:
    """Where those of every account come from."""

    secrets: Path
    vault: Vault
    trust: ssl.SSLContext

    def of(self, name: str, account: Account) -> "LogIn":
        return LogIn(self, name, account)


class LogIn:
    """One account's, for as long as it is watched."""

    def __init__(self, source: Credentials, name: str, account: Account) -> None:
        self._secrets = source.secrets
        self._password = account.password.secret if account.password else ""
        self._tokens: Tokens | None = None
        if account.oauth2:
            self._tokens = Tokens(
                name,
                account.oauth2,
                account.user,
                "imap" if account.is_imap else "pop3",
                secrets=source.secrets,
                vault=source.vault,
                trust=source.trust,
            )

    async def credential(self) -> Credential:
        """Raises a faults.Fault; Transient where rotated tokens cannot be kept."""
        try:
            if self._tokens is None:
                return Credential(read_secret(self._secrets, self._password).get_secret_value())
            return Credential(await self._tokens.token(), bearer=True)
        except SecretError as error:
            raise SecretMissing(str(error)) from error
        except GrantRefused as error:
            raise faults.GrantRefused(str(error)) from error
        except TokenUnavailable as error:
            raise faults.TokenUnavailable(str(error)) from error

    def refused(self) -> None:
        """The server would not have it: an access token is not shown again."""
        if self._tokens:
            self._tokens.refused()

    def fingerprint(self) -> str | None:
        """Changes with the secrets; None while one cannot be read."""
        try:
            if self._tokens:
                return self._tokens.fingerprint()
            return read_secret(self._secrets, self._password).get_secret_value()
        except SecretError:
            return None

    def forget(self) -> None:
        """The account is another process's now."""
        if self._tokens:
            self._tokens.forget()
