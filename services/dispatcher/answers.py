"""Whom an automatic answer to a mail may go to, or why to nobody.

A From line is whatever its writer typed: a desk that answers it mails advertisements to strangers for whoever
asks. So the answer goes to From only where the Return-Path (RFC 5321 4.4: written by the server that took the
mail in) is of the same domain, else to the Return-Path itself, never to Reply-To. Without a Return-Path nobody
is answered: nothing then says who sent the mail. DMARC results do not count yet, because no server is named
whose results could be trusted (RFC 8601 section 5).
"""

from services.dispatcher.classify import is_no_reply
from shared.events import Answer, Classification, Origin
from shared.mime.model import Mail


def answer(mail: Mail, classification: Classification, origin: Origin, own_addresses: frozenset[str]) -> Answer:
    """`withheld` is a word: a kind of mail, `backfill`, `sender_unknown`, `no_return_path`, `null_return_path`,
    `own_address` or `no_reply`."""
    if origin is not Origin.LIVE:
        return Answer(withheld="backfill")
    if classification.automatic:
        return Answer(withheld=classification.kind.value)
    if mail.sender is None or mail.sender_source != "from":
        return Answer(withheld="sender_unknown")
    if mail.return_path is None:
        return Answer(withheld="no_return_path")
    if "@" not in mail.return_path:
        return Answer(withheld="null_return_path")
    target = mail.sender.address if _aligned(mail.sender.address, mail.return_path) else mail.return_path
    if target.lower() in own_addresses:
        return Answer(withheld="own_address")
    return Answer(withheld="no_reply") if is_no_reply(target) else Answer(target)


def _aligned(sender: str, return_path: str) -> bool:
    """The same domain, or one below the other (bounces.empresa.example); a top-level domain is nobody's."""
    one, other = sorted((_domain(sender), _domain(return_path)), key=len)
    return one == other or ("." in one and other.endswith("." + one))


def _domain(address: str) -> str:
    return address.rpartition("@")[2].lower()
