"""Every `carteiro …` that a page shows can be called: the command is there, and so is each option."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from ops.cli import carteiro

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted(ROOT.glob("docs/**/*.md")),
    *sorted(ROOT.glob("services/*/README.md")),
]
_BLOCK = re.compile(r"^```.*?$(.*?)^```", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`(carteiro [^`\n]+)`")
_LINE = re.compile(r"^(?:\$ |.*\| )?(carteiro [^#|>&;\n]+)", re.MULTILINE)


def shown(text: str) -> Iterator[list[str]]:
    """The words behind `carteiro` of every code span and of every line of a code block; `a|b` is both."""
    found = [line for block in _BLOCK.findall(text) for line in _LINE.findall(block)]
    found += _SPAN.findall(_BLOCK.sub("", text))
    for command in found:
        yield shlex.split(command.replace("…", ""))[1:]


def mistake(words: list[str]) -> str:
    """What is wrong with a command line; "" if nothing is."""
    command: click.Command = carteiro
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        name, *words = words
        choices = name.split("|")
        missing = [choice for choice in choices if choice not in command.commands]
        if missing:
            return f"no command {missing[0]}"
        command = command.commands[choices[-1]]
    if isinstance(command, click.Group) and not words:
        return f"{command.name} needs a command" if command is not carteiro else ""
    known = {option for parameter in command.params for option in parameter.opts} | {"--help", "--version"}
    unknown = [word for word in words if word.startswith("--") and word.split("=")[0] not in known]
    return f"{command.name} has no option {unknown[0]}" if unknown else ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_shows_can_be_called(page: Path) -> None:
    wrong = {" ".join(words): mistake(words) for words in shown(page.read_text(encoding="utf-8"))}
    assert {command: why for command, why in wrong.items() if why} == {}


def test_every_command_is_shown_once_in_the_readme() -> None:
    commands = [" ".join(words) for words in shown((ROOT / "README.md").read_text(encoding="utf-8"))]
    for name in (
        "status",
        "account list",
        "ticket list",
        "ticket show",
        "deadletters list",
        "deadletters show",
        "deadletters replay",
        "deadletters discard",
        "explain",
    ):
        assert [command for command in commands if command.startswith(name)], name


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("`carteiro status`", [""]),
        ("`carteiro deadletters list|show`", [""]),
        ("`carteiro deadletters list|burn`", ["no command burn"]),
        ("```sh\ncarteiro status --jason   # all\n```", ["status has no option --jason"]),
        ("```sh\ncat mail.eml | carteiro explain -\ncarteiro stats\n```", ["", "no command stats"]),
        ("a carteiro of no command", []),
    ],
)
def test_a_wrong_command_is_found(text: str, why: list[str]) -> None:
    assert [mistake(words) for words in shown(text)] == why
