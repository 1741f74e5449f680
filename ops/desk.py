"""`carteiro desk`: judge a desk before it is used, and print what may stand in one."""

import json
from collections.abc import Mapping
from pathlib import Path

import click
import yaml

from ops.desk_import import imported
from shared.desk import advice
from shared.desk.findings import DeskError, Finding
from shared.desk.load import LoadedDesk, load_desk
from shared.desk.placeholders import unknown_placeholders
from shared.desk.schema import page_text, schema_text
from shared.desk.secret_files import missing_secrets

WRONG_CONFIGURATION = 78


@click.group()
def desk() -> None:
    """Check the desk, print its schema."""


@desk.command()
@click.argument("path", type=click.Path(path_type=Path), envvar="CARTEIRO_DESK")
@click.option(
    "--secrets",
    type=click.Path(path_type=Path),
    envvar="CARTEIRO_SECRETS",
    help="Folder of secrets: every password that the desk names must be there.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout instead of sentences.")
def check(path: Path, secrets: Path | None, *, as_json: bool) -> None:
    """Judge the desk in PATH as a whole: status 0 where it can be used, 78 where not.

    Mistakes and warnings go to stderr, each with file, line, field, what was found and what was expected.
    """
    loaded, errors, warnings = judge(path, secrets)
    if as_json:
        click.echo(_json(path, loaded, errors, warnings))
    else:
        for finding in errors:
            click.echo(f"{finding}", err=True)
        for finding in warnings:
            click.echo(f"warning: {finding}", err=True)
        if loaded and not errors:
            click.echo(f"{path}: {_summary(loaded)}")
    if errors:
        raise SystemExit(WRONG_CONFIGURATION)


def judge(path: Path, secrets: Path | None) -> tuple[LoadedDesk | None, list[Finding], list[Finding]]:
    """The desk where it can be read, its mistakes, its warnings."""
    try:
        loaded = load_desk(path)
    except DeskError as error:
        return None, list(error.findings), []
    missing = missing_secrets(loaded.desk, secrets) if secrets else ()
    warnings = [*advice.warnings(loaded.desk), *unknown_placeholders(loaded.desk, loaded.texts)]
    return loaded, loaded.findings(missing), loaded.findings(warnings)


def _json(path: Path, loaded: LoadedDesk | None, errors: list[Finding], warnings: list[Finding]) -> str:
    return json.dumps(
        {
            "path": str(path),
            "usable": not errors,
            "sha256": loaded.sha256 if loaded else None,
            "errors": [finding.as_json() for finding in errors],
            "warnings": [finding.as_json() for finding in warnings],
        },
        ensure_ascii=False,
    )


def _summary(loaded: LoadedDesk) -> str:
    parts: dict[str, Mapping[str, object]] = {
        "queues": loaded.desk.queues,
        "system addresses": loaded.desk.system_addresses,
        "accounts": loaded.desk.accounts,
        "automatic answers": loaded.desk.auto_responses,
        "agents": loaded.desk.agents,
    }
    counts = ", ".join(f"{name} {len(part)}" for name, part in parts.items())
    return f"the desk can be used ({counts}; sha256 {loaded.sha256[:12]})"


@desk.command("import")
@click.argument("path", type=click.Path(path_type=Path, exists=True, dir_okay=False))
def import_filters(path: Path) -> None:
    """Turn PostMaster filters, exported from OTRS, Znuny or Ligero as YAML, into the section `filters` of a desk.

    The section goes to stdout, what could not be taken over to stderr; status 1 where anything could not.
    """
    try:
        found = imported(yaml.safe_load(path.read_bytes()))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        click.echo(f"{path}: {' '.join(str(error).split())[:300]}", err=True)
        raise SystemExit(WRONG_CONFIGURATION) from None
    click.echo(yaml.safe_dump({"filters": found.filters}, allow_unicode=True, sort_keys=False, width=120), nl=False)
    for sentence in found.left:
        click.echo(f"{path}: {sentence}", err=True)
    click.echo(f"{len(found.filters)} filters taken over, {len(found.left)} remarks", err=True)
    if found.left:
        raise SystemExit(1)


@desk.command()
@click.option("--page", is_flag=True, help="Print the page docs/desk.md instead.")
def schema(*, page: bool) -> None:
    """Print the JSON Schema of the desk (docs/desk.schema.json), for editors."""
    click.echo(page_text() if page else schema_text(), nl=False)
