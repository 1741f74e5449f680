"""Which parts are the text of a mail and which are attachments."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from shared.mime import smime, tnef, transfer, uuencode
from shared.mime.charset_labels import codec
from shared.mime.charsets import Decoder, strict
from shared.mime.clean import lines, one_line
from shared.mime.fields import block
from shared.mime.filenames import filename, shown
from shared.mime.flowed import unwrapped
from shared.mime.html_text import charset_of, text_of, without_images
from shared.mime.limits import Limits
from shared.mime.model import Attachment
from shared.mime.parameters import parameter, parameters, token
from shared.mime.reply import without_marks
from shared.mime.splitter import Leaf, leaves
from shared.mime.utf8 import whole

_SIGNED = ("application/pkcs7-mime", "application/x-pkcs7-mime")
_TNEF = ("application/ms-tnef", "application/vnd.ms-tnef")
_UNNAMED = ("application/octet-stream", "application/binary")
_MOST_LAYERS = 3  # of signatures around signatures
_MOST_IMAGES = 32 * 1024 * 1024
_UUENCODED = "x-uuencode"
_BEGIN = b"begin "
_CONTROLS = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f]")


@dataclass(slots=True)
class _Segment:
    """The body texts of one multipart/alternative, or of one part outside of any."""

    plain: list[str] = field(default_factory=list)
    html: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Bodies:
    """`marked` is the text with marks where it quotes (`reply`), "" where that is not known."""

    text: str
    marked: str
    text_is_derived: bool
    html: str
    attachments: list[Attachment]


def sort(raw: bytes, found: list[Leaf], limits: Limits, decoder: Decoder) -> Bodies:
    """text/plain and text/html are body unless they are attached, or named beside one that is not.

    In an alternative both are kept; texts of a mixed are joined in order; all else is an attachment. What is packed
    into another part is read as well: files uuencoded in a text, winmail.dat, the entity inside an opaque signature.
    """
    sorter = _Sorter(limits, decoder)
    sorter.take(raw, found, 0)
    return sorter.joined()


class _Sorter:
    def __init__(self, limits: Limits, decoder: Decoder) -> None:
        self._limits = limits
        self._decoder = decoder
        self._segments: dict[tuple[int, int], _Segment] = {}
        self._attachments: list[Attachment] = []
        self._room = {"text/plain": limits.body, "text/html": limits.body}
        self._sources = self._taken = 0

    def take(self, raw: bytes, found: list[Leaf], layer: int) -> None:
        """The leaves of `raw`, in order; `layer` signatures are around it."""
        self._sources += 1
        source = self._sources
        self._taken += len(found)
        for leaf in found:
            if leaf.parameters and leaf.content_type.startswith("text/") and (charset := self._charset(leaf)):
                self._decoder.declare(charset)
        entries: list[tuple[Leaf, str, str, bool]] = []
        only_named = True
        for leaf in found:
            name, kind = self._names(leaf)
            is_text = leaf.content_type in self._room and kind != "attachment" and not leaf.opaque
            only_named = only_named and not (is_text and not name)
            entries.append((leaf, name, kind, is_text))
        for leaf, name, kind, is_text in entries:
            if is_text and (not name or leaf.alternative or (only_named and not self._segments)):
                segment = self._segments.setdefault((source, leaf.group), _Segment())
                pieces = segment.plain if leaf.content_type == "text/plain" else segment.html
                pieces.append(self._text(raw, leaf))
            elif not self._unpacked(raw, leaf, name, layer):
                self._attachments.append(_attachment(raw, leaf, name, kind))

    def _names(self, leaf: Leaf) -> tuple[str, str]:
        """(file name, disposition)"""
        disposition = leaf.headers.first("content-disposition")
        if disposition is None and not leaf.parameters:
            return "", ""
        found = parameters(disposition, self._limits, self._decoder.defects)
        name = filename(found, leaf.parameters, self._decoder, self._limits)
        return name, token(disposition)

    def _charset(self, leaf: Leaf) -> str:
        return parameter(leaf.parameters, "charset", self._limits).decode("latin-1")

    # --- text -------------------------------------------------------------------------------------------------

    def _text(self, raw: bytes, leaf: Leaf) -> str:
        is_html = leaf.content_type == "text/html"
        data = self._read(raw, leaf, is_html=is_html)
        label = self._charset(leaf) or (charset_of(data) if is_html else "")
        if is_html and label:
            self._decoder.declare(label)  # what the page itself says of its bytes: unlabelled fields are in it too
        text = lines(self._decoder.text(data, label or None))
        if not is_html and leaf.parameters.get("format", b"").lower() == b"flowed":
            text = unwrapped(text, delete_blank=leaf.parameters.get("delsp", b"").lower() == b"yes")
        return text

    def _read(self, raw: bytes, leaf: Leaf, *, is_html: bool) -> bytes:
        """The decoded bytes of a text, as many as there is room for; files in it become attachments."""
        start, end = leaf.start, leaf.end
        room = self._room[leaf.content_type]
        if not is_html and not transfer.is_known(leaf.encoding) and raw.find(_BEGIN, start, end) >= 0:
            data = self._without_files(raw, start, end)
        elif is_html and end - start > min(room, self._limits.derived):
            data = without_images(transfer.decode(raw[start : min(end, start + _MOST_IMAGES)], leaf.encoding))
        else:
            if cut := end - start > room:
                end = start + room
                self._decoder.note("body_cut")
            data = self._decoded(raw[start:end], leaf)
            if cut:
                data = whole(data)
            if not is_html and _BEGIN in data:
                data = self._without_files(data, 0, len(data))
        if len(data) > room:
            data = whole(data[:room])
            self._decoder.note("body_cut")
        self._room[leaf.content_type] -= min(room, end - start)
        return data

    def _decoded(self, encoded: bytes, leaf: Leaf) -> bytes:
        data = transfer.decode(encoded, leaf.encoding)
        if leaf.encoding == "base64" and (data is encoded or self._are_words(encoded, data, leaf)):
            self._decoder.note("transfer_encoding_wrong")
            return encoded
        return data

    def _are_words(self, encoded: bytes, data: bytes, leaf: Leaf) -> bool:
        """Whether a few words went through the decoder: they make no base64, or what came out is no text."""
        if not transfer.is_a_few_words(encoded):
            return False
        text = strict(data, codec(self._charset(leaf)) or "utf-8")
        return len(b"".join(encoded.split())) % 4 != 0 or text is None or _CONTROLS.search(text) is not None

    def _without_files(self, data: bytes, start: int, end: int) -> bytes:
        """`data[start:end]` without the files that are uuencoded in it."""
        found = uuencode.blocks(data, start, end, self._limits.parts - self._taken)
        self._taken += len(found)
        pieces = []
        for each in found:
            pieces.append(data[start : each.start])
            start = each.end
            name = shown(self._decoder.header(each.name))
            size = each.end - each.start
            kind = "application/octet-stream"
            self._attachments.append(Attachment(name, kind, "", False, _UUENCODED, each.start, size, data))
        return b"".join([*pieces, data[start:end]])

    # --- parts that hold others ---------------------------------------------------------------------------------

    def _unpacked(self, raw: bytes, leaf: Leaf, name: str, layer: int) -> bool:
        """Whether all that is in the part has been taken, so that it is no attachment itself."""
        if self._taken > self._limits.parts:
            return False
        lower = name.lower()
        if leaf.content_type in _TNEF or (leaf.content_type in _UNNAMED and lower == "winmail.dat"):
            return self._take_tnef(transfer.decode(raw[leaf.start : leaf.end], leaf.encoding))
        signed = leaf.content_type in _SIGNED or (leaf.content_type in _UNNAMED and lower.endswith(".p7m"))
        if signed and layer < _MOST_LAYERS:
            inner = smime.signed_content(transfer.decode(raw[leaf.start : leaf.end], leaf.encoding))
            if inner:
                self._decoder.note("signature_not_verified")
                headers = block(inner, 0, len(inner), self._limits)
                self.take(inner, leaves(inner, headers, self._limits, self._decoder), layer + 1)
        return False  # the signature is evidence: its part stays

    def _take_tnef(self, data: bytes) -> bool:
        message = tnef.read(data)
        if message is None or not (message.files or message.text or message.html):
            return False
        text = self._decoder.text
        if not any(segment.plain or segment.html for segment in self._segments.values()):
            self._sources += 1
            segment = self._segments.setdefault((self._sources, 0), _Segment())
            for piece, kind, into in (
                (message.text, "text/plain", segment.plain),
                (message.html, "text/html", segment.html),
            ):
                if piece and (content := data[piece.start : piece.end][: self._room[kind]]):
                    self._room[kind] -= len(content)
                    into.append(lines(text(content, piece.charset or None)).rstrip("\ufffd\0"))
        self._taken += len(message.files)
        self._attachments += [each for file in message.files if (each := _of_tnef(data, file, text))]
        has_text = any(segment.plain or segment.html for segment in self._segments.values())
        return message.is_read and (has_text or not message.is_rich)

    # --- the whole ----------------------------------------------------------------------------------------------

    def joined(self) -> Bodies:
        texts: list[str] = []
        html: list[str] = []
        derived = False
        room = self._limits.derived
        for segment in self._segments.values():
            html += segment.html
            plain = "\n".join(segment.plain)
            if not plain.strip() and (source := "\n".join(segment.html)).strip():
                # a part that stands as HTML only would be missing from the text
                plain, laid_out = text_of(source, room, self._limits.html_depth, self._limits.html_elements)
                room = max(0, room - len(source))
                plain = lines(plain)[: self._limits.body]
                derived = True
                if not laid_out:
                    self._decoder.note("html_not_laid_out")
            texts.append(plain)
        only = derived and not any(piece.strip() for segment in self._segments.values() for piece in segment.plain)
        text = _concatenated(texts)
        shown = without_marks(text) if derived else text
        return Bodies(shown, text if derived else "", only, _concatenated(html), self._attachments)


def _of_tnef(data: bytes, file: tnef.File, text: Callable[[bytes, str | None], str]) -> Attachment | None:
    if file.content is None:
        return None

    def read(piece: tnef.Piece | None) -> str:
        return text(data[piece.start : piece.end], piece.charset or None).rstrip("\0") if piece else ""

    kind = one_line(read(file.content_type)).lower() or "application/octet-stream"
    content_id = one_line(read(file.content_id)).strip("<> ")[:998]
    start, end = file.content.start, file.content.end
    return Attachment(shown(read(file.name)), kind[:255], content_id, content_id != "", "", start, end - start, data)


def _attachment(raw: bytes, leaf: Leaf, name: str, disposition: str) -> Attachment:
    identifier = leaf.headers.first("content-id")
    content_id = one_line(identifier.decode("utf-8", "replace")).strip("<> ")[:998] if identifier else ""
    inline = disposition == "inline" or (disposition == "" and leaf.related and content_id != "")
    return Attachment(
        name, leaf.content_type, content_id, inline, leaf.encoding, leaf.start, leaf.end - leaf.start, raw
    )


def _concatenated(texts: list[str]) -> str:
    if len(texts) == 1:
        return texts[0]
    return "".join(text if text.endswith("\n") else text + "\n" for text in texts if text)
