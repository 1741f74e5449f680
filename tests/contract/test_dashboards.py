"""The dashboards: what they ask for is exported, Grafana's types take them, alert, panel and runbook meet."""

import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from ops.monitoring.boards import BOARDS, NoSuchPanel, place_of
from ops.monitoring.dashboards import FILES, board_json
from ops.monitoring.panels import Board, Panel
from tests.contract.test_rules import ALERTS, ROOT, RUNBOOKS, unknown_names

COMPONENT = ROOT / "deploy" / "k8s" / "components" / "monitoring"
PANELS = [
    pytest.param(board, panel, id=f"{board.name}: {panel.title}") for board in BOARDS for _, panel in board.numbered()
]
_VARIABLES = re.compile(r"\[\$__rate_interval\]")


def panels_of(board: Board) -> list[dict[str, Any]]:
    return list(json.loads(board_json(board))["panels"])


@pytest.mark.parametrize(("board", "panel"), PANELS)
def test_a_panel_asks_for_what_the_code_exports(board: Board, panel: Panel) -> None:
    for query in panel.queries:
        assert unknown_names(_VARIABLES.sub("[5m]", query.expr)) == []
        assert 'namespace=~"$namespace"' in query.expr


@pytest.mark.parametrize(("board", "panel"), PANELS)
def test_a_legend_names_labels_that_the_query_keeps(board: Board, panel: Panel) -> None:
    for query in panel.queries:
        kept = {word for listed in re.findall(r"\bby \(([^)]*)\)", query.expr) for word in re.findall(r"\w+", listed)}
        assert set(re.findall(r"{{(\w+)}}", query.legend)) <= kept


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
def test_the_types_of_grafana_read_what_is_written(board: Board) -> None:
    """The SDK is generated from Grafana's own schema: what it reads and writes again is what was meant."""
    register_default_plugins()
    written = json.loads(board_json(board))
    assert json.loads(JSONEncoder().encode(Dashboard.from_json(written))) == written


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
def test_no_panel_lies_over_another(board: Board) -> None:
    panels = panels_of(board)
    assert len({panel["id"] for panel in panels}) == len(panels)
    for one, other in combinations([panel["gridPos"] for panel in panels], 2):
        apart = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        assert apart or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in panels)


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
def test_a_board_is_of_the_chosen_installation_and_account(board: Board) -> None:
    written = json.loads(board_json(board))
    assert [each["name"] for each in written["templating"]["list"]] == [
        "datasource",
        "namespace",
        "account",
        "runbooks",
    ]
    for panel in (panel for panel in written["panels"] if panel["type"] != "row"):
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_leads_to_a_panel_and_the_panel_to_its_runbook(alert: str) -> None:
    rule = ALERTS[alert]
    link = urlsplit(rule["annotations"]["dashboard_url"])
    (board,) = [board for board in BOARDS if link.path == f"/d/{board.uid}"]
    (number,) = parse_qs(link.query)["viewPanel"]
    (panel,) = [panel for panel in panels_of(board) if str(panel["id"]) == number]
    assert f"${{runbooks}}/{rule['alert']}.md" in [link["url"] for link in panel["links"]]
    assert (RUNBOOKS / f"{rule['alert']}.md").is_file()


def test_a_panel_that_is_not_there_is_no_link() -> None:
    with pytest.raises(NoSuchPanel):
        place_of("overview", "Weather")


def test_every_board_is_provisioned() -> None:
    component = yaml.safe_load((COMPONENT / "kustomization.yaml").read_text(encoding="utf-8"))
    (generated,) = component["configMapGenerator"]
    assert generated["options"]["labels"] == {"grafana_dashboard": "1"}
    made = {str((ROOT / "docs" / name).resolve()) for name in FILES}
    assert {str(COMPONENT / name) for name in generated["files"]} == made
    assert all(Path(name).is_file() for name in made)
