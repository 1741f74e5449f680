"""Tokens: without one, without the scope, without the queue nothing is seen."""

from pathlib import Path

import pytest

from shared.postgres import Pool
from tests.integration.api.serving import Api, running
from tests.integration.ticketing.situations import batch, handler
from tests.unit.ticketing.mails import dispatched


@pytest.fixture
async def paths(api: Api) -> list[str]:
    """Every way to what one mail of the queue `suporte` became."""
    await handler(api.pool, api.folder)(batch([dispatched("m1")]))
    number = await api.pool.fetchval("SELECT number FROM ticketing.tickets")
    article = await api.pool.fetchval("SELECT id FROM ticketing.articles")
    ticket = [f"/v1/tickets/{number}{tail}" for tail in ("", "/articles", "/history", "/deliveries")]
    parts = ("", "/html", "/original", "/attachments/0", "/decision")
    return [*ticket, *(f"/v1/articles/{article}{tail}" for tail in parts), "/v1/tickets?queue=suporte"]


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer x", "Bearer carteiro_" + "A" * 43, "Basic YTpi"])
async def test_without_a_valid_token_nothing_is_answered(api: Api, header: str, paths: list[str]) -> None:
    client = await api.client()
    for path in paths:
        answer = await client.get(path, headers={"Authorization": header} if header else {})
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert "m1" not in answer.text


async def test_a_token_without_the_scope_sees_nothing(api: Api, paths: list[str]) -> None:
    client = await api.client("operator")
    assert {path: (await client.get(path)).status_code for path in paths} == dict.fromkeys(paths, 403)


async def test_a_token_of_another_queue_sees_nothing_not_even_that_it_is_there(api: Api, paths: list[str]) -> None:
    client = await api.client("read", queues=["comercial"])
    said = {path: await client.get(path) for path in paths}
    assert {path: answer.status_code for path, answer in said.items()} == dict.fromkeys(paths, 403)
    missing = await client.get("/v1/tickets/2026010100000001")
    assert missing.json() == said[paths[0]].json()
    assert (await client.get("/v1/tickets")).json() == {"tickets": [], "next": None}
    assert "m1" not in "".join(answer.text for answer in said.values())


OPERATORS = ["/v1/deadletters", "/v1/deadletters/1", "/v1/deliveries", "/v1/accounts", "/v1/status"]


@pytest.mark.parametrize("path", OPERATORS)
async def test_the_installation_is_the_operators(api: Api, path: str) -> None:
    assert (await (await api.client("agent", agent="ana")).get(path)).status_code == 403
    assert (await (await api.client("operator")).get(path)).status_code in {200, 404}


async def test_who_reads_changes_nothing(api: Api, paths: list[str]) -> None:
    client = await api.client("read", agent="ana")
    answer = await client.patch(paths[0], json={"title": "x"}, headers={"If-Match": "*"})
    noted = await client.post(f"{paths[0]}/notes", json={"text": "x"})
    assert (answer.status_code, noted.status_code) == (403, 403)
    nobody = await (await api.client("agent")).post(f"{paths[0]}/notes", json={"text": "x"})
    assert (nobody.status_code, "names no agent" in nobody.text) == (403, True)


async def test_an_agent_of_another_queue_changes_nothing_and_moves_nothing_out_of_his_sight(
    api: Api, paths: list[str]
) -> None:
    other = await api.client("agent", queues=["comercial"], agent="ana")
    assert (await other.post(f"{paths[0]}/notes", json={"text": "x"})).status_code == 403
    mine = await api.client("agent", queues=["suporte"], agent="ana")
    moved = await mine.patch(paths[0], json={"queue": "comercial"}, headers={"If-Match": "*"})
    assert moved.status_code == 403
    await handler(api.pool, api.folder)(batch([dispatched("m2", queue="comercial")], first=9))
    foreign = await api.pool.fetchval("SELECT number FROM ticketing.tickets WHERE queue = 'comercial'")
    for path, body in (("merge", {"into": foreign}), ("links", {"to": foreign})):
        assert (await mine.post(f"{paths[0]}/{path}", json=body)).status_code == 403
    assert await api.pool.fetchval("SELECT count(*) FROM ticketing.commands") == 0


async def test_a_link_to_another_queue_is_not_shown(api: Api) -> None:
    await handler(api.pool, api.folder)(batch([dispatched("m1"), dispatched("m2", queue="comercial")]))
    await api.pool.execute(
        "INSERT INTO ticketing.ticket_links SELECT min(id), max(id), 'Normal', now() FROM ticketing.tickets"
    )
    number = await api.pool.fetchval("SELECT number FROM ticketing.tickets WHERE queue = 'suporte'")
    everything = await (await api.client("read")).get(f"/v1/tickets/{number}")
    limited = await (await api.client("read", queues=["suporte"])).get(f"/v1/tickets/{number}")
    assert [link["direction"] for link in everything.json()["links"]] == ["to"]
    assert limited.json()["links"] == []


async def test_a_revoked_or_expired_token_is_none_from_the_next_request_on(api: Api) -> None:
    client = await api.client("read")
    assert (await client.get("/v1/tickets")).status_code == 200
    await api.pool.execute("UPDATE ticketing.tokens SET expires_at = now()")
    assert (await client.get("/v1/tickets")).status_code == 401
    await api.pool.execute("UPDATE ticketing.tokens SET expires_at = NULL, revoked_at = now()")
    assert (await client.get("/v1/tickets")).status_code == 401


async def test_a_token_has_so_many_requests_a_minute(pool: Pool, tmp_path: Path) -> None:
    async with running(pool, tmp_path, requests_per_minute=3) as api:
        client, other = await api.client("read"), await api.client("read")
        answers = [await client.get("/v1/tickets") for _ in range(4)]
        # a new minute may begin in between
        answers += [await client.get("/v1/tickets") for _ in range(4)] if answers[-1].status_code == 200 else []
        assert answers[-1].status_code == 429
        assert answers[-1].headers["content-type"].startswith("application/problem+json")
        assert (await other.get("/v1/tickets")).status_code == 200


async def test_the_description_needs_no_token(api: Api) -> None:
    answer = await (await api.client()).get("/schema/openapi.json")
    assert answer.json()["openapi"].startswith("3.1")
