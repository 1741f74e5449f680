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


def find_numbers(text: str, settings: Ticket, *, most: int = _MAX_SUBJECT) -> list[str]:
    """Ticket numbers a subject names, unique: those behind hook and divider first, then those behind `hook: `.

    What is a number the generator says; a check digit is not verified, the database decides. With `check_system_id` a
    number of another system is none. At most 10, in the first `most` characters: bodies are searched as well.
    """
    text = text[:most]
    if settings.hook.lower() not in text.lower():
        return []
    found = (match[1] for pattern in _number_patterns(settings) for match in pattern.finditer(text))
    return list(dict.fromkeys(found))[:_MAX_NUMBERS]


def is_number(text: str, settings: Ticket) -> bool:
    """Is the whole text a ticket number?"""
    return len(text) <= 60 and re.fullmatch(_number(settings), text) is not None


def clean(subject: str, number: str, settings: Ticket) -> str:
    """The subject without this ticket's number (any, with `subject_clean_all_numbers`) and leading `Re:`, `Re[5]:`,
    `Fwd:`, cut to `subject_size`.

    What is as long as the limit gets the mark of a cut too, as OTRS has it.
    """
    subject = subject[:_MAX_SUBJECT]
    numbers = find_numbers(subject, settings) if settings.subject_clean_all_numbers else []
    for each in dict.fromkeys((number, *numbers)):
        if each in subject:  # compiling the patterns costs a hundred times what an answer's text does
            for pattern in _cleaners(settings.hook, settings.hook_divider, each):
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
def _number_patterns(settings: Ticket) -> tuple[re.Pattern[str], re.Pattern[str]]:
    # (?<!\w): `MyTicket#…` is somebody else's hook; (?![0-9]): no prefix of a longer number
    number = rf"({_number(settings)})(?![0-9])"
    hook = settings.hook
    return (
        re.compile(rf"(?<!\w){re.escape(hook + settings.hook_divider)}{number}", re.IGNORECASE),
        re.compile(rf"(?<!\w){re.escape(hook)}:\s{{0,2}}{number}", re.IGNORECASE),
    )


def _number(settings: Ticket) -> str:
    """The pattern of a number (OTRS): of any system where `check_system_id` is off."""
    system_id = settings.system_id if settings.check_system_id else ""
    least = settings.min_counter_size
    counter = {
        "auto_increment": rf"{system_id}[0-9]{{{least},{least + 5}}}",
        "date": rf"[0-9]{{8}}{system_id}[0-9]{{1,40}}",
        "date_checksum": rf"[0-9]{{8}}{system_id}[0-9]{{4,40}}",
    }
    return counter[settings.number_generator]


@lru_cache(maxsize=64)
def _cleaners(hook: str, divider: str, number: str) -> tuple[re.Pattern[str], ...]:
    marks = [re.escape(text) for text in (f"{hook}: {number}", f"{hook}:{number}", f"{hook}{divider}{number}")]
    bracketed = [re.compile(rf"\[\s*{mark}\s*\]\s*", re.IGNORECASE) for mark in marks]
    bare = [re.compile(rf"(?<!\w){mark}(?![0-9])\s*", re.IGNORECASE) for mark in marks]
    return (*bracketed, *bare)


@lru_cache(maxsize=16)
def _prefix(word: str) -> re.Pattern[str]:
    return re.compile(rf"^\s*(?:{re.escape(word)}(?:\[[0-9]+\])?:\s)+", re.IGNORECASE)
