"""`carteiro status`: the whole installation on one screen, and what needs somebody."""

import asyncio
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from ops import accounts
from ops.database import connected
from ops.problems import Facts, Problem, Row, Stored, problems, service_of
from ops.show import lines, one_line, printable, say
from ops.stages import stages
from services.fetcher.brake import reason as brake_reason
from services.mailer import queries as mailer
from services.ticketing import queries as ticketing
from shared.clock import now
from shared.desk.findings import DeskError
from shared.desk.load import load_desk
from shared.kafka.admin import Difference, KafkaUnreachable, differences, prefixes
from shared.kafka.groups import GroupState, group_states
from shared.migrations import available, standing_on
from shared.postgres import PostgresUnreachable
from shared.process import UNREACHABLE
from shared.settings import Settings
from shared.topics import BY_NAME

SECTIONS: Mapping[str, tuple[str, Sequence[str]]] = {
    "stage": ("a mail's way", ("stage", "waiting", "oldest")),
    "brake": ("the brake", ("on", "why")),
    "account": ("accounts", ("account", "state", "last_success", "holder", "error_text")),
    "reader": ("readers", ("service", "topic", "unread", "oldest", "readers")),
    "queue": ("tickets", ("queue", "state", "tickets", "changed_at")),
    "outbound": ("mail to be sent", ("account", "state", "mails", "oldest", "due")),
    "failed": ("mail that failed, last day", ("account", "kind", "cause", "code", "mails", "oldest")),
    "outbox": ("events to be published", ("pending", "oldest", "led", "to_come")),
    "dead_letters": ("dead letters", ("topic", "reason", "letters", "oldest")),
    "gaps": ("records that are missing", ("topic", "reason", "records", "noticed")),
}


async def status(*, as_json: bool) -> int:
    """0 all is well, 1 something needs somebody, 69 a server cannot be reached (the rest is shown)."""
    facts, unreachable = await look(Settings())
    moment = now()
    found = problems(facts, moment)
    rows = [*(("stage", row) for row in stages(facts, moment)), *_brake(facts, moment), *section_rows(facts)]
    say(_json(rows, found) if as_json else _screen(rows, found, complete=not unreachable))
    for error in unreachable:
        print(error, file=sys.stderr)
    if unreachable:
        return UNREACHABLE
    return 1 if found else 0


async def look(settings: Settings) -> tuple[Facts, list[Exception]]:
    """Both servers at once; one that is away hides nothing of the other."""
    unreachable: list[Exception] = []
    stored: Stored | None = None
    groups: Sequence[GroupState] | None = None
    wrong: Sequence[Difference] = ()
    elsewhere: Sequence[str] = ()
    asked = asyncio.create_task(_kafka(settings))
    try:
        stored = await _stored(settings)
    except PostgresUnreachable as error:
        unreachable.append(error)
    except BaseException:
        asked.cancel()
        raise
    try:
        groups, wrong, elsewhere = await asked
    except KafkaUnreachable as error:
        unreachable.append(error)
    return Facts(stored, groups, wrong, elsewhere, _desk(settings)), unreachable


async def _kafka(settings: Settings) -> tuple[Sequence[GroupState], Sequence[Difference], Sequence[str]]:
    groups = await group_states(settings.cluster, settings.prefix)
    wrong = await differences(settings.cluster, settings.prefix, settings.kafka_replicas, list(BY_NAME))
    others = set(await prefixes(settings.cluster)) - {settings.prefix} if wrong else set()
    return groups, wrong, sorted(others)


def _desk(settings: Settings) -> list[str]:
    """What is wrong with the desk as it is now: what runs has refused it, and what starts will."""
    try:
        load_desk(settings.desk)
    except DeskError as error:
        return [str(finding) for finding in error.findings]
    return []


async def _stored(settings: Settings) -> Stored:
    async with connected(settings) as connection:
        return Stored(
            accounts=await accounts.account_rows(connection, settings),
            queues=await ticketing.queues(connection),
            outbound=await mailer.waiting(connection),
            failed=await mailer.failed(connection),
            outbox=await ticketing.outbox(connection),
            letters=await ticketing.open_letters(connection),
            gaps=[*await ticketing.gaps(connection), *await mailer.gaps(connection)],
            lacks=[str(each) for each in (await standing_on(connection, available())).pending("pre")],
        )


def _brake(facts: Facts, moment: datetime) -> Iterator[tuple[str, Row]]:
    """As the fetchers decide it."""
    if facts.groups is not None:
        why = brake_reason(facts.groups, moment)
        yield "brake", {"on": bool(why), "why": why}


def section_rows(facts: Facts) -> Iterator[tuple[str, Row]]:
    """Each line of the screen with its section."""
    if facts.stored is not None:
        yield from (("account", row) for row in facts.stored.accounts)
    yield from (("reader", _reader(group)) for group in facts.groups or ())
    if facts.stored is not None:
        yield from (("queue", row) for row in facts.stored.queues)
        yield from (("outbound", row) for row in facts.stored.outbound)
        yield from (("failed", row) for row in facts.stored.failed)
        yield "outbox", facts.stored.outbox
        yield from (("dead_letters", row) for row in facts.stored.letters)
        yield from (("gaps", row) for row in facts.stored.gaps)


def _reader(group: GroupState) -> dict[str, Any]:
    facts = asdict(group)
    return {
        "service": service_of(group.group),
        "group": group.group,
        "topic": group.topic,
        "unread": facts["lag"],
        "oldest": facts["oldest"],
        "readers": facts["members"],
    }


def _json(rows: Sequence[tuple[str, Row]], found: Sequence[Problem]) -> str:
    shown = [one_line({"section": section, **row}) for section, row in rows]
    return "\n".join(shown + [one_line({"section": "problem", **problem._asdict()}) for problem in found])


def _screen(rows: Sequence[tuple[str, Row]], found: Sequence[Problem], *, complete: bool) -> str:
    parts = []
    for section, (title, columns) in SECTIONS.items():
        own = [_for_people(row) for of, row in rows if of == section]
        if own:
            table = lines(own, columns, as_json=False, empty="")
            parts.append(f"{title}\n" + "\n".join(f"  {line}" for line in table.splitlines()))
    if found:
        said = [f"  {printable(p.about)}: {printable(p.sentence)}\n      docs/runbooks/{p.runbook}.md" for p in found]
        parts.append("NEEDS SOMEBODY\n" + "\n".join(said))
    elif complete:
        parts.append("all is well")
    return "\n\n".join(parts)


def _for_people(row: Row) -> Row:
    """A word where a value is missing, because an empty cell says nothing."""
    shown = {key: "-" if value is None and key in {"oldest", "due"} else value for key, value in row.items()}
    if shown.get("readers") == 0:
        shown["readers"] = "nobody"
    if shown.get("last_success", "") is None:
        shown["last_success"] = "never"
    return shown
