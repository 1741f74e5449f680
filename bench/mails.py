"""The mix of every measurement: 60 % plain text of 3 KB, 30 % alternative of 15 KB, 10 % with a 100-KB attachment."""

from tests.e2e.mails import Sent, alternative, plain, with_attachment

_WORDS = "palavras que um cliente escreve quando a impressora outra vez nao responde "


def mix(count: int, to: str, domain: str, first: int) -> list[Sent]:
    """`count` mails of as many people, numbered from `first`."""
    text = "\r\n".join([_WORDS] * 42)
    made = []
    for n in range(first, first + count):
        sender, message_id, subject = f"c{n}@{domain}", f"<bench{n}@{domain}>", f"Problem {n}"
        if n % 10 < 6:
            made.append(plain(sender, to, message_id, subject, text=text))
        elif n % 10 < 9:
            made.append(alternative(sender, to, message_id, subject, lines=180))
        else:
            made.append(with_attachment(sender, to, message_id, subject))
    return made
