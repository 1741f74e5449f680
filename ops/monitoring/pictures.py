"""`python -m ops.monitoring.pictures URL FROM TO FOLDER`: the boards as pictures, drawn from a Prometheus.

Grafana is no part of the tests; these show the same panels, the same queries and what a real run gave them.
"""

import json
import math
import sys
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from ops.monitoring.boards import BOARDS
from ops.monitoring.panels import Board, Panel, Query

_POINTS = 120
_INCHES_WIDE, _ROW_INCHES = 15.0, 1.9


class Line(NamedTuple):
    """Seconds since the begin, and values."""

    legend: str
    times: list[float]
    values: list[float]


class Span(NamedTuple):
    """Unix seconds."""

    begin: float
    end: float


def asked(url: str, query: Query, span: Span) -> list[Line]:
    """What Prometheus answers, as Grafana asks it with every namespace and account chosen."""
    step = max(1.0, (span.end - span.begin) / _POINTS)
    expr = (
        query.expr.replace("$__rate_interval", f"{max(20, math.ceil(4 * step))}s")
        .replace("$namespace", ".*")
        .replace("$account", ".*")
    )
    words = urllib.parse.urlencode({"query": expr, "start": span.begin, "end": span.end, "step": step})
    with urllib.request.urlopen(f"{url}/api/v1/query_range?{words}", timeout=30) as answer:  # noqa: S310  # our own
        found: list[dict[str, Any]] = json.loads(answer.read())["data"]["result"]
    return [
        Line(
            _named(query.legend, each["metric"]),
            [float(moment) - span.begin for moment, _ in each["values"]],
            [float(value) for _, value in each["values"]],
        )
        for each in found
    ]


def draw(url: str, board: Board, span: Span, path: Path) -> int:
    """One picture; how many of its panels had something to show."""
    lines = _laid_out(board)
    figure = Figure(figsize=(_INCHES_WIDE, _ROW_INCHES * len(lines)), dpi=72, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(board.title, fontsize=12, fontweight="bold")
    grid = figure.add_gridspec(len(lines), 24)
    shown = 0
    for row, panels in enumerate(lines):
        x = 0
        for panel in panels:
            axes = figure.add_subplot(grid[row, x : x + panel.width])
            x += panel.width
            shown += _drawn(axes, panel, [line for query in panel.queries for line in asked(url, query, span)])
    figure.savefig(path, metadata={"Software": None})
    return shown


def _laid_out(board: Board) -> list[list[Panel]]:
    """As Grafana lays them out: a row of panels is 24 columns wide at most."""
    lines: list[list[Panel]] = []
    for _, panels in board.rows:
        lines.append([])
        for panel in panels:
            if sum(each.width for each in lines[-1]) + panel.width > 24:
                lines.append([])
            lines[-1].append(panel)
    return lines


def _drawn(axes: Axes, panel: Panel, lines: list[Line]) -> bool:
    unit = {"ops": "per s", "percentunit": "share", "short": "number"}.get(panel.unit, panel.unit)
    axes.set_title(f"{panel.title} [{unit}]", fontsize=8, loc="left")
    axes.tick_params(labelsize=6)
    lines = [line for line in lines if not all(math.isnan(value) for value in line.values)]
    if not lines:
        axes.set_axis_off()
        axes.text(0.5, 0.5, "nothing", ha="center", va="center", color="grey", fontsize=8, transform=axes.transAxes)
        return False
    if panel.kind == "number":
        axes.set_axis_off()
        text = "{:.2%}" if panel.unit == "percentunit" else "{:g}"
        axes.text(
            0.5, 0.5, text.format(lines[0].values[-1]), ha="center", va="center", fontsize=20, transform=axes.transAxes
        )
        return True
    for line in lines:
        axes.plot(line.times, line.values, linewidth=1, label=line.legend)
    top = max(value for line in lines for value in line.values if not math.isnan(value))
    axes.set_ylim(bottom=0, top=top * 1.15 or 1)
    if panel.limit is not None and panel.limit < 3 * top:
        axes.axhline(panel.limit, color="red", linewidth=0.8, linestyle="--")
        axes.set_ylim(top=max(top, panel.limit) * 1.15)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _: f"{seconds / 60:.1f} min"))
    axes.grid(visible=True, linewidth=0.3)
    axes.legend(fontsize=5, loc="upper left", ncols=2, frameon=False)
    return True


def _named(legend: str, labels: dict[str, str]) -> str:
    for name, value in labels.items():
        legend = legend.replace("{{" + name + "}}", value[:24])
    return legend


def main(arguments: list[str]) -> int:
    url, begin, end, folder = arguments
    for board in BOARDS:
        path = Path(folder) / f"{board.uid}.png"
        shown = draw(url, board, Span(float(begin), float(end)), path)
        print(f"{path}: {shown} of {sum(1 for _ in board.numbered())} panels have something to show")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
