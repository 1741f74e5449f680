"""What a process exports before it has done anything."""

import subprocess
import sys

import pytest

_SHOW = "from shared import metrics; print(metrics.page().decode())"


@pytest.mark.parametrize("name", ["carteiro_outbox_pending", "carteiro_outbox_oldest_pending_timestamp_seconds"])
def test_who_does_not_lead_the_outbox_says_nothing_of_it(name: str) -> None:
    """A zero would stand beside the leader's number, and the alert would take it for good news."""
    page = subprocess.run([sys.executable, "-c", _SHOW], capture_output=True, text=True, check=True).stdout
    assert f"\n{name} NaN\n" in page
