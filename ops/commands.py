"""`carteiro ticket set|note|merge|…` and `carteiro agent`: what agents do, on the command line."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import click

from services.ticketing.commands import LINKS, AddNote, Command, Merge, Reply, Set, SetLink, Split, Tag, Watch


class _Time(click.ParamType[datetime]):
    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail("expected a time such as 2026-11-24T12:30:00Z", param, ctx)
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


_number = click.argument("number")


def _ordered(command: Callable[..., None]) -> Callable[..., None]:
    """The options of every command: who, why, and upon what he saw."""
    command = click.option("--version", "version", type=int, help="Only if the ticket is still at this version.")(
        command
    )
    command = click.option("--why", default="", help="Kept in the history.")(command)
    return click.option("--as", "agent_name", required=True, metavar="AGENT", help="Agent of the desk who does it.")(
        command
    )


@click.command("set")
@_number
@click.option("--state", help="new, open, closed successful, pending reminder, …")
@click.option("--pending-until", type=_Time(), help="Of a pending state.")
@click.option("--priority", help="1 very low, …, 5 very high")
@click.option("--owner", help="An agent; '' for nobody.")
@click.option("--responsible", help="An agent; '' for nobody.")
@click.option("--lock", type=click.Choice(["lock", "unlock", "tmp_lock"]), help="A ticket of nobody becomes yours.")
@click.option("--queue", help="It is free there, unless an owner is named or it is locked.")
@click.option("--title")
@_ordered
def set_(number: str, *, agent_name: str, why: str, version: int | None, **fields: Any) -> None:
    """Change fields of a ticket."""
    _run(number, Set(**fields), agent_name, why, version)


@click.command()
@_number
@click.option("--subject", default="")
@click.option("--text", help="Without it: standard input.")
@click.option("--visible", is_flag=True, help="For the customer too; he is not told.")
@_ordered
def note(
    number: str, *, subject: str, text: str | None, visible: bool, agent_name: str, why: str, version: int | None
) -> None:
    """Add a note."""
    _run(number, AddNote(sys.stdin.read() if text is None else text, subject, visible), agent_name, why, version)


@click.command()
@_number
@click.option("--subject", default="", help="Without it that of the customer's mail.")
@click.option("--text", help="Without it: standard input.")
@click.option("--to", multiple=True, metavar="ADDRESS", help="Without it the customer.")
@click.option("--cc", multiple=True, metavar="ADDRESS")
@_ordered
def reply(
    number: str,
    *,
    subject: str,
    text: str | None,
    to: tuple[str, ...],
    cc: tuple[str, ...],
    agent_name: str,
    why: str,
    version: int | None,
) -> None:
    """Answer the customer by mail, from the address that he wrote to."""
    _run(number, Reply(sys.stdin.read() if text is None else text, subject, to, cc), agent_name, why, version)


@click.command()
@_number
@click.option("--into", required=True, metavar="NUMBER", help="The ticket that it becomes part of.")
@_ordered
def merge(number: str, *, into: str, agent_name: str, why: str, version: int | None) -> None:
    """Merge a ticket into another one, which gets its articles; mail to it goes there."""
    _run(number, Merge(into), agent_name, why, version)


@click.command()
@_number
@click.option("--article", required=True, type=click.IntRange(min=1, max=2**63 - 1), help="Its id.")
@click.option("--queue", help="Of the new ticket; without it that of the ticket.")
@click.option("--title", help="Of the new ticket; without it the article's subject.")
@_ordered
def split(
    number: str, *, article: int, queue: str | None, title: str | None, agent_name: str, why: str, version: int | None
) -> None:
    """Make an article a ticket of its own too; the two are linked."""
    _run(number, Split(article, queue, title), agent_name, why, version)


@click.command()
@_number
@click.argument("to")
@click.option("--type", "kind", type=click.Choice(LINKS), default="Normal", show_default=True)
@click.option("--remove", is_flag=True)
@_ordered
def link(number: str, *, to: str, kind: str, remove: bool, agent_name: str, why: str, version: int | None) -> None:
    """Link a ticket to another one; of a ParentChild NUMBER is the parent."""
    _run(number, SetLink(to, kind, gone=remove), agent_name, why, version)


@click.command()
@_number
@click.option("--agent", "watcher", help="Who watches; without it who calls.")
@click.option("--remove", is_flag=True)
@_ordered
def watch(number: str, *, watcher: str | None, remove: bool, agent_name: str, why: str, version: int | None) -> None:
    """Have an agent told of what happens to a ticket."""
    _run(number, Watch(watcher or agent_name, gone=remove), agent_name, why, version)


@click.command()
@_number
@click.option("--add", multiple=True, metavar="TAG")
@click.option("--drop", multiple=True, metavar="TAG")
@_ordered
def tag(
    number: str, *, add: tuple[str, ...], drop: tuple[str, ...], agent_name: str, why: str, version: int | None
) -> None:
    """Give a ticket tags, or take them away."""
    _run(number, Tag(add, drop), agent_name, why, version)


COMMANDS = (set_, note, reply, merge, split, link, watch, tag)


@click.group()
def agent() -> None:
    """The agents of the desk."""


@agent.command("out")
@click.argument("name")
@click.option("--since", type=_Time(), help="Without it: now.")
@click.option("--until", type=_Time(), required=True)
def agent_out(name: str, since: datetime | None, until: datetime) -> None:
    """An agent is out of office: his tickets are freed when their customers write."""
    from ops.commanding import out  # noqa: PLC0415

    _finish(lambda: out(name, since, until))


@agent.command("back")
@click.argument("name")
def agent_back(name: str) -> None:
    """An agent is back."""
    from ops.commanding import back  # noqa: PLC0415

    _finish(lambda: back(name))


def _run(number: str, command: Command, agent_name: str, why: str, version: int | None) -> None:
    from ops.commanding import run  # noqa: PLC0415  # `carteiro --help` must not load Postgres

    _finish(lambda: run(number, command, agent_name, why, version))


def _finish(work: Callable[[], Awaitable[int]]) -> None:
    from ops.complaints import status_of  # noqa: PLC0415

    async def call() -> int:
        return await work()

    try:
        sys.exit(asyncio.run(call()))
    except Exception as error:  # noqa: BLE001  # the rim: unknown ones are raised again inside
        sys.exit(status_of(error))
