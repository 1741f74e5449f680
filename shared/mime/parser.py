"""From bytes to `Mail`: every field fails alone and leaves a defect; the rest of the mail is unharmed."""

import hashlib

from shared.mime import encoded_words, identifiers
from shared.mime.addresses import scan
from shared.mime.bodies import sort
from shared.mime.charsets import Decoder, raw_header
from shared.mime.clean import lines, one_line
from shared.mime.dates import date
from shared.mime.fields import Headers, beginning, block, with_line_feeds
from shared.mime.limits import DEFAULT, Limits
from shared.mime.model import Address, Mail, SenderSource
from shared.mime.splitter import leaves

PARSER_FAILED = "parser_failed"
_FALLBACKS: tuple[SenderSource, ...] = ("reply-to", "return-path", "sender")


def parse(raw: bytes, limits: Limits = DEFAULT, *, language: str = "") -> Mail:
    """The mail in `raw`. Never raises, whatever the bytes; work is linear in their number.

    `language` is the desk's (`pt-BR`): it decides what a text without a charset is written in, where its letters fit
    two code pages equally well.
    """
    try:
        return _parse(raw, limits, language)
    except Exception:  # noqa: BLE001  # a fault of ours in one mail must not stop the next one: it is shown as a defect
        return _unread(raw, limits)


def _parse(raw: bytes, limits: Limits, language: str) -> Mail:
    read = with_line_feeds(raw)
    headers = block(read, beginning(read), len(read), limits)
    decoder = Decoder(limits.guesses, language)
    decoder.defects += headers.defects
    # before the header: its raw 8-bit bytes are in the charset of the body
    bodies = sort(read, leaves(read, headers, limits, decoder), limits, decoder)
    subject = _subject(headers, decoder, limits)
    addresses: dict[str, list[Address]] = {
        name: scan(headers.all(name), decoder, limits, name.replace("-", "_"))
        for name in ("from", "reply-to", "to", "cc")
        if name in headers.fields
    }
    sender, source = _sender(headers, addresses, decoder, limits)
    written = headers.first("date")
    when = date(written)
    if when is None:
        decoder.note("date_unreadable" if written else "date_missing")
    own = identifiers.message_id(headers)
    if not own:
        decoder.note("message_id_unreadable" if headers.all("message-id") else "message_id_missing")
    return Mail(
        message_id=own or _derived_id(raw),
        message_id_derived=not own,
        subject=subject,
        sender=sender,
        sender_source=source,
        all_from=addresses.get("from", []),
        reply_to=addresses.get("reply-to", []),
        return_path=_return_path(headers, decoder, limits),
        to=addresses.get("to", []),
        cc=addresses.get("cc", []),
        date=when,
        in_reply_to=identifiers.in_reply_to(headers, limits),
        references=identifiers.references(headers, limits),
        text=bodies.text,
        marked=bodies.marked,
        text_is_derived=bodies.text_is_derived,
        html=bodies.html,
        attachments=bodies.attachments,
        defects=decoder.defects,
        headers=headers,
        limits=limits,
        language=language,
        charsets=tuple(decoder.charsets),
    )


def _derived_id(raw: bytes) -> str:
    return f"<{hashlib.sha256(raw).hexdigest()}@missing.invalid>"


def _subject(headers: Headers, decoder: Decoder, limits: Limits) -> str:
    value = headers.first("subject")
    if value is None:
        return ""
    subject = encoded_words.decode(value, decoder, limits.encoded_words, utf_7=True)
    if len(subject) > limits.subject:
        decoder.note("subject_cut")
        subject = subject[: limits.subject].rstrip()
    return subject


def _sender(
    headers: Headers, addresses: dict[str, list[Address]], decoder: Decoder, limits: Limits
) -> tuple[Address | None, SenderSource]:
    """The first address in From; if it holds none Reply-To, Return-Path, Sender, and which one it was."""
    if own := addresses.get("from"):
        if len(own) > 1:
            decoder.note("several_senders")
        if "@" in own[0].name:
            decoder.note("sender_name_holds_address")  # "ceo@corp" <x@evil>
        return own[0], "from"
    decoder.note("sender_unreadable" if headers.all("from") else "sender_missing")
    for name in _FALLBACKS:
        found = scan(headers.all(name), decoder, limits, name.replace("-", "_"))
        if found:
            return found[0], name
    return None, "none"


def _return_path(headers: Headers, decoder: Decoder, limits: Limits) -> str | None:
    """The topmost Return-Path, which the last server wrote; as it is written where it has no domain, "" for `<>`."""
    value = headers.first("return-path")
    if value is None:
        return None
    found = scan([value], decoder, limits, "return_path")
    if found:
        return found[0].address
    written = value.strip(b" \t<>")
    if written:
        decoder.note("return_path_unreadable")
    return one_line(raw_header(written))[: limits.address]


def _unread(raw: bytes, limits: Limits) -> Mail:
    """A mail with nothing but its bytes as text."""
    text = lines(raw[: limits.body].decode("latin-1"))
    return Mail(
        message_id=_derived_id(raw), message_id_derived=True, subject="", sender=None, sender_source="none",
        all_from=[], reply_to=[], return_path=None, to=[], cc=[], date=None, in_reply_to=[], references=[],
        text=one_line(text) if not text.strip() else text, text_is_derived=False, html="", attachments=[],
        defects=[PARSER_FAILED], headers=Headers({}, 0, 0), limits=limits,
    )  # fmt: skip
