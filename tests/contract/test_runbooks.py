"""What a runbook has its reader type: programs, resources, names in the log, tables and topics that are there."""

import re
import shlex
from pathlib import Path

import pytest
import yaml

from shared.topics import BY_NAME, GROUPS
from tests.e2e.runbook import commands

ROOT = Path(__file__).resolve().parents[2]
RUNBOOKS = sorted(path.stem for path in (ROOT / "docs" / "runbooks").glob("*.md"))
LINES = [(alert, line) for alert in RUNBOOKS for line in commands(alert)]
PROGRAMS = {"carteiro", "kubectl", "psql", "kafka-configs.sh", "kafka-consumer-groups.sh"}
SOURCES = [path for folder in ("services", "shared") for path in (ROOT / folder).rglob("*.py")]


def resources() -> set[str]:
    """`deployment/fetcher`, `statefulset/mailer`, … of the base, and the Secret that the operator brings."""
    documents = [
        document
        for path in (ROOT / "deploy" / "k8s" / "base").glob("*.yaml")
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8"))
        if document
    ]
    return {f"{each['kind'].lower()}/{each['metadata']['name']}" for each in documents if "metadata" in each}


@pytest.mark.parametrize(("alert", "line"), LINES, ids=str)
def test_each_command_can_be_typed(alert: str, line: str) -> None:
    words = shlex.split(line, comments=True)
    assert words[0] in PROGRAMS
    if words[0] == "kubectl":
        assert words[1:3] == ["-n", "carteiro"]
        known = resources()
        named = {word for word in words if re.fullmatch(r"(deployment|statefulset)/\w+", word)}
        assert named <= known
        selected = {word.partition("=")[2] for word in words if word.startswith("app.kubernetes.io/name=")}
        assert {f"{kind}/{name}" for name in selected for kind in ("deployment", "statefulset")} & known or not selected
        pods = {word.rpartition("-")[0] for word in words if re.fullmatch(r"[a-z]+-0", word)}
        assert {f"statefulset/{name}" for name in pods} <= known
    for name in re.findall(r"\b(?:mail|ticket|deadletters)\.[a-z.]*v1\b", line):
        assert name in BY_NAME
    for group in re.findall(r"\bcarteiro-\w+-\w+\b", line):
        assert group in {group for group, _ in GROUPS.values()}


@pytest.mark.parametrize(("alert", "line"), [each for each in LINES if "| grep" in each[1]], ids=str)
def test_what_is_looked_for_in_a_log_is_written_there(alert: str, line: str) -> None:
    pattern = shlex.split(line.partition("| grep")[2], comments=True)
    if pattern[0] == "-v":
        return
    wanted = pattern[-1].strip('"')
    words = re.findall(r"\w+", wanted.replace("(partition|record)_waits", "partition_waits|record_waits"))
    code = "\n".join(path.read_text(encoding="utf-8") for path in SOURCES)
    assert [word for word in words if f'"{word}"' not in code] == []


@pytest.mark.parametrize("alert", RUNBOOKS)
def test_the_first_command_looks_and_changes_nothing(alert: str) -> None:
    first = shlex.split(commands(alert)[0], comments=True)
    looks = {"status", "account", "deadletters", "mail", "audit", "topics", "ticket", "trace"}
    assert (first[0] == "carteiro" and first[1] in looks) or first[:4] == ["kubectl", "-n", "carteiro", "logs"]
    assert not {"replay", "discard", "retry", "hold", "release", "apply"} & set(first)
