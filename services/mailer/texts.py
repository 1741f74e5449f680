"""The texts that ship with the mailer: `templates/<event, or type of answer>/<language>/{subject,body}.txt`."""

from functools import cache
from pathlib import Path
from typing import NamedTuple

_ROOT = Path(__file__).parent / "templates"


class Text(NamedTuple):
    """A subject of one line, a body, and the same as HTML (may be empty), all with placeholders."""

    subject: str
    body: str
    html: str = ""


@cache
def shipped(what: str, language: str) -> Text:
    """Raises OSError where there is no such text: the languages of the desk are those of `templates/`."""
    folder = _ROOT / what / language
    subject, body = ((folder / name).read_text(encoding="utf-8") for name in ("subject.txt", "body.txt"))
    return Text(subject.strip(), body)
