"""Which parts are the text of a mail and which are attachments."""

from dataclasses import dataclass, field

from shared.mime import transfer
from shared.mime.charsets import Decoder
from shared.mime.clean import lines, one_line
from shared.mime.filenames import filename
from shared.mime.html_text import text_of
from shared.mime.limits import Limits
from shared.mime.model import Attachment
from shared.mime.parameters import parameter, parameters, token
from shared.mime.splitter import Leaf
from shared.mime.utf8 import whole


@dataclass(slots=True)
class _Segment:
    """The body texts of one multipart/alternative, or of one part outside of any."""

    plain: list[str] = field(default_factory=list)
    html: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Bodies:
    text: str
    text_is_derived: bool
    html: str
    attachments: list[Attachment]


def sort(raw: bytes, found: list[Leaf], limits: Limits, decoder: Decoder) -> Bodies:
    """text/plain and text/html are body unless they are attached, or named and not the first text.

    In an alternative both are kept; texts of a mixed are joined in order; all else is an attachment.
    """
    segments: dict[int, _Segment] = {}
    attachments: list[Attachment] = []
    room = {"text/plain": limits.body, "text/html": limits.body}
    for leaf in found:
        if leaf.content_type.startswith("text/") and (charset := parameter(leaf.parameters, "charset", limits)):
            decoder.declare(charset.decode("latin-1"))
    for leaf in found:
        disposition = leaf.headers.first("content-disposition")
        shown = parameters(disposition, limits, decoder.defects)
        name = filename(shown, leaf.parameters, decoder, limits) if shown or leaf.parameters else ""
        kind = token(disposition)
        is_text = leaf.content_type in room and not leaf.opaque and kind != "attachment"
        if is_text and not (name and segments):
            segment = segments.setdefault(leaf.group, _Segment())
            pieces = segment.plain if leaf.content_type == "text/plain" else segment.html
            pieces.append(_text(raw, leaf, room, limits, decoder))
        else:
            attachments.append(_attachment(raw, leaf, name, kind))
    return _joined(list(segments.values()), attachments, limits, decoder)


def _text(raw: bytes, leaf: Leaf, room: dict[str, int], limits: Limits, decoder: Decoder) -> str:
    size = leaf.end - leaf.start
    cut = size > room[leaf.content_type]
    if cut:
        size = room[leaf.content_type]
        decoder.note("body_cut")
    room[leaf.content_type] -= size
    data = transfer.decode(raw[leaf.start : leaf.start + size], leaf.encoding)
    if cut:
        data = whole(data)
    charset = parameter(leaf.parameters, "charset", limits).decode("latin-1")
    return lines(decoder.text(data, charset or None))


def _attachment(raw: bytes, leaf: Leaf, name: str, disposition: str) -> Attachment:
    identifier = leaf.headers.first("content-id")
    content_id = one_line(identifier.decode("utf-8", "replace")).strip("<> ")[:998] if identifier else ""
    inline = disposition == "inline" or (disposition == "" and leaf.related and content_id != "")
    return Attachment(
        name, leaf.content_type, content_id, inline, leaf.encoding, leaf.start, leaf.end - leaf.start, raw
    )


def _joined(segments: list[_Segment], attachments: list[Attachment], limits: Limits, decoder: Decoder) -> Bodies:
    texts: list[str] = []
    html: list[str] = []
    derived = False
    room = limits.derived
    for segment in segments:
        html += segment.html
        plain = "\n".join(segment.plain)
        if not plain.strip() and (source := "\n".join(segment.html)).strip():
            # a part that stands as HTML only would be missing from the text
            plain, laid_out = text_of(source, room, limits.html_depth)
            room = max(0, room - len(source))
            plain = lines(plain)[: limits.body]
            derived = True
            if not laid_out:
                decoder.note("html_not_laid_out")
        texts.append(plain)
    only_derived = derived and not any(piece.strip() for segment in segments for piece in segment.plain)
    return Bodies(_concatenated(texts), only_derived, _concatenated(html), attachments)


def _concatenated(texts: list[str]) -> str:
    if len(texts) == 1:
        return texts[0]
    return "".join(text if text.endswith("\n") else text + "\n" for text in texts if text)
