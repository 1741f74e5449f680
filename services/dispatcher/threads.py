"""The evidence of a thread: which tickets a mail may belong to, in the order in which they are tried.

Only evidence: whether such a ticket exists, and whether this sender may write to it, is settled by ticketing on
the state as it is then. Addresses with a number in them (`support+NUMBER@`) are none: a desk has no such setting.
"""

from collections.abc import Iterator, Sequence

from shared.desk.model import Ticket
from shared.events import Candidate, Check
from shared.message_ids import verify
from shared.mime.model import Mail
from shared.subjects import find_numbers

_MOST = 100


def candidates(mail: Mail, bounced: Sequence[str], ticket: Ticket, keys: Sequence[bytes]) -> list[Candidate]:
    """At most 100, each check's values once: bounce, number in the subject, signed Message-ID, In-Reply-To,
    References (the newest first). Only a signed id of ours proves that its sender got mail of that ticket.

    `bounced`: the ids of the mail that a report of its delivery is about (`bounces.original_ids`)."""
    newest_first = mail.references[::-1]
    found = [
        *(Candidate(Check.BOUNCE, value) for value in bounced[:1]),
        *(Candidate(Check.SUBJECT_NUMBER, number) for number in find_numbers(mail.subject, ticket)),
        *(
            Candidate(Check.SIGNED_MESSAGE_ID, value, proves_sender=True)
            for value in _signed((*mail.in_reply_to, *newest_first, *bounced), keys)
        ),
        *_named(mail.in_reply_to, newest_first),
    ]
    return found[:_MOST]


def _signed(ids: Sequence[str], keys: Sequence[bytes]) -> list[str]:
    """Keys of the tickets that our own ids name, each once."""
    proofs = (verify(message_id, keys) for message_id in dict.fromkeys(ids))
    return list(dict.fromkeys(proof.ticket for proof in proofs if proof))


def _named(in_reply_to: Sequence[str], newest_first: Sequence[str]) -> Iterator[Candidate]:
    replied = dict.fromkeys(in_reply_to)
    yield from (Candidate(Check.IN_REPLY_TO, value) for value in replied)
    yield from (Candidate(Check.REFERENCES, value) for value in dict.fromkeys(newest_first) if value not in replied)
