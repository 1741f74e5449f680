"""`carteiro token`: who may use the HTTP API."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from datetime import timedelta

import click

_SCOPES = ("read", "agent", "operator")


@click.group()
def token() -> None:
    """Tokens of the HTTP API."""


@token.command("create")
@click.argument("name")
@click.option("--scope", "scopes", type=click.Choice(_SCOPES), multiple=True, required=True, help="May be repeated.")
@click.option("--queue", "queues", multiple=True, help="Only these queues; default: all. May be repeated.")
@click.option("--agent", default="", help="An agent of the desk: its changes are made by this one.")
@click.option("--days", type=click.IntRange(min=1, max=3650), help="Valid for so long; default: until it is revoked.")
def token_create(name: str, scopes: tuple[str, ...], queues: tuple[str, ...], agent: str, days: int | None) -> None:
    """Make a token and print it. It is shown this once: only its hash is kept."""
    if queues and "operator" in scopes:
        raise click.BadParameter("an operator's token reaches the whole installation", param_hint="--queue")
    if "agent" in scopes and not agent:
        raise click.BadParameter("whoever changes tickets does it in an agent's name", param_hint="--agent")
    from ops.tokens import create  # noqa: PLC0415  # `carteiro --help` must not load Postgres

    valid = None if days is None else timedelta(days=days)
    _finish(lambda: create(name, scopes, queues or None, agent, valid))


@token.command("list")
@click.option("--json", "as_json", is_flag=True, help="One object a line.")
def token_list(as_json: bool) -> None:
    """All tokens, without their secrets."""
    from ops.tokens import list_tokens  # noqa: PLC0415

    _finish(lambda: list_tokens(as_json=as_json))


@token.command("revoke")
@click.argument("ids", type=click.IntRange(min=1, max=2**63 - 1), nargs=-1, required=True, metavar="ID...")
def token_revoke(ids: tuple[int, ...]) -> None:
    """Make tokens invalid, from the next request on."""
    from ops.tokens import revoke  # noqa: PLC0415

    _finish(lambda: revoke(ids))


def _finish(work: Callable[[], Awaitable[int]]) -> None:
    from ops.complaints import status_of  # noqa: PLC0415

    async def call() -> int:
        return await work()

    try:
        sys.exit(asyncio.run(call()))
    except Exception as error:  # noqa: BLE001  # the rim: unknown ones are raised again inside
        sys.exit(status_of(error))
