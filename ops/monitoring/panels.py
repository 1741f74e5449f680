"""What a board is made of: panels, and the expressions of what they draw. Pure."""

from collections.abc import Iterator
from itertools import count
from typing import Literal, NamedTuple

from prometheus_client.metrics import MetricWrapperBase

from ops.monitoring.series import series

HERE = 'namespace=~"$namespace"'
Unit = Literal["short", "s", "percentunit", "ops", "bytes"]
Part = Literal["", "bucket", "sum", "count"]


class Query(NamedTuple):
    """`legend` with Grafana's placeholders, `{{label}}`."""

    expr: str
    legend: str


class Panel(NamedTuple):
    """`width` of 24 columns. `alerts`: those that ask the same question; the first one's runbook is linked.
    `limit`: where the alert stands, drawn as a line."""

    title: str
    kind: Literal["lines", "number"]
    unit: Unit
    queries: tuple[Query, ...]
    width: int = 8
    alerts: tuple[str, ...] = ()
    limit: float | None = None
    meaning: str = ""


class Board(NamedTuple):
    """`rows`: a title, and the panels below it."""

    name: str
    title: str
    meaning: str
    rows: tuple[tuple[str, tuple[Panel, ...]], ...]

    @property
    def uid(self) -> str:
        return f"carteiro-{self.name}"

    def numbered(self) -> Iterator[tuple[int, Panel]]:
        """The panels with their ids: what `viewPanel=` of a link names."""
        return zip(count(1), (panel for _, panels in self.rows for panel in panels), strict=False)


def of(metric: MetricWrapperBase, part: Part = "", /, **labels: str) -> str:
    return series(metric, part, HERE, **labels)


def since(metric: MetricWrapperBase, by: str, **labels: str) -> str:
    """Seconds since the last of a timestamp."""
    return f"time() - max by ({by}) ({of(metric, '', **labels)} > 0)"


def age(metric: MetricWrapperBase, by: str) -> str:
    """Seconds since a timestamp; 0 and NaN mean that nothing waits. Of several pods the oldest counts, or the one that
    knows."""
    return f"time() - min by ({by}) ({of(metric)} > 0)"


def rate(metric: MetricWrapperBase, by: str, /, **labels: str) -> str:
    return f"sum by ({by}) (rate({of(metric, '', **labels)}[$__rate_interval]))"


def quantile(metric: MetricWrapperBase, share: str, by: str = "", **labels: str) -> str:
    keep = ", ".join(filter(None, ("le", by)))
    return f"histogram_quantile({share}, sum by ({keep}) (rate({of(metric, 'bucket', **labels)}[$__rate_interval])))"


def quantiles(metric: MetricWrapperBase, **labels: str) -> tuple[Query, ...]:
    return tuple(Query(quantile(metric, share, **labels), f"p{share[2:]:0<2}") for share in ("0.5", "0.9", "0.99"))
