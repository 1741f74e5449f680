"""Process settings that cannot be used: a sentence and 78 from every command, before a server is asked."""

from pathlib import Path

import pytest
from click.testing import CliRunner
from pydantic import ValidationError

from ops.cli import carteiro
from shared.kafka.connection import options
from shared.process import run
from shared.settings import Settings, complaints

WRONG = [
    ("kafka_replicas", "x", "CARTEIRO_KAFKA_REPLICAS: Input should be a valid integer"),
    ("kafka_replicas", "0", "CARTEIRO_KAFKA_REPLICAS: Input should be greater than or equal to 1"),
    ("kafka", "kafka://broker", "CARTEIRO_KAFKA: expected host:port"),
    ("kafka", "a:9092,,b:9092", "CARTEIRO_KAFKA: expected host:port"),
    ("postgres", "nonsense-hush", "CARTEIRO_POSTGRES: expected postgresql://user:password@host:port/database"),
    ("postgres", "mysql://u:hush@h/d", "CARTEIRO_POSTGRES: expected postgresql://"),
    ("objects", "foo://x", "CARTEIRO_OBJECTS: expected file:///folder, s3://bucket"),
    ("objects", "s3://", "CARTEIRO_OBJECTS: expected file:///folder, s3://bucket"),
    ("objects", "file:///", "CARTEIRO_OBJECTS: expected file:///folder"),
    ("objects", "/var/objects", "CARTEIRO_OBJECTS: expected file:///folder"),
    ("log_level", "LOUD", "CARTEIRO_LOG_LEVEL: Input should be 'DEBUG', 'INFO', 'WARNING' or 'ERROR'"),
    ("kafka_security_protocol", "SASL", "CARTEIRO_KAFKA_SECURITY_PROTOCOL: Input should be 'PLAINTEXT', 'SSL'"),
    ("kafka_security_protocol", "SASL_SSL", "CARTEIRO_KAFKA_SECURITY_PROTOCOL: SASL_SSL needs CARTEIRO_KAFKA_USER and"),
    ("kafka_sasl_mechanism", "GSSAPI", "CARTEIRO_KAFKA_SASL_MECHANISM: Input should be 'PLAIN', 'SCRAM-SHA-256'"),
    (
        "kafka_ca_file",
        "/nowhere/ca.pem",
        "CARTEIRO_KAFKA_CA_FILE: expected a file of certificates (PEM), found No such",
    ),
    ("start_seconds", "0", "CARTEIRO_START_SECONDS: Input should be greater than 0"),
]
RIGHT = [
    ("kafka", "a:9092, b.example:9093,[::1]:9092"),
    ("postgres", "postgres://u:p@h:5432/d"),
    ("postgres", "postgresql://u:p@h1:5432,h2:5432/d"),
    ("objects", "s3://bucket/folder"),
    ("objects", "az://container"),
    ("log_level", "DEBUG"),
]
COMMANDS = [
    "run fetcher",
    "run all",
    "migrate",
    "migrate --check",
    "topics apply",
    "topics show",
    "status",
    "account list",
    "ticket list",
    "ticket show 1",
    "deadletters list",
    "deadletters replay 1",
    "originals sweep",
    "explain mail.eml",
]


@pytest.mark.parametrize(("name", "value", "sentence"), WRONG)
def test_a_setting_that_cannot_be_used_is_named_without_its_value(name: str, value: str, sentence: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Settings.model_validate({name: value})
    said = complaints(refused.value)
    assert said.startswith(sentence)
    assert "hush" not in said


@pytest.mark.parametrize(("name", "value"), RIGHT)
def test_a_setting_in_another_good_form_is_taken(name: str, value: str) -> None:
    Settings.model_validate({name: value})


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_ends_with_78_and_a_line_a_setting(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CARTEIRO_KAFKA_REPLICAS", "x")
    monkeypatch.setenv("CARTEIRO_POSTGRES", "nonsense-hush")
    ended = CliRunner().invoke(carteiro, command.split())
    assert ended.exit_code == 78
    assert [line.split(":")[0] for line in ended.stderr.splitlines()] == [
        "CARTEIRO_KAFKA_REPLICAS",
        "CARTEIRO_POSTGRES",
    ]
    assert "hush" not in ended.output


def test_a_service_does_not_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CARTEIRO_LOG_LEVEL", "LOUD")

    async def serve(process: object) -> None:
        pytest.fail("it began")

    assert run({"fetcher": serve}) == 78


def test_the_log_in_at_kafka_is_a_name_and_a_secret_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "kafka_password").write_text("hush\n")
    monkeypatch.setenv("CARTEIRO_SECRETS", str(tmp_path))
    monkeypatch.setenv("CARTEIRO_KAFKA_SECURITY_PROTOCOL", "SASL_PLAINTEXT")
    monkeypatch.setenv("CARTEIRO_KAFKA_USER", "carteiro-mailer")
    cluster = Settings().cluster
    assert (cluster.user, cluster.password, cluster.mechanism) == ("carteiro-mailer", "hush", "SCRAM-SHA-512")
    assert "hush" not in repr(cluster) + repr(Settings())
    assert options(cluster)["security_protocol"] == "SASL_PLAINTEXT"
    assert options("a:9092") == {"bootstrap_servers": "a:9092", "security_protocol": "PLAINTEXT"}
