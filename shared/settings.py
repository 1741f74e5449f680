"""Process settings: the environment and secret files, nothing else. What an administrator configures is the desk.

Flat names with the prefix CARTEIRO_. A secret (`postgres`, `kafka_password`) is read from a file of its name in
CARTEIRO_SECRETS when the environment does not carry it.
"""

import os
import re
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
)

from shared.kafka.connection import Cluster, trusting

SECRETS = ("postgres", "kafka_password")
STORES = ("s3", "gs", "az")
_BROKER = re.compile(r"(\[[0-9a-fA-F:]+\]|[^\s,:/\[\]]+)(:\d{1,5})?")


class Settings(BaseSettings):
    """One catalogue for all services; `docs/config.md` is generated from it."""

    model_config = SettingsConfigDict(env_prefix="CARTEIRO_", frozen=True, extra="ignore")

    kafka: str = Field("127.0.0.1:9092", description="Bootstrap servers, host:port, separated by commas.")
    kafka_user: str = Field("", description="Name of the log-in at Kafka (SASL).")
    kafka_password: SecretStr = Field(SecretStr(""), description="Its password: a secret.")
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", description="PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512."
    )
    kafka_ca_file: Path | None = Field(
        None, description="CA bundle that the brokers' certificates are verified with; empty = the system's."
    )
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL; SASL needs user and password."
    )
    kafka_replicas: int = Field(3, description="Replicas of each topic; 1 on a single-node broker.", ge=1)
    postgres: SecretStr = Field(
        SecretStr("postgresql://127.0.0.1:5432/carteiro"),
        description="PostgreSQL DSN; the log-in must be a member of the service's role.",
    )
    objects: str = Field("file:///var/lib/carteiro/objects", description="Object store of the originals.")
    desk: Path = Field(Path("/etc/carteiro/desk.yaml"), description="The desk: one YAML file.")
    secrets: Path = Field(Path("/run/secrets/carteiro"), description="Folder of secret files.")
    prefix: str = Field("", description="Stands before every topic, group and instance id.")
    instance: str = Field("", description="Static member id (Kafka group.instance.id); empty = dynamic membership.")
    http: str = Field("0.0.0.0:8080", description="Address of /livez, /readyz and /metrics, host:port.")
    api_http: str = Field("0.0.0.0:8081", description="Address of the HTTP API (`carteiro run api`), host:port.")
    api_requests_per_minute: int = Field(600, description="Requests of one token to one process of the API.", ge=1)
    ca_file: Path | None = Field(None, description="CA bundle that mail servers' certificates are verified with.")
    revision: str = Field("", description="Commit of the build, set in the image; shown by carteiro_build_info.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="DEBUG, INFO, WARNING or ERROR."
    )
    start_seconds: float = Field(30.0, description="How long a start waits for Kafka and PostgreSQL, in seconds.", gt=0)

    @field_validator("kafka")
    @classmethod
    def _brokers(cls, value: str) -> str:
        if not all(_BROKER.fullmatch(broker.strip()) for broker in value.split(",")):
            raise ValueError("expected host:port, several with commas between them")
        return value

    @field_validator("kafka_ca_file")
    @classmethod
    def _authorities(cls, value: Path | None) -> Path | None:
        try:
            trusting(value)
        except OSError as error:
            raise ValueError(f"expected a file of certificates (PEM), found {error.strerror or 'none'}") from error
        return value

    @field_validator("kafka_security_protocol")  # behind those it asks for
    @classmethod
    def _log_in(cls, value: str, info: ValidationInfo) -> str:
        password: SecretStr | None = info.data.get("kafka_password")
        if value.startswith("SASL_") and not (info.data.get("kafka_user") and password and password.get_secret_value()):
            raise ValueError(f"{value} needs CARTEIRO_KAFKA_USER and the secret kafka_password")
        return value

    @field_validator("postgres")
    @classmethod
    def _dsn(cls, value: SecretStr) -> SecretStr:
        if urlsplit(value.get_secret_value()).scheme not in ("postgresql", "postgres"):
            raise ValueError("expected postgresql://user:password@host:port/database")
        return value

    @field_validator("objects")
    @classmethod
    def _store(cls, value: str) -> str:
        parts = urlsplit(value)
        if not (parts.path.strip("/") if parts.scheme == "file" else parts.scheme in STORES and parts.netloc):
            raise ValueError("expected file:///folder, s3://bucket, gs://bucket or az://container")
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        # env_prefix="" because the prefix would apply to the files' names as well (CARTEIRO_postgres)
        folder = os.environ.get("CARTEIRO_SECRETS", "/run/secrets/carteiro")  # noqa: TID251  # names the folder itself
        if not Path(folder).is_dir():
            return init_settings, env_settings
        return init_settings, env_settings, _Secrets(settings_cls, folder, env_prefix="")

    @property
    def cluster(self) -> Cluster:
        return Cluster(
            self.kafka,
            self.kafka_security_protocol,
            self.kafka_ca_file,
            self.kafka_sasl_mechanism,
            self.kafka_user,
            self.kafka_password.get_secret_value(),
        )

    @property
    def dsn(self) -> str:
        return self.postgres.get_secret_value()


def complaints(error: ValidationError) -> str:
    """A line for each setting that cannot be used: its name and what is expected, never its value."""
    return "\n".join(
        f"CARTEIRO_{str(found['loc'][0]).upper()}: {found['msg'].removeprefix('Value error, ')}"
        for found in error.errors(include_input=False)
    )


class _Secrets(SecretsSettingsSource):
    """Only these are secrets: a file named like another setting must not change that setting."""

    def __call__(self) -> dict[str, Any]:
        return {name: value for name, value in super().__call__().items() if name in SECRETS}
