"""`carteiro mail`: the mails that go out by themselves: look at them, hold them back, send them again."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import click

_json_option = click.option("--json", "as_json", is_flag=True, help="One object a line.")
_STATES = ("queued", "sending", "deferred", "unknown", "failed", "bounced", "suppressed", "sent")


@click.group()
def mail() -> None:
    """Automatic answers and notifications."""


@mail.command("list")
@click.option("--state", type=click.Choice(_STATES), default="failed", show_default=True)
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True)
@_json_option
def mail_list(state: str, limit: int, as_json: bool) -> None:
    """Mails in a state, the latest first."""
    from ops.outbound import list_mails  # noqa: PLC0415  # `carteiro --help` must not load Postgres

    _finish(lambda: list_mails(state, limit, as_json=as_json))


@mail.command("retry")
@click.argument("ids", type=click.IntRange(min=1, max=2**63 - 1), nargs=-1, required=True, metavar="ID...")
def mail_retry(ids: tuple[int, ...]) -> None:
    """Send mails that failed again, with the same bytes, once the cause is gone."""
    from ops.outbound import retry  # noqa: PLC0415

    _finish(lambda: retry(ids))


@mail.command("hold")
@click.option("--before", required=True, metavar="TIME", help="RFC 3339: mails that facts before it lead to wait.")
def mail_hold(before: str) -> None:
    """Hold back what is not sent yet and older than TIME, also what is read again from Kafka: before a restored
    database sends what it has forgotten to have sent."""
    from ops.outbound import hold  # noqa: PLC0415

    try:
        moment = datetime.fromisoformat(before)
    except ValueError as error:
        raise click.BadParameter("expected a time such as 2026-11-24T12:30:00Z", param_hint="--before") from error
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    _finish(lambda: hold(aware))


@mail.command("release")
def mail_release() -> None:
    """Let what was held back go."""
    from ops.outbound import release  # noqa: PLC0415

    _finish(release)


@mail.command("preview")
@click.argument("name", default="")
@click.option("--desk", "desk_file", type=click.Path(path_type=Path), help="The texts of this desk.")
@click.option("--queue", default="", help="For this queue; default: the first one that answers.")
@click.option("--raw", is_flag=True, help="The bytes as they are sent.")
def mail_preview(name: str, desk_file: Path | None, queue: str, raw: bool) -> None:
    """The mails that an invented ticket would lead to; NAME is an automatic answer or a notification. Needs no
    server."""
    from ops.preview import preview  # noqa: PLC0415

    sys.exit(preview(name, desk_file, queue, raw=raw))


def _finish(work: Callable[[], Awaitable[int]]) -> None:
    from ops.complaints import status_of  # noqa: PLC0415

    async def call() -> int:
        return await work()

    try:
        sys.exit(asyncio.run(call()))
    except Exception as error:  # noqa: BLE001  # the rim: unknown ones are raised again inside
        sys.exit(status_of(error))
