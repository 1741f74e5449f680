"""What the stack writes: secrets, certificates, the broker's properties, the desk of the demonstration."""

import ssl
import stat
from pathlib import Path

from ops.desk import judge
from ops.stack import certificates, installation, kafka, passwords
from ops.stack.failures import from_os_error
from ops.stack.greenmail import Mail
from ops.stack.servers import Servers
from ops.stack.settings import StackSettings


def test_a_secret_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    first = passwords.ensure(tmp_path / "secrets", "message_id_keys")
    assert len(bytes.fromhex(first)) == 32
    assert passwords.ensure(tmp_path / "secrets", "message_id_keys") == first
    assert stat.S_IMODE((tmp_path / "secrets" / "message_id_keys").stat().st_mode) == 0o600
    assert passwords.ensure(tmp_path / "secrets", "smtp", "given") == "given"


def test_a_folder_left_half_made_does_not_become_the_certificates(tmp_path: Path) -> None:
    (tmp_path / "certs.new").mkdir()
    (tmp_path / "certs.new" / "ca.pem").write_text("half")
    made = certificates.ensure(tmp_path / "certs")
    assert ssl.create_default_context(cafile=str(made.ca)).get_ca_certs()
    before = made.server.read_bytes()
    assert certificates.ensure(tmp_path / "certs").server.read_bytes() == before


def test_the_broker_creates_no_topic_by_itself_and_listens_on_loopback_only(tmp_path: Path) -> None:
    settings = StackSettings(data=tmp_path, kafka_port=1, controller_port=2)
    lines = dict(line.split("=", 1) for line in kafka.properties(settings, tmp_path).splitlines())
    assert lines["auto.create.topics.enable"] == "false"
    assert lines["listeners"] == "PLAINTEXT://127.0.0.1:1,CONTROLLER://127.0.0.1:2"
    assert lines["offsets.topic.replication.factor"] == "1"


def test_the_desk_of_the_demonstration_is_valid_and_has_the_ports_of_this_stack(tmp_path: Path) -> None:
    settings = StackSettings(data=tmp_path, imaps_port=11, smtps_port=12)
    prepared = installation.prepare(settings, None)
    loaded, errors, _ = judge(prepared.desk, prepared.secrets)
    assert errors == []
    assert loaded is not None
    assert loaded.desk.accounts["caixa"].port == 11
    assert loaded.desk.outbound["padrao"].port == 12


def test_stack_env_is_private_stands_while_the_stack_runs_and_is_gone_afterwards(tmp_path: Path) -> None:
    prepared = installation.prepare(StackSettings(data=tmp_path), None)
    mail = Mail("127.0.0.1", 1, 2, 3, 4, 5, 6, 7)
    servers = Servers("127.0.0.1:9", "postgresql://x", mail, tmp_path / "ca.pem")
    with installation.announced(prepared, servers) as path:
        values = dict(line.split("=", 1) for line in path.read_text().splitlines())
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert values["CARTEIRO_KAFKA"] == "127.0.0.1:9"
    assert values["STACK_IMAPS"] == "imaps://127.0.0.1:4"
    assert len(values["STACK_METRICS"].split(",")) == 4
    assert not path.exists()


def test_a_full_disk_is_one_sentence_that_says_what_to_do() -> None:
    said = from_os_error(OSError(28, "No space left on device", "/var/x"))
    assert said.status == 1
    assert str(said) == "The disk is full at /var/x: free some space or set CARTEIRO_STACK_DATA to another."
