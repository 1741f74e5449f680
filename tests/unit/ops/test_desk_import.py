"""`carteiro desk import`: exported PostMaster filters become filters of a desk, and nothing is lost silently."""

from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from ops.cli import carteiro
from shared.desk.load import load_desk

EXPORT = """---
- ChangeTime: 2026-01-01 00:00:00
  Match:
  - Key: Subject
    Value: 'pedido (\\d+)'
  - Key: From
    Value: EMAILADDRESS:.*@spam\\.example
  Name: 10 pedidos
  Not:
  - Key: Subject
    Value: ~
  - Key: From
    Value: 1
  Set:
  - Key: X-OTRS-Queue
    Value: Pedidos
  - Key: X-OTRS-DynamicField-Pedido
    Value: '[***]'
  StopAfterMatch: 1
- Match:
    X-Spam-Flag: 'YES'
  Name: 00-spam
  Set:
    X-OTRS-Ignore: 'yes'
  StopAfterMatch: 0
"""


def run(tmp_path: Path, text: str) -> Result:
    (tmp_path / "export.yml").write_text(text)
    return CliRunner().invoke(carteiro, ["desk", "import", str(tmp_path / "export.yml")])


def test_an_export_becomes_filters_of_a_desk(tmp_path: Path) -> None:
    done = run(tmp_path, EXPORT)
    assert done.exit_code == 0, done.output
    assert yaml.safe_load(done.stdout)["filters"] == {
        "10 pedidos": {
            "match": [
                {"header": "Subject", "pattern": "pedido (\\d+)"},
                {"header": "From", "pattern": "EMAILADDRESS:.*@spam\\.example", "negate": True},
            ],
            "set": {"X-OTRS-Queue": "Pedidos", "X-OTRS-DynamicField-Pedido": "[***]"},
            "stop": True,
        },
        "00-spam": {
            "match": [{"header": "X-Spam-Flag", "pattern": "YES"}],
            "set": {"X-OTRS-Ignore": "yes"},
        },
    }
    (tmp_path / "desk.yaml").write_text(done.stdout)
    assert list(load_desk(tmp_path / "desk.yaml").desk.filters) == ["10 pedidos", "00-spam"]
    assert "2 filters taken over, 0 remarks" in done.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "- {Name: a, Match: [{Key: Subject, Value: '(?=x)'}], Set: []}",
            "a: match.0.pattern: '(?=x)'; expected a r",
        ),
        (
            "- {Name: a, Match: [{Key: To, Value: x}], Set: [{Key: X-OTRS-Nada, Value: y}]}",
            "a: Set X-OTRS-Nada: no co",
        ),
        ("- {Name: a, Match: [], Set: []}", "a: has no row to match, and was left out"),
        ("- {Name: a, ValidID: 2, Match: [{Key: To, Value: x}]}", "a: is not valid there, and was left out"),
        ("- {Name: a, Colour: red, Match: [{Key: To, Value: x}]}", "a: Colour has no place in a desk"),
        ("- {Name: a, Match: {To: x}}\n- {Name: a, Match: {To: y}}", "a: a second filter of that name"),
    ],
)
def test_what_cannot_be_taken_over_is_said(tmp_path: Path, text: str, said: str) -> None:
    done = run(tmp_path, text)
    assert done.exit_code == 1
    assert said in done.stderr


@pytest.mark.parametrize("text", ["", "just a text", "- 1\n- 2", "[", "{}"])
def test_what_is_no_export_is_wrong_configuration(tmp_path: Path, text: str) -> None:
    done = run(tmp_path, text)
    assert done.exit_code == 78
    assert "export.yml: " in done.stderr


def test_filters_by_name_are_an_export_too(tmp_path: Path) -> None:
    done = run(tmp_path, "spam: {Match: {Subject: x}, Set: {X-OTRS-Queue: Junk}}")
    assert list(yaml.safe_load(done.stdout)["filters"]) == ["spam"]


def test_a_row_without_a_value_asks_for_the_header_alone(tmp_path: Path) -> None:
    done = run(tmp_path, "- {Name: a, Match: [{Key: To, Value: ''}], Set: []}")
    assert yaml.safe_load(done.stdout)["filters"]["a"]["match"] == [{"header": "To", "pattern": "^"}]
