"""A broker that takes nobody without TLS and a log-in: every kind of client that is made of the settings gets in."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiokafka.errors import KafkaError

from ops.stack import certificates, kafka
from ops.stack.failures import Misconfigured
from ops.stack.servers import serve
from ops.stack.settings import HOST, StackSettings, free_ports
from ops.stack.supervisor import Supervisor
from shared import logs
from shared.kafka.admin import KafkaUnreachable, apply_topics, ping
from shared.kafka.groups import group_states
from shared.kafka.producer import Outgoing, Producer
from shared.kafka.reader import reading
from shared.settings import Settings
from shared.topics import EVENTS
from tests.integration.kafka.installation import Reader, running, until

USER, PASSWORD = "carteiro-mailer", "a word of theirs"
PLAIN = "org.apache.kafka.common.security.plain.PlainLoginModule"
SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule"


@dataclass(frozen=True)
class Broker:
    address: str
    ca: Path

    def settings(self, **changes: Any) -> Settings:
        values = {
            "kafka": self.address,
            "kafka_replicas": 1,
            "kafka_security_protocol": "SASL_SSL",
            "kafka_ca_file": self.ca,
            "kafka_user": USER,
            "kafka_password": PASSWORD,
        }
        return Settings.model_validate(values | changes)


def secured(port: int, issued: certificates.Certificates) -> Callable[..., str]:
    """server.properties with one listener more."""
    ordinary = kafka.properties

    def properties(settings: StackSettings, data: Path) -> str:
        lines = dict(line.split("=", 1) for line in ordinary(settings, data).splitlines())
        lines["listeners"] += f",SASL_SSL://{HOST}:{port}"
        lines["advertised.listeners"] += f",SASL_SSL://{HOST}:{port}"
        lines["listener.security.protocol.map"] += ",SASL_SSL:SASL_SSL"
        lines |= {
            "inter.broker.listener.name": "PLAINTEXT",
            "ssl.keystore.type": "PKCS12",
            "ssl.keystore.location": str(issued.keystore),
            "ssl.keystore.password": certificates.KEYSTORE_PASSWORD,
            "ssl.key.password": certificates.KEYSTORE_PASSWORD,
            "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-512",
            "listener.name.sasl_ssl.plain.sasl.jaas.config": f'{PLAIN} required user_{USER}="{PASSWORD}";',
            "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": f"{SCRAM} required;",
        }
        return "".join(f"{name}={value}\n" for name, value in lines.items())

    return properties


@asynccontextmanager
async def served(folder: Path, patch: pytest.MonkeyPatch) -> AsyncIterator[Broker]:
    settings = StackSettings.model_validate(
        {"data": folder, "short_lived": True, "CARTEIRO_KAFKA": None}
    ).with_free_ports()
    (port,) = free_ports(1)
    issued = certificates.ensure(folder / "certs")
    patch.setattr(kafka, "properties", secured(port, issued))
    ordinary = Supervisor.run

    async def run(self: Supervisor, name: str, argv: list[str], *rest: Any) -> None:
        """A log-in by SCRAM stands in the metadata that the formatting writes."""
        more = ["--add-scram", f"SCRAM-SHA-512=[name={USER},password={PASSWORD}]"] if name == "kafka-format" else []
        await ordinary(self, name, [*argv, *more], *rest)

    patch.setattr(Supervisor, "run", run)
    async with serve(settings, lambda _what, _seconds: None, wanted=frozenset({"kafka"})):
        yield Broker(f"{HOST}:{port}", issued.ca)


async def test_every_client_gets_in_with_tls_and_a_log_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    try:
        kafka.java_program()
    except Misconfigured as error:
        pytest.skip(str(error))
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logs.NOISY["aiokafka"], "aiokafka")  # as in a service, whatever its level
    async with served(tmp_path / "data", monkeypatch) as broker:
        await apply_topics(broker.settings().cluster, "", 1)
        for number, mechanism in enumerate(("SCRAM-SHA-512", "PLAIN"), 1):
            await passes(broker.settings(kafka_sasl_mechanism=mechanism), number)
        await refused(broker)
    assert PASSWORD not in caplog.text


async def passes(settings: Settings, number: int) -> None:
    """Admin, producer, the consumer of a service, the lag of its group, and a reader outside of any group."""
    cluster = settings.cluster
    await ping(cluster)
    producer = Producer(cluster, "", client_id="test")
    await producer.send_all([Outgoing(EVENTS, b"key", b"%d" % number, [])])
    await producer.close()
    service = Reader()
    async with running(service.consumer(settings)):
        await until(lambda: service.handled == [b"%d" % number])  # the one before is committed
    (group,) = [state for state in await group_states(cluster, "") if state.topic == EVENTS]
    assert group.lag == 0
    found = []
    async with reading(cluster, "", EVENTS) as reader:
        async for records in reader.since({}):
            found += [record.value for record in records]
    assert found == [b"%d" % each for each in range(1, number + 1)]


async def refused(broker: Broker) -> None:
    """A wrong password, an authority that is not the broker's, and a client that offers neither."""
    with pytest.raises(KafkaUnreachable, match="cannot be reached or refuses the log-in") as wrong:
        await ping(broker.settings(kafka_password="another word").cluster, 5)
    assert "another word" not in str(wrong.value)
    with pytest.raises((KafkaUnreachable, KafkaError)):
        await ping(broker.settings(kafka_ca_file=None).cluster, 5)
    with pytest.raises((KafkaUnreachable, KafkaError)):
        await ping(broker.address, 5)
