"""The name a part says it has: shown to people, never used as a path or a storage key."""

import re
import unicodedata
from urllib.parse import unquote_to_bytes

from shared.mime import encoded_words
from shared.mime.charsets import Decoder, strict
from shared.mime.clean import one_line
from shared.mime.limits import Limits
from shared.mime.parameters import Parameters, extended

# controls, path separators, and the invisible or direction-changing characters that disguise an extension
_REPLACED = re.compile("[\x00-\x1f\x7f-\x9f/\\\\\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
_LABELLED = re.compile(rb"[\w.:-]{1,40}'[\w-]{0,20}'")
_PERCENT = re.compile(rb"%[c-f][0-9a-f]%[89ab][0-9a-f]", re.IGNORECASE)  # a character beyond ASCII in UTF-8
_MOST_BYTES = 255
_MOST_EXTENSION = 32


def filename(disposition: Parameters, content_type: Parameters, decoder: Decoder, limits: Limits) -> str:
    """`filename*`, `filename`, `name*`, `name`, in this order; "" when the part has no name. At most 255 bytes."""
    for found, name in ((disposition, "filename"), (content_type, "name")):
        if not found:
            continue
        if (long := extended(found, name, limits)) and (text := shown(_long(*long, decoder, limits))):
            return text
        plain = found.get(name)
        if plain and (text := shown(_plain(plain, decoder, limits))):
            return text
    return ""


def _long(value: bytes, charset: str, decoder: Decoder, limits: Limits) -> str:
    """An RFC 2231 value; some senders cut a name of encoded words into its pieces."""
    if charset and b"=?" not in value:
        return decoder.text(value, charset)
    return encoded_words.decode(value, decoder, limits.encoded_words)


def _plain(value: bytes, decoder: Decoder, limits: Limits) -> str:
    """Senders write encoded words (against RFC 2047 5), raw 8-bit bytes and even RFC 2231 values in `filename=`."""
    if _LABELLED.match(value) and (text := extended({"name*": value}, "name", limits)):
        return decoder.text(*text)
    if _PERCENT.search(value) and value.isascii() and (decoded := strict(unquote_to_bytes(value), "utf-8")):
        return decoded
    return encoded_words.decode(value, decoder, limits.encoded_words)


def shown(text: str) -> str:
    """A name as it may be shown: on one line, without controls and separators, at most 255 bytes."""
    text = one_line(_REPLACED.sub("_", text))
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    if len(text.encode()) <= _MOST_BYTES:
        return text
    stem, dot, extension = text.rpartition(".")
    suffix = dot + extension if stem and len(extension.encode()) <= _MOST_EXTENSION else ""
    room = _MOST_BYTES - len(suffix.encode())
    return text.encode()[:room].decode("utf-8", "ignore") + suffix
