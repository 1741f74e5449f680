"""Regular expressions of the desk, on RE2: time linear in the text whatever is written (docs/adr). Pure.

Unanchored, in any case of letters, as OTRS applies them. What Perl has and RE2 has not (look-around, back-references,
repetition above 1000) is refused when the desk is loaded.
"""

import re
from functools import lru_cache
from typing import Any, NamedTuple

import re2

LONGEST = 1000
_READABLE = re.compile(r"^(.{0,200}?)(?:: .*)?$", re.DOTALL)


class Found(NamedTuple):
    """What a pattern found: `first` is its first group ("" without one), `named` its named ones."""

    first: str | None
    named: dict[str, str]


@lru_cache(maxsize=2048)
def compiled(pattern: str) -> Any:
    """Raises ValueError, in words, for what RE2 does not take."""
    options = re2.Options()
    options.case_sensitive = False
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        raise ValueError(_words(error)) from None
    except UnicodeEncodeError:
        raise ValueError("half a character") from None


def search(pattern: str, text: str) -> Found | None:
    """The first match anywhere in `text`; None without one. Raises ValueError as `compiled` does."""
    found = compiled(pattern).search(text)
    if found is None:
        return None
    groups = found.groups()
    named = {name: value or "" for name, value in found.groupdict().items()}
    return Found(groups[0] if groups else None, named)


def whole(pattern: str, text: str) -> bool:
    return compiled(f"(?:{pattern})").fullmatch(text) is not None


def _words(error: Exception) -> str:
    """RE2 says `invalid perl operator: (?=`, in bytes."""
    said = error.args[0] if error.args else ""
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
    if text.startswith("invalid perl operator"):
        return "look-ahead, look-behind and the like are not available"
    if text.startswith("invalid escape sequence"):
        return f"{text} (no back-references)"
    return text[:200]
