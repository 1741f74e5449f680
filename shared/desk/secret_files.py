"""Passwords from the folder of secrets: one file each, read when needed, never part of the desk."""

from collections.abc import Iterator
from pathlib import Path

from pydantic import SecretStr

from shared.desk.findings import Complaint, Loc
from shared.desk.model import Account, Desk, Outbound

OAUTH_KEYS = "oauth_keys"
"""The secret whose keys seal what the database keeps of log-ins; one a line, the newest first."""

_MAX_BYTES = 64 * 1024


class SecretError(Exception):
    """A secret that cannot be had; the message names file and reason, never content."""


def read_secret(folder: Path | None, name: str) -> SecretStr:
    """Content of the file `name`, without its last line end.

    Read it anew on every use: a mounted Secret is refreshed while the process runs. Raises SecretError.
    """
    if folder is None:
        raise SecretError(f"secret {name}: no folder of secrets is set; set CARTEIRO_SECRETS")
    path = folder / name
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise SecretError(f"secret {name}: {path} cannot be read ({error.strerror}); put the password there") from None
    if len(content) > _MAX_BYTES:
        raise SecretError(f"secret {name}: {path} is larger than 64 KiB; expected a password")
    try:
        text = content.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise SecretError(f"secret {name}: {path} is not UTF-8") from None
    if not text:
        raise SecretError(f"secret {name}: {path} is empty; put the password there")
    return SecretStr(text)


def missing_secrets(desk: Desk, folder: Path) -> Iterator[Complaint]:
    """A complaint for every secret that the desk needs and the folder does not give."""
    for loc, name in _needed(desk):
        try:
            read_secret(folder, name)
        except SecretError as error:
            found, _, expected = str(error).partition("; ")
            yield Complaint(loc, found, expected or "expected a text file")


def _needed(desk: Desk) -> Iterator[tuple[Loc, str]]:
    servers: list[tuple[str, str, Account | Outbound]] = [
        *(("accounts", name, account) for name, account in desk.accounts.items()),
        *(("outbound", name, account) for name, account in desk.outbound.items()),
    ]
    for section, name, account in servers:
        if account.password:
            yield (section, name, "password"), account.password.secret
        if account.oauth2:
            for field, secret in account.oauth2.secrets.items():
                yield (section, name, "oauth2", field), secret.secret
            if account.oauth2.refresh_token:
                yield (section, name, "oauth2"), OAUTH_KEYS
