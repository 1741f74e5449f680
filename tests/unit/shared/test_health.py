"""The probes over real HTTP."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from shared import metrics
from shared.clock import monotonic
from shared.health import Health


async def get(port: int, path: str, *headers: str) -> tuple[int, bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write("\r\n".join([f"GET {path} HTTP/1.1", "Host: x", *headers, "", ""]).encode())
    answer = await reader.read()
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


@pytest.fixture
async def probed() -> AsyncIterator[tuple[Health, int]]:
    health = Health()
    server = await health.listen("127.0.0.1:0")
    yield health, server.sockets[0].getsockname()[1]
    server.close()


@pytest.mark.enable_socket
async def test_a_loop_that_moves_is_alive_and_one_that_stands_is_not(probed: tuple[Health, int]) -> None:
    health, port = probed
    health.alive["dispatcher"] = monotonic
    assert (await get(port, "/livez"))[0] == 200
    health.alive["mailer"] = lambda: monotonic() - 91
    status, body = await get(port, "/livez")
    assert status == 503
    assert list(json.loads(body)["stuck"]) == ["mailer"]


@pytest.mark.enable_socket
async def test_a_failing_check_is_named_with_its_sentence(probed: tuple[Health, int]) -> None:
    health, port = probed

    async def away() -> None:
        raise OSError("Kafka at 127.0.0.1:1 does not answer")

    health.ready["kafka"] = away
    status, body = await get(port, "/readyz")
    assert (status, json.loads(body)) == (503, {"failing": {"kafka": "Kafka at 127.0.0.1:1 does not answer"}})


@pytest.mark.enable_socket
async def test_a_check_that_hangs_cannot_hang_the_probe_and_is_not_asked_by_every_probe(
    probed: tuple[Health, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.health._CHECK_SECONDS", 0.05)
    health, port = probed
    asked = 0

    async def hangs() -> None:
        nonlocal asked
        asked += 1
        await asyncio.Event().wait()

    health.ready["database"] = hangs
    for _ in range(3):
        assert (await get(port, "/readyz"))[0] == 503
    assert asked == 1


@pytest.mark.enable_socket
async def test_a_stopping_process_is_not_ready(probed: tuple[Health, int]) -> None:
    health, port = probed
    health.stopping = True
    assert (await get(port, "/readyz"))[0] == 503


@pytest.mark.enable_socket
async def test_metrics_are_served_without_created_series(probed: tuple[Health, int]) -> None:
    _, port = probed
    metrics.processed.labels("ticket_created").inc(0)
    status, body = await get(port, "/metrics")
    assert status == 200
    assert b'carteiro_messages_processed_total{outcome="ticket_created"}' in body
    assert b"_created" not in body.replace(b"ticket_created", b"")


@pytest.mark.enable_socket
async def test_who_asks_for_openmetrics_gets_the_trace_beside_an_observation(probed: tuple[Health, int]) -> None:
    _, port = probed
    metrics.mail_to_response.labels("exemplary").observe(3, {"trace_id": "0af7651916cd43dd8448eb211c80319c"})
    _, plain = await get(port, "/metrics")
    _, asked = await get(port, "/metrics", "accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
    assert b"trace_id" not in plain
    assert b'# {trace_id="0af7651916cd43dd8448eb211c80319c"} 3.0 ' in asked
    assert asked.endswith(b"# EOF\n")
    assert b"_created" not in asked.replace(b"ticket_created", b"")


@pytest.mark.enable_socket
async def test_nonsense_does_not_disturb_the_next_request(probed: tuple[Health, int]) -> None:
    _, port = probed
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"\xff" * 100 + b"\r\n\r\n")
    assert (await get(port, "/livez"))[0] == 200
    writer.close()
