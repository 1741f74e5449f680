"""`carteiro customer` and `carteiro retention`: what goes, and when."""

import asyncio
import sys
from collections.abc import Awaitable, Callable

import click

_dry_run = click.option("--dry-run", is_flag=True, help="Only say what would go.")
_json_option = click.option("--json", "as_json", is_flag=True, help="One object a line.")


@click.group()
def customer() -> None:
    """Customers of the desk."""


@customer.command("erase")
@click.argument("address")
@_dry_run
@_json_option
def customer_erase(address: str, dry_run: bool, as_json: bool) -> None:
    """Erase what ADDRESS wrote, its tickets, the mails to it, and its name everywhere else."""
    from ops.erasing import erase_customer  # noqa: PLC0415  # `carteiro --help` must not load Postgres

    _finish(lambda: erase_customer(address, dry_run=dry_run, as_json=as_json))


@click.group()
def retention() -> None:
    """How long tickets are kept."""


@retention.command("apply")
@_dry_run
@_json_option
def retention_apply(dry_run: bool, as_json: bool) -> None:
    """Empty tickets that have been closed for longer than `keep_closed` of their queue."""
    from ops.erasing import apply_retention  # noqa: PLC0415

    _finish(lambda: apply_retention(dry_run=dry_run, as_json=as_json))


def _finish(work: Callable[[], Awaitable[int]]) -> None:
    from ops.complaints import status_of  # noqa: PLC0415

    async def call() -> int:
        return await work()

    try:
        sys.exit(asyncio.run(call()))
    except Exception as error:  # noqa: BLE001  # the rim: unknown ones are raised again inside
        sys.exit(status_of(error))
