"""A desk from its file: YAML → values → checked as a whole, with every mistake at once.

The texts that automatic answers name stand beside the file and are part of the desk and of its hash.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from shared.desk import checks
from shared.desk.findings import Complaint, DeskError, Finding, Loc, locate
from shared.desk.model import Desk
from shared.desk.refusals import complaints
from shared.desk.source import Source, SourceError, parse
from shared.desk.values import normal_address

MAX_BYTES = 1024 * 1024
"""Largest desk and largest text; a ConfigMap holds no more than this in all."""


@dataclass(frozen=True)
class LoadedDesk:
    """A desk that may be used, with the texts it names (by file name) and the hash over all of it."""

    desk: Desk
    texts: Mapping[str, str]
    sha256: str
    path: str
    lines: Mapping[Loc, int]

    def findings(self, complaints: Iterable[Complaint]) -> list[Finding]:
        """The complaints with the lines of their fields, sorted by line."""
        return locate(self.path, self.lines, complaints)


def load_desk(path: Path) -> LoadedDesk:
    """Reads, validates and checks the desk; raises DeskError with every finding, sorted by line."""
    try:
        raw = _read(path)
    except (OSError, ValueError) as error:
        where = Finding(str(path), None, "", _unreadable(error), "expected a desk, as in examples/desk.yaml")
        raise DeskError([where], sha256=content_hash(None, {})) from None
    try:
        source = parse(raw)
    except SourceError as error:
        where = Finding(str(path), error.line, "", error.found, "expected YAML")
        raise DeskError([where], sha256=content_hash(raw, {})) from None
    contents = _read_texts(path, _named_texts(source.data))
    desk, found = _validated(source)
    texts, unusable = _decoded(desk, contents)
    found += unusable
    sha256 = content_hash(raw, contents)
    if found:
        raise DeskError(locate(str(path), source.lines, found), sha256=sha256, texts=contents)
    return LoadedDesk(desk, texts, sha256, str(path), source.lines)


def content_hash(raw: bytes | None, texts: Mapping[str, bytes | None]) -> str:
    """SHA-256, hex, over the desk and its texts; None stands for a file that cannot be read."""
    digest = hashlib.sha256()
    for name, content in (("", raw), *sorted(texts.items())):
        size = -1 if content is None else len(content)
        digest.update(f"{name}\0{size}\0".encode() + (content or b""))
    return digest.hexdigest()


def current_hash(path: Path, texts: Iterable[str]) -> str:
    """The hash of what stands in the files now, without judging it."""
    try:
        raw = _read(path)
    except (OSError, ValueError):
        return content_hash(None, {})
    return content_hash(raw, _read_texts(path, texts))


def _read_texts(path: Path, names: Iterable[str]) -> dict[str, bytes | None]:
    """Contents of files beside the desk; None for one that cannot be read or is too large."""
    found: dict[str, bytes | None] = {}
    for name in names:
        try:
            found[name] = _read(path.parent / name)
        except (OSError, ValueError):
            found[name] = None
    return found


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError("larger than 1 MiB")
    return content


def _unreadable(error: OSError | ValueError) -> str:
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return f"cannot be read ({reason})"


def _sections(data: Any) -> dict[str, dict[Any, Any]]:
    """The maps by name that the file holds, whatever stands in them."""
    if not isinstance(data, dict):
        return {}
    return {key: value for key, value in data.items() if isinstance(value, dict)}


def _named_texts(data: Any) -> list[str]:
    """Names of text files, before anything is validated: also of a desk that will be refused, so that a
    watcher sees when the missing file comes. Only what can be a plain file name."""
    sections = _sections(data)
    rules = _sections(sections.get("notifications")).get("rules", {}).values()
    texts = [_sections(rule).get("texts", {}) for rule in rules]
    queues = sections.get("queues", {}).values()
    answers = sections.get("auto_responses", {}).values()
    holders = [*queues, *answers, *(each for text in texts for each in text.values())]
    keys = ("text", "html", "salutation", "signature")
    names = [holder.get(key) for holder in holders if isinstance(holder, dict) for key in keys]
    return [name for name in names if isinstance(name, str) and name and not set("/\\\0") & set(name)]


def _validated(source: Source) -> tuple[Desk, list[Complaint]]:
    """The desk, or what is left of it without the entries that are wrong in themselves, so that what the
    rest says is checked in the same run."""
    found = [*source.complaints, *_same_address(source.data)]
    desk, refused = _what_validates(source.data)
    sections = _sections(source.data).items()
    names = checks.names_of({section: [key for key in value if isinstance(key, str)] for section, value in sections})
    wrong_in_itself = {complaint.loc[:2] for complaint in refused}
    found += refused + checks.references(desk, names)
    # Beside a field that was refused its neighbours prove nothing.
    found += [each for each in checks.contradictions(desk) if each.loc[:2] not in wrong_in_itself]
    return desk, found


def _what_validates(data: Any) -> tuple[Desk, list[Complaint]]:
    """The desk and the complaints; where there are any, first without the fields that they name, then without
    the entries around them."""
    refused: list[Complaint] = []
    for depth in (None, 2):
        try:
            return Desk.model_validate(data), refused
        except ValidationError as error:
            wrong = complaints(error)
        refused = refused or wrong
        data = _without(data, [complaint.loc[:depth] for complaint in wrong])
    try:
        return Desk.model_validate(data), refused
    except ValidationError:
        return Desk(), refused


def _same_address(data: Any) -> list[Complaint]:
    found: list[Complaint] = []
    for section in ("system_addresses", "postmaster_max_emails_per_address"):
        seen: dict[str, str] = {}
        for key in map(str, _sections(data).get(section, {})):
            first = seen.setdefault(normal_address(key), key)
            if first != key:
                found.append(Complaint((section, key), f"the same address as {first}", "expected it once"))
    return found


def _without(data: Any, locs: Iterable[Loc]) -> Any:
    rest = deepcopy(data) if isinstance(data, dict) else {}
    for loc in locs:
        here: Any = rest
        for step in loc[:-1]:
            here = here.get(step) if isinstance(here, dict) else None
        if isinstance(here, dict) and loc:
            for key in [key for key in here if key == loc[-1] or str(key) == loc[-1]]:
                del here[key]
    return rest


def _decoded(desk: Desk, contents: Mapping[str, bytes | None]) -> tuple[dict[str, str], list[Complaint]]:
    texts: dict[str, str] = {}
    found: list[Complaint] = []
    for loc, file in _text_files(desk):
        text, fault = _text(contents.get(file))
        texts[file] = text
        if fault:
            wanted = "expected a text file in UTF-8 beside the desk"
            found.append(Complaint(loc, f"{file} {fault}", wanted))
    return texts, found


def _text_files(desk: Desk) -> Iterator[tuple[Loc, str]]:
    """Where the desk names a file, and which."""
    for name, response in desk.auto_responses.items():
        for key, file in (("text", response.text), ("html", response.html)):
            if file is not None:
                yield ("auto_responses", name, key), file
    for name, queue in desk.queues.items():
        for key, file in (("salutation", queue.salutation), ("signature", queue.signature)):
            if file is not None:
                yield ("queues", name, key), file
    for name, rule in desk.notifications.rules.items():
        for language, wording in rule.texts.items():
            yield ("notifications", "rules", name, "texts", language, "text"), wording.text


def _text(content: bytes | None) -> tuple[str, str]:
    """The text with LF line ends, and what is wrong with it."""
    if content is None:
        return "", "cannot be read"
    try:
        text = content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError:
        return "", "is not UTF-8"
    return text, "" if text.strip() else "is empty"
