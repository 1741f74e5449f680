"""The three boards: overview by objective, the pipeline in the order of a mail's way, accounts.

Pure: `dashboards` makes Grafana's JSON of them, `pictures` of docs/ draw the same from a Prometheus.
"""

from ops.monitoring.accounts import ACCOUNTS
from ops.monitoring.overview import OVERVIEW
from ops.monitoring.pipeline import PIPELINE

BOARDS = (OVERVIEW, PIPELINE, ACCOUNTS)


class NoSuchPanel(Exception):
    """An alert names a panel that no board has."""


def place_of(board: str, title: str) -> tuple[str, int]:
    """The uid of a board and the id of its panel. Raises NoSuchPanel."""
    for each in BOARDS:
        for number, panel in each.numbered():
            if (each.name, panel.title) == (board, title):
                return each.uid, number
    raise NoSuchPanel(f"{board}: {title}")
