"""The lock of the Java archives."""

from pathlib import Path

import pytest

from ops.stack import jars
from ops.stack.failures import StackError
from ops.stack.jars import Jar

KNOWN = Jar("kafka", "org.example.deep", "thing", "1.0", "0" * 64, 10)


def test_the_lock_of_this_repository_reads_and_names_both_class_paths() -> None:
    locked = jars.read_lock(jars.LOCK.read_text(encoding="ascii"))
    assert {jar.class_path for jar in locked} == {"kafka", "greenmail"}
    assert all(len(jar.sha256) == 64 and jar.size > 0 for jar in locked)
    assert len({jar.name for jar in locked}) == len(locked)
    kafka = next(jar for jar in locked if jar.artifact == "kafka-clients")
    assert kafka.url_path == "org/apache/kafka/kafka-clients/4.3.0/kafka-clients-4.3.0.jar"


@pytest.mark.parametrize("line", ["kafka a:b:1 00", "kafka a:b 00 1", "kafka a:b:1 00 many"])
def test_a_broken_line_of_the_lock_is_named_by_its_number(line: str) -> None:
    with pytest.raises(ValueError, match="line 2"):
        jars.read_lock(f"# comment\n{line}\n")


def test_a_file_of_another_size_is_missing(tmp_path: Path) -> None:
    (tmp_path / "thing-1.0.jar").write_bytes(b"half")
    assert jars.missing([KNOWN], tmp_path) == [KNOWN]


def test_a_registry_that_is_no_web_address_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="does not begin with"):
        jars.fetch([KNOWN], tmp_path, "file:///etc")
