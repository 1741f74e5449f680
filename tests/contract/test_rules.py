"""The alert rules: every name in an expression is exported by something, every alert says what to do."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.metrics import MetricWrapperBase

from shared import metrics
from shared.topics import GROUPS

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "deploy" / "prometheus" / "rules.yaml"
RUNBOOKS = ROOT / "docs" / "runbooks"

_TARGET_LABELS = {"pod", "job", "instance", "namespace"}
_WORDS = {
    "inf",
    "and",
    "or",
    "unless",
    "on",
    "ignoring",
    "by",
    "without",
    "group_left",
    "group_right",
    "bool",
    "offset",
}
_SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}


def exported() -> dict[str, set[str]]:
    """Series name -> its labels, for every metric of the code."""
    found = {}
    for metric in vars(metrics).values():
        if isinstance(metric, MetricWrapperBase):
            for suffix in _SUFFIXES[str(metric._type)]:
                bucket = {"le"} if suffix == "_bucket" else set()
                found[metric._name + suffix] = {*metric._labelnames, *bucket}
    return found


def rules() -> list[dict[str, Any]]:
    """Of the file; `ops.pages --check` says that the resource is the same."""
    return [rule for group in yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"] for rule in group["rules"]]


def alerts() -> dict[str, dict[str, Any]]:
    """By name, and of a budget's alerts by window."""
    found = [rule for rule in rules() if "alert" in rule]
    return {f"{rule['alert']} {rule['labels'].get('window', '')}".strip(): rule for rule in found}


def recorded() -> dict[str, str]:
    return {rule["record"]: rule["expr"] for rule in rules() if "record" in rule}


def unknown_names(expression: str) -> list[str]:
    """Series and labels of an expression that nothing exports or records."""
    known = exported() | {name: {"account"} & set(re.findall(r"\w+", RECORDED[name])) for name in RECORDED}
    text = re.sub(r'"[^"]*"', "", expression)
    labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=(?!=))", text))
    for listed in re.findall(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)", text):
        labels |= set(re.findall(r"\w+", listed))
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\b(?:by|without|on|ignoring)\s*\([^)]*\)", " ", text)
    series = set(re.findall(r"\b[a-zA-Z_:][\w:]*\b(?!\s*\()", bare)) - _WORDS
    available = set().union(_TARGET_LABELS, *(known.get(name, set()) for name in series))
    return sorted({*(series - set(known)), *(labels - available)})


ALERTS = alerts()
RECORDED = recorded()
NAMES = {rule["alert"] for rule in ALERTS.values()}


@pytest.mark.parametrize("name", RECORDED)
def test_what_is_recorded_is_made_of_what_the_code_exports(name: str) -> None:
    assert unknown_names(RECORDED[name]) == []


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_asks_for_what_the_code_exports(alert: str) -> None:
    assert unknown_names(ALERTS[alert]["expr"]) == []


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_says_how_bad_it_is_and_what_to_do(alert: str) -> None:
    rule = ALERTS[alert]
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert rule["alert"].startswith("Carteiro")
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert rule["annotations"]["summary"]
    assert rule["annotations"]["runbook_url"] == f"docs/runbooks/{rule['alert']}.md"


@pytest.mark.parametrize("alert", ALERTS)
def test_a_summary_names_only_labels_that_the_expression_keeps(alert: str) -> None:
    named = set(re.findall(r"\$labels\.(\w+)", ALERTS[alert]["annotations"]["summary"]))
    first = re.search(r"\bby\s*\(([^)]*)\)", ALERTS[alert]["expr"])
    assert named <= set(re.findall(r"\w+", first.group(1) if first else ""))


def test_alerts_and_runbooks_are_the_same_set() -> None:
    assert {path.stem for path in RUNBOOKS.glob("*.md")} == NAMES


@pytest.mark.parametrize("alert", sorted(NAMES))
def test_a_runbook_has_its_four_parts_and_a_command_to_paste(alert: str) -> None:
    text = (RUNBOOKS / f"{alert}.md").read_text(encoding="utf-8")
    assert text.startswith(f"# {alert}\n")
    assert re.findall(r"^\*\*(\w+)\.\*\*", text, re.MULTILINE) == ["Meaning", "Impact", "Diagnosis", "Mitigation"]
    assert re.search(r"^```sh\n(?:carteiro|kubectl) ", text, re.MULTILINE)


def test_silence_is_measured_against_every_consumer_group() -> None:
    assert f"< {len(GROUPS)}" in ALERTS["CarteiroMetricsAbsent"]["expr"]


@pytest.mark.parametrize(
    ("expression", "unknown"),
    [
        ("max by (account) (carteiro_account_last_sucess_timestamp_seconds) > 1", "_last_sucess_"),
        ("sum by (acount) (rate(carteiro_account_fetch_total[5m]))", "acount"),
        ('sum(rate(carteiro_account_fetch_total{outcome="success"}[5m]))', "outcome"),
        ("rate(carteiro_account_fetch[5m])", "carteiro_account_fetch"),
        ("histogram_quantile(0.9, rate(carteiro_mail_to_ticket_seconds[5m]))", "carteiro_mail_to_ticket_seconds"),
    ],
)
def test_a_misspelt_name_is_found(expression: str, unknown: str) -> None:
    assert any(unknown in name for name in unknown_names(expression))


def test_names_that_exist_pass() -> None:
    expression = (
        'sum by (account) (increase(carteiro_account_fetch_total{result="auth_failed"}[15m])) > 2 unless on (account) '
        'histogram_quantile(0.9, sum by (le, origin) (rate(carteiro_mail_to_ticket_seconds_bucket{origin!="x"}[5m])))'
    )
    assert unknown_names(expression) == []
