"""How much of a mail is looked at: what lies beyond is cut, marked as a defect, and stays in the original."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of the parser; sizes in bytes, `subject` and `address` in characters.

    `body` bounds the encoded bytes read for the text and, separately, for the HTML of one mail. `guesses` is how
    often the charset may be guessed in one mail: a guess costs milliseconds. `derived` is the largest HTML whose
    text is laid out; larger or deeper HTML, or one of more than
    `html_elements`, only loses its tags.
    """

    depth: int = 50
    parts: int = 1_000
    header_block: int = 256 * 1024
    field: int = 64 * 1024
    fields: int = 1_000
    parameters: int = 100
    addresses: int = 1_000
    address: int = 320
    subject: int = 998
    encoded_words: int = 500
    references: int = 100
    body: int = 1024 * 1024
    derived: int = 256 * 1024
    html_depth: int = 100
    html_elements: int = 12_000
    guesses: int = 8


DEFAULT = Limits()
