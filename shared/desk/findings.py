"""What is wrong with a desk, as one line of text for a person and as a value for a program."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from difflib import get_close_matches

Loc = tuple[str | int, ...]
"""Path to a field: keys and list positions from the top of the file."""


@dataclass(frozen=True)
class Finding:
    """One mistake or warning. `line` counts from 1; None where the file as a whole is meant."""

    file: str
    line: int | None
    field: str
    found: str
    expected: str

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        field = f"{self.field}: " if self.field else ""
        return f"{place}: {field}{self.found}; {self.expected}"

    def as_json(self) -> dict[str, str | int | None]:
        return asdict(self)


@dataclass(frozen=True)
class Complaint:
    """A finding that knows its field but not yet its line."""

    loc: Loc
    found: str
    expected: str


class DeskError(Exception):
    """A desk that cannot be used. `sha256` is that of the content refused, `texts` the files it names."""

    def __init__(self, findings: Iterable[Finding], *, sha256: str, texts: Iterable[str] = ()) -> None:
        self.findings = tuple(findings)
        self.sha256 = sha256
        self.texts = frozenset(texts)
        super().__init__("\n".join(map(str, self.findings)))


def locate(file: str, lines: Mapping[Loc, int], complaints: Iterable[Complaint]) -> list[Finding]:
    """The complaints with the line of their field or, where the file has none, of the nearest part around
    it; sorted by line."""
    found = [
        Finding(file, _line(lines, each.loc), ".".join(map(_one_line, each.loc)), each.found, each.expected)
        for each in complaints
    ]
    return sorted(found, key=lambda finding: (finding.line or 0, finding.field))


def _one_line(part: str | int) -> str:
    return " ".join(str(part).split())  # a key of YAML may hold line ends


def _line(lines: Mapping[Loc, int], loc: Loc) -> int:
    while loc and loc not in lines:
        loc = loc[:-1]
    return lines.get(loc, 1)


def suggest(name: object, known: Iterable[str]) -> str:
    """`did you mean X?`, else the list of what is known."""
    known = sorted(known)
    close = get_close_matches(str(name), known, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]}?"
    return f"expected one of {', '.join(known)}" if known else "none is known here"
