"""`carteiro`: one command for operators. Each group is registered here; what it does stands in its own file.

Exit status: 0 done, 1 the check found something, 2 wrong usage, 69 a server cannot be reached, 75 try again
later, 78 wrong configuration. Output goes to stdout, complaints to stderr.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from importlib import import_module

import click

from ops.desk import desk
from ops.stack.command import up

SERVICES = ("fetcher", "dispatcher", "ticketing", "mailer")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="carteiro")
def carteiro() -> None:
    """Carteiro turns mailboxes into tickets and never loses a mail."""


@carteiro.command()
@click.argument("service", type=click.Choice([*SERVICES, "all"]))
def run(service: str) -> None:
    """Run one service, or all four in one process."""
    from shared import process  # noqa: PLC0415  # `carteiro --help` must not load Kafka and Postgres

    names = SERVICES if service == "all" else (service,)
    serve = {name: import_module(f"services.{name}.app").serve for name in names}
    sys.exit(process.run(serve))


@carteiro.command()
@click.option("--check", is_flag=True, help="Change nothing; status 1 when something is pending.")
@click.option("--wait", is_flag=True, help="Wait until nothing is pending (with --check), or until the server answers.")
@click.option("--phase", type=click.Choice(["pre", "post"]), help="Only these migrations; default: all.")
def migrate(check: bool, wait: bool, phase: str | None) -> None:
    """Bring the database schema up to this version."""
    from ops.migrate import run_migrations  # noqa: PLC0415

    _finish(lambda: run_migrations(check=check, wait=wait, phase=phase))


@carteiro.group()
def topics() -> None:
    """The Kafka topics."""


@topics.command("apply")
def topics_apply() -> None:
    """Create missing topics, add partitions, correct settings."""
    from ops.topics import apply  # noqa: PLC0415

    _finish(apply)


@topics.command("show")
@click.option("--json", "as_json", is_flag=True, help="One object a line.")
def topics_show(as_json: bool) -> None:
    """The topics as declared, and how the broker's differ. Status 1 when they do."""
    from ops.topics import show  # noqa: PLC0415

    _finish(lambda: show(as_json=as_json))


def _finish(work: Callable[[], Awaitable[int]]) -> None:
    """Runs a command's coroutine; what it raises becomes one sentence and the status that belongs to it."""
    from ops.complaints import status_of  # noqa: PLC0415

    async def call() -> int:
        return await work()

    try:
        sys.exit(asyncio.run(call()))
    except Exception as error:  # noqa: BLE001  # the rim: unknown ones are raised again inside
        sys.exit(status_of(error))


carteiro.add_command(desk)
carteiro.add_command(up)
main = carteiro

if __name__ == "__main__":
    main()
