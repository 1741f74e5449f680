"""Encoded words (RFC 2047), found wherever they stand: glued to text, inside quotes, cut in the middle."""

import binascii
import re
from dataclasses import dataclass

from shared.mime.charset_labels import codec
from shared.mime.charsets import Decoder
from shared.mime.clean import one_line

_HEAD = re.compile(rb"=\?([^\s?=]{1,64})\?([bBqQ])\?")
_CUT = re.compile(rb"[^\s?]{2,}")  # at the end of a field that a gateway cut
_NOT_BASE64 = bytes(set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"))


@dataclass(slots=True)
class _Word:
    """An encoded word and those of its charset that followed it; `texts` are (encoded text, whether as base64)."""

    charset: str
    written: bytes
    texts: list[tuple[bytes, bool]]


def decode(value: bytes, decoder: Decoder, limit: int, *, utf_7: bool = False) -> str:
    """A raw field value as one clean line; at most `limit` encoded words are decoded, the rest stays as written.

    `utf_7` where the value is shown and nothing else: in an address it could smuggle an `@`.
    """
    if b"=?" not in value:
        return one_line(decoder.header(value))
    return one_line("".join(_decoded(piece, decoder, utf_7) for piece in _pieces(value, limit, decoder)))


def _decoded(piece: bytes | _Word, decoder: Decoder, utf_7: bool) -> str:
    if isinstance(piece, bytes):
        return decoder.header(piece)
    data = b"".join(_from_base64(text) if base64 else _from_q(text) for text, base64 in piece.texts)
    if (not utf_7 and codec(piece.charset) == "utf-7") or (not data and any(text for text, _ in piece.texts)):
        decoder.note("encoded_word_undecodable")
        return decoder.header(piece.written)
    return decoder.text(data, piece.charset, guessing=False)


def _pieces(value: bytes, limit: int, decoder: Decoder) -> list[bytes | _Word]:
    """Literal bytes and words in their order. Blanks between two words vanish (RFC 2047 6.2); neighbours of one
    charset become one word, Q or B, so that a character split between them survives."""
    pieces: list[bytes | _Word] = []
    here = search = count = 0
    while head := _HEAD.search(value, search):
        end = _word_end(value, head.end())
        if end < 0 and _CUT.fullmatch(value, head.end()):
            end = len(value)
        if end < 0:
            search = head.start() + 2
            continue
        if count >= limit:
            decoder.note("encoded_words_cut")
            break
        literal = value[here : head.start()]
        if literal and not (pieces and isinstance(pieces[-1], _Word) and not literal.strip()):
            pieces.append(literal)
        _append(pieces, head, value[head.end() : end], value[head.start() : end + 2])
        here = search = end + 2
        count += 1
    if here < len(value):
        pieces.append(value[here:])
    return pieces


def _word_end(value: bytes, start: int) -> int:
    """Offset of the closing `?=`, or -1: another `=?` before it means that this word was never closed."""
    other = value.find(b"=?", start)
    # one further: base64 padding before the end, `==?=`, holds a `=?` of its own
    return value.find(b"?=", start, len(value) if other < 0 else other + 3)


def _append(pieces: list[bytes | _Word], head: re.Match[bytes], text: bytes, written: bytes) -> None:
    charset = head[1].decode("latin-1").split("*")[0].lower()
    base64 = head[2] in b"bB"
    last = pieces[-1] if pieces else None
    if not isinstance(last, _Word) or not _is_the_same(last.charset, charset):
        pieces.append(_Word(charset, written, [(text, base64)]))
        return
    last.written += written
    before, was_base64 = last.texts[-1]
    if base64 and was_base64 and not before.endswith(b"=") and len(before) % 4:
        last.texts[-1] = before + text, True  # some senders cut the base64 itself, not the text
    else:
        last.texts.append((text, base64))


def _is_the_same(one: str, other: str) -> bool:
    return one == other or (codec(one) is not None and codec(one) == codec(other))


def _from_base64(text: bytes) -> bytes:
    text = text.translate(None, _NOT_BASE64)
    if len(text) % 4 == 1:
        text = text[:-1]
    return binascii.a2b_base64(text + b"=" * (-len(text) % 4))


def _from_q(text: bytes) -> bytes:
    return binascii.a2b_qp(text, header=True)
