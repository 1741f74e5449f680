"""The operator's side over HTTP, with a Kafka and without."""

from collections.abc import AsyncIterator

from shared.kafka.producer import Outgoing, Producer
from shared.topics import EVENTS
from tests.integration.api.serving import Api
from tests.servers import Servers

MAIL = b"From: ana@kunde.example\r\nTo: suporte@empresa.example\r\nSubject: Oi\r\n\r\nBom dia\r\n"


async def test_a_dead_letter_is_shown_and_replayed(whole: Api) -> None:
    client = await whole.client("operator")
    letter = await whole.pool.fetchval(
        "INSERT INTO ticketing.dead_letters (origin_topic, origin_partition, origin_offset, origin_id, service, reason,"
        " exception, key, value, headers, received_at) VALUES"
        " ('mail.received.v1', 0, 7, '', 'dispatcher', 'poison', 'ValueError', 'k', 'mail',"
        ' \'[["a", "eA=="]]\', now())'
        " RETURNING id"
    )
    [listed] = (await client.get("/v1/deadletters")).json()["letters"]
    assert (listed["id"], listed["state"], listed["offset"]) == (str(letter), "open", "7")
    shown = (await client.get(f"/v1/deadletters/{letter}")).json()
    assert (shown["key"], shown["value"], shown["headers"]) == ("aw==", "bWFpbA==", [["a", "eA=="]])
    replayed = await client.post(f"/v1/deadletters/{letter}/replay", json={})
    assert (replayed.status_code, replayed.json()["state"]) == (200, "replayed")
    assert (await client.post(f"/v1/deadletters/{letter}/replay", json={})).status_code == 409
    assert (await client.get("/v1/deadletters")).json()["letters"] == []
    assert len((await client.get("/v1/deadletters?decided=true")).json()["letters"]) == 1
    assert (await client.get("/v1/deadletters/99")).status_code == 404


async def test_failed_mail_is_listed_and_sent_again_and_mail_is_held(api: Api) -> None:
    await api.pool.execute(
        "INSERT INTO mailer.outbound (id, event_id, rule, recipient, ticket_id, ticket_number, kind, template, state,"
        " account, received_at, failed_at) VALUES (5, 'e', 'r', 'ana@kunde.example', 1, '1', 'auto_response', 't',"
        " 'failed', 'padrao', now(), now())"
    )
    client = await api.client("operator")
    [failed] = (await client.get("/v1/deliveries?state=failed")).json()
    assert failed["delivery_id"] == "5"
    assert (await client.post("/v1/deliveries/5/retry")).status_code == 202
    assert (await client.post("/v1/deliveries/5/retry")).status_code == 409
    held = await client.post("/v1/deliveries/hold", json={"before": "2099-01-01T00:00:00Z"})
    assert held.json() == {"mails": 1}
    assert (await client.post("/v1/deliveries/release")).json() == {"mails": 1}


async def test_the_status_says_what_cannot_be_asked(api: Api) -> None:
    said = (await (await api.client("operator")).get("/v1/status")).json()
    assert (said["well"], len(said["unreachable"])) == (False, 1)
    assert {row["section"] for row in said["rows"]} >= {"outbox"}


async def test_a_mail_is_explained_and_nothing_is_stored(api: Api) -> None:
    client = await api.client("operator")
    said = await client.post("/v1/explain", content=MAIL, headers={"Content-Type": "message/rfc822"})
    assert (said.json()["decision"]["queue"], said.json()["subject"]) == ("suporte", "Oi")
    assert await api.pool.fetchval("SELECT count(*) FROM ticketing.tickets") == 0
    assert (await client.post("/v1/explain?account=nobody", content=MAIL)).status_code == 400


async def test_a_page_hears_of_its_queues_and_takes_the_stream_up(whole: Api, servers: Servers, prefix: str) -> None:
    producer = Producer(servers.kafka, prefix, client_id="test")

    async def happened(name: str, queue: str) -> None:
        headers = [("ce_type", f"carteiro.{name}.v1".encode())]
        await producer.send_all([Outgoing(EVENTS, b"k", f'{{"queue": "{queue}"}}'.encode(), headers)])

    limited = await whole.client("read", queues=["suporte"])
    async with limited.stream("GET", "/v1/events") as stream:
        lines = stream.aiter_lines()
        assert await anext(lines) == "retry: 2000"
        for name, queue in (("one", "comercial"), ("two", ""), ("three", "suporte")):
            await happened(name, queue)
        seen = await _event(lines)
        assert (seen["event"], seen["data"]) == ("three", '{"queue": "suporte"}')
        await happened("four", "suporte")
        assert (await _event(lines))["event"] == "four"
    headers = {"Last-Event-ID": seen["id"]}
    async with limited.stream("GET", "/v1/events", headers=headers) as stream:
        assert (await _event(stream.aiter_lines()))["event"] == "four"
    async with limited.stream("GET", "/v1/events", headers={"Last-Event-ID": "0.99999"}) as stream:
        assert (await _event(stream.aiter_lines()))["event"] == "reset"
    await producer.close()


async def _event(lines: AsyncIterator[str]) -> dict[str, str]:
    """The next event that is one."""
    found: dict[str, str] = {}
    async for line in lines:
        name, _, value = line.partition(": ")
        if line == "" and "event" in found:
            return found
        if name in {"id", "event", "data"}:
            found[name] = value
    raise AssertionError("the stream ended")
