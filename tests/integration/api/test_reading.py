"""Tickets, articles and bytes over HTTP, on a real database and a real object store."""

from datetime import timedelta
from typing import Any

import httpx
import pytest

from services.ticketing.search_index import index_once
from shared.clock import now
from shared.events import AttachmentInfo
from tests.integration.api.serving import Api
from tests.integration.ticketing.situations import batch, handler
from tests.unit.ticketing.mails import dispatched

RAW = b"""From: ana@kunde.example\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
--b\r\nContent-Type: text/plain\r\n\r\nhello\r\n\
--b\r\nContent-Type: text/html; name="evil.html"\r\nContent-Disposition: attachment; filename="evil.html"\r\n\r\n\
<script>alert(1)</script>\r\n\
--b\r\nContent-Type: image/png\r\nContent-ID: <logo@x>\r\nContent-Disposition: inline\r\n\r\nPNG\r\n--b--\r\n"""
PARTS = [
    AttachmentInfo("evil.html", "text/html", 25),
    AttachmentInfo("", "image/png", 3, inline=True, content_id="logo@x"),
]


async def tickets(client: httpx.AsyncClient, **query: Any) -> list[dict[str, Any]]:
    answer = await client.get("/v1/tickets", params=query)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["tickets"])


async def test_tickets_are_listed_and_filtered(api: Api) -> None:
    mails = [dispatched(f"m{n}", f"person{n}@kunde.example") for n in range(3)]
    mails.append(dispatched("m9", queue="comercial"))
    await handler(api.pool, api.folder)(batch(mails))
    await api.pool.execute(
        "UPDATE ticketing.tickets SET owner = 'ana', state = 'open' WHERE customer_user LIKE 'person1%'"
    )
    client = await api.client("read")
    assert [t["queue"] for t in await tickets(client)] == ["comercial", "suporte", "suporte", "suporte"]
    assert len(await tickets(client, queue="suporte")) == 3
    assert len(await tickets(client, queue=["suporte", "comercial"])) == 4
    assert len(await tickets(client, state="new")) == 3
    assert [t["owner"] for t in await tickets(client, queue="suporte", state="open")] == ["ana"]
    assert len(await tickets(client, owner="ana")) == 1
    assert len(await tickets(client, customer="Person2@kunde.example")) == 1
    assert await tickets(client, state="of no such name") == []
    later = (now() + timedelta(hours=1)).isoformat()
    assert await tickets(client, created_from=later) == []
    assert len(await tickets(client, created_to=later)) == 4


@pytest.mark.parametrize("query", [{}, {"queue": "suporte"}, {"state": "new"}, {"q": "text"}])
async def test_pages_show_each_ticket_once_whatever_comes_in_between(api: Api, query: dict[str, str]) -> None:
    handle = handler(api.pool, api.folder)
    await handle(batch([dispatched(f"m{n}", f"person{n}@kunde.example") for n in range(7)]))
    await index_once(api.pool, "pt-BR")
    client = await api.client("read")
    seen: list[str] = []
    after: dict[str, str] = {}
    while True:
        page = (await client.get("/v1/tickets", params={**query, **after, "limit": 3})).json()
        seen += [ticket["number"] for ticket in page["tickets"]]
        await handle(batch([dispatched(f"new{len(seen)}", f"new{len(seen)}@kunde.example")], first=100 + len(seen)))
        if page["next"] is None:
            break
        after = {"after": page["next"]}
    assert len(seen) == len(set(seen)) == 7


async def test_words_are_found_in_the_language_of_the_desk(api: Api) -> None:
    mails = [
        dispatched("m1", text="As impressoras quebraram ontem", subject="Ajuda"),
        dispatched("m2", "bruno@kunde.example", text="Printing works", subject="Hello"),
        dispatched("m3", "caio@kunde.example", queue="comercial", text="uma impressora nova", subject="Pedido"),
    ]
    (api.folder / "desk.yaml").write_text("language: pt-BR\n" + (api.folder / "desk.yaml").read_text())
    await handler(api.pool, api.folder)(batch(mails))
    assert await index_once(api.pool, "pt-BR") == 3
    assert await index_once(api.pool, "pt-BR") == 0
    client = await api.client("read")
    desk = "impressora -ontem"
    assert len(await tickets(client, q="impressoras")) >= 1
    assert [t["queue"] for t in await tickets(client, q=desk)] == ["comercial"]
    assert [t["customer_user"] for t in await tickets(client, q='"Printing works"')] == ["bruno@kunde.example"]
    assert await tickets(client, q="impressoras", queue="financeiro") == []
    limited = await api.client("read", queues=["comercial"])
    assert {t["queue"] for t in await tickets(limited, q="uma or as")} <= {"comercial"}


async def test_a_ticket_its_articles_and_its_history_are_shown(api: Api) -> None:
    mails = [dispatched("m1"), dispatched("m2", replies_to="m1"), dispatched("m3", replies_to="m1")]
    await handler(api.pool, api.folder)(batch(mails))
    client = await api.client("read")
    (listed,) = await tickets(client)
    answer = await client.get(f"/v1/tickets/{listed['number']}")
    assert answer.headers["etag"].strip('"').isdecimal()
    shown = answer.json()
    assert {name: shown[name] for name in listed} == listed
    assert shown["participants"] == [{"address": "ana@kunde.example", "role": "customer"}]
    page = (await client.get(f"/v1/tickets/{listed['number']}/articles", params={"limit": 2})).json()
    assert [article["text"] for article in page["articles"]] == ["Text of m1", "Text of m2"]
    rest = (
        await client.get(f"/v1/tickets/{listed['number']}/articles", params={"limit": 2, "after": page["next"]})
    ).json()
    assert ([article["text"] for article in rest["articles"]], rest["next"]) == (["Text of m3"], None)
    history = (await client.get(f"/v1/tickets/{listed['number']}/history")).json()
    assert history["history"][0]["type"] == "NewTicket"
    article_id = page["articles"][0]["article_id"]
    assert (await client.get(f"/v1/articles/{article_id}")).json() == page["articles"][0]
    assert (await client.get(f"/v1/articles/{article_id}/decision")).json()["action"] == "dispatch"


async def test_bytes_are_handed_out_as_files_that_no_browser_runs(api: Api) -> None:
    [reference] = await api.originals.put_many([RAW])
    html = '<p onclick="x()">Hi<img src="cid:logo@x"><img src="http://spy.example/p.gif"></p>'
    mail = dispatched("m1", original=reference, html=html, attachments=PARTS)
    await handler(api.pool, api.folder)(batch([mail]))
    client = await api.client("read")
    (ticket,) = await tickets(client)
    [article] = (await client.get(f"/v1/tickets/{ticket['number']}/articles")).json()["articles"]
    base = f"/v1/articles/{article['article_id']}"
    original = await client.get(f"{base}/original")
    assert original.content == RAW
    evil = await client.get(f"{base}/attachments/0")
    assert evil.content == b"<script>alert(1)</script>"
    assert evil.headers["content-type"] == "application/octet-stream"
    picture = await client.get(f"{base}/attachments/1")
    assert (picture.content, picture.headers["content-type"]) == (b"PNG", "image/png")
    for answer in (original, evil, picture):
        assert answer.headers["content-disposition"].startswith("attachment; ")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-length"] == str(len(answer.content))
    assert (await client.get(f"{base}/attachments/2")).status_code == 404
    page = await client.get(f"{base}/html")
    assert page.text == f'<p>Hi<img src="{base}/attachments/1"><img></p>'
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in page.headers["content-security-policy"]


async def test_an_original_that_is_gone_is_a_problem_without_its_key(api: Api) -> None:
    [reference] = await api.originals.put_many([RAW])
    await api.originals.delete([reference.split(":")[0]])
    await handler(api.pool, api.folder)(batch([dispatched("m1", original=reference)]))
    client = await api.client("read")
    article_id = await api.pool.fetchval("SELECT id FROM ticketing.articles")
    answer = await client.get(f"/v1/articles/{article_id}/original")
    assert answer.status_code == 503
    assert reference.split(":")[-1] not in answer.text


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/tickets?after=!!!", 400),
        ("/v1/tickets?limit=0", 400),
        ("/v1/tickets?created_from=2026-01-01T00:00:00", 400),
        ("/v1/tickets?q=%00", 400),
        ("/v1/tickets/1%00", 400),
        ("/v1/tickets/2026010100000001", 404),
        ("/v1/articles/99999999999999999999", 400),
        ("/v1/articles/17/html", 404),
        ("/v1/nothing", 404),
    ],
)
async def test_a_mistake_is_a_problem_that_says_what(api: Api, path: str, status: int) -> None:
    answer = await (await api.client("read")).get(path)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert answer.json()["status"] == status
    assert answer.json()["detail"]
