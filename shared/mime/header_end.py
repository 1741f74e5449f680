"""Where a header ends that no empty line ends: form mailers forget the line, or put a blank into it.

Nothing a person wrote may disappear into the header, and no field into the text as long as fields follow.
"""

import re
from collections.abc import Sequence

# once in a header (RFC 5322 3.6, RFC 2045): a second one stands in the text, as in a mail that is quoted
_ESSENTIAL = frozenset(("from", "to", "date", "subject", "message-id"))
_ONCE = _ESSENTIAL.union(
    ("sender", "reply-to", "cc", "bcc", "in-reply-to", "references", "mime-version", "return-path"),
    ("content-type", "content-transfer-encoding", "content-disposition", "content-id", "content-description"),
)
_OTHERS = frozenset(
    [
        *("received", "precedence", "preference", "importance", "priority", "sensitivity", "organization", "status"),
        *("user-agent", "comments", "keywords", "lines", "autocrypt", "mailing-list", "followup-to", "newsgroups"),
        *("encrypted", "supersedes", "expires", "via", "accept-language", "language", "deferred-delivery", "face"),
        *("conversion", "bounces-to", "sent-on", "apparently-to", "approved-by"),
    ]
)
_FAMILIES = (
    *("x-", "list-", "resent-", "arc-", "content-", "received-", "dkim-", "domainkey-", "authentication-", "auto-"),
    *("thread-", "delivered-", "delivery-", "envelope-", "original-", "old-", "return-", "errors-", "disposition-"),
    *("msip_", "spamdiagnostic", "feedback-", "mail-", "require-", "archived-", "abuse-", "ms-", "final-", "tls-"),
)
_PARAMETER = re.compile(rb"[\w-]{1,40}(?:\*\d{0,2}\*?)?=")
_SHORTEST = 3  # letters of a form's name
_FEWEST = 2  # fields of a form, where an empty line follows that may as well be the header's end
_OPEN = (b";", b",")


def is_of_mail(name: str) -> bool:
    """Whether `name` (lower case) is a field of mail headers; anybody may write `Nome:` in a text."""
    return name in _ONCE or name in _OTHERS or name.startswith(_FAMILIES)


def is_of_a_form(name: str | None) -> bool:
    """Whether people's forms have this name beside a value: programs put hyphens into theirs, or have one letter."""
    if name is None or (("-" in name or len(name) < _SHORTEST) and name != "e-mail"):
        return False
    return not is_of_mail(name)


def find(lines: Sequence[bytes], names: Sequence[str | None], *, separated: bool) -> tuple[int, int] | None:
    """(index of the first line of the text, number of lines that are header), or None where all of them are header.

    `names`: of each line its field's name, "" for a folded one, None for junk. `separated`: an empty line follows.
    """
    first_field = next((number for number, name in enumerate(names) if name), None)
    if first_field is None:
        return None
    fresh, last_essential = _fresh(names)
    last = max(fresh, default=-1)
    first_junk = None
    for number, (line, name) in enumerate(zip(lines, names, strict=True)):
        if name is None and number > first_field and line.startswith(b"--"):
            return number, number  # a boundary
        if name == "" and number and not line.strip():
            if number + 1 < len(lines) and _ends_here(number, last, last_essential, fresh):
                return number + 1, number
        elif name is None and number > last and first_junk is None and not _continues(lines, number):
            first_junk = number
    if not _is_of_a_text(lines, names):
        return None
    return _without_any_line(names, last, first_junk, separated=separated)


def _is_of_a_text(lines: Sequence[bytes], names: Sequence[str | None]) -> bool:
    """Whether a text follows this header: before the bytes of a file no line may be put."""
    for line, name in zip(lines, names, strict=True):
        value = line.partition(b":")[2].strip().lower()
        if name == "content-type" and not value.startswith((b"text", b"multipart/")):
            return False
        if (name == "content-transfer-encoding" and value.startswith(b"base64")) or (
            name == "content-disposition" and value.startswith(b"attachment")
        ):
            return False
    return True


def _fresh(names: Sequence[str | None]) -> tuple[set[int], int]:
    """(lines that begin a field of mail, no second one of those that stand once; the last essential one of them)."""
    fresh, seen, essential = set(), set(), -1
    for number, name in enumerate(names):
        if name and name not in seen and is_of_mail(name):
            fresh.add(number)
            if name in _ONCE:
                seen.add(name)
            if name in _ESSENTIAL:
                essential = number
    return fresh, essential


def _ends_here(number: int, last: int, last_essential: int, fresh: set[int]) -> bool:
    """Whether a line of blanks is the empty line: no field follows at once, and no essential one at all."""
    return number > last or (number + 1 not in fresh and number > last_essential)


def _continues(lines: Sequence[bytes], number: int) -> bool:
    """Broken folding: the line before is not at its end, or this one is a parameter; an mbox line is no text."""
    line = lines[number]
    before = lines[number - 1].rstrip() if number else b""
    return before.endswith(_OPEN) or _PARAMETER.match(line) is not None or line.startswith((b"From ", b">From "))


def _without_any_line(
    names: Sequence[str | None], last: int, first_junk: int | None, *, separated: bool
) -> tuple[int, int] | None:
    """Behind the last field of mail: lines that are none are the text, and what looks like fields with them."""
    start = last + 1
    while start < len(names) and names[start] == "":
        start += 1
    if first_junk is not None:
        return min(start, first_junk), first_junk
    fields = [name for name in names[start:] if name != ""]
    if fields and (not separated or (len(fields) >= _FEWEST and all(map(is_of_a_form, fields)))):
        return start, len(names)
    return None
