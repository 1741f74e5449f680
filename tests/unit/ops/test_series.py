"""Selectors: a name or label that the code does not export is refused when it is written, not when it is missed."""

import pytest

from ops.monitoring.series import UnknownLabel, series
from shared import metrics


def test_a_selector_has_the_name_that_is_exported() -> None:
    assert series(metrics.brake) == "carteiro_fetcher_brake"
    assert series(metrics.processed, outcome="ignored") == 'carteiro_messages_processed_total{outcome="ignored"}'
    late = series(metrics.mail_to_ticket, "bucket", origin="live", le="60.0")
    assert late == 'carteiro_mail_to_ticket_seconds_bucket{origin="live",le="60.0"}'
    chosen = series(metrics.account_fetch, account="~$account", result="!success", matching='namespace=~"$namespace"')
    assert chosen == 'carteiro_account_fetch_total{account=~"$account",result!="success",namespace=~"$namespace"}'


def test_a_label_that_a_metric_has_not_is_refused() -> None:
    with pytest.raises(UnknownLabel, match="acount"):
        series(metrics.account_fetch, acount="caixa")
    with pytest.raises(UnknownLabel, match="le"):
        series(metrics.mail_to_ticket, "count", le="60.0")


def test_a_part_that_a_metric_has_not_is_refused() -> None:
    with pytest.raises(ValueError, match="bucket"):
        series(metrics.processed, "bucket")
    with pytest.raises(ValueError, match="of its own"):
        series(metrics.mail_to_ticket)
