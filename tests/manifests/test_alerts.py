"""Each alert as Prometheus decides it: the last minute at which it is silent, and the first at which it fires.

The clock begins at 0 (minutes in the table, seconds in the series): a timestamp of 1 is from the beginning.
"""

import shutil
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "deploy" / "prometheus" / "rules.yaml"
GROUPS = ("dispatcher-received", "ticketing-dispatched", "ticketing-deadletters", "mailer-events")

UNFETCHED = "carteiro_account_oldest_unfetched_timestamp_seconds"
SUCCESS = "carteiro_account_last_success_timestamp_seconds"
POLL = "carteiro_account_last_poll_timestamp_seconds"
OUTBOX = "carteiro_outbox_oldest_pending_timestamp_seconds"
WAITING = "carteiro_consumer_waiting_timestamp_seconds"
OUTBOUND = "carteiro_smtp_queue_oldest_timestamp_seconds"
RELOADED = "carteiro_desk_last_reload_successful"
CONFIGURED = "carteiro_accounts_configured"
PROGRESS = {f'carteiro_consumer_last_progress_timestamp_seconds{{group="{group}"}}': "1" for group in GROUPS}
THREE_GROUPS = dict(list(PROGRESS.items())[1:])
TWO_FETCHERS = ("fetcher-0", "fetcher-1")
BUILD = {"carteiro_build_info": "1"}


class Case(NamedTuple):
    """`series`: name -> its value all the time. `silent` and `fires` are minutes; `fires` None: never."""

    alert: str
    series: dict[str, str]
    silent: int
    fires: int | None
    labels: dict[str, str]
    summary: str


def of(name: str, **labels: str) -> str:
    return name + "{" + ",".join(f'{key}="{value}"' for key, value in labels.items()) + "}"


CAIXA = {"account": "caixa"}
OLDEST = of(UNFETCHED, account="caixa", pod="fetcher-0")
LEAD_CHANGES = {
    of(OUTBOX, pod="ticketing-0"): "1 1 1 1 1 1 1 NaN NaN NaN NaN" + " 1" * 90,
    of(OUTBOX, pod="ticketing-1"): "NaN NaN NaN NaN NaN NaN NaN NaN 1 1 NaN" + " NaN" * 90,
}
CASES = [
    Case(
        "CarteiroAccountUnfetchedMailTooOld",
        {OLDEST: "1"},
        12,
        13,
        CAIXA,
        "Mail waits in the mailbox of caixa for 12m 59s",
    ),
    Case("CarteiroAccountUnfetchedMailTooOld", {OLDEST: "0"}, 90, None, {}, ""),
    Case(
        "CarteiroAccountNotPolled",
        {of(SUCCESS, account="caixa"): "1"},
        20,
        21,
        CAIXA,
        "No look into the mailbox of caixa has succeeded for fifteen minutes, or since the start",
    ),
    Case(  # never since the fetcher started
        "CarteiroAccountNotPolled",
        {of(POLL, account="caixa"): "1+60"},
        20,
        21,
        CAIXA,
        "No look into the mailbox of caixa has succeeded for fifteen minutes, or since the start",
    ),
    Case(  # taken over by another pod
        "CarteiroAccountNotPolled",
        {of(SUCCESS, account="caixa", pod="fetcher-0"): "1", of(SUCCESS, account="caixa", pod="fetcher-1"): "1+60"},
        90,
        None,
        {},
        "",
    ),
    Case(
        "CarteiroAccountUnowned",
        {CONFIGURED: "3", of(POLL, account="caixa"): "1+60"},
        4,
        5,
        {},
        "2 of the desk's accounts are watched by no fetcher",
    ),
    Case("CarteiroAccountUnowned", {CONFIGURED: "1"}, 4, 5, {}, "1 of the desk's accounts are watched by no fetcher"),
    Case("CarteiroAccountUnowned", {CONFIGURED: "1", of(POLL, account="caixa"): "1"}, 90, None, {}, ""),
    Case(
        "CarteiroBrake",
        {
            of("carteiro_fetcher_brake", pod="fetcher-0"): "0 0 0",
            of("carteiro_fetcher_brake", pod="fetcher-1"): "0 1 1",
        },
        0,
        1,
        {},
        "No mail is taken in: what is on Kafka has waited half its retention unread",
    ),
    Case(
        "CarteiroDeskReloadFailed",
        {of(RELOADED, pod="fetcher-0"): "1", of(RELOADED, pod="mailer-0"): "0"},
        4,
        5,
        {},
        "The last change of the desk was refused: the one before is in use",
    ),
    Case("CarteiroDeskReloadFailed", {of(RELOADED, pod="fetcher-0"): "1"}, 90, None, {}, ""),
    Case(
        "CarteiroDeadLettersPresent",
        {of("carteiro_dead_letters_pending", topic="mail.received.v1", pod="ticketing-0"): "0 1 1"},
        0,
        1,
        {"topic": "mail.received.v1"},
        "1 records of mail.received.v1 were set aside and wait for a decision",
    ),
    Case(
        "CarteiroFuseOpen",
        {of("carteiro_consumer_fuse_open", topic="mail.received.v1", group="g", pod="dispatcher-0"): "0 1 1"},
        0,
        1,
        {"topic": "mail.received.v1", "group": "g"},
        "Most records of mail.received.v1 are bad: g has paused",
    ),
    Case(
        "CarteiroPartitionWaits",
        {of(WAITING, topic="mail.received.v1", group="g", pod="dispatcher-0"): "1"},
        10,
        11,
        {"topic": "mail.received.v1", "group": "g"},
        "A partition of mail.received.v1 has waited for 10m 59s for its next record",
    ),
    Case("CarteiroPartitionWaits", {of(WAITING, topic="mail.received.v1", group="g"): "0"}, 90, None, {}, ""),
    Case(
        "CarteiroRecordsMissing",
        {of("carteiro_consumer_gap_timestamp_seconds", topic="mail.received.v1", group="g"): "_ 1 1"},
        0,
        1,
        {"topic": "mail.received.v1", "group": "g"},
        "Records of mail.received.v1 had gone before g read them",
    ),
    Case(
        "CarteiroOutboxStuck",
        {of(OUTBOX, pod="ticketing-0"): "1", of(OUTBOX, pod="ticketing-1"): "NaN"},
        6,
        7,
        {},
        "Events of tickets wait for 6m 59s: nobody is answered or notified",
    ),
    Case(  # the lead changes in minute 7 and again in minute 10: neither silence nor a new beginning
        "CarteiroOutboxStuck",
        LEAD_CHANGES,
        8,
        9,
        {},
        "Events of tickets wait for 8m 59s: nobody is answered or notified",
    ),
    Case(  # who led until then says nothing any more
        "CarteiroOutboxStuck",
        {
            of(OUTBOX, pod="ticketing-0"): "1 1 1 NaN NaN" + " NaN" * 95,
            of(OUTBOX, pod="ticketing-1"): "NaN NaN NaN 0" + " 0" * 96,
        },
        90,
        None,
        {},
        "",
    ),
    Case("CarteiroOutboxUnled", LEAD_CHANGES, 90, None, {}, ""),
    Case("CarteiroOutboxStuck", {OUTBOX: "0"}, 90, None, {}, ""),
    Case(
        "CarteiroOutboxUnled",
        {OUTBOX: "NaN"},
        4,
        5,
        {},
        "No process leads the outbox: nothing is settled, nobody is answered or notified",
    ),
    Case("CarteiroOutboxUnled", {of(OUTBOX, pod="0"): "NaN", of(OUTBOX, pod="1"): "0"}, 90, None, {}, ""),
    Case("CarteiroOutboundStuck", {OUTBOUND: "1"}, 35, 36, {}, "The oldest mail waits to be sent for 35m 59s"),
    Case("CarteiroOutboundStuck", {OUTBOUND: "0"}, 90, None, {}, ""),
    Case(
        "CarteiroMailFailed",
        {
            of("carteiro_smtp_failed_mails", pod="mailer-0"): "0 2 2",
            of("carteiro_smtp_failed_mails", pod="mailer-1"): "0",
        },
        0,
        1,
        {},
        "2 mails to customers or agents failed for good in the last 24 hours",
    ),
    Case(
        "CarteiroMailWithheld",
        {of("carteiro_mail_window_full_timestamp_seconds", reason="total_limit", pod="mailer-0"): "0 60 60"},
        0,
        1,
        {"reason": "total_limit"},
        "Automatic mail is withheld (total_limit): more would go out than the desk allows",
    ),
    Case(
        "CarteiroMailWithheld", {of("carteiro_mail_window_full_timestamp_seconds", reason="a"): "0"}, 90, None, {}, ""
    ),
    Case("CarteiroMetricsAbsent", PROGRESS, 9, 10, {}, "A service of Carteiro reports nothing"),
    Case("CarteiroMetricsAbsent", BUILD | THREE_GROUPS, 9, 10, {}, "A service of Carteiro reports nothing"),
    Case("CarteiroMetricsAbsent", BUILD | PROGRESS, 90, None, {}, ""),
]


@pytest.fixture(scope="module")
def promtool() -> str:
    """From PATH, which `make manifests` completes."""
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not on PATH")
    return found


def values(text: str) -> str:
    """A hundred minutes: one value, or `start+step`; several are themselves."""
    if text == "NaN":
        return " ".join(["NaN"] * 100)
    return text if " " in text else text + ("x100" if "+" in text else "+0x100")


def rules() -> dict[str, dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


def written(case: Case, rule: dict[str, Any]) -> dict[str, Any]:
    """promtool's unit test of one case."""
    firing = {
        "exp_labels": case.labels | rule["labels"],
        "exp_annotations": rule["annotations"] | {"summary": case.summary},
    }
    asked: list[dict[str, Any]] = [{"eval_time": f"{case.silent}m", "alertname": case.alert, "exp_alerts": []}]
    if case.fires is not None:
        asked.append({"eval_time": f"{case.fires}m", "alertname": case.alert, "exp_alerts": [firing]})
    series = [{"series": name, "values": values(text)} for name, text in case.series.items()]
    return {"name": f"{case}", "interval": "1m", "input_series": series, "alert_rule_test": asked}


def test_each_alert_is_silent_and_fires_at_its_time(promtool: str, tmp_path: Path) -> None:
    """In one call: promtool takes a second to begin."""
    tests = [written(case, rules()[case.alert]) for case in CASES]
    file = tmp_path / "alerts.yaml"
    file.write_text(yaml.safe_dump({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": tests}))
    told = subprocess.run([promtool, "test", "rules", str(file)], capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout + told.stderr


def test_every_alert_is_here() -> None:
    assert {case.alert for case in CASES if case.fires is not None} == set(rules())


def test_prometheus_itself_takes_the_rules(promtool: str) -> None:
    told = subprocess.run([promtool, "check", "rules", str(RULES)], capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout + told.stderr
