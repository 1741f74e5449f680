"""Whom an automatic answer to a mail may go to, or why to nobody.

A From line is whatever its writer typed: a desk that answers it mails advertisements to strangers for whoever asks.
So an answer goes to From, and only where something says that it may: the Return-Path (RFC 5321 4.4: written by the
server that took the mail in) is of From's domain, or is a rewritten address of it, or the mail was relayed by our
side (a domain of ours or one of the desk's `forwarders`), or a server that we trust vouches for From. Never to any
other address: a bounce address made by a machine is read by nobody.
"""

import re
from typing import NamedTuple

from services.dispatcher.authenticity import Verdict
from services.dispatcher.bounces import null_path
from services.dispatcher.classify import Judged, Writer, is_no_reply
from shared.desk.model import Desk
from shared.events import Answer, Origin
from shared.mime.model import Mail

# SRS0=HASH=TT=domain=local@forwarder, SRS1=HASH=forwarder==HASH=TT=domain=local@forwarder; `=` may be `+` or `-`
# behind the tag; Exchange Online writes mailbox+SRS=HASH=TT=domain=local@forwarder
_SRS0 = re.compile(r"(?:SRS0[=+-]|[^@]{1,64}\+SRS=)[^=@]{1,64}=[^=@]{1,16}=([^=@]{1,253})=(.{1,256})", re.IGNORECASE)
_SRS1 = re.compile(
    r"SRS1[=+-][^=@]{1,64}=[^=@]{1,253}=[=+-][^=@]{1,64}=[^=@]{1,16}=([^=@]{1,253})=(.{1,256})", re.IGNORECASE
)
# BATV: prvs=TAG=local@domain, and the older form of Barracuda, btv1==TAG==local@domain
_BATV = re.compile(r"(?:prvs|msprvs1|btv1)=+[^=@]{1,64}=+(.{1,256})", re.IGNORECASE)
_FORWARDED = re.compile(r"([^@]{1,64}?)\+caf_=[^@]{1,256}", re.IGNORECASE)
_MOST_ENCODED = 4


class Proof(NamedTuple):
    """Why From may be answered, or (`withheld`) why not."""

    why: str = ""
    withheld: str = ""


class Decided(NamedTuple):
    """The answer, and what allows it ("" where it is withheld)."""

    answer: Answer
    why: str = ""


def answer(mail: Mail, judged: Judged, wrote: Writer, desk: Desk, authentic: Verdict, *, origin: Origin) -> Decided:
    """`withheld` is a word: a kind of mail, `backfill`, `sender_unknown`, `own_address`, `no_reply`,
    `null_return_path`, `no_return_path`, `return_path_unreadable`, `return_path_differs`, or the mark that asks for
    no answer. `verified` is said of a withheld answer too: who may write to a ticket can depend on it."""
    verified = authentic.vouched and wrote.source == "from"
    if withheld := _withheld(mail, judged, wrote, origin, desk):
        return Decided(Answer(withheld=withheld, verified=verified))
    shown = proof(mail, desk, authentic)
    if shown.withheld:
        return Decided(Answer(withheld=shown.withheld, verified=verified))
    return Decided(Answer(wrote.address or "", verified=verified), shown.why)


def _withheld(mail: Mail, judged: Judged, wrote: Writer, origin: Origin, desk: Desk) -> str:
    if origin is not Origin.LIVE:
        return "backfill"
    if judged.classification.automatic:
        return judged.classification.kind.value
    if mail.sender is None or mail.sender_source != "from":
        return "sender_unknown"
    if wrote.source != "from" or desk.owns(mail.sender.address):
        return "own_address"
    if judged.unanswered:
        return judged.unanswered.partition(" ")[0]
    return "no_reply" if is_no_reply(mail.sender.address) else ""


def proof(mail: Mail, desk: Desk, authentic: Verdict) -> Proof:
    """What says that the mail is From's. The empty Return-Path of a machine is answered by nobody, proof or not."""
    sender = mail.sender.address if mail.sender else ""
    if null_path(mail):
        return Proof(withheld="null_return_path")
    if authentic.vouched:
        return Proof("authenticated")
    if mail.return_path is None:
        return Proof(withheld="no_return_path")
    if "@" not in mail.return_path:
        return Proof(withheld="return_path_unreadable")
    if _aligned(sender, mail.return_path):
        return Proof("Return-Path is of its domain")
    original = decoded(mail.return_path)
    if original != mail.return_path and _aligned(sender, original):
        return Proof(f"Return-Path decodes to {original}")
    if _of_ours(mail.return_path, desk):
        return Proof("relayed by our side")
    return Proof(withheld="return_path_differs")


def decoded(path: str) -> str:
    """The address that a rewritten envelope sender was made of (SRS, BATV, Gmail's forwarding), else the address."""
    for _ in range(_MOST_ENCODED):
        local, _, domain = path.rpartition("@")
        if rewritten := _SRS1.fullmatch(local) or _SRS0.fullmatch(local):
            path = f"{rewritten[2]}@{rewritten[1].lower()}"
        elif signed := _BATV.fullmatch(local):
            path = f"{signed[1]}@{domain}"
        elif forwarded := _FORWARDED.fullmatch(local):
            path = f"{forwarded[1]}@{domain}"
        else:
            break
    return path


def _of_ours(path: str, desk: Desk) -> bool:
    domain = _domain(path)
    ours = {*desk.own_domains, *(each for each in desk.forwarders if "@" not in each)}
    return any(domain == each or domain.endswith(f".{each}") for each in ours) or (
        decoded(path).lower() in desk.forwarders or path.lower() in desk.forwarders
    )


def _aligned(sender: str, return_path: str) -> bool:
    """The same domain, or one below the other (bounces.empresa.example); a top-level domain is nobody's."""
    one, other = sorted((_domain(sender), _domain(return_path)), key=len)
    return bool(one) and (one == other or ("." in one and other.endswith("." + one)))


def _domain(address: str) -> str:
    return address.rpartition("@")[2].lower()
