"""From a batch of decisions to rows: each mail sees those before it. Pure.

A mail that was seen before changes nothing. Else the first candidate of its thread that exists now is its ticket,
if its sender may add to it and the queue's policy lets him; else it is a new ticket.
"""

from collections.abc import Iterator, Sequence
from datetime import date, datetime

import msgspec

from services.ticketing import policy
from services.ticketing.batch import (
    Article,
    Claim,
    History,
    Kept,
    Link,
    Mail,
    Outcome,
    OutgoingFact,
    Participant,
    Settlement,
    Snapshot,
    Ticket,
    longer_key,
)
from services.ticketing.facts import added, created, oversize, refused, rejected, replied
from services.ticketing.known import LATE_PARENT, Known
from services.ticketing.policy import Effect
from services.ticketing.replies import Addressed, addressed, sent_to
from services.ticketing.ticket_fields import changed, of_new
from services.ticketing.ticket_numbers import number_of
from services.ticketing.ways import Fresh, Join, way_of
from shared import subjects
from shared.desk.model import Desk
from shared.events import Action, Answer, Fact, FollowUpPlan, MailDispatched, NewTicketPlan, Origin, Party

_LONGEST_ADDRESS = 320  # RFC 5321 section 4.5.3.1: 64 + 1 + 255; a longer one fits no index
_MOST_RECIPIENTS = 50
_BECAME_NOTHING = ("ignored", "quarantined", "oversize", "refused")


def settle(mails: Sequence[Mail], snapshot: Snapshot, desk: Desk, moment: datetime, day: date) -> Settlement:
    """What to write. `moment` is now, `day` that of the ticket numbers. The snapshot's tickets are changed."""
    fold = _Fold(snapshot, desk, moment, day)
    for mail in mails:
        fold.take(mail)
    fold.out.flood = fold.flood()
    return fold.out


class _Fold:
    def __init__(self, snapshot: Snapshot, desk: Desk, moment: datetime, day: date) -> None:
        self._known = Known(snapshot, moment)
        self._absent = snapshot.absent
        self._desk = desk
        self._moment = moment
        self._day = day
        self._ticket_ids = iter(snapshot.ticket_ids)
        self._article_ids = iter(snapshot.article_ids)
        self._created: set[int] = set()
        self.out = Settlement(counter=snapshot.counter)

    def flood(self) -> dict[bytes, int]:
        return self._known.counted()

    def take(self, mail: Mail) -> None:
        if self._known.kept(mail) is not None:
            self.out.recalled.append(mail.event_id)
        deliveries = self._known.deliveries(mail.transport_key)
        if any(_same(mail, claim) for claim in deliveries):
            self.out.outcomes.append(Outcome(mail, "duplicate"))
            return
        action = Action(mail.event.action)
        if action is Action.DISPATCH:
            reused = any(claim.raw_sha256 != mail.raw_sha256 for claim in deliveries)
            self._dispatch(mail, reused=reused)
            return
        word = {Action.IGNORE: "ignored", Action.QUARANTINE: "quarantined", Action.OVERSIZE: "oversize"}[action]
        if action is Action.QUARANTINE:
            self.out.quarantined.append(mail)
        elif action is Action.OVERSIZE:
            self.out.facts.append(OutgoingFact(mail.event_id, mail.event.transport_key, oversize(mail)))
        self._claim(mail, word)

    def _dispatch(self, mail: Mail, *, reused: bool) -> None:
        copies = self._known.copies(mail.content_key)
        twin = next((copy for copy in copies if copy.account == mail.event.account), None)
        way = way_of(mail, self._known, self._desk) if twin is None else Fresh()
        queue = way.ticket.queue if isinstance(way, Join) else self._queue(way.names or mail.event.new)
        target = way.ticket.id if isinstance(way, Join) else None
        twin = twin or next((copy for copy in copies if copy.queue == queue or copy.ticket_id == target), None)
        if twin is not None:
            self._claim(mail, "duplicate", queue=twin.queue, ticket_id=twin.ticket_id, article_id=twin.article_id)
            return
        if isinstance(way, Fresh) and mail.event.new.refused_by and way.follows is None and way.names is None:
            self.out.facts.append(
                OutgoingFact(mail.event_id, mail.event.content_key, refused(mail, queue, self._moment))
            )
            self._claim(mail, "refused", queue=queue)
            return
        article = self._join(mail, way) if isinstance(way, Join) else self._create(mail, way, queue)
        for copy in copies[:1]:
            if copy.ticket_id is not None:  # one ticket for each queue that got a copy
                self._link(copy.ticket_id, article.ticket_id)
        if reused:
            self._note(article, "Misc", "The mail server gave this mail's identifier to another mail before.")

    def _queue(self, plan: NewTicketPlan | Kept) -> str:
        """The plan's queue; one that the desk does not know (any more) falls to the default one."""
        return plan.queue if self._desk.queue(plan.queue) else self._desk.default_queue

    # --- a new ticket -----------------------------------------------------------------------------------------

    def _create(self, mail: Mail, way: Fresh, queue: str) -> Article:
        plan = mail.event.new
        title = way.names.title if way.names else plan.title
        old = way.follows.number if way.follows else way.claims
        if old:  # its number in our answers would lead the next mail there
            title = subjects.clean(title, old, self._desk.ticket)
            mail = _with_subject(mail, subjects.clean(mail.event.subject, old, self._desk.ticket))
        fields, notes = of_new(plan, self._desk)
        ticket_id, number, key = self._names(mail, way.names)
        founder = self._known.founder(way.names) if way.names else None
        ticket = Ticket(
            id=ticket_id,
            number=number,
            queue=queue,
            title=title,
            sequence=1,
            customer_user=founder.sender if founder else plan.customer_user,
            key=key,
            **fields,
        )
        ticket.closed_at = self._moment if policy.is_closed(ticket.state_type) else None
        self.out.created.append(ticket)
        self._created.add(ticket.id)
        self._known.add_ticket(ticket)
        article = self._article(mail, ticket, plan)
        self._note(article, "NewTicket", f"New ticket {ticket.number} in {queue}, state {ticket.state}.")
        self._note(article, "EmailCustomer", f"Mail of account {mail.event.account} added.")
        self._explain(article, way, mail, queue)
        for note in notes:
            self._note(article, *note)
        if founder is None or mail.sender == founder.sender:
            self._take_part(mail, ticket)
        silent = self._floods(article, mail)
        if silent:
            mail = _unanswered(mail, "flood")
        fact = created(mail, ticket, article, self._moment, follows=way.follows, claims=way.claims, silent=silent)
        self.out.facts.append(OutgoingFact(mail.event_id, ticket.key or str(ticket.id), fact))
        self._claim(mail, "ticket_created", queue=queue, ticket_id=ticket.id, article_id=article.id)
        return article

    def _floods(self, article: Article, mail: Mail) -> bool:
        limit = self._desk.limits.tickets_per_sender
        if mail.event.origin is Origin.BACKFILL or not self._known.floods(mail, limit):
            return False
        self._note(article, "Misc", f"More than {limit} new tickets of this sender in an hour: nobody is told of it.")
        return True

    def _names(self, mail: Mail, names: Kept | None) -> tuple[int, str, str]:
        """Id, number and key of a new ticket: those that were published of it, unless they are another one's."""
        if names is not None and self._known.free(names):
            return names.ticket_id, names.number, names.ticket_key
        self.out.counter += 1
        number = number_of(self._desk.ticket, self._day, self.out.counter)
        taken = self._known.with_key(mail.ticket_key) is not None
        return next(self._ticket_ids), number, longer_key(mail.event_id) if taken else mail.ticket_key

    def _explain(self, article: Article, way: Fresh, mail: Mail, queue: str) -> None:
        if way.follows is not None:
            self._link(way.follows.id, article.ticket_id)
        if way.related is not None:
            self._link(way.related.id, article.ticket_id)
        if way.names is not None:
            self._note(article, "Misc", "Made anew under its published names after the database went back.")
        self._note_claims(article, way)
        if way.names is None and mail.event.new.queue != queue:
            self._note(article, "Misc", f"The queue {mail.event.new.queue} is unknown; the ticket went to {queue}.")

    def _note_claims(self, article: Article, way: Join | Fresh) -> None:
        if way.claims:
            text = f"The mail claims to belong to ticket {way.claims}; its sender has no part in it."
            self._note(article, "Misc", text)

    # --- a follow-up ------------------------------------------------------------------------------------------

    def _join(self, mail: Mail, way: Join) -> Article:
        ticket, plan = way.ticket, mail.event.follow_up
        head = self._addressed(mail, ticket) if way.sent_on else None
        if head is not None:
            return self._send_on(mail, way, head)
        if way.by_agent and way.proved:
            plan = msgspec.structs.replace(plan, sender_type="agent")
        if self._known.answers_hidden(mail, ticket):
            plan = msgspec.structs.replace(plan, visible=False)
        article = self._article(mail, ticket, plan)
        ticket.sequence += 1
        self._note(article, "FollowUp", f"Follow-up to ticket {ticket.number}, found by {way.check}.")
        self._note_claims(article, way)
        reopened = way.effect is Effect.REOPEN
        closed = ticket.state_type == "closed"  # not `removed`: OTRS means it by neither of these settings
        wanted = (plan.state_closed or plan.state) if reopened and closed else plan.state
        self._set_state(article, ticket, policy.state_after(way.effect, ticket.state, wanted, named=plan.state_named))
        if way.effect is not Effect.REJECT:
            for note in changed(ticket, plan, self._desk, was_closed=closed and reopened, absent=self._absent):
                self._note(article, *note)
        if way.takes_part:
            self._take_part(mail, ticket, by_agent=way.by_agent)
        if way.check == LATE_PARENT or way.by_agent:
            mail = _unanswered(mail, "agent" if way.by_agent else "late-parent")
        if ticket.id not in self._created:
            self.out.changed[ticket.id] = ticket
        fact: Fact
        if way.effect is Effect.REJECT:
            fact, word = rejected(mail, ticket, article, self._moment, way.check), "follow_up_rejected"
        else:
            fact, word = added(mail, ticket, article, self._moment, way.check, reopened=reopened), "article_added"
        self.out.facts.append(OutgoingFact(mail.event_id, ticket.key or str(ticket.id), fact))
        self._claim(mail, word, queue=ticket.queue, ticket_id=ticket.id, article_id=article.id)
        return article

    # --- an agent's answer ------------------------------------------------------------------------------------

    def _addressed(self, mail: Mail, ticket: Ticket) -> Addressed | None:
        """To the requester; whomever else the agent wrote to gets a copy, but for himself."""
        copies = [each for each in (*mail.event.to, *mail.event.cc) if each.address.lower() != mail.sender]
        return addressed(ticket, self._known.last(ticket), self._desk, cc=copies)

    def _send_on(self, mail: Mail, way: Join, head: Addressed) -> Article:
        ticket = way.ticket
        login, agent = self._desk.agent_of(mail.sender) or ("", None)
        written = mail._replace(event=_as_sent(mail.event, agent.name if agent else "", head))
        plan = msgspec.structs.replace(mail.event.follow_up, sender_type="agent", visible=True)
        article = self._article(written, ticket, plan, direction="outgoing")
        ticket.sequence += 1
        self._note(article, "SendAnswer", f"{sent_to(head)} Written by mail, as {login}.")
        files = [each.filename for each in mail.event.attachments if not each.inline]
        if files:
            self._note(article, "Misc", f"Files were kept and not sent: {', '.join(files)}.")
        if ticket.state == "new":  # somebody works on it
            self._set_state(article, ticket, "open")
        self._take_part(mail, ticket, by_agent=True)
        if ticket.id not in self._created:
            self.out.changed[ticket.id] = ticket
        fact = replied(ticket, article.id, self._moment, login, head)
        self.out.facts.append(OutgoingFact(mail.event_id, ticket.key or str(ticket.id), fact))
        self._claim(mail, "agent_replied", queue=ticket.queue, ticket_id=ticket.id, article_id=article.id)
        return article

    def _set_state(self, article: Article, ticket: Ticket, state: str) -> None:
        if state == ticket.state:
            return
        self._note(article, "StateUpdate", f"State from {ticket.state} to {state}.")
        ticket.state, ticket.state_type = state, policy.STATE_TYPES[state]
        ticket.closed_at = self._moment if policy.is_closed(ticket.state_type) else None
        if ticket.pending_until is not None and not ticket.state_type.startswith("pending"):
            ticket.pending_until = None
            self._note(article, "SetPendingTime", "Pending no more.")

    # --- rows of both -----------------------------------------------------------------------------------------

    def _article(
        self, mail: Mail, ticket: Ticket, plan: NewTicketPlan | FollowUpPlan, direction: str = "incoming"
    ) -> Article:
        names = self._known.kept(mail)
        known = names is not None and self._known.free_article(names.article_id)
        article_id = names.article_id if names and known else next(self._article_ids)
        article = Article(article_id, ticket.id, mail, plan.sender_type, plan.visible, direction)
        self.out.articles.append(article)
        self._known.add_article(article)
        return article

    def _take_part(self, mail: Mail, ticket: Ticket, *, by_agent: bool = False) -> None:
        """Sender and recipients belong to the conversation; a machine brings in nobody else, an agent not himself."""
        present = self._known.participants(ticket)
        for address, role in self._parties(mail):
            if by_agent and address == mail.sender:
                continue
            if address and address not in present and len(address) <= _LONGEST_ADDRESS:
                present.add(address)
                self.out.participants.append(Participant(ticket.id, address, role))

    def _parties(self, mail: Mail) -> Iterator[tuple[str, str]]:
        own = self._desk.own_addresses
        if mail.sender not in own:
            yield mail.sender, "customer"
        if not mail.event.classification.automatic:
            for party in [*mail.event.to, *mail.event.cc][:_MOST_RECIPIENTS]:
                address = party.address.lower()
                if address not in own:
                    yield address, "cc"

    def _link(self, source: int, target: int) -> None:
        link = Link(source, target)
        if source != target and link not in self.out.links:
            self.out.links.append(link)
            self.out.history.append(History(target, None, "TicketLinkAdd", f"Linked with ticket id {source}."))

    def _note(self, article: Article, kind: str, text: str) -> None:
        self.out.history.append(History(article.ticket_id, article.id, kind, text))

    def _claim(
        self,
        mail: Mail,
        word: str,
        *,
        queue: str = "",
        ticket_id: int | None = None,
        article_id: int | None = None,
    ) -> None:
        claim = Claim(
            mail.transport_key,
            mail.raw_sha256,
            mail.content_key,
            mail.message_id_hash,
            word in ("ticket_created", "article_added", "follow_up_rejected", "agent_replied"),
            mail.event.account,
            queue,
            word,
            ticket_id,
            article_id,
        )
        self._known.add_claim(claim)
        self.out.claims.append(claim)
        self.out.decided.append(mail)
        self.out.outcomes.append(Outcome(mail, word))


def _as_sent(event: MailDispatched, name: str, head: Addressed) -> MailDispatched:
    """What the customer gets of an agent's mail: what he wrote himself, and the names of files that stay here."""
    files = "".join(f"\n[{each.filename}]" for each in event.attachments if not each.inline and each.filename)
    return msgspec.structs.replace(
        event,
        sender=Party(name, head.sender.address),
        to=head.to,
        cc=head.cc,
        subject=head.subject,
        text=(event.reply_text or event.text).rstrip() + (f"\n{files}" if files else ""),
        reply_text="",
        html="",
    )


def _with_subject(mail: Mail, subject: str) -> Mail:
    return mail._replace(event=msgspec.structs.replace(mail.event, subject=subject))


def _unanswered(mail: Mail, why: str) -> Mail:
    """The mail as its fact tells of it: nobody is answered."""
    return mail._replace(event=msgspec.structs.replace(mail.event, answer=Answer(withheld=why)))


def _same(mail: Mail, claim: Claim) -> bool:
    """Is it the mail of this claim? Its server's identifier alone proves nothing: it may have been reused. A
    replay takes over the claim of a mail that became neither ticket nor article."""
    raw = claim.raw_sha256 == mail.raw_sha256
    if not raw and (mail.message_id_hash is None or claim.message_id_hash != mail.message_id_hash):
        return False
    return not (mail.event.replay_of and claim.outcome in _BECAME_NOTHING)
