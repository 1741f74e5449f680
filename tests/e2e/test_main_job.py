"""The main job on real parts: mails in, tickets and answers out, replies home, and nothing twice."""

import re
from email.header import decode_header, make_header

import pytest

from tests.e2e.installation import SERVICES, Installation, copies
from tests.e2e.mails import Sent, automatic, customers, plain, reply

PEOPLE, MACHINES, REPLIES, EARLY = 200, 20, 90, 10


async def conversations(made: Installation) -> list[tuple[Sent, Sent]]:
    """The customer's second mail names his first, and arrives before it."""
    pairs = []
    for n in range(EARLY):
        sender, first_id = f"early{n}@{made.domain}", f"<first{n}@{made.domain}>"
        first = plain(sender, made.support, first_id, f"Question {n}")
        second_id = f"<second{n}@{made.domain}>"
        second = plain(sender, made.support, second_id, f"Re: Question {n}", headers=f"References: {first_id}")
        pairs.append((first, second))
    return pairs


@pytest.mark.timeout(400)
@pytest.mark.parametrize("services", [SERVICES, ("all",)], ids=["four processes", "one process"])
async def test_mails_become_tickets_and_answers_and_replies_find_home(
    installation: Installation, services: tuple[str, ...]
) -> None:
    made = installation
    people = customers(PEOPLE, made.support, made.domain)
    machines = automatic(MACHINES, made.support, made.domain)
    early = await conversations(made)
    made.start(*services)
    await made.watching()
    await made.deliver_all(people + machines + [second for _, second in early])

    await made.settled(PEOPLE + MACHINES + EARLY, PEOPLE + EARLY)
    assert await made.tickets() == PEOPLE + MACHINES + EARLY
    answers = made.answers([mail.sender for mail in people])
    assert {address: len(mails) for address, mails in answers.items()} == dict.fromkeys(answers, 1)
    assert all(mails == [] for mails in made.answers([mail.sender for mail in machines]).values())
    assert_each_answer_fits(people, answers, made)

    before = await made.tickets()
    ways = ("subject", "references", "in_reply_to")
    replies = []
    for n, mail in enumerate(people[:REPLIES]):
        (answer,) = answers[mail.sender]
        subject, answer_id = str(answer["Subject"]), str(answer["Message-ID"])
        way = ways[n % 3]
        number = re.search(r"\[Ticket#\d+\]", _decoded(subject))
        assert number is not None, subject
        replies.append(reply(mail.sender, made.support, f"<r{n}@{made.domain}>", f"Re: {number[0]} ok", answer_id, way))
    await made.deliver_all(replies + [first for first, _ in early])
    articles = PEOPLE + MACHINES + 2 * EARLY + REPLIES
    await made.until(lambda: _articles(made, articles), f"{articles} articles")
    assert await made.tickets() == before, "a reply made a ticket"

    await assert_replies_are_in_their_tickets(made, people)
    for first, second in early:
        rows = await made.rows(
            "SELECT DISTINCT ticket_id FROM ticketing.articles WHERE message_id = ANY($1)",
            [first.message_id, second.message_id],
        )
        assert len(rows) == 1, f"{first.message_id} and its reply are in {len(rows)} tickets"

    assert set(copies(answers).values()) == {1}
    assert made.stop() == dict.fromkeys(services, 0), "SIGTERM drains and ends with 0"


async def _articles(made: Installation, number: int) -> bool:
    return await made.count("SELECT count(*) FROM ticketing.articles") == number


def _decoded(value: str) -> str:
    return str(make_header(decode_header(value)))


def assert_each_answer_fits(people: list[Sent], answers: object, made: Installation) -> None:
    assert isinstance(answers, dict)
    for mail in people:
        (answer,) = answers[mail.sender]
        assert answer["In-Reply-To"] == mail.message_id
        assert answer["Auto-Submitted"] == "auto-replied"
        assert made.support in str(answer["From"])
        assert re.fullmatch(r"<c1\.[a-z2-7]{10}\.[a-z2-7]{10}\.[a-z2-7]{13}@demo\.test>", str(answer["Message-ID"]))
        assert re.search(r"\[Ticket#\d{12,}\]", _decoded(str(answer["Subject"])))


async def assert_replies_are_in_their_tickets(made: Installation, people: list[Sent]) -> None:
    rows = await made.rows("SELECT message_id, ticket_id FROM ticketing.articles")
    ticket = {row["message_id"]: row["ticket_id"] for row in rows}
    for n, mail in enumerate(people[:REPLIES]):
        assert ticket[f"<r{n}@{made.domain}>"] == ticket[mail.message_id]
