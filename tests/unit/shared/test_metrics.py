"""What a process exports before it has done anything."""

import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client.metrics import MetricWrapperBase

from shared import metrics

ROOT = Path(__file__).resolve().parents[3]
_SHOW = "from shared import metrics; print(metrics.page()[1].decode())"


@pytest.mark.parametrize("name", ["carteiro_outbox_pending", "carteiro_outbox_oldest_pending_timestamp_seconds"])
def test_who_does_not_lead_the_outbox_says_nothing_of_it(name: str) -> None:
    """A zero would stand beside the leader's number, and the alert would take it for good news."""
    page = subprocess.run([sys.executable, "-c", _SHOW], capture_output=True, text=True, check=True).stdout
    assert f"\n{name} NaN\n" in page


def test_counters_begin_with_zero_so_that_the_first_event_is_an_increase() -> None:
    page = subprocess.run([sys.executable, "-c", _SHOW], capture_output=True, text=True, check=True).stdout
    for word in ("ticket_created", "dead_lettered"):
        assert f'\ncarteiro_messages_processed_total{{outcome="{word}"}} 0.0\n' in page


_MANY = """
from shared import metrics
from services.fetcher import faults

results = [fault.result for fault in faults.Fault.__subclasses__() + [faults.Fault] if getattr(fault, "result", "")]
for n in range(500):
    for metric in metrics.OF_ACCOUNTS:
        if metric is metrics.account_fetch:
            [metric.labels(f"a{n}", result) for result in {"success", *results}]
        elif metric is metrics.account_failing:
            metric.labels(f"a{n}", "timeout")
        else:
            metric.labels(f"a{n}")
print(sum(not line.startswith("#") for line in metrics.page()[1].decode().splitlines()))
for n in range(500):
    metrics.forget_account(f"a{n}")
print(sum("account=" in line for line in metrics.page()[1].decode().splitlines()))
print(sum(not line.startswith("#") for line in metrics.page()[1].decode().splitlines()))
"""


def test_five_hundred_accounts_cost_nine_thousand_series_and_none_when_they_are_gone() -> None:
    run = subprocess.run([sys.executable, "-c", _MANY], capture_output=True, text=True, check=True)
    many, left, without = map(int, run.stdout.split())
    assert many <= 9_000
    assert left == 0
    assert without < 500


def test_what_has_the_label_account_is_forgotten_with_it() -> None:
    labelled = {item for item in vars(metrics).values() if "account" in getattr(item, "_labelnames", ())}
    of_tokens = {item for item in labelled if item._name.startswith("carteiro_oauth_")}  # forgotten with the token
    assert labelled - of_tokens == set(metrics.OF_ACCOUNTS)


def test_every_metric_is_told_by_something() -> None:
    files = [path for part in ("services", "shared") for path in (ROOT / part).rglob("*.py")]
    code = "".join(path.read_text(encoding="utf-8") for path in files)
    named = {name for name, item in vars(metrics).items() if isinstance(item, MetricWrapperBase)}
    assert {name for name in named if f"metrics.{name}" not in code} == set()
