"""One mail in, one decision out: what it is, which queue takes it, its evidence, a plan for both outcomes.

Pure: the same mail, desk and keys give the same decision, whoever asks.
"""

from collections.abc import Sequence
from typing import NamedTuple

from msgspec.structs import replace

from services.dispatcher.answers import Decided, answer
from services.dispatcher.authenticity import Verdict, verdict
from services.dispatcher.classify import Writer, classify, writer
from services.dispatcher.queues import queue_of
from services.dispatcher.threads import candidates
from shared.desk.model import Desk
from shared.events import (
    Action,
    Answer,
    AttachmentInfo,
    Candidate,
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
_NAME, _SHOWN, _FEW = 200, 200, 20
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
    choice = queue_of(mail, received.account, desk)
    wrote = writer(mail, desk)
    judged = classify(mail, received.raw, desk, setting.keys, alone=setting.alone)
    classification = judged.classification
    evidence = candidates(mail, judged.returned, desk.ticket, setting.keys)
    authentic = verdict(mail, mail.sender.address if mail.sender else "", desk.authserv_ids)
    allowed = (
        Decided(Answer(withheld="oversize"))
        if received.oversize
        else answer(mail, judged, wrote, desk, authentic, origin=received.origin)
    )
    text, html, cut = _bodies(mail)
    sender = Party(wrote.name[:_NAME], wrote.address) if wrote.address else _NOTHING
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
        action=Action.OVERSIZE if received.oversize else Action.DISPATCH,
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
        subject=mail.subject,
        text=text,
        html=html,
        attachments=[_info(part) for part in mail.attachments],
        defects=mail.defects,
        classification=classification,
        answer=allowed.answer,
        candidates=evidence,
        new=NewTicketPlan(choice.queue, mail.subject, customer_user=sender.address.lower()),
        follow_up=FollowUpPlan(state="", reopen=False) if classification.automatic else FollowUpPlan(),
        trace=[
            *_classified(classification),
            *choice.trace,
            _filters(received, desk),
            *_evidence(evidence, setting.keys),
            *_written_by(mail, wrote),
            _authenticated(authentic),
            _answered(mail, allowed),
        ],
        cut=cut,
    )


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


def _bodies(mail: Mail) -> tuple[str, str, list[str]]:
    """Text, HTML and what was cut of them; a mail without text says so in OTRS's words."""
    cut = []
    text = mail.text
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


def _within(text: str, size: int) -> str:
    """The beginning of `text` that takes at most `size` bytes of UTF-8."""
    return text.encode()[:size].decode("utf-8", "ignore")


def _shortened(decided: MailDispatched) -> MailDispatched:
    return replace(
        decided,
        text=_within(decided.text, 8 * 1024),
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


def _classified(classification: Classification) -> list[TraceStep]:
    kind = classification.kind.value
    reasons = classification.reasons or ["no mark of a machine"]
    return [TraceStep("classification", reason, kind) for reason in reasons[:_FEW]]


def _filters(received: ReceivedMail, desk: Desk) -> TraceStep:
    account = desk.accounts.get(received.account)
    if account and account.trusted:
        return TraceStep("filters", "account trusted", "none in the desk")
    return TraceStep("filters", "account not trusted", "not applied")


def _evidence(evidence: Sequence[Candidate], keys: Sequence[bytes]) -> list[TraceStep]:
    steps = [
        TraceStep(
            f"thread:{found.check}", found.value[:_SHOWN], "proves the sender" if found.proves_sender else "named"
        )
        for found in evidence[:_FEW]
    ]
    if not keys:
        steps.append(TraceStep("thread:signed_message_id", "no message_id_keys", "not checked"))
    return steps if evidence else [*steps, TraceStep("thread", "no number, no reference", "no candidate")]


def _written_by(mail: Mail, wrote: Writer) -> list[TraceStep]:
    if wrote.source == mail.sender_source == "from":
        return []
    written = (
        f"From <{mail.sender.address if mail.sender else ''}>" if mail.sender_source == "from" else "From is empty"
    )
    return [TraceStep("sender", written[:_SHOWN], f"{wrote.source}: {wrote.address or 'nobody'}"[:_SHOWN])]


def _authenticated(authentic: Verdict) -> TraceStep:
    return TraceStep("authentication", authentic.saw, "From is vouched for" if authentic.vouched else "not vouched for")


def _answered(mail: Mail, allowed: Decided) -> TraceStep:
    path = "no Return-Path" if mail.return_path is None else f"Return-Path <{mail.header('return-path')}>"
    path = path.replace("<<", "<").replace(">>", ">")
    saw = f"From <{mail.sender.address if mail.sender else ''}>, {path}"[: 2 * _SHOWN]
    saw = f"{saw}: {allowed.why}" if allowed.why else saw
    return TraceStep("answer", saw, allowed.answer.address or f"withheld: {allowed.answer.withheld}")
