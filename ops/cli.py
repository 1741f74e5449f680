"""`carteiro`: one command for operators. Each group is registered here; what it does stands in its own file.

Exit status: 0 done, 1 the check found something, 2 wrong usage, 69 a server cannot be reached, 75 try again
later, 78 wrong configuration. Output goes to stdout, complaints to stderr.
"""

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable
from importlib import import_module
from pathlib import Path

import click

from ops.commands import COMMANDS, agent
from ops.desk import desk
from ops.erasing_group import customer, retention
from ops.mail import mail
from ops.token_group import token

SERVICES = ("fetcher", "dispatcher", "ticketing", "mailer")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="carteiro")
def carteiro() -> None:
    """Carteiro turns mailboxes into tickets and never loses a mail."""


@carteiro.command()
@click.argument("service", type=click.Choice([*SERVICES, "api", "all"]))
def run(service: str) -> None:
    """Run one service, the HTTP API, or all four services in one process."""
    from shared import process  # noqa: PLC0415  # `carteiro --help` must not load Kafka and Postgres

    names = SERVICES if service == "all" else (service,)
    serve = {name: import_module("ops.api.app" if name == "api" else f"services.{name}.app").serve for name in names}
    sys.exit(process.run(serve))


@carteiro.command()
def healthcheck() -> None:
    """Ask the service of this machine whether it is ready. Status 0 when it is, 1 when not; for containers."""
    from ops.healthcheck import healthcheck as ask  # noqa: PLC0415

    sys.exit(ask())


@carteiro.command()
@click.option("--once", is_flag=True, help="Stop after the demonstration; status 0 when all four steps were seen.")
@click.option(
    "--desk",
    "desk_file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Run on the accounts of this desk; its passwords are files in var/secrets. No demonstration.",
)
def up(once: bool, desk_file: Path | None) -> None:
    """Start PostgreSQL, Kafka, a mail server and the four services; Ctrl-C stops everything."""
    try:
        from ops.stack.command import run_stack  # noqa: PLC0415  # its servers are packages that an image has no use for
    except ModuleNotFoundError as error:
        print(f"The local stack needs the package {error.name}: pip install 'carteiro[local]'.", file=sys.stderr)
        sys.exit(78)
    sys.exit(run_stack(desk_file, once=once))


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


_json_option = click.option("--json", "as_json", is_flag=True, help="One object a line.")


@carteiro.command()
@_json_option
def status(as_json: bool) -> None:
    """Accounts, readers, tickets, mail to be sent, dead letters: one screen, and what needs somebody.

    Status 0 when all is well, 1 when something needs somebody, 69 when a server cannot be reached.
    """
    from ops.status import status as show  # noqa: PLC0415

    _finish(lambda: show(as_json=as_json))


@carteiro.command()
@click.option("--since", default="1d", show_default=True, help="2d, 12h, or a date: records that came since then.")
@_json_option
def audit(since: str, as_json: bool) -> None:
    """Compare every offset that was passed with the outcome that was recorded for it. Status 1 when one has none."""
    from ops.audit import audit as compare  # noqa: PLC0415

    _finish(lambda: compare(since, as_json=as_json))


@carteiro.command()
@click.argument("what", metavar="ID|NUMBER|MESSAGE-ID")
@_json_option
def trace(what: str, as_json: bool) -> None:
    """Where a mail is now, and every step it took. ID: a transport key, or the id of an event.

    Status 1 when nothing is known of it.
    """
    from ops.tracing import trace as follow  # noqa: PLC0415

    _finish(lambda: follow(what, as_json=as_json))


@carteiro.group()
def account() -> None:
    """The mail accounts."""


@account.command("test")
@click.argument("name")
@_json_option
def account_test(name: str, as_json: bool) -> None:
    """Try an account of the desk, incoming or outbound, step by step. Nothing is changed on its server.

    Status 0 when it can be used, 1 when a step fails, 78 when the desk names no such account.
    """
    from ops.account_test import test_account  # noqa: PLC0415

    _finish(lambda: test_account(name, as_json=as_json))


@account.command("list")
@_json_option
def account_list(as_json: bool) -> None:
    """Each account: who reads it, when it last succeeded, what is wrong."""
    from ops.accounts import list_accounts  # noqa: PLC0415

    _finish(lambda: list_accounts(as_json=as_json))


@carteiro.command()
@click.option("--account", required=True, help="The account of the desk that the mail belongs to.")
def receive(account: str) -> None:
    """Take one mail from standard input, for the pipe of a mail server.

    Status 0 once Kafka has confirmed it, 65 when it is no mail, 75 on everything else: try again.
    """
    from ops.receive import receive as take  # noqa: PLC0415

    sys.exit(take(account))


@carteiro.group()
def ticket() -> None:
    """Tickets, and what came of their mails."""


@ticket.command("list")
@click.option("--queue", help="Only of this queue.")
@click.option("--state", help="Only in this state: new, open, …")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True)
@_json_option
def ticket_list(queue: str | None, state: str | None, limit: int, as_json: bool) -> None:
    """The newest tickets."""
    from ops.tickets import list_tickets  # noqa: PLC0415

    _finish(lambda: list_tickets(queue, state, limit, as_json=as_json))


@ticket.command("show")
@click.argument("number")
@_json_option
def ticket_show(number: str, as_json: bool) -> None:
    """One ticket: its conversation, its history, what was sent or why not, its links."""
    from ops.tickets import show_ticket  # noqa: PLC0415

    _finish(lambda: show_ticket(number, as_json=as_json))


@carteiro.group()
def deadletters() -> None:
    """Records that could not be handled: look at them, replay or discard them."""


_ids = click.argument("ids", type=click.IntRange(min=1, max=2**63 - 1), nargs=-1, required=True, metavar="ID...")


@deadletters.command("list")
@click.option("--all", "decided", is_flag=True, help="Also those that were replayed or discarded.")
@_json_option
def deadletters_list(decided: bool, as_json: bool) -> None:
    """Dead letters that wait for a decision."""
    from ops.deadletters import list_letters  # noqa: PLC0415

    _finish(lambda: list_letters(decided=decided, as_json=as_json))


@deadletters.command("show")
@click.argument("letter", type=click.IntRange(min=1, max=2**63 - 1), metavar="ID")
@_json_option
def deadletters_show(letter: int, as_json: bool) -> None:
    """One dead letter: what was wrong, and the record as it came."""
    from ops.deadletters import show_letter  # noqa: PLC0415

    _finish(lambda: show_letter(letter, as_json=as_json))


@deadletters.command("replay")
@_ids
@click.option("--again", is_flag=True, help="Also those that were decided before.")
def deadletters_replay(ids: tuple[int, ...], again: bool) -> None:
    """Send the original records to their topics again, as if they had come now."""
    from ops.deadletters import replay  # noqa: PLC0415

    _finish(lambda: replay(ids, again=again))


def _words(_context: click.Context, _option: click.Parameter, value: str) -> str:
    if not value.strip():
        raise click.BadParameter("expected a reason in words: it is all that a later reader has")
    return value.strip()


@deadletters.command("discard")
@_ids
@click.option("--why", required=True, callback=_words, help="Kept with the decision.")
def deadletters_discard(ids: tuple[int, ...], why: str) -> None:
    """Decide that nothing will come of these records. They stay readable."""
    from ops.deadletters import discard  # noqa: PLC0415

    _finish(lambda: discard(ids, why))


@carteiro.group()
def originals() -> None:
    """The raw mails in the object store."""


@originals.command("sweep")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@_json_option
def originals_sweep(dry_run: bool, as_json: bool) -> None:
    """Remove packs that nothing names and that are older than twice the longest retention."""
    from ops.originals import sweep  # noqa: PLC0415

    _finish(lambda: sweep(dry_run=dry_run, as_json=as_json))


@carteiro.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("--account", default="", help="As if this account had fetched it; default: none, the recipient decides.")
@click.option("--desk", "desk_file", type=click.Path(path_type=Path), help="Decide with this desk.")
@_json_option
def explain(paths: tuple[str, ...], account: str, desk_file: Path | None, as_json: bool) -> None:
    """What becomes of a mail, and why: PATH is a file, a folder of .eml, an mbox, or - for stdin. Needs no server."""
    from ops.explain import explain as tell  # noqa: PLC0415

    _finish(lambda: tell(paths, account, desk_file, as_json=as_json))


@carteiro.command()
@click.option("--since", required=True, help="2d, 12h, or a date: mail that came since then.")
@click.option("--desk", "desk_file", type=click.Path(path_type=Path), required=True, help="The desk to try.")
@_json_option
def backtest(since: str, desk_file: Path, as_json: bool) -> None:
    """What another desk would have done with the mail that came: counts and examples of what would differ."""
    from ops.backtest import backtest as run_backtest  # noqa: PLC0415

    _finish(lambda: run_backtest(since, desk_file, as_json=as_json))


def _finish(work: Callable[[], Awaitable[int]]) -> None:
    """Runs a command's coroutine; what it raises becomes one sentence and the status that belongs to it."""
    from ops.complaints import status_of  # noqa: PLC0415

    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # one sentence of ours is enough

    async def call() -> int:
        return await work()

    try:
        sys.exit(asyncio.run(call()))
    except Exception as error:  # noqa: BLE001  # the rim: unknown ones are raised again inside
        sys.exit(status_of(error))


for command in COMMANDS:
    ticket.add_command(command)
carteiro.add_command(agent)
carteiro.add_command(desk)
carteiro.add_command(mail)
carteiro.add_command(token)
carteiro.add_command(customer)
carteiro.add_command(retention)
main = carteiro

if __name__ == "__main__":
    main()
