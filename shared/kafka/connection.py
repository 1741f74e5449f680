"""How Kafka is reached: addresses, TLS and the log-in, for every client that is made of it."""

import ssl
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from faststream.security import BaseSecurity, SASLPlaintext, SASLScram256, SASLScram512

_SASL = {"PLAIN": SASLPlaintext, "SCRAM-SHA-256": SASLScram256, "SCRAM-SHA-512": SASLScram512}


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
    def security(self) -> BaseSecurity | None:
        """What FastStream asks for; None: neither TLS nor a log-in."""
        context = trusting(self.ca_file) if self.protocol.endswith("SSL") else None
        if self.protocol.startswith("SASL_"):
            made = _SASL[self.mechanism]
            return made(self.user, self.password, ssl_context=context, use_ssl=context is not None)
        return BaseSecurity(ssl_context=context, use_ssl=True) if context else None


Kafka = str | Cluster
"""Addresses alone are a cluster without TLS and log-in."""


def options(kafka: Kafka) -> dict[str, Any]:
    """What each of aiokafka's clients is told about the way to its brokers."""
    cluster = Cluster(kafka) if isinstance(kafka, str) else kafka
    told: dict[str, Any] = {"bootstrap_servers": cluster.bootstrap, "security_protocol": cluster.protocol}
    if cluster.protocol.endswith("SSL"):
        told["ssl_context"] = trusting(cluster.ca_file)
    if cluster.protocol.startswith("SASL_"):
        told["sasl_mechanism"] = cluster.mechanism
        told["sasl_plain_username"], told["sasl_plain_password"] = cluster.user, cluster.password
    return told


@lru_cache(maxsize=4)  # a ping every few seconds must not read the system's authorities anew
def trusting(ca_file: Path | None) -> ssl.SSLContext:
    """Raises OSError (SSLError is one) for a file that is none of certificates."""
    return ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
