"""Whose fault a reply is: lines as the servers named say them."""

import pytest

from services.mailer.transports.replies import TABLE, Blame, Stage, judge

ACCOUNT, SLOW, BUSY, OWN = Blame.ACCOUNT, Blame.SLOW, Blame.BUSY, Blame.OWN
REPLIES: list[tuple[Stage, int, str, Blame, str]] = [
    # Exchange Online
    (Stage.DOT, 554, "5.2.252 SendAsDenied; a@b.example not allowed to send as c@d.example", ACCOUNT, "sender_refused"),
    (Stage.DOT, 550, "5.7.60 SMTP; Client does not have permissions to send as this sender", ACCOUNT, "sender_refused"),
    (Stage.DOT, 550, "5.1.90 Your message can't be sent because you've reached your daily limit", SLOW, "quota"),
    (Stage.DOT, 554, "5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException", SLOW, "quota"),
    (Stage.DOT, 432, "4.3.2 Concurrent connections limit exceeded", BUSY, "busy"),
    (Stage.DOT, 432, "4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded", BUSY, "busy"),
    (Stage.GREETING, 421, "4.3.2 The maximum number of concurrent server connections has exceeded", BUSY, "busy"),
    (Stage.RCPT, 530, "5.7.57 SMTP; Client was not authenticated to send anonymous mail", ACCOUNT, "login_required"),
    (Stage.RCPT, 550, "5.7.64 TenantAttribution; Relay Access Denied", ACCOUNT, "relay_denied"),
    (Stage.RCPT, 550, "5.7.705 Access denied, tenant has exceeded threshold", SLOW, "blocked"),
    # Gmail
    (Stage.DOT, 550, "5.4.5 not today", SLOW, "quota"),
    (Stage.DOT, 550, "5.4.5 Daily user sending limit exceeded.", SLOW, "quota"),
    (Stage.MAIL, 550, "5.4.5 Daily SMTP relay limit exceeded for customer.", SLOW, "quota"),
    (Stage.RCPT, 550, "5.7.1 Daily SMTP relay limit exceeded for customer", SLOW, "quota"),
    (Stage.GREETING, 421, "4.7.0 Too many concurrent SMTP connections", BUSY, "busy"),
    (Stage.RCPT, 450, "4.2.1 Peak SMTP relay limit exceeded for customer, slow down", BUSY, "busy"),
    (Stage.DOT, 421, "4.7.0 Try again later, rate limited: too many messages", BUSY, "busy"),
    (Stage.RCPT, 450, "4.2.1 The user you are trying to contact is receiving mail at a rate that", OWN, "recipient"),
    (Stage.RCPT, 552, "5.2.2 The email account that you tried to reach is over quota", OWN, "recipient"),
    (Stage.MAIL, 530, "5.7.0 Must issue a STARTTLS command first", ACCOUNT, "tls_required"),
    (Stage.MAIL, 530, "5.7.0 Authentication Required", ACCOUNT, "login_required"),
    # Postfix
    (Stage.RCPT, 554, "5.7.1 <a@b.example>: Relay access denied", ACCOUNT, "relay_denied"),
    (Stage.RCPT, 454, "4.7.1 <a@b.example>: Relay access denied", ACCOUNT, "relay_denied"),
    (Stage.RCPT, 553, "5.7.1 <a@b.example>: Sender address rejected: not owned by user c", ACCOUNT, "sender_refused"),
    (Stage.RCPT, 553, "5.7.1 <a@b.example>: Sender address rejected: not logged in", ACCOUNT, "sender_refused"),
    (Stage.RCPT, 554, "5.7.1 Service unavailable; Client host [192.0.2.1] blocked using bl.example", SLOW, "blocked"),
    (Stage.RCPT, 554, "5.7.1 <unknown[192.0.2.1]>: Client host rejected: Access denied", ACCOUNT, "blocked"),
    (Stage.RCPT, 450, "4.7.1 Client host rejected: cannot find your hostname", ACCOUNT, "blocked"),
    (Stage.RCPT, 504, "5.5.2 <localhost>: Helo command rejected: need fully-qualified hostname", ACCOUNT, "helo"),
    (Stage.RCPT, 450, "4.7.1 <x.example>: Helo command rejected: Host not found", ACCOUNT, "helo"),
    (Stage.GREETING, 421, "4.7.0 mail.example Error: too many connections from 192.0.2.1", BUSY, "busy"),
    (Stage.MAIL, 450, "4.7.1 Error: too much mail from 192.0.2.1", BUSY, "busy"),
    (Stage.MAIL, 452, "4.3.1 Insufficient system storage", ACCOUNT, "server_later"),
    (Stage.RCPT, 550, "5.1.1 <a@b.example>: Recipient address rejected: User unknown", OWN, "recipient"),
    (Stage.RCPT, 450, "4.2.0 <a@b.example>: Recipient address rejected: Greylisted", OWN, "recipient"),
    (Stage.DOT, 554, "5.7.1 Message rejected: spam", OWN, "data"),
    (Stage.DOT, 451, "4.3.0 queue file write error", OWN, "data"),
    # Exim, sendmail, qmail, cPanel
    (Stage.RCPT, 550, "relay not permitted", ACCOUNT, "relay_denied"),
    (Stage.RCPT, 550, "authentication required", ACCOUNT, "login_required"),
    (Stage.RCPT, 550, "Sender verify failed", ACCOUNT, "sender_refused"),
    (Stage.RCPT, 550, "5.7.1 <a@b.example>... Relaying denied", ACCOUNT, "relay_denied"),
    (Stage.RCPT, 553, "5.1.8 <a@b.example>... Domain of sender address a@b.example does not exist", ACCOUNT,
     "sender_refused"),
    (Stage.RCPT, 553, "sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)", ACCOUNT, "relay_denied"),
    (Stage.DOT, 550, "Domain a.example has exceeded the max emails per hour", SLOW, "quota"),
    # by the standards alone
    (Stage.EHLO, 501, "Syntactically invalid EHLO argument(s)", ACCOUNT, "helo"),
    (Stage.EHLO, 550, "no", ACCOUNT, "helo"),
    (Stage.EHLO, 421, "bad name", ACCOUNT, "helo"),
    (Stage.AUTH, 535, "5.7.8 Authentication credentials invalid", SLOW, "login"),
    (Stage.AUTH, 454, "4.7.0 Temporary authentication failure", ACCOUNT, "login_later"),
    (Stage.GREETING, 554, "no service here", ACCOUNT, "not_admitted"),
    (Stage.GREETING, 421, "shutting down", ACCOUNT, "closing"),
    (Stage.MAIL, 552, "5.3.4 Message size exceeds fixed limit", OWN, "size"),
    (Stage.MAIL, 553, "5.1.7 bad address", ACCOUNT, "sender_refused"),
    (Stage.MAIL, 550, "no", ACCOUNT, "sender_refused"),
    (Stage.RCPT, 503, "5.5.1 need MAIL", ACCOUNT, "sender_refused"),
    (Stage.RCPT, 553, "5.1.7 no null sender here", ACCOUNT, "sender_refused"),
    (Stage.RCPT, 450, "4.2.2 mailbox full", OWN, "recipient"),
    (Stage.DATA, 554, "no valid recipients", OWN, "data"),
]  # fmt: skip


@pytest.mark.parametrize(("stage", "code", "text", "blame", "word"), REPLIES)
def test_whose_fault_a_reply_is(stage: Stage, code: int, text: str, blame: Blame, word: str) -> None:
    assert judge(stage, code, text) == (blame, word)


def test_every_row_has_a_source() -> None:
    assert all(row.source for row in TABLE)


def test_a_reply_of_any_length_is_judged_soon() -> None:
    assert judge(Stage.DOT, 554, "relay " * 200_000).blame is Blame.OWN
