"""Encoded words (RFC 2047), found wherever they stand: glued to text, inside quotes, cut in the middle."""

import binascii
import re
from dataclasses import dataclass

from shared.mime.charsets import Decoder, codec, raw_header
from shared.mime.clean import one_line

_HEAD = re.compile(rb"=\?([^\s?=]{1,64})\?([bBqQ])\?")
_NOT_BASE64 = bytes(set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"))


@dataclass(slots=True)
class _Word:
    """An encoded word, or what followed it of the same charset."""

    charset: str
    base64: bool
    written: bytes
    texts: list[bytes]


def decode(value: bytes, decoder: Decoder, limit: int) -> str:
    """A raw field value as one clean line; at most `limit` encoded words are decoded, the rest stays as written."""
    if b"=?" not in value:
        return one_line(raw_header(value))
    return one_line("".join(_decoded(piece, decoder) for piece in _pieces(value, limit, decoder)))


def _decoded(piece: bytes | _Word, decoder: Decoder) -> str:
    if isinstance(piece, bytes):
        return raw_header(piece)
    name = codec(piece.charset)
    data = b"".join(_from_base64(text) if piece.base64 else _from_q(text) for text in piece.texts)
    if name == "utf-7" or (not data and any(piece.texts)):
        decoder.note("encoded_word_undecodable")
        return raw_header(piece.written)
    return decoder.text(data, piece.charset)


def _pieces(value: bytes, limit: int, decoder: Decoder) -> list[bytes | _Word]:
    """Literal bytes and words in their order. Blanks between two words vanish (RFC 2047 6.2); neighbours of one
    charset become one word, so that a character split between them survives."""
    pieces: list[bytes | _Word] = []
    here = search = count = 0
    while head := _HEAD.search(value, search):
        end = _word_end(value, head.end())
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
    if not isinstance(last, _Word) or last.charset != charset:
        pieces.append(_Word(charset, base64, written, [text]))
    elif last.base64 == base64:
        last.written += written
        cut = base64 and not last.texts[-1].endswith(b"=") and len(last.texts[-1]) % 4
        if cut:  # some senders cut the base64 itself, not the text
            last.texts[-1] += text
        else:
            last.texts.append(text)
    else:
        pieces.append(_Word(charset, base64, written, [text]))


def _from_base64(text: bytes) -> bytes:
    text = text.translate(None, _NOT_BASE64)
    if len(text) % 4 == 1:
        text = text[:-1]
    return binascii.a2b_base64(text + b"=" * (-len(text) % 4))


def _from_q(text: bytes) -> bytes:
    return binascii.a2b_qp(text, header=True)
