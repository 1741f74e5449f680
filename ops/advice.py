"""What an administrator does about each class of an account's failure. Pure."""

_ADVICE = {
    "auth_failed": "check user and password, and whether the provider wants an app password or OAuth2; a corrected "
    "secret is tried within seconds",
    "mailbox_refused": "check that `user` is the address of that mailbox, and that this log-in may open it (Exchange: "
    "Add-MailboxPermission, and New-ServicePrincipal for an application)",
    "grant_refused": "renew the consent, the client secret or the key that the text names and put it into the "
    "secrets; it is tried within seconds",
    "token_unavailable": "the token endpoint of the provider does not answer: check the way there (proxy, firewall, "
    "CARTEIRO_CA_FILE); it is tried again by itself",
    "busy": "other programs use up the mailbox's connections: close them; it is tried again by itself",
    "connect_failed": "check host, port and firewall with `carteiro account test {account}`",
    "tls_failed": "check the account's type and host; a certificate of your own authority goes into CARTEIRO_CA_FILE",
    "timeout": "the server or the way to it is slow: try `carteiro account test {account}`",
    "throttled": "the provider wants fewer requests: raise `interval` if it stays; it is tried again by itself",
    "protocol_error": "try `carteiro account test {account}`, and show its output to whoever runs the mail server",
    "held_back": "look after Kafka, the object store and PostgreSQL first; the mail waits in the mailbox",
}


def advice(result: str, account: str) -> str:
    """The next step; empty for a class nobody has named."""
    return _ADVICE.get(result, "").format(account=account)
