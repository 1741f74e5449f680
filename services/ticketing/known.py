"""What is known while a batch is folded: the snapshot, and what the batch's earlier mails added to it. Pure.

A database that went back also knows names that were published of mails still to come again (`Kept`). A ticket of
which nothing but the names is left is found like any other: the first mail that belongs to it makes it anew.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from services.ticketing.batch import (
    Article,
    Claim,
    Kept,
    LastMail,
    Mail,
    Snapshot,
    Ticket,
    id_hash,
    sender_hash,
    sought,
)
from shared.events import Candidate, Check

LATE_PARENT, SIBLING = "late_parent", "sibling"
MOST_MERGES = 10
"""As many merges in a row are followed, as in OTRS."""
NAMED_BY_SIBLINGS = 20
"""As many of the ids that a mail names are looked for in others, the newest."""


class Found(NamedTuple):
    """The ticket a mail may belong to, and what says so: a check, or a stored article that names the mail."""

    ticket: Ticket
    check: str


class Named(NamedTuple):
    """The same of a ticket of which the names alone are left."""

    names: Kept
    check: str


class Known:
    """`moment`: the batch's."""

    def __init__(self, snapshot: Snapshot, moment: datetime) -> None:
        self.moment = moment
        self._flood = Counter(snapshot.flood)
        self._notified = snapshot.notified
        self._last = snapshot.last
        self._tickets = {ticket.id: ticket for ticket in snapshot.tickets}
        self._numbers = {ticket.number: ticket for ticket in snapshot.tickets}
        self._keys = {ticket.key: ticket for ticket in snapshot.tickets if ticket.key}
        self._carriers = dict(snapshot.carriers)
        self._namers = dict(snapshot.namers)
        self._hidden = dict(snapshot.hidden)
        self._participants = {ticket: set(addresses) for ticket, addresses in snapshot.participants.items()}
        self._deliveries: dict[bytes, list[Claim]] = defaultdict(list)
        self._contents: dict[bytes, list[Claim]] = defaultdict(list)
        self._kept = {names.event_id: names for names in snapshot.kept}
        self._articles = set(snapshot.articles)
        for claim in snapshot.claims:
            self.add_claim(claim)

    # --- duplicates -------------------------------------------------------------------------------------------

    def deliveries(self, transport_key: bytes) -> list[Claim]:
        return self._deliveries.get(transport_key, [])

    def copies(self, content_key: bytes) -> list[Claim]:
        """Mails with the same content that became a ticket or an article."""
        return self._contents.get(content_key, []) if content_key else []

    def add_claim(self, claim: Claim) -> None:
        # a replay's claim stands in the place of the one it takes over
        mine = self._deliveries[claim.transport_key]
        mine[:] = [each for each in mine if each.raw_sha256 != claim.raw_sha256] + [claim]
        if claim.claims_content:
            self._contents[claim.content_key].append(claim)

    # --- threads ----------------------------------------------------------------------------------------------

    def named_by(self, mail: Mail) -> Iterator[Found | Named]:
        """The tickets of its candidates that exist now, in order, each once."""
        seen = set()
        for candidate in mail.event.candidates:
            ticket = self.ticket_of(candidate, mail)
            names = self.names_of(candidate) if ticket is None else None
            number = ticket.number if ticket else names.number if names else None
            if number is None or number in seen:
                continue
            seen.add(number)
            if ticket is not None:
                yield Found(ticket, candidate.check)
            elif names is not None:
                yield Named(names, candidate.check)

    def child_of(self, mail: Mail) -> Found | None:
        """The ticket whose article names this mail: it arrived before it."""
        ticket = self._meant(self._namers, mail.message_id_hash, mail)
        return Found(ticket, LATE_PARENT) if ticket else None

    def sibling_of(self, mail: Mail) -> Found | None:
        """The ticket whose article names a mail that this one names too and that never came. A machine's mails may
        all name one that never was."""
        if mail.event.classification.automatic:
            return None
        found = (self._meant(self._namers, named, mail) for named in mail.named[: -NAMED_BY_SIBLINGS - 1 : -1])
        ticket = next(filter(None, found), None)
        return Found(ticket, SIBLING) if ticket else None

    def ticket_of(self, candidate: Candidate, mail: Mail) -> Ticket | None:
        wanted = sought(candidate.check, candidate.value)
        if wanted.number:
            return self._end(self._numbers.get(wanted.number))
        if wanted.key:
            return self._end(self._keys.get(wanted.key))
        if wanted.field:
            return self._with_field(*wanted.field)
        return self._meant(self._carriers, wanted.message, mail)

    def answers_hidden(self, mail: Mail, ticket: Ticket) -> bool:
        """Whether the article of `ticket` that this mail answers, the newest it names, is not for the customer."""
        for candidate in mail.event.candidates:
            if candidate.check in (Check.IN_REPLY_TO, Check.REFERENCES):
                named = id_hash(candidate.value)
                if ticket.id in self._carriers.get(named, ()):
                    return ticket.id in self._hidden.get(named, ())
        return False

    def _with_field(self, name: str, value: str) -> Ticket | None:
        """The newest open ticket whose dynamic field holds this value."""
        holders = [
            ticket
            for ticket in self._tickets.values()
            if ticket.dynamic_fields.get(name) == value and ticket.state_type not in ("closed", "merged", "removed")
        ]
        return max(holders, key=lambda ticket: ticket.id, default=None)

    def _meant(self, index: dict[bytes, frozenset[int]], message: bytes | None, mail: Mail) -> Ticket | None:
        """Of the tickets whose articles carry or name this id, the one that the mail is about: that of its sender,
        else that of its queue. A mail to two desks is in two; and an id can be anybody's choice."""
        ids = index.get(message, frozenset()) if message else frozenset()
        ends = {each.id: each for each in map(self._end, map(self._tickets.get, sorted(ids))) if each}
        tickets = list(ends.values())
        if len(tickets) > 1:
            tickets = [each for each in tickets if mail.sender in self.participants(each)] or tickets
        if len(tickets) > 1:
            tickets = [each for each in tickets if each.queue == mail.event.new.queue]
        return tickets[0] if len(tickets) == 1 else None

    def _end(self, ticket: Ticket | None) -> Ticket | None:
        """The ticket that this one was merged into, and that one perhaps again. None: into too many, or in a ring."""
        hops = 0
        while ticket is not None and ticket.merged_into is not None:
            hops += 1
            ticket = self._tickets.get(ticket.merged_into) if hops <= MOST_MERGES else None
        return ticket

    # --- agents -----------------------------------------------------------------------------------------------

    def answers_notification(self, mail: Mail, ticket: Ticket) -> bool:
        """Does it name a notification of ours about this ticket, that went to its sender? Nobody else has its id."""
        named = {(mail.sender, each.lower()) for each in (*mail.event.in_reply_to, *mail.event.references)}
        about = (sent for each, sent in self._notified.items() if self._end(self._tickets.get(each)) is ticket)
        return any(named & sent for sent in about)

    def last(self, ticket: Ticket) -> LastMail | None:
        return self._last.get(ticket.id)

    # --- floods -----------------------------------------------------------------------------------------------

    def floods(self, mail: Mail, limit: int) -> bool:
        """Counts a ticket of this sender; is it one too many of this hour?"""
        if not mail.sender:
            return False
        self._flood[sender_hash(mail.sender)] += 1
        return 0 < limit < self._flood[sender_hash(mail.sender)]

    def counted(self) -> dict[bytes, int]:
        """Sender's hash -> tickets of this hour."""
        return dict(self._flood)

    # --- names ------------------------------------------------------------------------------------------------

    def with_key(self, key: str) -> Ticket | None:
        ticket = self._keys.get(key)
        return self._end(ticket) or ticket

    def kept(self, mail: Mail) -> Kept | None:
        """What was published of this mail before the database went back."""
        return self._kept.get(mail.event_id)

    def names_of(self, candidate: Candidate) -> Kept | None:
        """Of a ticket that is published and not settled again yet; of its first mail where that one is among them."""
        wanted = sought(candidate.check, candidate.value)
        named = [
            names
            for names in self._kept.values()
            if wanted.number == names.number
            or (wanted.key and wanted.key == names.ticket_key)
            or (wanted.message and wanted.message == names.message)
        ]
        if len({names.ticket_key for names in named}) != 1:  # none, or an id that mails of several tickets carry
            return None
        return min(named, key=lambda names: not names.created)

    def senders(self, names: Kept) -> set[str]:
        """Who wrote the mails of that ticket, as far as they are known."""
        return {each.sender for each in self._kept.values() if each.ticket_key == names.ticket_key}

    def founder(self, names: Kept) -> Kept | None:
        """The mail that became that ticket, where it is known."""
        mine = (each for each in self._kept.values() if each.ticket_key == names.ticket_key and each.created)
        return next(mine, None)

    def free(self, names: Kept) -> bool:
        """Number and id are no other ticket's."""
        return names.number not in self._numbers and names.ticket_id not in self._tickets

    def free_article(self, article_id: int) -> bool:
        return article_id not in self._articles

    # --- participants -----------------------------------------------------------------------------------------

    def participants(self, ticket: Ticket) -> set[str]:
        return self._participants.setdefault(ticket.id, set())

    # --- what the batch adds ----------------------------------------------------------------------------------

    def add_ticket(self, ticket: Ticket) -> None:
        self._tickets[ticket.id] = self._numbers[ticket.number] = self._keys[ticket.key] = ticket

    def add_article(self, article: Article) -> None:
        self._articles.add(article.id)
        mine = frozenset((article.ticket_id,))
        if article.mail.message_id_hash:
            carried = article.mail.message_id_hash
            self._carriers[carried] = self._carriers.get(carried, frozenset()) | mine
            if not article.visible:
                self._hidden[carried] = self._hidden.get(carried, frozenset()) | mine
        for named in article.mail.named:
            self._namers[named] = self._namers.get(named, frozenset()) | mine
