"""The lines of a decision's trace: what each check looked at, what it saw, what came of it. Pure."""

from collections.abc import Sequence

from services.dispatcher.answers import Decided
from services.dispatcher.authenticity import Verdict
from services.dispatcher.classify import Judged, Writer
from shared.events import Candidate, TraceStep
from shared.mime.model import Mail

_SHOWN, _FEW = 200, 20


def classified(judged: Judged) -> list[TraceStep]:
    classification = judged.classification
    reasons = classification.reasons or ["no mark of a machine"]
    steps = [TraceStep("classification", each, classification.kind.value) for each in reasons[:_FEW]]
    for each in classification.bounced[:_FEW]:
        result = f"{'permanent' if each.permanent else 'temporary'} {each.status}".strip()
        steps.append(TraceStep("bounced", each.address[:_SHOWN], result))
    return steps


def queue_wanted(name: str, queue: str) -> list[TraceStep]:
    """What X-OTRS-Queue did to the choice."""
    if not name:
        return []
    return [TraceStep("queue", f"X-OTRS-Queue: {name}"[:_SHOWN], queue if name == queue else "no such queue")]


def evidence(found: Sequence[Candidate], keys: Sequence[bytes]) -> list[TraceStep]:
    steps = [
        TraceStep(f"thread:{each.check}", each.value[:_SHOWN], "proves the sender" if each.proves_sender else "named")
        for each in found[:_FEW]
    ]
    if not keys:
        steps.append(TraceStep("thread:signed_message_id", "no message_id_keys", "not checked"))
    return steps if found else [*steps, TraceStep("thread", "no number, no reference", "no candidate")]


def written_by(mail: Mail, wrote: Writer) -> list[TraceStep]:
    if wrote.source == mail.sender_source == "from":
        return []
    written = (
        f"From <{mail.sender.address if mail.sender else ''}>" if mail.sender_source == "from" else "From is empty"
    )
    return [TraceStep("sender", written[:_SHOWN], f"{wrote.source}: {wrote.address or 'nobody'}"[:_SHOWN])]


def authenticated(authentic: Verdict) -> TraceStep:
    return TraceStep("authentication", authentic.saw, "From is vouched for" if authentic.vouched else "not vouched for")


def answered(mail: Mail, allowed: Decided) -> TraceStep:
    written = (mail.header("return-path") or "").strip("<> ")
    path = "no Return-Path" if mail.return_path is None else f"Return-Path <{written}>"
    saw = f"From <{mail.sender.address if mail.sender else ''}>, {path}"[: 2 * _SHOWN]
    saw = f"{saw}: {allowed.why}" if allowed.why else saw
    return TraceStep("answer", saw, allowed.answer.address or f"withheld: {allowed.answer.withheld}")
