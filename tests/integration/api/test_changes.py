"""Two agents at one ticket, and one request that comes twice."""

import asyncio

import pytest

from tests.integration.api.serving import Api
from tests.integration.ticketing.situations import batch, handler
from tests.unit.ticketing.mails import dispatched


@pytest.fixture
async def path(api: Api) -> str:
    await handler(api.pool, api.folder)(batch([dispatched("m1")]))
    return f"/v1/tickets/{await api.pool.fetchval('SELECT number FROM ticketing.tickets')}"


async def test_of_two_agents_who_change_what_they_saw_one_is_told_that_it_changed(api: Api, path: str) -> None:
    ana, bruno = await api.client("agent", agent="ana"), await api.client("agent", agent="bruno")
    seen = (await ana.get(path)).headers["etag"]
    assert (await bruno.get(path)).headers["etag"] == seen
    answers = await asyncio.gather(
        ana.patch(path, json={"owner": "ana", "why": "mine"}, headers={"If-Match": seen}),
        bruno.patch(path, json={"owner": "bruno"}, headers={"If-Match": seen}),
    )
    assert sorted(answer.status_code for answer in answers) == [200, 412]
    [done] = [answer for answer in answers if answer.status_code == 200]
    assert done.headers["etag"] != seen
    assert (await ana.get(path)).json()["owner"] == done.json()["owner"]
    history = (await ana.get(f"{path}/history")).json()["history"]
    assert [entry["agent"] for entry in history if entry["type"] == "OwnerUpdate"] == [done.json()["owner"]]


async def test_a_change_says_what_it_saw(api: Api, path: str) -> None:
    client = await api.client("agent", agent="ana")
    assert (await client.patch(path, json={"title": "x"})).status_code == 428
    for strange in ('"-1"', '"abc"', 'W/"1"'):
        assert (await client.patch(path, json={"title": "x"}, headers={"If-Match": strange})).status_code == 412
    assert (await client.patch(path, json={"title": "x"}, headers={"If-Match": "*"})).status_code == 200
    wrong = await client.patch(path, json={"state": "of no such name"}, headers={"If-Match": "*"})
    assert wrong.status_code == 422
    misspelt = await client.patch(path, json={"tilte": "x"}, headers={"If-Match": "*"})
    assert misspelt.status_code == 400


async def test_a_post_that_comes_twice_is_done_once_and_answered_the_same(api: Api, path: str) -> None:
    client = await api.client("agent", agent="ana")
    key = {"Idempotency-Key": "a1"}
    first = await client.post(f"{path}/notes", json={"text": "Call him"}, headers=key)
    again = await client.post(f"{path}/notes", json={"text": "Call him"}, headers=key)
    assert (first.status_code, again.status_code, again.json()) == (201, 201, first.json())
    assert again.headers["idempotent-replayed"] == "true"
    other = await client.post(f"{path}/notes", json={"text": "Call her"}, headers=key)
    assert other.status_code == 422
    assert await api.pool.fetchval("SELECT count(*) FROM ticketing.articles WHERE kind = 'note'") == 1
    # the answer was lost with its process, the command was not
    await api.pool.execute("DELETE FROM ticketing.requests")
    late = await client.post(f"{path}/notes", json={"text": "Call him"}, headers=key)
    assert (late.status_code, late.json()) == (201, first.json())
    # another token has keys of its own
    stranger = await api.client("agent", agent="bruno")
    assert (await stranger.post(f"{path}/notes", json={"text": "Call her"}, headers=key)).status_code == 201
    assert await api.pool.fetchval("SELECT count(*) FROM ticketing.articles WHERE kind = 'note'") == 2


async def test_a_request_that_is_being_handled_is_not_handled_twice(api: Api, path: str) -> None:
    client = await api.client("agent", agent="ana")
    key = {"Idempotency-Key": "a1"}
    await client.post(f"{path}/tags", json={"add": ["x"]}, headers=key)
    await api.pool.execute("UPDATE ticketing.requests SET status = NULL")
    busy = await client.post(f"{path}/tags", json={"add": ["x"]}, headers=key)
    assert (busy.status_code, busy.headers["retry-after"]) == (409, "2")
    await api.pool.execute("UPDATE ticketing.requests SET asked_at = now() - interval '3 minutes'")
    assert (await client.post(f"{path}/tags", json={"add": ["x"]}, headers=key)).status_code == 200


async def test_what_was_refused_for_lack_of_a_server_may_be_asked_again_under_its_key(api: Api) -> None:
    client = await api.client("operator")
    letter = await api.pool.fetchval(
        "INSERT INTO ticketing.dead_letters (origin_topic, origin_partition, origin_offset, origin_id, service, reason,"
        " exception, headers, received_at)"
        " VALUES ('mail.received.v1', 0, 7, '', 'dispatcher', 'poison', 'ValueError', '[]', now()) RETURNING id"
    )
    key = {"Idempotency-Key": "r1"}
    away = await client.post(f"/v1/deadletters/{letter}/replay", json={}, headers=key)
    assert away.status_code == 503, away.text
    assert (await client.get(f"/v1/deadletters/{letter}")).json()["state"] == "open"
    assert await api.pool.fetchval("SELECT count(*) FROM ticketing.requests") == 0
    done = await client.post(f"/v1/deadletters/{letter}/discard", json={"why": "no mail"}, headers=key)
    assert (done.json()["state"], done.json()["decided_by"]) == ("discarded", "token test")
    assert (await client.post(f"/v1/deadletters/{letter}/discard", json={"why": "x"})).status_code == 409


@pytest.mark.parametrize("key", ["", "x" * 201, "a\tb"])
async def test_a_key_that_is_none_is_refused(api: Api, path: str, key: str) -> None:
    client = await api.client("agent", agent="ana")
    answer = await client.post(f"{path}/tags", json={"add": ["x"]}, headers={"Idempotency-Key": key})
    assert answer.status_code == 400
