"""Ticket numbers in subjects: found in incoming mail, cleaned and put into outgoing mail.

Pure, and bounded: a subject counts up to 998 characters (RFC 5322 section 2.1.1) and every pattern is linear.
The rules are those of OTRS and Ligero (settings `Ticket::Hook` … `CheckSystemID`); three differences: a hook
inside a word is no hook, a subject's further numbers are candidates as well, and white space goes on both sides.
"""

import re
from functools import lru_cache
from typing import Literal

from shared.desk.model import Ticket

SubjectAction = Literal["new", "reply", "forward"]

_MAX_SUBJECT = 998
_MAX_NUMBERS = 10
_CUT_MARK = " [...]"


def find_numbers(subject: str, settings: Ticket) -> list[str]:
    """Ticket numbers a subject names, unique: those behind hook and divider first, then those behind `hook: `.

    A number is date, system id, counter and check digit; the check digit is not verified, the database decides.
    With `check_system_id` a number of another system is none. At most 10.
    """
    subject = subject[:_MAX_SUBJECT]
    system_id = settings.system_id if settings.check_system_id else ""
    found = (
        match[1]
        for pattern in _number_patterns(settings.hook, settings.hook_divider, system_id)
        for match in pattern.finditer(subject)
    )
    return list(dict.fromkeys(found))[:_MAX_NUMBERS]


def clean(subject: str, number: str, settings: Ticket) -> str:
    """The subject without this ticket's number and leading `Re:`, `Re[5]:`, `Fwd:`, cut to `subject_size`.

    What is as long as the limit gets the mark of a cut too, as OTRS has it.
    """
    subject = subject[:_MAX_SUBJECT]
    if number in subject:  # compiling the patterns costs a hundred times what an answer's text does
        for pattern in _cleaners(settings.hook, settings.hook_divider, number):
            subject = pattern.sub("", subject)
    for word in (settings.subject_re, settings.subject_fwd):
        if word:
            subject = _prefix(word).sub("", subject, count=1)
    subject = subject.strip()
    size = settings.subject_size
    return subject[:size] + _CUT_MARK if len(subject) >= size else subject


def build(subject: str, number: str, settings: Ticket, *, action: SubjectAction) -> str:
    """The subject of an outgoing mail: cleaned, with the number on the side the desk says.

    `new` (a new ticket, an automatic answer) puts no word before it, `reply` `subject_re`, `forward` `subject_fwd`.
    """
    parts = [clean(subject, number, settings)]
    mark = f"[{settings.hook}{settings.hook_divider}{number}]"
    if settings.subject_format == "left":
        parts.insert(0, mark)
    elif settings.subject_format == "right":
        parts.append(mark)
    word = {"new": "", "reply": settings.subject_re, "forward": settings.subject_fwd}[action]
    if word:
        parts.insert(0, f"{word}:")
    return " ".join(part for part in parts if part)


@lru_cache(maxsize=64)
def _number_patterns(hook: str, divider: str, system_id: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    # (?<!\w): `MyTicket#…` is somebody else's hook; (?![0-9]): no prefix of a longer number
    number = rf"([0-9]{{8}}{re.escape(system_id)}[0-9]{{4,40}})(?![0-9])"
    return (
        re.compile(rf"(?<!\w){re.escape(hook + divider)}{number}", re.IGNORECASE),
        re.compile(rf"(?<!\w){re.escape(hook)}:\s{{0,2}}{number}", re.IGNORECASE),
    )


@lru_cache(maxsize=64)
def _cleaners(hook: str, divider: str, number: str) -> tuple[re.Pattern[str], ...]:
    marks = [re.escape(text) for text in (f"{hook}: {number}", f"{hook}:{number}", f"{hook}{divider}{number}")]
    bracketed = [re.compile(rf"\[\s*{mark}\s*\]\s*", re.IGNORECASE) for mark in marks]
    bare = [re.compile(rf"(?<!\w){mark}(?![0-9])\s*", re.IGNORECASE) for mark in marks]
    return (*bracketed, *bare)


@lru_cache(maxsize=16)
def _prefix(word: str) -> re.Pattern[str]:
    return re.compile(rf"^\s*(?:{re.escape(word)}(?:\[[0-9]+\])?:\s)+", re.IGNORECASE)
