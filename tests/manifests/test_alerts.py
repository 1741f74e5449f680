"""Each alert as Prometheus decides it: the last minute at which it is silent, and the first at which it fires.

The clock begins at 0 (minutes in the table, seconds in the series): a timestamp of 1 is from the beginning.
"""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from ops.monitoring import rules as source

GROUPS = ("dispatcher-received", "ticketing-dispatched", "ticketing-deadletters", "mailer-events")

UNFETCHED = "carteiro_account_oldest_unfetched_timestamp_seconds"
SUCCESS = "carteiro_account_last_success_timestamp_seconds"
POLL = "carteiro_account_last_poll_timestamp_seconds"
OUTBOX = "carteiro_outbox_oldest_pending_timestamp_seconds"
WAITING = "carteiro_consumer_waiting_timestamp_seconds"
OUTBOUND = "carteiro_smtp_queue_oldest_timestamp_seconds"
RELOADED = "carteiro_desk_last_reload_successful"
INTERVAL = "carteiro_account_interval_seconds"
FAILING = "carteiro_account_failing_timestamp_seconds"
LAG = "carteiro_consumer_position_lag_messages"
TRIED = "carteiro_smtp_attempts_total"
FETCHED = "carteiro_messages_fetched_total"
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
        {of(SUCCESS, account="caixa"): "1", of(INTERVAL, account="caixa"): "300"},
        20,
        21,
        CAIXA,
        "No look into the mailbox of caixa has succeeded for two of its intervals, or since the start",
    ),
    Case(  # never since the fetcher started
        "CarteiroAccountNotPolled",
        {of(POLL, account="caixa"): "1+60", of(INTERVAL, account="caixa"): "300"},
        20,
        21,
        CAIXA,
        "No look into the mailbox of caixa has succeeded for two of its intervals, or since the start",
    ),
    Case(  # taken over by another pod
        "CarteiroAccountNotPolled",
        {
            of(SUCCESS, account="caixa", pod="fetcher-0"): "1",
            of(SUCCESS, account="caixa", pod="fetcher-1"): "1+60",
            of(INTERVAL, account="caixa", pod="fetcher-1"): "300",
        },
        90,
        None,
        {},
        "",
    ),
    Case(  # looked into every half an hour, as the desk wants it
        "CarteiroAccountNotPolled",
        {of(SUCCESS, account="caixa"): "1", of(INTERVAL, account="caixa"): "1800"},
        67,
        68,
        CAIXA,
        "No look into the mailbox of caixa has succeeded for two of its intervals, or since the start",
    ),
    Case(
        "CarteiroAccountAuthFailing",
        {of(FAILING, account="caixa", result="auth_failed"): "1", of(FAILING, account="x", result="timeout"): "1"},
        1,
        2,
        CAIXA,
        "The log-in of caixa has been refused for 1m 59s",
    ),
    Case(
        "CarteiroResyncSilenced",
        {of("carteiro_account_resync_silenced_total", account="caixa"): "0 0 600 600"},
        1,
        3,
        CAIXA,
        "The mailbox of caixa is read anew: about 600 mails come in unanswered",
    ),
    Case(
        "CarteiroConsumerLagGrowing",
        {of(LAG, topic="t", group="g", partition="0"): "0+10", of(LAG, topic="t", group="g", partition="1"): "0+10"},
        20,
        21,
        {"topic": "t", "group": "g"},
        "g falls behind: 420 records of t wait",
    ),
    Case("CarteiroConsumerLagGrowing", {of(LAG, topic="t", group="g", partition="0"): "5000-10"}, 90, None, {}, ""),
    Case(
        "CarteiroSmtpDeferredHigh",
        {of(TRIED, result="postponed", code_class="4xx"): "0+1", of(TRIED, result="accepted"): "0+2"},
        17,
        19,
        {},
        "33.33% of the deliveries are postponed by the servers",
    ),
    Case(  # one greylisting server of many
        "CarteiroSmtpDeferredHigh",
        {of(TRIED, result="postponed", code_class="4xx"): "0+1", of(TRIED, result="accepted"): "0+20"},
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
        "CarteiroAccountAuthFailing",
        {of(FAILING, account="caixa", result="mailbox_refused"): "1"},
        1,
        2,
        CAIXA,
        "The log-in of caixa has been refused for 1m 59s",
    ),
    Case(
        "CarteiroOauthGrantRefused",
        {of("carteiro_oauth_grant_refused", account="caixa", protocol="smtp", pod="mailer-0"): "0 1 1 1"},
        1,
        3,
        CAIXA,
        "The provider gives out no access token for caixa until somebody acts",
    ),
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
    Case(  # and the process is gone a minute later: beyond what Prometheus looks back for a last value
        "CarteiroRecordsUnaccounted",
        {of("carteiro_consumer_unaccounted_records", topic="mail.received.v1", pod="dispatcher-0"): "0 2 _ _ _"},
        0,
        30,
        {"topic": "mail.received.v1"},
        "2 records of mail.received.v1 were passed without an outcome",
    ),
    Case(
        "CarteiroRecordsUnaccounted",
        {of("carteiro_consumer_unaccounted_records", topic="a", pod="b"): "0"},
        90,
        None,
        {},
        "",
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


class Burning(NamedTuple):
    """`windows` of the objective's four alerts that fire at `hours`; the series are as in `Case`."""

    why: str
    alert: str
    series: dict[str, str]
    hours: int
    windows: set[str]


def mails(origin: str, late: int, intime: int) -> dict[str, str]:
    """A minute's mails, as the histogram of the way to a ticket counts them."""
    kind = {"origin": origin, "kind": "human"}
    return {
        of("carteiro_mail_to_ticket_seconds_bucket", le="60.0", **kind): f"0+{intime}",
        of("carteiro_mail_to_ticket_seconds_count", **kind): f"0+{late + intime}",
    }


def outcomes(**a_minute: int) -> dict[str, str]:
    return {of("carteiro_messages_processed_total", outcome=word): f"0+{n}" for word, n in a_minute.items()}


def accounts(stale: int, fresh: int) -> dict[str, str]:
    names = [(f"a{n}", n < stale) for n in range(stale + fresh)]
    return {
        series: text
        for name, old in names
        for series, text in {
            of(UNFETCHED, account=name): "1" if old else "0",
            of(SUCCESS, account=name): "1+60",
            of(INTERVAL, account=name): "600",
        }.items()
    }


def answers(accepted: int, due: int) -> dict[str, str]:
    return {
        of("carteiro_mail_to_response_seconds_bucket", le="300.0", template="t"): f"0+{accepted}",
        "carteiro_responses_due_total": f"0+{due}",
    }


LATE, LOST = "CarteiroMailToTicketBudgetBurn", "CarteiroDeadLetterBudgetBurn"
FRESH, ANSWERED = "CarteiroFreshnessBudgetBurn", "CarteiroResponseBudgetBurn"
OVER = {
    of("carteiro_mail_to_ticket_seconds_bucket", le="60.0", origin="live", kind="human"): "0+0x90 10+10x300",
    of("carteiro_mail_to_ticket_seconds_count", origin="live", kind="human"): "0+10x90 910+10x300",
}
BURNING = [
    Burning("a fifth is late: twenty times the budget", LATE, mails("live", 2, 8), 2, {"1h", "6h", "1d"}),
    Burning("and goes on", LATE, mails("live", 2, 8), 4, {"1h", "6h", "1d", "3d"}),
    Burning("four times the budget", LATE, mails("live", 4, 96), 4, {"1d", "3d"}),
    Burning("an hour and a half, over for half an hour", LATE, OVER, 2, {"1d"}),
    Burning("half of the budget", LATE, mails("live", 1, 199), 6, set()),
    Burning("old mail of a new account", LATE, mails("live", 0, 10) | mails("backfill", 50, 0), 6, set()),
    Burning(
        "three mails an hour wake nobody",
        LATE,
        {s: t.replace("+1", "+0.05") for s, t in mails("live", 1, 0).items()},
        2,
        {"1d"},
    ),
    Burning("one in fifty is lost", LOST, outcomes(ticket_created=49, dead_lettered=1), 2, {"1h", "6h", "1d"}),
    Burning("one in two thousand", LOST, outcomes(ticket_created=1999, dead_lettered=1), 6, set()),
    Burning("a failed record of many duplicates", LOST, outcomes(duplicate=2000, dead_lettered=1), 6, set()),
    Burning("one account of ten waits", FRESH, accounts(1, 9), 2, {"1h", "6h", "1d"}),
    Burning("one account of many", FRESH, accounts(1, 249), 2, set()),
    Burning("the SMTP server is away", ANSWERED, answers(0, 1), 2, {"1h", "6h", "1d"}),
    Burning("all are answered", ANSWERED, answers(1, 1), 4, set()),
    Burning("old mail is answered late", ANSWERED, answers(2, 1), 4, set()),
]


def values(text: str) -> str:
    """A hundred minutes: one value, or `start+step`; several are themselves."""
    if text == "NaN":
        return " ".join(["NaN"] * 100)
    return text if " " in text else text + ("x400" if "+" in text or "-" in text else "+0x400")


def rules() -> dict[str, dict[str, Any]]:
    return {rule["alert"]: rule for rule in source.groups()["groups"][-1]["rules"]}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The rules as they are rendered now; `make check` compares those of the repository."""
    path = tmp_path / "rules.yaml"
    path.write_text(source.rules_yaml())
    return path


@pytest.fixture
def symptoms(tmp_path: Path) -> Path:
    """The alerts that need nothing recorded: a quarter of the time."""
    path = tmp_path / "symptoms.yaml"
    path.write_text(yaml.safe_dump({"groups": source.groups()["groups"][-1:]}))
    return path


def judge(promtool: str, file: Path, tests: list[dict[str, Any]], *, every: str = "1m") -> None:
    """In one call: promtool takes a second to begin."""
    asked = file.with_name("tests.yaml")
    order = [group["name"] for group in yaml.safe_load(file.read_text())["groups"]]  # promtool's own changes each time
    asks = {"rule_files": [str(file)], "evaluation_interval": every, "group_eval_order": order, "tests": tests}
    asked.write_text(yaml.safe_dump(asks))
    told = subprocess.run([promtool, "test", "rules", str(asked)], capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout[-5000:] + told.stderr[-5000:]


def annotations(rule: dict[str, Any], labels: dict[str, str], summary: str) -> dict[str, str]:
    """As Prometheus writes them out; a label that the alert has not is empty."""
    filled = {
        name: re.sub(r"\{\{ \$labels\.(\w+) \}\}", lambda found: labels.get(found[1], ""), text)
        for name, text in rule["annotations"].items()
    }
    return filled | {"summary": summary}


def written(case: Case, rule: dict[str, Any]) -> dict[str, Any]:
    """promtool's unit test of one case."""
    firing = {
        "exp_labels": case.labels | rule["labels"],
        "exp_annotations": annotations(rule, case.labels, case.summary),
    }
    asked: list[dict[str, Any]] = [{"eval_time": f"{case.silent}m", "alertname": case.alert, "exp_alerts": []}]
    if case.fires is not None:
        asked.append({"eval_time": f"{case.fires}m", "alertname": case.alert, "exp_alerts": [firing]})
    series = [{"series": name, "values": values(text)} for name, text in case.series.items()]
    return {"name": f"{case}", "interval": "1m", "input_series": series, "alert_rule_test": asked}


def test_each_alert_is_silent_and_fires_at_its_time(promtool: str, symptoms: Path) -> None:
    judge(promtool, symptoms, [written(case, rules()[case.alert]) for case in CASES])


def asked_of(case: Burning) -> dict[str, Any]:
    """promtool's unit test of one case: which alerts fire, whatever their text. `count` has no value for none."""
    fires = f'ALERTS{{alertname="{case.alert}",alertstate="firing",window="%s"}}'
    expected = [
        {
            "expr": fires % window,
            "eval_time": f"{case.hours}h",
            "exp_samples": [
                {
                    "labels": (fires % window).replace("}", f',severity="{severity}"}}'),
                    "value": 1,
                }
            ]
            if window in case.windows
            else [],
        }
        for window, severity in (("1h", "critical"), ("6h", "critical"), ("1d", "warning"), ("3d", "warning"))
    ]
    series = [{"series": name, "values": values(text)} for name, text in case.series.items()]
    return {"name": case.why, "interval": "1m", "input_series": series, "promql_expr_test": expected}


def test_a_budget_that_burns_alerts_as_fast_as_it_burns(promtool: str, file: Path) -> None:
    judge(promtool, file, [asked_of(case) for case in BURNING], every="5m")


def test_last_week_is_what_silence_is_measured_by(promtool: str, symptoms: Path) -> None:
    """Eight days in steps of ten minutes; the last day nothing comes."""
    week = {"imap": "0+10x1007 10070+0x200", "pop3": "0+0x1300"}
    series = [{"series": of(FETCHED, protocol=name), "values": text} for name, text in week.items()]
    summary = "No mail has come for an hour; a week ago there was some"
    told = annotations(rules()["CarteiroPipelineSilent"], {}, summary)
    fires = [{"exp_labels": {"severity": "warning"}, "exp_annotations": told}]
    asked = [("7d2h", fires), ("6d", [])]
    tests = [{"eval_time": when, "alertname": "CarteiroPipelineSilent", "exp_alerts": what} for when, what in asked]
    judge(promtool, symptoms, [{"interval": "10m", "input_series": series, "alert_rule_test": tests}], every="10m")
    quiet = [{"series": of(FETCHED, protocol="imap"), "values": "0+0x1300"}]
    never = [{"eval_time": "8d", "alertname": "CarteiroPipelineSilent", "exp_alerts": []}]
    judge(promtool, symptoms, [{"interval": "10m", "input_series": quiet, "alert_rule_test": never}], every="10m")


def test_every_alert_is_here() -> None:
    fired = {case.alert for case in CASES if case.fires is not None} | {"CarteiroPipelineSilent"}
    assert fired == set(rules())
    burning = {rule["alert"] for rule in source.groups()["groups"][-2]["rules"]}
    assert {case.alert for case in BURNING if case.windows} == {case.alert for case in BURNING} == burning


def test_prometheus_itself_takes_the_rules(promtool: str, file: Path) -> None:
    told = subprocess.run([promtool, "check", "rules", str(file)], capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout + told.stderr
