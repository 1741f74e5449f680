"""From an account of the desk to an authenticated mailbox, whatever its type."""

from services.fetcher.credentials import Credential
from services.fetcher.dialing import Trust
from services.fetcher.imap.connect import connect as connect_imap
from services.fetcher.pop3.client import Numbering
from services.fetcher.pop3.connect import connect as connect_pop3
from services.fetcher.protocol import Mailbox, Security
from shared.desk.model import Account


async def enter(account: Account, credential: Credential, trust: Trust, numbering: Numbering) -> Mailbox:
    """Raises faults.Fault, and nothing is left open then. `numbering` is asked for POP3 alone."""
    context = trust.verifying if account.tls_verify else trust.unverified
    where = (account.host, account.port, Security.of(account.type), context)
    password, bearer = credential
    if account.is_imap:
        return await connect_imap(*where, user=account.user, password=password, bearer=bearer)
    return await connect_pop3(*where, user=account.user, password=password, bearer=bearer, numbering=numbering)
