"""Why an automatic answer is not sent: the reasons of OTRS in OTRS's order, and the daily limit per address."""

import re
from collections import Counter
from enum import StrEnum
from typing import NamedTuple

from services.mailer.recipients import Answer, deliverable
from shared.desk.model import Desk
from shared.events import ArticleFact, Kind, Origin

# OTRS's SendNoAutoResponseRegExp; found anywhere in the address, as there
_NO_RESPONSE = re.compile(r"(MAILER-DAEMON|postmaster|abuse)@.+?\..+?", re.IGNORECASE)
_MAX_DETAIL = 100


class Reason(StrEnum):
    NO_TEMPLATE = "no_template"
    NO_SENDER = "no_sender"
    CLOSED = "closed"
    WITHHELD = "withheld"
    BACKFILL = "backfill"
    NOT_HUMAN = "not_human"
    OWN_ADDRESS = "own_address"
    INVALID_ADDRESS = "invalid_address"
    DAILY_LIMIT = "daily_limit"
    NO_RESPONSE_REGEXP = "no_response_regexp"


class Verdict(NamedTuple):
    """`reason` None: the answer is sent. `detail`: the dispatcher's word for what it withheld."""

    reason: Reason | None = None
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}" if self.detail else str(self.reason or "")


def judge(fact: ArticleFact, answer: Answer, desk: Desk, counts: Counter[str]) -> Verdict:
    """Whether the answer is sent. `counts`: answers of today by address in lower case; an answer within the limit is
    counted there, also one that only the regular expression stops then, as in OTRS."""
    verdict = standing(fact, answer, desk)
    if verdict.reason:
        return verdict
    address = counted(answer)
    limit = desk.max_answers(address)
    if limit is not None and counts[address] >= limit:
        return Verdict(Reason.DAILY_LIMIT)
    counts[address] += 1
    return Verdict(Reason.NO_RESPONSE_REGEXP) if _NO_RESPONSE.search(address) else Verdict()


def counted(answer: Answer) -> str:
    """The address under which answers are counted."""
    return deliverable(answer.recipient).lower()


def standing(fact: ArticleFact, answer: Answer, desk: Desk) -> Verdict:
    """The reasons that need no counter, the first that holds."""
    if answer.response is None:
        return Verdict(Reason.NO_TEMPLATE)
    if answer.sender is None:
        return Verdict(Reason.NO_SENDER)
    if answer.rule == "auto_reply" and fact.state.startswith(("closed", "removed")):
        return Verdict(Reason.CLOSED)
    if fact.answer.withheld:
        return Verdict(Reason.WITHHELD, fact.answer.withheld[:_MAX_DETAIL])
    if fact.origin is Origin.BACKFILL:
        return Verdict(Reason.BACKFILL)
    if fact.kind is not Kind.HUMAN:  # the dispatcher withholds these; a second lock on the door to a mail loop
        return Verdict(Reason.NOT_HUMAN)
    address = counted(answer)
    if not address:
        return Verdict(Reason.INVALID_ADDRESS)
    return Verdict(Reason.OWN_ADDRESS) if address in desk.own_addresses else Verdict()
