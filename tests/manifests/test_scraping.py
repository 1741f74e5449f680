"""Debian's Prometheus on a running Carteiro: it scrapes, the rules load and evaluate, and what they ask for is there.

`CARTEIRO_PICTURES=docs/dashboards CARTEIRO_PICTURES_SECONDS=600` draws the boards from a longer run.
"""

import asyncio
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from ops.monitoring import pictures, rules
from ops.monitoring.boards import BOARDS
from shared.clock import monotonic, now
from shared.kafka.producer import Outgoing, Producer
from shared.metrics import VALUES
from shared.topics import RECEIVED
from tests.contract.test_rules import exported
from tests.e2e.installation import DESK, SERVICES, Installation
from tests.e2e.mails import automatic, customers, reply
from tests.e2e.prometheus import Prometheus, found, name_targets, scraping
from tests.otlp import receiving
from tests.servers import Servers

pytestmark = pytest.mark.timeout(900)

# what only a rare fault brings; the rules are tested with it by promtool
RARE = {
    "carteiro_consumer_gap_timestamp_seconds": "records that Kafka has dropped",
    "carteiro_mail_window_full_timestamp_seconds": "more answers than a window allows",
    "carteiro_notification_suppressed_total": "notifications that were withheld",
    "carteiro_oauth_grant_refused": "an account that logs in with OAuth2",
}


@pytest.fixture
async def installation(servers: Servers, prefix: str, database: str, tmp_path: Path) -> AsyncIterator[Installation]:
    """Two accounts, one of them with a wrong password."""
    made = await Installation.prepare(servers, prefix, database, tmp_path)
    broken = """\
accounts:
  recusada: {{type: imaps, host: {host}, port: {imaps}, user: x, password: {{secret: recusada}}, queue: suporte}}
"""
    made.write_desk(DESK.replace("accounts:\n", broken))
    (made.folder / "secrets" / "recusada").write_text("wrong")
    yield made
    made.stop()


_OF_A_CUSTOMER = """
    SELECT a.from_address, t.number FROM ticketing.articles a JOIN ticketing.tickets t ON t.id = a.ticket_id
    WHERE a.from_address LIKE $1 ORDER BY t.id LIMIT 1
"""


async def poison(made: Installation) -> None:
    """A record that is no mail."""
    producer = Producer(made.servers.kafka, made.prefix, client_id="poison")
    await producer.send_all([Outgoing(RECEIVED, b"k", b"no mail", [("account", b"caixa")])])
    await producer.close()


async def test_prometheus_scrapes_it_and_finds_all_that_rules_and_panels_ask_for(
    installation: Installation, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    made = installation
    program = found()
    if program is None:
        pytest.skip("no prometheus: tools/debian.sh prometheus=prometheus unpacks Debian's")
    with receiving() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        made.start(*SERVICES)
        place = tmp_path_factory.mktemp("prometheus")
        with scraping(program, ports_of(made), place, rules.rules_yaml()) as prometheus:
            await made.until(lambda: prometheus.up() == set(SERVICES), "every service is scraped")
            began = now().timestamp()
            await made.watching()
            begun = "count(carteiro_mail_to_response_seconds_count == 0)"
            await made.until(lambda: set(prometheus.value(begun).values()) == {1}, "answers are counted from 0")
            await made.deliver_all(customers(6, made.support, made.domain) + automatic(2, made.support, made.domain))
            await poison(made)
            await made.settled(8, 6)
            customer, number = (await made.rows(_OF_A_CUSTOMER, f"c%@{made.domain}"))[0]
            again = reply(customer, made.support, f"<r@{made.domain}>", f"Re: [Ticket#{number}]", "", "subject")
            await made.deliver_all([again])
            taken = 'carteiro_messages_processed_total{outcome="article_added"} == 1'
            await made.until(lambda: prometheus.value(taken), "the last mail is scraped")
            pending = "carteiro_dead_letters_pending == 1"
            await made.until(lambda: prometheus.value(pending), "the dead letter is scraped")
            await made.until(lambda: judged(prometheus), "every rule was evaluated")

            assert [rule for rule in prometheus.rules() if rule["health"] != "ok"] == []
            assert set(prometheus.asked("label/__name__/values")) >= wanted() - RARE.keys()
            assert RARE.keys() <= wanted()
            await made.until(lambda: "CarteiroDeadLettersPresent" in prometheus.firing(), "the dead letter's alert")
            assert within(prometheus) == set()
            seen = prometheus.asked(
                "query_exemplars",
                query="carteiro_mail_to_ticket_seconds_bucket",
                start=str(began),
                end=str(began + 900),
            )
            traces = {each["labels"]["trace_id"] for series in seen for each in series["exemplars"]}
            assert traces
            await made.until(lambda: traces <= {span.trace for span in receiver.spans}, "the traces of the exemplars")
            if folder := os.environ.get("CARTEIRO_PICTURES"):  # noqa: TID251
                await a_longer_run(made, place, float(os.environ.get("CARTEIRO_PICTURES_SECONDS", "60")))  # noqa: TID251
                span = [prometheus.url, str(began), str(now().timestamp())]
                assert await asyncio.to_thread(pictures.main, [*span, folder]) == 0


def ports_of(made: Installation) -> dict[str, int]:
    return {name: made.ports[name] for name in SERVICES}


def judged(prometheus: Prometheus) -> bool:
    read = prometheus.rules()
    return len(read) == len(all_rules()) and all(rule["lastEvaluation"][:4] > "0001" for rule in read)


def all_rules() -> list[dict[str, Any]]:
    return [rule for group in rules.groups()["groups"] for rule in group["rules"]]


def wanted() -> set[str]:
    """Every series of the code that a rule or a panel names."""
    asked = [rule["expr"] for rule in all_rules()]
    asked += [query.expr for board in BOARDS for _, panel in board.numbered() for query in panel.queries]
    return exported().keys() & {word for expr in asked for word in re.findall(r"\bcarteiro_\w+", expr)}


def within(prometheus: Prometheus) -> set[str]:
    """Values of labels that the catalogue does not know."""
    strange = set()
    for metric, labels in VALUES.items():
        ((label, known),) = labels.items()
        name = metric._name + {"counter": "_total", "histogram": "_count"}[str(metric._type)]
        told = prometheus.asked(f"label/{label}/values", **{"match[]": name})
        strange |= {f"{name}: {value}" for value in set(told) - set(known)}
    return strange


async def a_longer_run(made: Installation, place: Path, seconds: float) -> None:
    """Customers all the while; for a fifth of it no mailer, and again no dispatcher."""
    began, batch = monotonic(), 0
    stopped: set[str] = set()
    faults = (("mailer", 0.2, 0.4), ("dispatcher", 0.6, 0.75))
    while (passed := (monotonic() - began) / seconds) < 1:
        for name, begin, end in faults:
            if begin <= passed < end and name not in stopped:
                made.stop(name)
                stopped.add(name)
            elif passed >= end and name in stopped and name not in made.processes:
                made.start(name)
                name_targets(ports_of(made), place)
        batch += 1
        mails = customers(4, made.support, made.domain, mark=f"b{batch}-") + automatic(1, made.support, made.domain)
        await made.deliver_all([mail.named(f"x{batch}") for mail in mails])
        if batch % 20 == 0:
            await poison(made)
        await asyncio.sleep(2)
