"""Settings of the local stack alone: environment names begin with `CARTEIRO_STACK_`.

The fixed ports are for people (a mail client, `psql`); tests pass free ones.
"""

import os
import socket
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

HOST = "127.0.0.1"


class StackSettings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="CARTEIRO_STACK_", frozen=True, extra="ignore", populate_by_name=True)

    data: Path = Path("var")
    maven: str | None = None  # another address of the Java registry, e.g. a mirror
    postgres_bin: Path | None = None  # a folder with postgres and initdb
    short_lived: bool = False  # tests: quick to start rather than quick for long, nothing survives a power cut

    postgres_port: int = 15432
    kafka_port: int = 19092
    controller_port: int = 19093
    smtp_port: int = 18025
    smtps_port: int = 18465
    imap_port: int = 18143
    imaps_port: int = 18993
    pop3_port: int = 18110
    pop3s_port: int = 18995
    mail_api_port: int = 18080
    fetcher_port: int = 19101
    dispatcher_port: int = 19102
    ticketing_port: int = 19103
    mailer_port: int = 19104

    # a server whose address is already known is used, never started
    kafka: str | None = Field(default=None, validation_alias="CARTEIRO_KAFKA")
    postgres: str | None = Field(default=None, validation_alias="CARTEIRO_POSTGRES")
    secrets: Path | None = Field(default=None, validation_alias="CARTEIRO_SECRETS")
    cache_home: Path | None = Field(default=None, validation_alias="XDG_CACHE_HOME")

    @property
    def jars(self) -> Path:
        return (self.cache_home or Path.home() / ".cache") / "carteiro" / "jars"

    def with_free_ports(self) -> "StackSettings":
        """The same settings on ports nobody listens on at this moment."""
        names = [name for name in type(self).model_fields if name.endswith("_port")]
        return self.model_copy(update=dict(zip(names, free_ports(len(names)), strict=True)))


def free_ports(count: int) -> list[int]:
    """All are held open until the last is known, so that none comes twice."""
    held = [socket.create_server((HOST, 0)) for _ in range(count)]
    ports = [int(each.getsockname()[1]) for each in held]
    for each in held:
        each.close()
    return ports


def inherited() -> dict[str, str]:
    """The environment our children start from."""
    return dict(os.environ)  # noqa: TID251  # passed on whole, not read
