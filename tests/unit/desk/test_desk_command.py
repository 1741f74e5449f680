import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ops.desk import desk
from shared.desk.schema import page_text, schema_text

EXAMPLE = Path(__file__).parents[3] / "examples" / "desk.yaml"


@pytest.fixture(autouse=True)
def without_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CARTEIRO_DESK", raising=False)
    monkeypatch.delenv("CARTEIRO_SECRETS", raising=False)


def run(*words: object) -> Result:
    return CliRunner().invoke(desk, [str(word) for word in words])


def test_a_good_desk_is_one_line_and_status_0() -> None:
    result = run("check", EXAMPLE)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "the desk can be used (queues 2, system addresses 2, accounts 1" in result.stdout


def test_a_wrong_desk_is_status_78_and_its_mistakes_on_stderr(tmp_path: Path) -> None:
    path = tmp_path / "desk.yaml"
    path.write_text("langage: en\n")
    result = run("check", path)
    assert (result.exit_code, result.stdout) == (78, "")
    assert result.stderr == f"{path}:1: langage: not a known key; did you mean language?\n"


def test_a_warning_goes_to_stderr_and_leaves_status_0(tmp_path: Path) -> None:
    path = tmp_path / "desk.yaml"
    path.write_text("outbound: {o: {type: none}}\n")
    result = run("check", path)
    assert result.exit_code == 0
    assert result.stderr.startswith(f"warning: {path}:1: outbound: no account is the default;")


def test_a_secret_that_is_not_there_is_a_mistake_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "smtp").write_text("x")
    result = run("check", "--secrets", tmp_path, EXAMPLE)
    assert result.exit_code == 78
    assert f"{EXAMPLE}:16: accounts.caixa.password: secret caixa_imap: " in result.stderr
    assert "outbound" not in result.stderr
    (tmp_path / "caixa_imap").write_text("x")
    assert run("check", "--secrets", tmp_path, EXAMPLE).exit_code == 0


def test_programs_get_one_object(tmp_path: Path) -> None:
    path = tmp_path / "desk.yaml"
    path.write_text("queues: {}\nlanguage: xx\n")
    result = run("check", "--json", path)
    assert result.exit_code == 78
    assert json.loads(result.stdout) == {
        "path": str(path),
        "usable": False,
        "sha256": None,
        "errors": [
            {
                "file": str(path),
                "line": 2,
                "field": "language",
                "found": "'xx'",
                "expected": "expected en, es or pt-BR",
            }
        ],
        "warnings": [],
    }


def test_programs_get_the_hash_of_a_good_desk() -> None:
    found = json.loads(run("check", "--json", EXAMPLE).stdout)
    assert (found["usable"], len(found["sha256"]), found["errors"], found["warnings"]) == (True, 64, [], [])


def test_the_schema_and_the_page_are_printed_as_they_are_committed() -> None:
    assert run("schema").stdout == schema_text()
    assert run("schema", "--page").stdout == page_text()
