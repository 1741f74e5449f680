"""What is wrong with a way out, as against what is wrong with a mail."""


class AccountFault(Exception):
    """The outbound account does not work: no mail is to blame, so none is used up. `word` is ours (a metric label);
    `login`: the server refused the log-in, so asking again soon would lock the account."""

    def __init__(self, word: str, *, login: bool = False) -> None:
        super().__init__(word)
        self.word = word
        self.login = login
