"""A mail's trace, made by the four services and received over OTLP: one, from the mailbox to the SMTP server."""

import os
from itertools import pairwise
from pathlib import Path

import pytest

from shared.events import transport_key
from tests.e2e.installation import REPO, SERVICES, Installation
from tests.e2e.mails import Sent, plain
from tests.otlp import Received, receiving

WAY = ["fetch", "dispatch", "settle", "publish", "compose", "send"]
PAGE = REPO / "docs" / "traces.md"


def of_support(made: Installation, name: str, subject: str) -> Sent:
    return plain(f"{name}@{made.domain}", made.support, f"<{name}@{made.domain}>", subject)


async def test_a_mail_is_one_trace_from_its_mailbox_to_the_smtp_server(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = installation
    with receiving() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "200")
        made.start(*SERVICES)
        await made.watching()
        await made.deliver_all([of_support(made, "maria", "Pedido secreto"), of_support(made, "jose", "Outro")])
        await made.settled(2, 2)
        sent = await made.count("SELECT count(*) FROM mailer.outbound WHERE state = 'sent'")
        await made.until(lambda: sum(span.name == "send" for span in receiver.spans) == sent, "spans of all deliveries")
        assert made.stop() == dict.fromkeys(SERVICES, 0)

    tickets = await made.rows("SELECT number FROM ticketing.tickets")
    fetched = [span for span in receiver.spans if span.name == "fetch"]
    keys = {span.attributes["carteiro.transport_key"] for span in fetched}
    identity = await made.rows("SELECT uidvalidity, uid FROM fetcher.folders, generate_series(1, 2) AS uid")
    assert keys == {transport_key("caixa", "INBOX", row["uidvalidity"], str(row["uid"])) for row in identity}
    numbers = set()
    for root in fetched:
        spans = receiver.of(root.trace)
        assert {span.name for span in spans} == set(WAY)
        assert root.parent == ""
        one_way = way_of(spans)
        assert [span.name for span in one_way] == WAY
        assert all(later.parent == earlier.id for earlier, later in pairwise(one_way))
        assert [span.service for span in one_way] == [
            f"carteiro-{each}" for each in ("fetcher", "dispatcher", "ticketing", "ticketing", "mailer", "mailer")
        ]
        assert len({span.attributes.get("carteiro.ticket_number") for span in one_way} - {None}) == 1
        numbers |= {span.attributes["carteiro.ticket_number"] for span in one_way if span.name == "settle"}
        batches = {span.trace: span.name for span in receiver.spans if span.name.endswith(" batch")}
        assert [[batches[link] for link in span.links] for span in one_way[:-1]] == [[f"{n} batch"] for n in WAY[:-1]]
        assert all(span.failed == "" for span in spans)
    assert numbers == {row["number"] for row in tickets}
    told = b"".join(receiver.raw)
    for secret in (b"maria", b"jose", b"secreto", b"Outro", made.support.encode(), made.agent.encode()):
        assert secret not in told
    if os.environ.get("CARTEIRO_WRITE_TRACE"):  # noqa: TID251
        write(way_of(receiver.of(fetched[0].trace)), PAGE)


def way_of(spans: list[Received]) -> list[Received]:
    """From the root to the answer: of the deliveries the first."""
    by_parent = {span.parent: span for span in reversed(spans)}
    way = [by_parent[""]]
    while way[-1].id in by_parent:
        way.append(by_parent[way[-1].id])
    return way


def write(way: list[Received], page: Path) -> None:
    """The trace as a page shows it."""
    begin = way[0].began
    lines = [
        f"{(span.began - begin) / 1e6:8.1f} ms {'  ' * depth}{span.name:<{16 - 2 * depth}} {span.service:<20}"
        f"{(span.ended - span.began) / 1e6:8.1f} ms  "
        + " ".join(
            f"{key.removeprefix('carteiro.')}={str(value)[:16] + '…' if len(str(value)) > 20 else value}"
            for key, value in sorted(span.attributes.items())
        )
        for depth, span in enumerate(way)
    ]
    head, _, rest = page.read_text(encoding="utf-8").partition("```text\n")
    page.write_text(
        f"{head}```text\n" + "\n".join(line.rstrip() for line in lines) + "\n```" + rest.partition("```")[2]
    )
