"""`carteiro backtest`: what another desk would have done with the mail that came.

The mail topic is read outside of any group, so nothing moves; each mail is decided by the desk in use and by the other
one, and only what differs is shown. It reaches as far back as the topic does, and knows evidence and plans alone: what
they settle to depends on the tickets of that moment.
"""

import re
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from ops.explain import setting_of
from ops.show import lines, one_line, say
from services.dispatcher.decide import Setting, decide
from services.dispatcher.handlers import received_of
from shared.clock import now, rfc3339
from shared.desk.findings import DeskError
from shared.events import MailDispatched, ReceivedMail
from shared.failures import NewerWriter, Permanent
from shared.kafka.reader import reading
from shared.kafka.record import Record
from shared.mime.parser import parse
from shared.originals import Originals, open_originals
from shared.settings import Settings
from shared.topics import RECEIVED

_AGO = re.compile(r"([0-9]{1,6})([mhd])")
_EXAMPLES = 3
_WRONG_USAGE, _WRONG_CONFIGURATION = 2, 78
_COLUMNS = ("what", "before", "after", "mails", "example")


class Difference(NamedTuple):
    """What two desks decide differently about a mail, in the words of the decision."""

    what: str
    before: str
    after: str


@dataclass
class Tally:
    mails: int = 0
    changed: int = 0
    unread: int = 0
    oldest: datetime | None = None
    found: dict[Difference, list[str]] = field(default_factory=lambda: defaultdict(list))

    def add(self, mail: ReceivedMail, before: MailDispatched, after: MailDispatched) -> None:
        self.mails += 1
        self.oldest = min(self.oldest or mail.received_at, mail.received_at)
        differing = differences(before, after)
        self.changed += bool(differing)
        for difference in differing:
            self.found[difference].append(f"{after.subject} <{after.sender.address}> ({mail.account} {mail.uid})")


async def backtest(since: str, desk: Path, *, as_json: bool) -> int:
    """2 for a time that cannot be read, 78 for a desk that cannot be used. Raises ReadFailed."""
    settings = Settings()
    try:
        start = moment_of(since, now())
    except ValueError:
        print(f"--since {since}: expected 2d, 12h, or a date such as 2026-01-31", file=sys.stderr)
        return _WRONG_USAGE
    try:
        old, new = setting_of(settings, None), setting_of(settings, desk)
    except DeskError as error:
        print(error, file=sys.stderr)
        return _WRONG_CONFIGURATION
    tally, originals = Tally(), open_originals(settings.objects)
    async with reading(settings.cluster, settings.prefix, RECEIVED) as reader:
        async for records in reader.since(await reader.offsets_at(start)):
            await _compare(records, tally, originals, old, new)
    say(shown(tally, start, as_json=as_json))
    return 0


def moment_of(text: str, moment: datetime) -> datetime:
    """`2d`, `12h`, `30m` before `moment`, or a date or time as ISO 8601 writes it (UTC where it says no zone). Raises
    ValueError."""
    if ago := _AGO.fullmatch(text):
        return moment - timedelta(minutes=int(ago[1]) * {"m": 1, "h": 60, "d": 1440}[ago[2]])
    written = datetime.fromisoformat(text)
    return written if written.tzinfo else written.replace(tzinfo=UTC)


async def _compare(records: Sequence[Record], tally: Tally, originals: Originals, old: Setting, new: Setting) -> None:
    for record in records:
        try:
            mail = received_of(record)
            if mail.raw_ref:
                mail = mail._replace(raw=await originals.get(mail.raw_ref))
        except (Permanent, NewerWriter, OSError, ValueError):
            tally.unread += 1  # a record that is no mail, or whose original is not there
            continue
        tally.add(mail, decided(mail, old), decided(mail, new))


def decided(mail: ReceivedMail, setting: Setting) -> MailDispatched:
    return decide(parse(mail.raw, language=setting.desk.language), mail, setting)


def differences(before: MailDispatched, after: MailDispatched) -> list[Difference]:
    """Pure. Where the action differs, nothing else counts."""
    rows = [Difference("action", before.action, after.action)]
    if before.action == after.action:
        rows += [
            Difference("queue", before.new.queue, after.new.queue),
            Difference("kind", before.classification.kind, after.classification.kind),
            Difference("answer", _answer(before), _answer(after)),
            Difference("evidence", _evidence(before), _evidence(after)),
            Difference("filters", ", ".join(before.filters) or "none", ", ".join(after.filters) or "none"),
        ]
        rows += _plans(before, after)
    return [row for row in rows if row.before != row.after]


def _answer(event: MailDispatched) -> str:
    return "answered" if event.answer.address else f"withheld: {event.answer.withheld}"


def _evidence(event: MailDispatched) -> str:
    """By what the first candidate is found, not which it is: that differs from mail to mail."""
    return event.candidates[0].check if event.candidates else "none"


def _plans(before: MailDispatched, after: MailDispatched) -> list[Difference]:
    fields = ("state", "priority", "lock", "owner", "responsible", "type", "service", "sla", "dynamic_fields")
    rows = []
    for name in fields:
        rows.append(Difference(name, _word(getattr(before.new, name)), _word(getattr(after.new, name))))
        one, other = getattr(before.follow_up, name), getattr(after.follow_up, name)
        rows.append(Difference(f"follow-up {name}", _word(one), _word(other)))
    return rows


def _word(value: str | Mapping[str, str]) -> str:
    return (value if isinstance(value, str) else ", ".join(sorted(value))) or "none"


def shown(tally: Tally, start: datetime, *, as_json: bool) -> str:
    rows = [
        {**difference._asdict(), "mails": len(examples), "example": examples[0], "examples": examples[:_EXAMPLES]}
        for difference, examples in sorted(tally.found.items(), key=lambda item: (item[0].what, -len(item[1])))
    ]
    summary = {
        "mails": tally.mails,
        "changed": tally.changed,
        "unread": tally.unread,
        "since": start,
        "oldest": tally.oldest,
    }
    if as_json:
        return "\n".join(map(one_line, [*rows, {"summary": True, **summary}]))
    table = lines(rows, _COLUMNS, as_json=False, empty="nothing would be decided otherwise")
    oldest = f"the oldest came {rfc3339(tally.oldest)}" if tally.oldest else "the topic holds none of that time"
    text = f"{tally.mails} mails since {rfc3339(start)} ({oldest}): {tally.changed} would be decided otherwise"
    return f"{table}\n\n{text}" + (f"; {tally.unread} could not be read" if tally.unread else "")
