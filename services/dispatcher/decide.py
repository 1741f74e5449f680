"""One mail in, one decision out: what it is, which queue takes it, its evidence, a plan for both outcomes.

Pure: the same mail, desk and keys give the same decision, whoever asks.
"""

from collections.abc import Sequence
from typing import NamedTuple

from msgspec.structs import replace

from services.dispatcher import steps
from services.dispatcher.answers import Decided, answer
from services.dispatcher.authenticity import verdict
from services.dispatcher.classify import Judged, classify, writer
from services.dispatcher.filters import Filtered, external_number, filtered
from services.dispatcher.plans import follow_up, new_ticket
from services.dispatcher.queues import queue_of
from services.dispatcher.threads import Seen, candidates, names_something
from shared.desk.model import Desk
from shared.events import (
    Action,
    Answer,
    AttachmentInfo,
    Classification,
    FollowUpPlan,
    Kind,
    MailDispatched,
    NewTicketPlan,
    Party,
    ReceivedMail,
    TraceStep,
)
from shared.mime.content_key import content_key
from shared.mime.model import Address, Attachment, Mail
from shared.mime.parser import parse
from shared.wire import MAX_EVENT_BYTES, encode_dispatched

TEXT_BYTES = 64 * 1024
HTML_BYTES = 256 * 1024
_NAME, _FEW = 200, 20
_NOTHING = Party("", "")


class Setting(NamedTuple):
    """What decisions are made with: the desk, its hash, and the keys of our Message-IDs (newest first; without any
    no signed id is checked). `alone`: in a process that may be killed, else what may cost anything raises Aside."""

    desk: Desk
    desk_sha256: str
    keys: Sequence[bytes]
    alone: bool = True


def dispatch(received: ReceivedMail, original: str, setting: Setting) -> bytes:
    """The encoded event of a mail whose bytes are `received.raw`, at most 512 KiB. `original` names its object.

    Raises Aside where the mail has to be decided in a process of its own."""
    decided = decide(parse(received.raw, language=setting.desk.language), received, setting, original=original)
    encoded = encode_dispatched(decided)
    if len(encoded) > MAX_EVENT_BYTES:  # only a hostile mail: characters that JSON writes as six
        encoded = encode_dispatched(_shortened(decided))
    return encoded


def decide(mail: Mail, received: ReceivedMail, setting: Setting, *, original: str = "") -> MailDispatched:
    """The decision about `mail`, read from `received.raw`; of an oversize mail these are its headers only."""
    if mail.quarantine:
        return quarantined(received, setting, mail.quarantine, original=original)
    desk = setting.desk
    wrote = writer(mail, desk)
    judged = classify(mail, received.raw, desk, setting.keys, alone=setting.alone)
    said = _filtered(mail, received, desk, judged)
    judged = _overruled(judged, said)
    external = _external(mail, said, desk)
    recognised = said.controls.get("followup-recognizedticketnumber", "").strip()[:60]
    evidence = candidates(
        Seen(mail, said.subject, said.text, judged.returned, external, recognised, received.raw), desk, setting.keys
    )
    authentic = verdict(mail, mail.sender.address if mail.sender else "", desk.authserv_ids)
    action, reason = _action(received, said)
    allowed = (
        answer(mail, judged, wrote, desk, authentic, origin=received.origin)
        if action is Action.DISPATCH
        else Decided(Answer(withheld="ignored" if action is Action.IGNORE else "oversize"))
    )
    choice = queue_of(mail, received.account, desk)
    sender = Party(wrote.name[:_NAME], wrote.address) if wrote.address else _NOTHING
    new = new_ticket(said, choice.queue, sender.address.lower(), desk, received.received_at)
    if external:
        new = replace(new, dynamic_fields=external | new.dynamic_fields)
    text, html, cut = _bodies(mail, said)
    return MailDispatched(
        transport_key=received.transport_key,
        raw_sha256=received.sha256,
        original=original,
        size=received.size,
        account=received.account,
        folder=received.folder,
        uidvalidity=received.uidvalidity,
        uid=received.uid,
        received_at=received.received_at,
        origin=received.origin,
        desk=setting.desk_sha256,
        replay_of=received.replay_of,
        content_key=content_key(received.raw, mail, received.received_at),
        action=action,
        reason=reason,
        message_id=mail.message_id,
        in_reply_to=mail.in_reply_to,
        references=mail.references,
        sender=sender,
        sender_source=wrote.source,
        from_all=_parties(mail.all_from),
        reply_to=_parties(mail.reply_to),
        to=_parties(mail.to),
        cc=_parties(mail.cc),
        date=(mail.header("date") or "")[:100],
        subject=said.subject,
        text=text,
        reply_text=_reply(mail),
        html=html,
        attachments=[_info(part) for part in mail.attachments],
        defects=mail.defects,
        classification=judged.classification,
        answer=allowed.answer,
        candidates=evidence,
        new=new,
        follow_up=follow_up(said, judged.classification, desk, received.received_at),
        filters=said.hits,
        trace=[
            *steps.classified(judged),
            *choice.trace,
            *said.trace,
            *steps.queue_wanted(said.controls.get("queue", "").strip(), new.queue),
            *steps.evidence(evidence, setting.keys),
            *steps.written_by(mail, wrote),
            steps.authenticated(authentic),
            steps.answered(mail, allowed),
        ],
        cut=cut,
    )


def _filtered(mail: Mail, received: ReceivedMail, desk: Desk, judged: Judged) -> Filtered:
    facts = {
        "X-OTRS-AttachmentExists": "yes" if mail.attachments else "no",
        "X-OTRS-AttachmentCount": str(len(mail.attachments)),
    }
    if judged.classification.automatic or judged.unanswered:
        facts["X-OTRS-Loop"] = "yes"
    if judged.classification.kind is Kind.BOUNCE:
        facts["X-OTRS-Bounce"] = "1"
        facts["X-OTRS-Bounce-OriginalMessageID"] = next(iter(judged.returned), "")
        facts["X-OTRS-Bounce-ErrorMessage"] = ", ".join(
            f"{each.address} {each.status}".strip() for each in judged.classification.bounced
        )
    return filtered(mail, received.raw, received.account, desk, facts, names=names_something(mail, desk))


def _overruled(judged: Judged, said: Filtered) -> Judged:
    """A filter can say that a mail is to be answered although a machine wrote it, or that it is not; a bounce or our
    own mail is answered by nobody, whatever a filter says."""
    kind = judged.classification.kind
    if said.loop is None or kind in (Kind.BOUNCE, Kind.LOOP):
        return judged
    if said.loop:
        return judged._replace(unanswered=judged.unanswered or "filter_loop (X-OTRS-Loop: yes)")
    reasons = [*judged.classification.reasons, "filter (X-OTRS-Loop: no)"]
    return judged._replace(classification=Classification(Kind.HUMAN, reasons), unanswered="")


def _external(mail: Mail, said: Filtered, desk: Desk) -> dict[str, str]:
    """Numbers of other systems, by the dynamic field that holds them."""
    found: dict[str, str] = {}
    for _, rule in sorted(desk.external_numbers.items()):
        number = external_number(mail, said.text, said.subject, rule)
        if number:
            found.setdefault(rule.dynamic_field, number)
    return found


def _action(received: ReceivedMail, said: Filtered) -> tuple[Action, str]:
    if received.oversize:
        return Action.OVERSIZE, ""
    return (Action.IGNORE, f"ignored: {said.ignored}") if said.ignored else (Action.DISPATCH, "")


def quarantined(received: ReceivedMail, setting: Setting, reason: str, *, original: str = "") -> MailDispatched:
    """A mail that would harm whoever reads it: its identity and the reason, nothing of its content."""
    return MailDispatched(
        transport_key=received.transport_key,
        raw_sha256=received.sha256,
        original=original,
        size=received.size,
        account=received.account,
        folder=received.folder,
        uidvalidity=received.uidvalidity,
        uid=received.uid,
        received_at=received.received_at,
        origin=received.origin,
        desk=setting.desk_sha256,
        replay_of=received.replay_of,
        content_key=received.sha256,
        action=Action.QUARANTINE,
        reason=f"quarantine:{reason}",
        message_id="",
        sender=_NOTHING,
        sender_source="none",
        classification=Classification(Kind.SPAM, [f"quarantine ({reason})"]),
        answer=Answer(withheld="quarantine"),
        new=NewTicketPlan(setting.desk.default_queue, ""),
        follow_up=FollowUpPlan(state="", reopen=False),
        trace=[TraceStep("quarantine", f"{received.size} bytes", reason)],
    )


def _bodies(mail: Mail, said: Filtered) -> tuple[str, str, list[str]]:
    """Text, HTML and what was cut of them; a mail without text says so in OTRS's words."""
    cut = []
    text = said.text if said.rewritten else mail.text
    if not text.strip():
        text = "- no text message => see attachment -" if mail.attachments else "-"
    elif len(text.encode()) > TEXT_BYTES:
        text = _within(text, TEXT_BYTES)
        cut.append("text")
    html = mail.html
    if len(html.encode()) > HTML_BYTES:
        html = _within(html, HTML_BYTES)
        if html.rfind("<") > html.rfind(">"):  # no half a tag: it would swallow what is shown behind it
            html = html[: html.rfind("<")]
        cut.append("html")
    return text, html, cut


def _reply(mail: Mail) -> str:
    """What the sender wrote himself; "" where that is all of the text."""
    reply = mail.reply_text
    return "" if reply == mail.text else _within(reply, TEXT_BYTES)


def _within(text: str, size: int) -> str:
    """The beginning of `text` that takes at most `size` bytes of UTF-8."""
    return text.encode()[:size].decode("utf-8", "ignore")


def _shortened(decided: MailDispatched) -> MailDispatched:
    return replace(
        decided,
        text=_within(decided.text, 8 * 1024),
        reply_text=_within(decided.reply_text, 8 * 1024),
        from_all=decided.from_all[:5],
        reply_to=decided.reply_to[:5],
        to=decided.to[:5],
        cc=decided.cc[:5],
        in_reply_to=decided.in_reply_to[:_FEW],
        references=decided.references[-_FEW:],
        candidates=decided.candidates[:_FEW],
        attachments=decided.attachments[:_FEW],
        cut=[*decided.cut, "everything"],
    )


def _party(address: Address) -> Party:
    return Party(address.name[:_NAME], address.address)


def _parties(addresses: Sequence[Address]) -> list[Party]:
    return [_party(address) for address in addresses]


def _info(part: Attachment) -> AttachmentInfo:
    return AttachmentInfo(part.filename, part.content_type[:_NAME], part.size, part.inline, part.content_id[:_NAME])
