"""What a parsed mail is. Every text is storable: valid UTF-8 without NUL, header values on one line."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from shared.mime import encoded_words, transfer
from shared.mime.charsets import Decoder
from shared.mime.fields import Headers
from shared.mime.limits import DEFAULT, Limits
from shared.mime.reply import reply_text

SenderSource = Literal["from", "reply-to", "return-path", "sender", "none"]
TOO_MANY_PARTS = "too_many_parts"


@dataclass(frozen=True, slots=True)
class Address:
    """A mailbox: display name ("" if none), and the address with its domain as lower-case A-labels."""

    name: str
    address: str


@dataclass(frozen=True, slots=True)
class Attachment:
    """A part that is not body text: a view of the original, decoded each time `content` is asked for.

    `filename` and `content_id` (without brackets) are "" where the part has none. `length` is the encoded size.
    """

    filename: str
    content_type: str
    content_id: str
    inline: bool
    encoding: str
    offset: int
    length: int
    _raw: bytes = field(repr=False, compare=False)

    @property
    def content(self) -> bytes:
        """The decoded bytes, exactly as the sender encoded them."""
        return transfer.decode(self._encoded(), self.encoding)

    @property
    def size(self) -> int:
        """Bytes of `content`; of base64 without decoding it, exact where that is well-formed."""
        if self.encoding == "base64":
            return transfer.base64_size(self._raw, self.offset, self.offset + self.length)
        if transfer.is_known(self.encoding):
            return len(self.content)
        return self.length

    def _encoded(self) -> bytes:
        return self._raw[self.offset : self.offset + self.length]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """A mail as read; `defects` names what was wrong, in lower case with underscores, each once.

    `message_id`, `in_reply_to` and `references` carry their angle brackets. A mail without a usable Message-ID gets
    one made of the hash of its raw bytes (`message_id_derived`): two equal mails agree on it. `sender` is None when
    no field holds an address (`sender_source` says which one did: the first of From decides, `all_from` has all).
    `return_path` is None if absent, "" for the null path `<>`; it may lack a domain. `text` may be derived from HTML
    (`text_is_derived`); `html` is the sender's and not sanitised. `language` and `charsets` are what its raw 8-bit
    fields are read with.
    """

    message_id: str
    message_id_derived: bool
    subject: str
    sender: Address | None
    sender_source: SenderSource
    all_from: list[Address]
    reply_to: list[Address]
    return_path: str | None
    to: list[Address]
    cc: list[Address]
    date: datetime | None
    in_reply_to: list[str]
    references: list[str]
    text: str
    text_is_derived: bool
    html: str
    attachments: list[Attachment]
    defects: list[str]
    headers: Headers = field(repr=False)
    limits: Limits = field(default=DEFAULT, repr=False)
    marked: str = field(default="", repr=False)
    language: str = field(default="", repr=False)
    charsets: tuple[str, ...] = field(default=(), repr=False)

    def header(self, name: str) -> str | None:
        """The first field of this name, decoded, on one line; None if there is none."""
        value = self.headers.first(name.lower())
        return None if value is None else self._decoded(value, name)

    def headers_all(self, name: str) -> list[str]:
        """Every field of this name, decoded, in the order of the header."""
        return [self._decoded(value, name) for value in self.headers.all(name.lower())]

    @property
    def reply_text(self) -> str:
        """The text without the history that it quotes; all of it where nothing else would stay."""
        return reply_text(self.marked or self.text)

    @property
    def quarantine(self) -> str:
        """Why this mail is a bomb and belongs into quarantine; "" for every other mail."""
        return TOO_MANY_PARTS if TOO_MANY_PARTS in self.defects else ""

    def _decoded(self, value: bytes, name: str) -> str:
        decoder = Decoder(guesses=0, language=self.language, charsets=list(self.charsets))
        return encoded_words.decode(value, decoder, self.limits.encoded_words, utf_7=name.lower() == "subject")
