"""A roll-out under load: every process goes and comes back, one after the other, as Kubernetes would do it."""

import asyncio
import urllib.error
import urllib.request

import pytest

from tests.e2e.installation import SERVICES, Installation, copies
from tests.e2e.mails import Sent, automatic, customers

PODS = [f"{service}-{n}" for service in SERVICES for n in range(2)]
PEOPLE, MACHINES = 300, 30


def is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


async def ready(made: Installation, pod: str) -> None:
    await made.until(lambda: asyncio.to_thread(is_ready, made.ports[pod]), f"{pod} is ready")


@pytest.mark.timeout(400)
async def test_a_roll_out_under_load_loses_and_doubles_nothing(installation: Installation) -> None:
    made = installation
    made.start(*PODS)
    await made.watching()
    for pod in PODS:
        await ready(made, pod)
    people = customers(PEOPLE, made.support, made.domain)
    mails = people + automatic(MACHINES, made.support, made.domain)
    rolled = asyncio.Event()
    feeding = asyncio.create_task(feed(made, mails, rolled))
    for pod in PODS:
        assert await asyncio.to_thread(made.stop, pod) == {pod: 0}
        made.start(pod)
        await ready(made, pod)
    in_between = await made.tickets()
    rolled.set()
    await feeding
    assert in_between > 0, "no mail went through while they were rolled"

    await made.settled(len(mails), PEOPLE)
    assert await made.tickets() == len(mails)
    assert await made.count("SELECT count(*) FROM ticketing.articles") == len(mails)
    assert await made.count("SELECT count(*) FROM ticketing.dead_letters") == 0
    answers = made.answers([mail.sender for mail in people])
    assert {len(found) for found in answers.values()} == {1}
    assert set(copies(answers).values()) == {1}, "an answer was sent twice"
    assert set(made.stop().values()) == {0}


async def feed(made: Installation, mails: list[Sent], rolled: asyncio.Event) -> None:
    """A few at a time for as long as the roll-out takes, then the rest."""
    rest = list(mails)
    while rest and not rolled.is_set():
        await made.deliver_all(rest[:5])
        rest = rest[5:]
        await asyncio.sleep(0.5)  # the load is spread over the roll-out, nothing is waited for
    if rest:
        await made.deliver_all(rest)
