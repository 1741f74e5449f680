"""The evidence of a thread: which tickets a mail may belong to, in the order in which they are tried.

Only evidence: whether such a ticket exists, and whether this sender may write to it, is settled by ticketing on
the state as it is then. The order is the desk's (`thread_checks`).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from services.dispatcher.fields import addresses
from shared.desk.model import Desk
from shared.events import Candidate, Check
from shared.message_ids import verify
from shared.mime.model import Mail
from shared.subjects import find_numbers, is_number

_MOST = 100
_TEXT = 64 * 1024
_RAW = 256 * 1024
_RECIPIENTS = ("to", "cc", "delivered-to", "x-original-to", "envelope-to", "x-envelope-to", "resent-to")


class Seen(NamedTuple):
    """A mail as the checks see it: subject and text as filters left them, the ids of the mail that a report of its
    delivery is about (`bounces.original_ids`), and numbers of other systems by the dynamic field that holds them;
    `recognised`: a number of ours that a filter set; `raw`: its bytes as they came."""

    mail: Mail
    subject: str
    text: str
    bounced: Sequence[str] = ()
    external: Mapping[str, str] = {}
    recognised: str = ""
    raw: bytes = b""


def candidates(seen: Seen, desk: Desk, keys: Sequence[bytes]) -> list[Candidate]:
    """At most 100, each check's values once. Only a signed id of ours proves that its sender got mail of that
    ticket."""
    found = (each for check in desk.thread_checks for each in _CHECKS[check](seen, desk, keys))
    return list(islice(found, _MOST))


def names_something(mail: Mail, desk: Desk) -> bool:
    """Does the mail itself name a ticket or another mail?"""
    return bool(mail.in_reply_to or mail.references or find_numbers(mail.subject, desk.ticket))


def _bounce(seen: Seen, _: Desk, __: Sequence[bytes]) -> Iterator[Candidate]:
    yield from (Candidate(Check.BOUNCE, value) for value in seen.bounced[:1])


def _subject(seen: Seen, desk: Desk, _: Sequence[bytes]) -> Iterator[Candidate]:
    yield from (Candidate(Check.SUBJECT_NUMBER, number) for number in find_numbers(seen.subject, desk.ticket))


def _plus(seen: Seen, desk: Desk, __: Sequence[bytes]) -> Iterator[Candidate]:
    """`suporte+NUMBER@empresa.example`, where the address without the number is ours (RFC 5233)."""
    found: dict[str, None] = {}
    for field in _RECIPIENTS:
        plain = not any(b"+" in value for value in seen.mail.headers.all(field))
        for recipient in () if plain else addresses(seen.mail, field):
            _, plus, tag = recipient.address.rpartition("@")[0].partition("+")
            if plus and is_number(tag, desk.ticket) and desk.queue_for_recipient(recipient.address):
                found[tag] = None
    yield from (Candidate(Check.PLUS_ADDRESS, number) for number in found)


def _signed(seen: Seen, _: Desk, keys: Sequence[bytes]) -> Iterator[Candidate]:
    """Keys of the tickets that our own ids name, each once."""
    ids = (*seen.mail.in_reply_to, *seen.mail.references[::-1], *seen.bounced)
    proofs = (verify(message_id, keys) for message_id in dict.fromkeys(ids))
    tickets = dict.fromkeys(proof.ticket for proof in proofs if proof)
    yield from (Candidate(Check.SIGNED_MESSAGE_ID, ticket, proves_sender=True) for ticket in tickets)


def _in_reply_to(seen: Seen, _: Desk, __: Sequence[bytes]) -> Iterator[Candidate]:
    yield from (Candidate(Check.IN_REPLY_TO, value) for value in dict.fromkeys(seen.mail.in_reply_to))


def _references(seen: Seen, _: Desk, __: Sequence[bytes]) -> Iterator[Candidate]:
    """The newest first."""
    replied = set(seen.mail.in_reply_to)
    newest_first = dict.fromkeys(seen.mail.references[::-1])
    yield from (Candidate(Check.REFERENCES, value) for value in newest_first if value not in replied)


def _body(seen: Seen, desk: Desk, _: Sequence[bytes]) -> Iterator[Candidate]:
    yield from (Candidate(Check.BODY, each) for each in find_numbers(seen.text, desk.ticket, most=_TEXT))


def _attachments(seen: Seen, desk: Desk, _: Sequence[bytes]) -> Iterator[Candidate]:
    """Texts among the attachments that are not inline."""
    for part in seen.mail.attachments[:20]:
        if part.content_type.startswith("text/") and not part.inline:
            text = part.content[:_TEXT].decode("utf-8", "replace")
            yield from (Candidate(Check.ATTACHMENTS, each) for each in find_numbers(text, desk.ticket, most=_TEXT))


def _raw(seen: Seen, desk: Desk, _: Sequence[bytes]) -> Iterator[Candidate]:
    text = seen.raw[:_RAW].decode("latin-1")
    yield from (Candidate(Check.RAW_MAIL, each) for each in find_numbers(text, desk.ticket, most=_RAW))


def _external(seen: Seen, _: Desk, __: Sequence[bytes]) -> Iterator[Candidate]:
    if seen.recognised:
        yield Candidate(Check.EXTERNAL_NUMBER, seen.recognised)
    for field, number in seen.external.items():
        yield Candidate(Check.EXTERNAL_NUMBER, f"{field}={number}")


_CHECKS: dict[str, Callable[[Seen, Desk, Sequence[bytes]], Iterator[Candidate]]] = {
    "bounce": _bounce,
    "subject_number": _subject,
    "plus_address": _plus,
    "signed_message_id": _signed,
    "in_reply_to": _in_reply_to,
    "references": _references,
    "body": _body,
    "attachments": _attachments,
    "raw_mail": _raw,
    "external_number": _external,
}
