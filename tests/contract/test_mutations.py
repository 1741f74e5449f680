"""The list of `make mutants` names what is there, and its runner tells a failed test from one that did not run."""

import ast
import tomllib
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

import pytest
import yaml

from tests.mutants import ROOT, Mutation, judged, mutations

LIST = mutations()


def test_each_mutation_has_a_name_of_its_own() -> None:
    assert [name for name, times in Counter(m.name for m in LIST).items() if times > 1] == []


@pytest.mark.parametrize("mutation", LIST, ids=lambda m: m.name)
def test_a_mutation_changes_one_place_and_leaves_a_file_that_can_be_read(mutation: Mutation) -> None:
    mutated = mutation.applied((ROOT / mutation.file).read_text(encoding="utf-8"))
    assert mutation.before != mutation.after
    match Path(mutation.file).suffix:
        case ".py":
            ast.parse(mutated)
        case ".yaml":
            list(yaml.safe_load_all(mutated))
        case ".toml":
            tomllib.loads(mutated)


@pytest.mark.parametrize("mutation", LIST, ids=lambda m: m.name)
def test_the_tests_of_a_mutation_exist(mutation: Mutation) -> None:
    assert mutation.tests
    for test in mutation.tests:
        path, _, name = test.partition("::")
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        defined = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        assert not name or name in defined, test


PASSED, FAILED = '<testcase name="a"/>', '<testcase name="b"><failure/></testcase>'
ERROR, SKIPPED = '<testcase name="c"><error/></testcase>', '<testcase name="d"><skipped/></testcase>'


@pytest.mark.parametrize(
    ("cases", "status", "state"),
    [
        (PASSED + FAILED, 1, "killed"),
        (ERROR + FAILED, 1, "killed"),
        (PASSED, 0, "survived"),
        (PASSED + SKIPPED, 0, "survived"),
        (PASSED + ERROR, 1, "broken"),  # a fixture
        (ERROR, 2, "broken"),  # collection
        (SKIPPED, 0, "broken"),
        ("", 4, "broken"),  # no such file
        ("", 5, "broken"),  # nothing collected
    ],
)
def test_only_a_test_that_fails_kills(cases: str, status: int, state: str) -> None:
    assert judged(ET.fromstring(f"<testsuite>{cases}</testsuite>"), status, "")[0] == state


def test_a_stale_entry_is_an_error() -> None:
    with pytest.raises(ValueError, match="occurs 2 times"):
        Mutation("x", "f.py", "a", "b", ["t"]).applied("a a")
