"""A stream begins where the topic is read, and what happened before that is said to be missed."""

import asyncio

import pytest

from services.ticketing.api.stream import Events
from services.ticketing.api.tokens import Scope, Token

TOKEN = Token(1, "page", frozenset({Scope.READ}), None, "")


@pytest.mark.parametrize(
    ("after", "told"),
    [("", []), ("0.9", []), ("0.5", ["event: reset"]), ("0.12", ["event: reset"]), ("nonsense", ["event: reset"])],
    ids=["new", "nothing missed", "restarted meanwhile", "the topic went back", "no id of ours"],
)
async def test_a_stream_waits_until_the_topic_is_read(after: str, told: list[str]) -> None:
    stop = asyncio.Event()
    events = Events("", "", stop)
    stream = events.stream(TOKEN, after)
    first = asyncio.ensure_future(anext(stream))
    done, _ = await asyncio.wait([first], timeout=0.05)
    assert not done, "where it begins is not known yet"
    events.begin({0: 9})
    assert await first == "retry: 2000\n\n"
    stop.set()
    assert [line for text in [text async for text in stream] for line in text.splitlines() if "event" in line] == told
