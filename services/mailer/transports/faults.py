"""What is wrong with a way out, as against what is wrong with a mail."""


class AccountFault(Exception):
    """The outbound account does not work: no mail is to blame, so none is used up. `word` is ours (a metric label);
    `slow`: asking again soon would make it worse (a log-in that is locked, a quota); `named`: a recipient was known
    when it was met, so it may yet be that mail's own; `code`: the reply, 0 for none."""

    def __init__(self, word: str, *, slow: bool = False, named: bool = False, code: int = 0) -> None:
        super().__init__(word)
        self.word = word
        self.slow = slow
        self.named = named
        self.code = code


class Busy(AccountFault):
    """The server wants fewer connections or mails at once."""


class Expired(Exception):
    """The claim would not outlast the server's reply: nothing was handed over, somebody else may have the mail."""
