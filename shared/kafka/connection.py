"""How Kafka is reached: addresses, TLS and the log-in, for every client that is made of it."""

import ssl
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Cluster:
    """`bootstrap`: host:port, several with commas between them. `protocol` and `mechanism` in Kafka's words; `ca_file`
    None: the system's authorities."""

    bootstrap: str
    protocol: str = "PLAINTEXT"
    ca_file: Path | None = None
    mechanism: str = ""
    user: str = ""
    password: str = field(default="", repr=False)

    def __str__(self) -> str:
        return self.bootstrap

    @property
    def tls(self) -> ssl.SSLContext | None:
        return trusting(self.ca_file) if self.protocol.endswith("SSL") else None

    @property
    def logs_in(self) -> bool:
        return self.protocol.startswith("SASL_")


Kafka = str | Cluster
"""Addresses alone are a cluster without TLS and log-in."""


def options(kafka: Kafka) -> dict[str, Any]:
    """What each of aiokafka's clients is told about the way to its brokers."""
    cluster = Cluster(kafka) if isinstance(kafka, str) else kafka
    told: dict[str, Any] = {"bootstrap_servers": cluster.bootstrap, "security_protocol": cluster.protocol}
    if cluster.tls is not None:
        told["ssl_context"] = cluster.tls
    if cluster.logs_in:
        told["sasl_mechanism"] = cluster.mechanism
        told["sasl_plain_username"], told["sasl_plain_password"] = cluster.user, cluster.password
    return told


@lru_cache(maxsize=4)  # a ping every few seconds must not read the authorities anew
def trusting(ca_file: Path | None) -> ssl.SSLContext:
    """Raises OSError (SSLError is one) for a file that holds no certificates."""
    return ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
