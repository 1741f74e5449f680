"""The boards as Grafana reads them: classic JSON, which any Grafana from version 10 imports.

Needs the SDK of the developers' dependencies, so nothing that runs imports this.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from grafana_foundation_sdk.builders import dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.builders.common import GraphThresholdsStyleConfig, VizLegendOptions
from grafana_foundation_sdk.builders.dashboard import ThresholdsConfig
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import GraphThresholdsStyleMode, LegendDisplayMode, LegendPlacement
from grafana_foundation_sdk.models.dashboard import (
    DashboardLinkType,
    DataSourceRef,
    GridPos,
    Threshold,
    ThresholdsMode,
    VariableOption,
    VariableRefresh,
)

from ops.monitoring.boards import BOARDS
from ops.monitoring.panels import Board, Panel

_SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
_UNITS = {"ops": "reqps"}
_HEIGHT = 7
_ROWS_FROM = 1000  # ids beyond those of panels
_COLUMNS = 24


def board_json(board: Board) -> str:
    """Deterministic: what did not change gives the same bytes."""
    return str(JSONEncoder(sort_keys=True, indent=1).encode(_dashboard(board).build()))


def _dashboard(board: Board) -> dashboard.Dashboard:
    made = (
        dashboard.Dashboard(board.title)
        .uid(board.uid)
        .description(board.meaning)
        .tags(["carteiro"])
        .refresh("30s")
        .time("now-6h", "now")
        .link(
            dashboard.DashboardLink("Carteiro")
            .type(DashboardLinkType.DASHBOARDS)
            .tags(["carteiro"])
            .include_vars(include_vars=True)
            .keep_time(keep_time=True)
        )
        .with_variable(dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
        .with_variable(_choice("namespace", "label_values(carteiro_build_info, namespace)"))
        .with_variable(_choice("account", "label_values(carteiro_account_interval_seconds, account)"))
        .with_variable(dashboard.TextBoxVariable("runbooks").label("Runbooks at").default_value("/docs/runbooks"))
    )
    numbered = board.numbered()
    y = 0
    for row, (title, panels) in enumerate(board.rows):
        made.with_row(dashboard.Row(title).id(_ROWS_FROM + row).grid_pos(GridPos(h=1, w=_COLUMNS, x=0, y=y)))
        x, y = 0, y + 1
        for panel in panels:
            if x + panel.width > _COLUMNS:
                x, y = 0, y + _HEIGHT
            number, _ = next(numbered)
            made.with_panel(_panel(panel).id(number).grid_pos(GridPos(h=_HEIGHT, w=panel.width, x=x, y=y)))
            x += panel.width
        y += _HEIGHT
    return made


def _choice(name: str, query: str) -> dashboard.QueryVariable:
    """All is `.*` and not a list: it also chooses what has no such label, as without Kubernetes."""
    return (
        dashboard.QueryVariable(name)
        .datasource(_SOURCE)
        .query(query)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .include_all(include_all=True)
        .all_value(".*")
        .multi(multi=True)
        .current(VariableOption(text="All", value="$__all", selected=True))
    )


def _panel(panel: Panel) -> Any:
    made: Any = timeseries.Panel() if panel.kind == "lines" else stat.Panel()
    made.title(panel.title).datasource(_SOURCE).unit(_UNITS.get(panel.unit, panel.unit))
    if panel.meaning:
        made.description(panel.meaning)
    for letter, query in zip("ABCDEFGH", panel.queries, strict=False):
        target = prometheus.Dataquery().expr(query.expr).legend_format(query.legend).ref_id(letter)
        made.with_target(target.exemplar(exemplar="histogram_quantile" in query.expr))
    if panel.kind == "lines":
        made.min(0).legend(
            VizLegendOptions()
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
            .show_legend(show_legend=True)
        )
    if panel.limit is not None:
        made.thresholds(_line_at(panel.limit))
        made.thresholds_style(GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.LINE))
    if panel.alerts:
        made.links([_runbook(alert) for alert in panel.alerts])
    return made


def _line_at(limit: float) -> ThresholdsConfig:
    steps = [Threshold(value=None, color="green"), Threshold(value=limit, color="red")]
    return ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)


def _runbook(alert: str) -> dashboard.DashboardLink:
    return (
        dashboard.DashboardLink(f"Runbook {alert}")
        .type(DashboardLinkType.LINK)
        .url(f"${{runbooks}}/{alert}.md")
        .target_blank(target_blank=True)
    )


FILES: dict[str, Callable[[], str]] = {
    f"../deploy/k8s/components/monitoring/dashboards/{board.uid}.json": partial(board_json, board) for board in BOARDS
}
