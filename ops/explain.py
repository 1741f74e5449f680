"""`carteiro explain`: what Carteiro would do with a mail, and why; it needs no server.

It parses and decides with the code that the dispatcher runs. What only the database knows (which ticket carries a
Message-ID, who takes part in it) is asked of ticketing where CARTEIRO_POSTGRES is set and answers, else said in the
reason.
"""

import asyncio
import hashlib
import re
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg

from ops.settling import settle_now
from ops.show import one_line, printable
from services.dispatcher.decide import Setting, decide
from shared.clock import now
from shared.desk.findings import DeskError, suggest
from shared.desk.load import load_desk
from shared.desk.model import Desk
from shared.desk.secret_files import SecretError, read_secret
from shared.events import Action, Check, MailDispatched, Origin, ReceivedMail, TraceStep
from shared.message_ids import load_keys
from shared.mime.model import Address, Mail
from shared.mime.parser import parse
from shared.postgres import Connection
from shared.settings import Settings

_SEPARATOR = re.compile(rb"(?:\A|(?<=\n\n)|(?<=\r\n\r\n))From \S+ [^\n]*\d\d:\d\d[^\n]*\n")
_STUFFED = re.compile(rb"^>(>*From )", re.MULTILINE)
_OURS = {Check.SUBJECT_NUMBER: "number", Check.PLUS_ADDRESS: "number", Check.SIGNED_MESSAGE_ID: "id"}
_ANSWER_SECONDS = 2.0
_WRONG_USAGE = 2
_WRONG_CONFIGURATION = 78


class Source(NamedTuple):
    """A mail's bytes, and where they came from."""

    name: str
    raw: bytes


async def explain(paths: Sequence[str], account: str, desk: Path | None, *, as_json: bool) -> int:
    """One JSON object, or one block, a mail. 1 when a path cannot be read, 2 for an account that the desk does not
    know, 78 when the desk cannot be used."""
    settings = Settings()
    try:
        setting = setting_of(settings, desk)
    except DeskError as error:
        print(error, file=sys.stderr)
        return _WRONG_CONFIGURATION
    if account and account not in setting.desk.accounts:
        hint = suggest(account, setting.desk.accounts)
        print(f"--account {printable(account)}: the desk has no such account; {hint}", file=sys.stderr)
        return _WRONG_USAGE
    status, found = _explained(paths, account, setting)
    async with _ticketing(settings) as connection:
        for shown, event in found:
            await add_tickets(shown, event, connection, setting.desk)
            _print(shown, as_json=as_json)
    return status()


def _print(shown: dict[str, Any], *, as_json: bool) -> None:
    print(one_line(shown) if as_json else block(shown), flush=True)


def _explained(
    paths: Sequence[str], account: str, setting: Setting
) -> tuple[Callable[[], int], Iterator[tuple[dict[str, Any], MailDispatched]]]:
    """The status, once all mails were taken, and what is shown of each with its decision."""
    failed: list[str] = []

    def mails() -> Iterator[tuple[dict[str, Any], MailDispatched]]:
        for path in paths:
            try:
                for source in sources(path):
                    yield explained(source, account, setting, now())
            except OSError as error:
                print(f"{path}: {error.strerror}", file=sys.stderr)
                failed.append(path)

    return lambda: 1 if failed else 0, mails()


@asynccontextmanager
async def _ticketing(settings: Settings) -> AsyncIterator[Connection | None]:
    """Ticketing's tables where they are named and can be had at once; None where not: a mail is explained without a
    server, and never by a database that happens to be near."""
    if "postgres" not in settings.model_fields_set:
        yield None
        return
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            connection = await asyncpg.connect(settings.dsn, timeout=_ANSWER_SECONDS, command_timeout=5)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        yield None
        return
    try:
        yield connection
    finally:
        await connection.close()


async def add_tickets(shown: dict[str, Any], event: MailDispatched, connection: Connection | None, desk: Desk) -> None:
    """What the candidates would settle to, where ticketing can be asked."""
    if connection is None or event.action != Action.DISPATCH:
        return
    try:
        settled = await settle_now(connection, event, desk)
    except (asyncpg.PostgresError, TimeoutError, OSError):
        return  # another version's schema, or a server that went away: as without it
    if settled.action == "new" and not settled.ticket and event.new.refused_by:
        shown["decision"] |= _refused(event.new.queue, event.new.refused_by)
    else:
        shown["decision"] |= {"action": settled.action, "ticket": settled.ticket, "reason": settled.reason}
    shown["trace"] += [_step(step) for step in settled.steps]


def sources(path: str) -> Iterator[Source]:
    """A file, every `.eml` of a folder, or stdin (`-`); an mbox is as many mails as it holds. Raises OSError."""
    if path == "-":
        yield from split("-", sys.stdin.buffer.read())
    elif Path(path).is_dir():
        for each in sorted(Path(path).rglob("*.eml")):
            yield Source(str(each), each.read_bytes())
    elif path.endswith(".eml"):
        yield Source(path, Path(path).read_bytes())
    else:
        yield from split(path, Path(path).read_bytes())


def split(name: str, raw: bytes) -> Iterator[Source]:
    """The mails of an mbox (RFC 4155, `>From ` unstuffed); bytes that are none are one mail."""
    starts = list(_SEPARATOR.finditer(raw)) if raw.startswith(b"From ") else []
    if not starts:
        yield Source(name, raw)
        return
    ends = [start.start() for start in starts[1:]] + [len(raw)]
    for number, (start, end) in enumerate(zip(starts, ends, strict=True), 1):
        yield Source(f"{name}#{number}", _STUFFED.sub(rb"\1", raw[start.end() : end]))


def explained(
    source: Source, account: str, setting: Setting, moment: datetime
) -> tuple[dict[str, Any], MailDispatched]:
    """The JSON object of a mail, and its decision; `reply_text` is the text without the history it quotes. Pure."""
    raw = source.raw
    received = ReceivedMail(
        account=account,
        folder="",
        uidvalidity=None,
        uid=source.name,
        size=len(raw),
        sha256=hashlib.sha256(raw).hexdigest(),
        received_at=moment,
        origin=Origin.LIVE,
        raw=raw,
    )
    mail = parse(raw, language=setting.desk.language)
    event = decide(mail, received, setting)
    return _parsed(source.name, mail) | _decided(event, setting), event


def _parsed(name: str, mail: Mail) -> dict[str, Any]:
    return {
        "source": name,
        "message_id": mail.message_id,
        "subject": mail.subject,
        "from": None if mail.sender is None else _address(mail.sender),
        "to": [_address(each) for each in mail.to],
        "cc": [_address(each) for each in mail.cc],
        "date": mail.date,
        "text": mail.text,
        "reply_text": mail.reply_text,
        "html": mail.html,
        "attachments": [
            {
                "filename": part.filename,
                "content_type": part.content_type,
                "size": len(content),
                "sha256": hashlib.sha256(content).hexdigest(),
                "inline": part.inline,
            }
            for part, content in ((part, part.content) for part in mail.attachments)
        ],
        "defects": mail.defects,
    }


def _address(address: Address) -> dict[str, str]:
    return {"name": address.name, "address": address.address}


def _decided(event: MailDispatched, setting: Setting) -> dict[str, Any]:
    seen = event.classification
    bounced = [{"address": r.address, "status": r.status, "permanent": r.permanent} for r in seen.bounced]
    return {
        "classification": {"kind": seen.kind.value, "reasons": seen.reasons, "bounce": {"recipients": bounced}},
        "decision": _decision(event, setting),
        "trace": [_step(step) for step in event.trace],
    }


def _step(step: TraceStep) -> dict[str, str]:
    return {"check": step.check, "saw": step.saw, "result": step.result}


def _decision(event: MailDispatched, setting: Setting) -> dict[str, str]:
    queue = event.new.queue
    if event.action != Action.DISPATCH:
        return {"action": str(event.action), "queue": queue, "ticket": "", "reason": event.reason}
    # without the keys an id that we may have signed is like anybody's: what it proves is not known here
    unchecked = not setting.keys and bool([*event.in_reply_to, *event.references])
    note = "; signed ids were not checked (no message_id_keys)" if unchecked else ""
    ours = [found for found in event.candidates if found.check in _OURS]
    if ours:
        first = ours[0]
        reason = f"{first.check} names a ticket by {_OURS[first.check]}; without such a ticket: new in {queue}"
        return {"action": "follow_up", "queue": queue, "ticket": first.value, "reason": reason + note}
    if refused := event.new.refused_by:
        unless = "; a reply to a ticket would not be" if event.candidates else ""
        return _refused(queue, refused, unless + note)
    if event.candidates:
        reason = f"unless a ticket carries one of the {len(event.candidates)} messages it names"
        return {"action": "new", "queue": queue, "ticket": "", "reason": reason + note}
    return {"action": "new", "queue": queue, "ticket": "", "reason": "nothing names a ticket"}


def _refused(queue: str, name: str, note: str = "") -> dict[str, str]:
    return {"action": "reject", "queue": queue, "ticket": "", "reason": f"filter {name} refuses new tickets{note}"}


def block(shown: dict[str, Any]) -> str:
    """What people see of a mail."""
    sender = shown["from"] or {"name": "", "address": "nobody"}
    decision, seen = shown["decision"], shown["classification"]
    where = f"ticket {decision['ticket']}" if decision["ticket"] else f"queue {decision['queue']}"
    text = [
        shown["source"],
        f"  from      {sender['name']} <{sender['address']}>",
        f"  subject   {shown['subject']}",
        f"  is        {seen['kind']}",
        f"  decision  {decision['action']}, {where}: {decision['reason']}",
        *(f"  defect    {defect}" for defect in shown["defects"]),
        *(f"  file      {part['filename'] or part['content_type']}, {part['size']} B" for part in shown["attachments"]),
        *(f"    {step['check']:<26}{step['saw']}  →  {step['result']}" for step in shown["trace"]),
    ]
    return "\n".join(printable(line.replace("\n", " ")) for line in text) + "\n"


def setting_of(settings: Settings, path: Path | None) -> Setting:
    """The desk named, else that of the installation; where there is none an empty one. Raises DeskError."""
    chosen = path or settings.desk
    if path is None and not chosen.exists():
        print(f"{chosen} is not there: explained with an empty desk (--desk FILE)", file=sys.stderr)
        return Setting(Desk(), "", keys_of(settings))
    loaded = load_desk(chosen)
    return Setting(loaded.desk, loaded.sha256, keys_of(settings))


def keys_of(settings: Settings) -> list[bytes]:
    """Without the keys our own Message-IDs are like anybody's."""
    try:
        return load_keys(read_secret(settings.secrets, "message_id_keys").get_secret_value())
    except (SecretError, ValueError):
        return []
