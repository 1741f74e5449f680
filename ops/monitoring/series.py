"""Selectors in PromQL, from the metrics that the code declares. Pure."""

from typing import Literal

from prometheus_client.metrics import MetricWrapperBase

ADDED_BY_SCRAPING = frozenset({"namespace", "pod", "job", "instance"})
_SUFFIXES = {"counter": {"_total"}, "gauge": {""}, "histogram": {"_bucket", "_sum", "_count"}}


class UnknownLabel(Exception):
    """A selector names a label that its metric has not."""


def series(
    metric: MetricWrapperBase, of: Literal["", "bucket", "sum", "count"] = "", /, matching: str = "", **labels: str
) -> str:
    """The selector of a metric, `name{label="value"}`. `of` is a histogram's part; a value that begins with `~`
    is a regular expression, one with `!` must not match; `matching` is put behind them as it is.

    Raises UnknownLabel, and ValueError for a part that its metric has not.
    """
    name, kind, own = metric._name, str(metric._type), metric._labelnames  # noqa: SLF001  # no public way to them
    suffix = "_total" if kind == "counter" and not of else f"_{of}" if of else ""
    if suffix not in _SUFFIXES[kind]:
        raise ValueError(f"{name} has no series {of or 'of its own'}")
    unknown = set(labels) - set(own) - ADDED_BY_SCRAPING - ({"le"} if of == "bucket" else set())
    if unknown:
        raise UnknownLabel(f"{name} has no label {', '.join(sorted(unknown))}")
    chosen = [_matcher(label, value) for label, value in labels.items()] + ([matching] if matching else [])
    return f"{name}{suffix}" + (f"{{{','.join(chosen)}}}" if chosen else "")


def _matcher(name: str, value: str) -> str:
    operator = {"~": "=~", "!": "!="}.get(value[:1], "=")
    return f'{name}{operator}"{value if operator == "=" else value[1:]}"'
