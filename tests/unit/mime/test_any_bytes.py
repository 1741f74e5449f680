"""Whatever the bytes: never an exception, every text storable, the same record each time."""

import base64
import email
import email.message
import email.policy
import quopri
import random
from collections.abc import Iterator
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.mime import Mail, parse
from shared.mime.content_key import content_key
from shared.mime.conversation import kafka_key, named_root
from shared.mime.fields import header_fields
from shared.mime.flowed import unwrapped
from shared.mime.reply import reply_text
from shared.mime.smime import signed_content
from shared.mime.tnef import SIGNATURE, read
from shared.mime.utf8 import mixed, whole
from shared.mime.uuencode import blocks
from tests.unit.mime.packed import attribute, file_of, properties, signed, winmail

CORPUS = Path(__file__).parents[2] / "corpus"
BOUNDED = settings(max_examples=150, derandomize=True, deadline=None, database=None)
PIECES = [
    *(
        b"From: ",
        b"To: ",
        b"Subject: ",
        b"Message-ID: ",
        b"References: ",
        b"Date: ",
        b"Return-Path: ",
        b"Content-Type: ",
    ),
    *(
        b"multipart/mixed; boundary=b",
        b"multipart/alternative; boundary=bb",
        b"text/html",
        b"text/plain; charset=",
        b"utf-7",
    ),
    *(
        b"iso-2022-jp",
        b"utf-16",
        b"Content-Transfer-Encoding: ",
        b"base64",
        b"quoted-printable",
        b"x-uuencode",
        b"begin 644 x\n",
    ),
    *(
        b"Content-Disposition: attachment; filename*0*=",
        b"utf-8''%C3",
        b"--b",
        b"--bb",
        b"--b--",
        b"\n",
        b"\r\n",
        b"\r",
        b"\n\n",
    ),
    *(
        b"=?utf-8?q?",
        b"=?utf-8?b?",
        b"?=",
        b"=?",
        b"<a@b.example>",
        b"<",
        b">",
        b"@",
        b",",
        b";",
        b":",
        b'"',
        b"(",
        b")",
        b"\\",
    ),
    *(
        b"In-Reply-To: ",
        b"Content-Type: text/plain; format=flowed; delsp=yes\n\n",
        b"Content-Type: application/pkcs7-mime\n\n",
        b"Content-Type: application/ms-tnef\n\n\x78\x9f\x3e\x22\1\0",
        signed(b"Content-Type: text/html\n\n<p>x"),
        signed(b"--b\n\ny\n--b--", streamed=True),
        file_of(b"a.txt", b"content", (0x1F, 0x3707, b"n\0")),
        attribute(1, 0x9003, properties((0x1E, 0x1000, b"text"))),
        b"begin 644 x\n#86)C\n`\nend\n",
        b"boundary*0=",
        b" boundary=b charset=koi8-r",
        b" \n",
        b"On 3 Mar 2026 x wrote:\n",
        b"> quoted \n",
        b"-- \n",
        b"-----Original Message-----\n",
        b"From: x\nSent: y\nSubject: z\n",
        b"<blockquote>",
        b"</blockquote>",
        b"<table><tr><td>",
        b'<div id="divRplyFwdMsg">',
        b"data:image/png;base64,",
    ),
    *(
        b"\xc3\xa3",
        b"\xe9",
        b"\xed\xa0\xbd\xed\xb8\x80",
        b"\xe2\x82",
        b"\x82\xa0",
        b"\xa4\xa2",
        b"\xc0\x80",
    ),
    *(
        b"\0",
        b"\xff",
        b"\xed\xa0\x80",
        b"\x1b$B",
        b"=",
        b"=3D",
        b"YWJj",
        b"<p>",
        b"<div>",
        b"</div>",
        b"&#xD800;",
        b" ",
        b"\t",
    ),
]


def texts(mail: Mail) -> Iterator[str]:
    yield from (
        mail.message_id,
        mail.subject,
        mail.text,
        mail.reply_text,
        mail.html,
        mail.sender_source,
        mail.return_path or "",
    )
    yield from (*mail.in_reply_to, *mail.references, *mail.defects, *mail.headers.fields)
    for address in [*mail.all_from, *mail.reply_to, *mail.to, *mail.cc, *([mail.sender] if mail.sender else [])]:
        yield from (address.name, address.address)
    for part in mail.attachments:
        yield from (part.filename, part.content_type, part.content_id)
    for name in mail.headers.fields:
        yield from mail.headers_all(name)


def one_line_texts(mail: Mail) -> Iterator[str]:
    yield from (text for text in texts(mail) if text not in (mail.text, mail.reply_text, mail.html))


def check(raw: bytes) -> None:
    mail = parse(raw)
    assert "parser_failed" not in mail.defects
    for text in texts(mail):
        assert "\0" not in text
        assert text.encode().decode() == text
    for text in one_line_texts(mail):
        assert len(text.splitlines()) <= 1, repr(text)
    for address in [*mail.all_from, *mail.to, *mail.cc]:
        assert "@" in address.address.strip("@")
    assert sum(part.length for part in mail.attachments) <= 4 * len(raw)  # a signature, and what is in it
    assert mail.reply_text.strip() or not mail.text.strip()
    assert mail.header("subject") in (None, mail.subject) or "subject_cut" in mail.defects
    for part in mail.attachments:
        assert isinstance(part.content, bytes)
        assert part.size >= 0
        assert len(part.filename.encode()) <= 255
    assert len(set(mail.defects)) == len(mail.defects)
    assert parse(raw) == mail
    headers = header_fields(raw)
    assert headers == mail.headers
    assert named_root(headers) == named_root(mail)
    assert len(kafka_key(named_root(headers))) == 32
    assert len(content_key(raw, mail)) == 64


@given(st.binary(max_size=400))
@BOUNDED
def test_noise_is_a_mail(raw: bytes) -> None:
    check(raw)


@given(st.lists(st.sampled_from(PIECES) | st.binary(max_size=5), max_size=60).map(b"".join))
@settings(BOUNDED, max_examples=250)
def test_any_heap_of_the_pieces_of_mail_is_a_mail(raw: bytes) -> None:
    check(raw)


@given(st.randoms(use_true_random=False))
@settings(BOUNDED, max_examples=150)
def test_any_mutation_of_a_known_mail_is_a_mail(chance: random.Random) -> None:
    known = sorted(CORPUS.glob("*.eml"))
    raw = bytearray(chance.choice(known).read_bytes()[:4000])
    for _ in range(chance.randint(1, 12)):
        at = chance.randrange(len(raw) + 1)
        action = chance.randrange(4)
        if action == 0:
            raw[at:at] = chance.choice(PIECES)
        elif action == 1:
            del raw[at : at + chance.randint(1, 40)]
        elif action == 2:
            other = chance.randrange(len(raw) + 1)
            raw[at:at] = raw[min(at, other) : max(at, other)][:300]
        elif raw:
            raw[at % len(raw)] = chance.randrange(256)
    check(bytes(raw))


@given(st.integers(0, 3000))
@settings(BOUNDED, max_examples=25)
def test_any_beginning_of_a_known_mail_is_a_mail(size: int) -> None:
    for path in sorted(CORPUS.glob("*.eml"))[:: 1 + size % 5]:
        check(path.read_bytes()[:size])


@given(st.binary(max_size=300) | st.text(max_size=100).map(str.encode), st.binary(max_size=3))
@BOUNDED
def test_utf_8_is_read_as_it_is_and_any_other_byte_becomes_one_character(data: bytes, foreign: bytes) -> None:
    found = mixed(data + foreign)
    assert len(found.text) <= len(data + foreign)
    assert (data + foreign).startswith(whole(data + foreign))
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return
    assert mixed(data).text == text


@given(st.text(st.sampled_from("> -\n\r:ab1@\ufdd0\ufdd1\ufdd2OnwroteFm"), max_size=300))
@BOUNDED
def test_any_text_has_a_reply_and_no_word_is_lost_by_joining_lines(text: str) -> None:
    reply = reply_text(text)
    assert reply.strip() or not text.strip("\ufdd0\ufdd1\ufdd2 \n\r\t") or reply == ""
    assert not set("\ufdd0\ufdd1\ufdd2") & set(reply)
    joined = unwrapped(text, delete_blank=False)
    assert "".join(joined.split()).replace(">", "") == "".join(text.split()).replace(">", "")


@given(st.binary(max_size=400), st.integers(0, 400))
@BOUNDED
def test_any_bytes_inside_a_signature_or_a_tnef_stream_are_read_or_left(data: bytes, cut: int) -> None:
    signed_content(data)
    assert signed_content(signed(data)) == data
    assert signed_content(signed(data, streamed=True)) == data
    signed_content(signed(data, streamed=True)[:cut])
    for stream in (
        data,
        SIGNATURE + data,
        winmail(data),
        winmail(file_of(b"n", data))[:cut],
        winmail(attribute(1, 0x9003, data)),
    ):
        message = read(stream)
        for piece in [] if message is None else [message.text, message.html, *(file.content for file in message.files)]:
            assert piece is None or 0 <= piece.start <= piece.end <= len(stream)
    for block in blocks(data, 0, len(data), 10):
        assert data[block.start :].startswith(b"begin ")
        assert block.start < block.end <= len(data)


CHARSETS = ["utf-8", "iso-8859-1", "iso-8859-15", "windows-1251", "koi8-r", "shift_jis", "gb2312", "utf-16", "us-ascii"]
LETTERS = {
    "windows-1251": "абвгд ёж",
    "koi8-r": "абвгд еж",
    "shift_jis": "日本語かな",
    "gb2312": "中文字符",
    "us-ascii": "abc xyz",
}


@st.composite
def part(draw: st.DrawFn, *, attached: bool) -> tuple[bytes, bytes | str]:
    """(a well-formed part, what is in it)."""
    newline = draw(st.sampled_from([b"\n", b"\r\n"]))
    encoding = b"base64" if attached else draw(st.sampled_from([b"base64", b"quoted-printable"]))
    content: bytes | str
    if attached:
        content = data = draw(st.binary(max_size=300))
        header = b'Content-Type: application/x-thing; name="t.bin"\nContent-Disposition: attachment\n'
    else:
        charset = draw(st.sampled_from(CHARSETS))
        content = draw(st.text(LETTERS.get(charset, "abc áéíöß") + "=_?<>-", min_size=1, max_size=200))
        data = content.encode(charset)
        header = f"Content-Type: text/plain; charset={charset}\n".encode()
    coded = base64.encodebytes(data) if encoding == b"base64" else quopri.encodestring(data)
    raw = header + b"Content-Transfer-Encoding: " + encoding + b"\n\n" + coded
    return raw.replace(b"\n", newline), content


@st.composite
def well_formed(draw: st.DrawFn) -> tuple[bytes, list[str], list[bytes]]:
    """(a mail, its texts, its attachments): a mixed of parts, perhaps one deeper."""
    parts = draw(st.lists(part(attached=False), min_size=1, max_size=3))
    attached = draw(st.lists(part(attached=True), max_size=3))
    inner = b"".join(b"--inner\n" + raw + b"\n" for raw, _ in parts)
    body = b"--outer\nContent-Type: multipart/mixed; boundary=inner\n\n" + inner + b"--inner--\n"
    body += b"".join(b"--outer\n" + raw + b"\n" for raw, _ in attached)
    head = b'From: "Lima, Ana" <ana@x.example>\nTo: b@x.example, C <c@x.example>\nSubject: s\nMessage-ID: <1@x>\n'
    raw = head + b'Content-Type: multipart/mixed; boundary="outer"\n\npreamble\n' + body + b"--outer--\n"
    return raw, [str(text) for _, text in parts], [bytes(data) for _, data in attached if isinstance(data, bytes)]


def of_the_standard_library(raw: bytes) -> tuple[list[bytes], list[bytes]]:
    """(decoded texts, decoded attachments) as compat32 reads them."""
    found: tuple[list[bytes], list[bytes]] = ([], [])
    for leaf in email.message_from_bytes(raw, policy=email.policy.compat32).walk():
        if not leaf.is_multipart():
            data = leaf.get_payload(decode=True)
            assert isinstance(data, bytes)
            found[leaf.get_content_disposition() == "attachment"].append(data)
    return found


@given(well_formed())
@settings(BOUNDED, max_examples=60)
def test_of_well_formed_mail_the_same_is_read_as_by_the_standard_library(
    made: tuple[bytes, list[str], list[bytes]],
) -> None:
    raw, written, attached = made
    mail = parse(raw)
    theirs_text, theirs_attached = of_the_standard_library(raw)
    assert [found.content for found in mail.attachments] == theirs_attached == attached
    assert [found.size for found in mail.attachments] == [len(data) for data in attached]
    assert len(theirs_text) == len(written)
    assert mail.text == (written[0] if len(written) == 1 else "".join(text + "\n" for text in written))
    assert [address.address for address in mail.to] == ["b@x.example", "c@x.example"]
    assert mail.sender is not None
    assert mail.sender.name == "Lima, Ana"
