"""Whose fault an SMTP reply says it is: one table, each row with its source. Pure.

A refusal that concerns the account (its sender, its quota, its right to relay) says nothing about the mail, which
would be burnt by it. Servers tell the two apart by text as often as by code, so both are looked at; what no row
knows is the mail's own. A wrong row cannot hold up a lane: a mail that meets the same while others pass is deferred
(services/mailer/lane.py).
"""

import re
from enum import StrEnum
from typing import NamedTuple


class Stage(StrEnum):
    """What the reply answers. `DOT`: the end of the data."""

    GREETING = "greeting"
    EHLO = "ehlo"
    AUTH = "auth"
    MAIL = "sender"
    RCPT = "recipient"
    DATA = "data"
    DOT = "dot"


class Blame(StrEnum):
    OWN = "own"  # this recipient or this mail
    ACCOUNT = "account"  # the way out: the mail waits until somebody mends it
    SLOW = "slow"  # the way out, and asking soon makes it worse: log-ins, quotas, block lists
    BUSY = "busy"  # too many connections or mails for this server: fewer


class Judgement(NamedTuple):
    blame: Blame
    word: str


class Row(NamedTuple):
    """`codes`: pattern of the reply code; `enhanced`: pattern of the RFC 3463 status, empty for any; `says`: pattern
    found anywhere in the text, empty for any."""

    stages: frozenset[Stage]
    codes: str
    enhanced: str
    says: str
    blame: Blame
    word: str
    source: str


_ENVELOPE = frozenset({Stage.MAIL, Stage.RCPT, Stage.DATA, Stage.DOT})
_FIRST = frozenset({Stage.GREETING, Stage.EHLO})
_ANY = _ENVELOPE | _FIRST | {Stage.AUTH}
_AUTH = frozenset({Stage.AUTH})
_MAIL = frozenset({Stage.MAIL})

_RATE = (
    r"too many (concurrent )?(smtp )?(connections?|sessions?|messages|mails?|errors)|too much mail|concurrent "
    r"(server |smtp )?connections|connection (limit|rate)|thread limit|(message|sending|submission|rate) limit|"
    r"rate[- ]?limit|throttl|too fast|slow down|peak sending|number of concurrent"
)
_QUOTA = (
    r"(daily|hourly|monthly)\b.{0,40}\b(limit|quota)|submission ?quota|relay (limit|quota)|sending (limit|quota)|"
    r"(limit|quota) for (message )?recipients|max(imum)? (defers and failures|emails) per"
)
_RELAY = (
    r"relay(ing)?( access)? (is )?(denied|prohibited|not (permitted|allowed))|(not (permitted|allowed)|unable|denied) "
    r"to relay|not a relay|no relaying|rcpthosts|unauthenticated relay|relay access"
)
_SENDER = (
    r"sender address rejected|not owned by (the )?(auth|user)|not logged in|send-?as-?denied|permissions? to send as|"
    r"sender verif\w+ failed|sender (address )?(is )?not (allowed|authorized|permitted)|"
    r"domain of sender address|mismatch.{0,20}(from|sender)|envelope (from|sender).{0,30}(not|denied)"
)
_LISTED = (
    r"(client host|your (ip|host|server)|\bip\b|service unavailable).{0,80}"
    r"\b(blocked|block-?listed|black-?list\w*|banned)|blocked using"
)
_LOGIN_NEEDED = r"auth\w* (is )?required|(must|need to) (first )?(authenticate|log ?in)|not authenticated"
_HELO = r"helo command rejected|invalid (helo|ehlo)|need fully-qualified hostname|(helo|ehlo) (name|argument|host)"

TABLE: tuple[Row, ...] = (
    # what looks like the account's and is not
    Row(_ENVELOPE, "[45]..", r"[45]\.2\.[12]", r"receiving mail|mailbox (is )?(full|over)|over ?quota|recipient",
        Blame.OWN, "recipient", "RFC 3463 3.3; Gmail SMTP errors: 4.2.1 'is receiving mail at a rate'"),
    Row(_MAIL, "552", "", "", Blame.OWN, "size", "RFC 1870 section 6.1: the announced size"),
    # too much at once
    Row(_ANY, "432", "", "", Blame.BUSY, "busy", "Exchange Online: 432 4.3.2 sender thread limit exceeded"),
    Row(_ANY, "4..", "", _RATE, Blame.BUSY, "busy",
        "Postfix anvil: 421 4.7.0, 450 4.7.1; Exchange: 421 4.3.2; Gmail: 421 4.7.0, 450 4.2.1"),
    # log-in
    Row(_AUTH, "4..", "", "", Blame.ACCOUNT, "login_later", "RFC 4954 section 6: 454"),
    Row(_AUTH, "5..", "", "", Blame.SLOW, "login", "RFC 4954 section 6: 535, 534"),
    Row(_ANY, "530", "", r"starttls|tls", Blame.ACCOUNT, "tls_required", "RFC 3207 section 4"),
    Row(_ENVELOPE, "530", "", "", Blame.ACCOUNT, "login_required", "RFC 4954 section 6"),
    Row(_ENVELOPE, "5..", r"5\.7\.(3|57)", "", Blame.ACCOUNT, "login_required", "Exchange Online NDRs: 5.7.57, 5.7.3"),
    Row(_ENVELOPE, "5..", "", _LOGIN_NEEDED, Blame.ACCOUNT, "login_required", "Exim, cPanel: 550 at RCPT"),
    # the name in EHLO, also where a server tells only at RCPT (smtpd_delay_reject)
    Row(_ENVELOPE, "[45]..", "", _HELO, Blame.ACCOUNT, "helo", "Postfix smtpd_helo_restrictions: 504 5.5.2, 450 4.7.1"),
    Row(frozenset({Stage.EHLO}), "[45]..", "", "", Blame.ACCOUNT, "helo", "RFC 5321 sections 4.1.4, 4.2.5: 501, 550"),
    # quotas
    Row(_ENVELOPE, "5..", r"5\.(1\.90|4\.5)", "", Blame.SLOW, "quota",
        "Exchange Online NDRs: 5.1.90; Gmail SMTP errors: 550 5.4.5"),
    Row(_ENVELOPE, "[45]..", "", _QUOTA, Blame.SLOW, "quota",
        "Exchange Online: 554 5.2.0 SubmissionQuotaExceeded; Gmail: 5.7.1 daily relay limit; cPanel"),
    # sender
    Row(_ENVELOPE, "5..", r"5\.(1\.[78]|2\.252|7\.60)", "", Blame.ACCOUNT, "sender_refused",
        "RFC 3463 3.2: 5.1.7, 5.1.8; Exchange Online NDRs: 5.2.252, 5.7.60"),
    Row(_ENVELOPE, "[45]..", "", _SENDER, Blame.ACCOUNT, "sender_refused",
        "Postfix reject_sender_login_mismatch: 553 5.7.1; Exim sender verify; sendmail: 553 5.1.8"),
    Row(frozenset({Stage.RCPT}), "503", "", "", Blame.ACCOUNT, "sender_refused",
        "RFC 5321 section 4.1.4; servers that take the null sender for none"),
    # relaying, block lists
    Row(_ENVELOPE, "[45]..", r"[45]\.7\.64", "", Blame.ACCOUNT, "relay_denied", "Exchange Online NDRs: 5.7.64"),
    Row(_ENVELOPE, "[45]..", "", _RELAY, Blame.ACCOUNT, "relay_denied",
        "Postfix: 554 5.7.1, 454 4.7.1; sendmail: 550 5.7.1; qmail: 553 rcpthosts; Exim: relay not permitted"),
    Row(_ENVELOPE, "[45]..", r"5\.7\.(50[1-8]|511|60[6-9]|6[1-4][0-9]|70[58])", "", Blame.SLOW, "blocked",
        "Exchange Online NDRs: 5.7.501-508, 5.7.606-649, 5.7.705, 5.7.708"),
    Row(_ANY, "[45]..", "", _LISTED, Blame.SLOW, "blocked", "Postfix reject_rbl_client: 554 5.7.1; RFC 5782"),
    Row(_ENVELOPE, "[45]..", "", r"client host rejected", Blame.ACCOUNT, "blocked",
        "Postfix smtpd_client_restrictions: 554 5.7.1, 450 4.7.1"),
    # before a recipient was named nothing is his fault
    Row(_FIRST, "5..", "", "", Blame.ACCOUNT, "not_admitted", "RFC 5321 section 3.1: 554 instead of a greeting"),
    Row(_FIRST, "4..", "", "", Blame.ACCOUNT, "closing", "RFC 5321 section 3.8: 421"),
    Row(_MAIL, "5..", "", "", Blame.ACCOUNT, "sender_refused", "RFC 5321 section 4.2.2: 550, 553"),
    Row(_MAIL, "4..", "", "", Blame.ACCOUNT, "server_later", "RFC 5321 section 4.2.2: 451, 452"),
)  # fmt: skip

_STATUS = re.compile(r"\s*([245]\.\d{1,3}\.\d{1,3})\b|.{0,200}\(#([245]\.\d{1,3}\.\d{1,3})\)", re.DOTALL)
_COMPILED = tuple(
    (row, re.compile(row.codes), re.compile(row.enhanced), re.compile(row.says, re.IGNORECASE | re.DOTALL))
    for row in TABLE
)
_MAX_TEXT = 2000


def judge(stage: Stage, code: int, text: str) -> Judgement:
    """Whose fault a refusal is. `text`: the reply's lines without their codes."""
    text = text[:_MAX_TEXT]
    found = _STATUS.match(text)
    status = (found[1] or found[2]) if found else ""
    for row, codes, enhanced, says in _COMPILED:
        if (
            stage in row.stages
            and codes.fullmatch(str(code))
            and (not row.enhanced or enhanced.fullmatch(status))
            and says.search(text)
        ):
            return Judgement(row.blame, row.word)
    return Judgement(Blame.OWN, "data" if stage is Stage.DOT else stage.value)
