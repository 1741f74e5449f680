"""What is packed into another part: files in a text, winmail.dat, the entity inside an opaque signature."""
# ruff: noqa: N802  # a name carries the id of its threat

import base64
import binascii
import struct

import pytest

from shared.mime import Mail, parse
from shared.mime.smime import signed_content
from tests.unit.mime.packed import attribute, der, file_of, properties, signed, winmail


def attached(mail: Mail) -> list[tuple[str, bytes]]:
    return [(part.filename, part.content) for part in mail.attachments]


def of_one_part(kind: str, data: bytes, head: str = "") -> Mail:
    header = f"From: a@b.example\n{head}Content-Type: {kind}\nContent-Transfer-Encoding: base64\n\n"
    return parse(header.encode() + base64.encodebytes(data))


# --- S/MIME -----------------------------------------------------------------------------------------------------

ENTITY = "Content-Type: text/plain; charset=utf-8\r\n\r\nBom dia, segue o pedido assinado, não esqueça.\r\n".encode()
MIXED = (
    b"Content-Type: multipart/mixed; boundary=i\r\n\r\n--i\r\n\r\nsigned text\r\n--i\r\nContent-Type: application/pdf;"
    b" name=pedido.pdf\r\n\r\n%PDF\r\n--i--\r\n"
)
KINDS = [
    'application/pkcs7-mime; smime-type=signed-data; name="smime.p7m"',
    "application/x-pkcs7-mime; name=smime.p7m",
    "application/pkcs7-mime",
    'application/octet-stream; name="SMIME.P7M"',
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("streamed", [False, True])
def test_C10_the_text_inside_an_opaque_signature_is_shown(kind: str, streamed: bool) -> None:
    mail = of_one_part(kind, signed(ENTITY, streamed=streamed))
    assert mail.text == "Bom dia, segue o pedido assinado, não esqueça.\n"
    assert "signature_not_verified" in mail.defects
    assert [part.content for part in mail.attachments] == [signed(ENTITY, streamed=streamed)]


@pytest.mark.parametrize("streamed", [False, True])
def test_C10_files_inside_an_opaque_signature_are_attachments(streamed: bool) -> None:
    mail = of_one_part("application/pkcs7-mime; name=smime.p7m", signed(MIXED, streamed=streamed))
    assert mail.text == "signed text"
    assert attached(mail)[0] == ("pedido.pdf", b"%PDF")
    assert [part.filename for part in mail.attachments] == ["pedido.pdf", "smime.p7m"]


def test_C10_a_signature_inside_a_mixed_and_one_around_another_are_opened() -> None:
    twice = signed(b"Content-Type: application/pkcs7-mime\nContent-Transfer-Encoding: binary\n\n" + signed(ENTITY))
    raw = b"Content-Type: multipart/mixed; boundary=b\n\n--b\n\nbefore\n--b\nContent-Type: application/pkcs7-mime\n\n"
    mail = parse(raw + twice + b"\n--b\n\nfooter\n--b--\n")
    assert mail.text == "before\nBom dia, segue o pedido assinado, não esqueça.\nfooter\n"


def test_C10_signatures_around_signatures_end_somewhere() -> None:
    data = ENTITY
    for _ in range(20):
        data = b"Content-Type: application/pkcs7-mime\nContent-Transfer-Encoding: binary\n\n" + signed(data)
    mail = parse(data)
    assert mail.text == ""
    assert len(mail.attachments) == 4


def test_C10_what_is_encrypted_stays_one_attachment() -> None:
    mail = of_one_part("application/pkcs7-mime; smime-type=enveloped-data", signed(ENTITY, enveloped=True))
    assert (mail.text, len(mail.attachments)) == ("", 1)
    assert "signature_not_verified" not in mail.defects


def test_bytes_that_are_no_signed_data_are_told_so() -> None:
    whole = signed(ENTITY)
    for cut in range(len(whole) - 40):
        assert signed_content(whole[:cut]) is None
    streamed = signed(ENTITY, streamed=True)
    for cut in range(60):
        assert not signed_content(streamed[:cut])
    for data in (
        b"",
        b"\x30",
        b"\x30\x80" * 5000,
        b"\x30\x88" + b"\xff" * 8,
        b"\x30\x89" + b"\x01" * 20,
        der(0x30, b""),
    ):
        assert signed_content(data) is None
    assert signed_content(signed(b"")) == b""


# --- winmail.dat ------------------------------------------------------------------------------------------------


def in_a_mixed(data: bytes, kind: str = 'application/ms-tnef; name="winmail.dat"', text: str = "text") -> Mail:
    head = f"Content-Type: multipart/mixed; boundary=t\n\n--t\n\n{text}\n--t\nContent-Type: {kind}\n"
    return parse(head.encode() + b"Content-Transfer-Encoding: base64\n\n" + base64.encodebytes(data) + b"\n--t--\n")


@pytest.mark.parametrize(
    "kind", ["application/ms-tnef", "application/vnd.ms-tnef; name=x", 'application/octet-stream; name="WINMAIL.DAT"']
)
def test_C9_the_files_of_winmail_dat_are_the_attachments(kind: str) -> None:
    data = winmail(file_of(b"NOTA~1.PDF", b"%PDF-1", (0x1F, 0x3707, "Nota número 1.pdf\0".encode("utf-16le"))))
    mail = in_a_mixed(data, kind)
    assert (mail.text, attached(mail)) == ("text", [("Nota número 1.pdf", b"%PDF-1")])
    assert mail.attachments[0].size == 6


def test_C9_names_in_the_code_page_of_their_writer_kinds_and_content_ids_are_read() -> None:
    more = [(0x1E, 0x370E, b"image/png\0"), (0x1E, 0x3712, b"<logo@x>\0"), (0x03, 0x3705, b"\1\0\0\0")]
    mail = in_a_mixed(winmail(file_of("Счёт.png".encode("cp1251"), b"png", *more), code_page=1251))
    (part,) = mail.attachments
    assert (part.filename, part.content_type, part.content_id, part.inline) == ("Счёт.png", "image/png", "logo@x", True)


def test_C9_the_text_of_winmail_dat_stands_in_only_where_the_mail_has_no_other() -> None:
    body = attribute(1, 0x800C, "Olá, não chegou\0".encode("cp1252"))
    html = (0x102, 0x1013, "<p>Olá, não</p>".encode("cp1252"))
    assert in_a_mixed(winmail(body)).text == "text"
    assert parse(b"Content-Type: application/ms-tnef\n\n" + winmail(body)).text == "Olá, não chegou"
    named = (0x1F, 0x8001, b"")
    mail = parse(b"Content-Type: application/ms-tnef\n\n" + winmail(attribute(1, 0x9003, properties(html))))
    assert (mail.text.strip(), mail.html, mail.attachments) == ("Olá, não", "<p>Olá, não</p>", [])
    assert named


def test_C9_properties_with_names_and_with_several_values_are_read_past() -> None:
    name = "Keywords\0".encode("utf-16le")
    found = struct.pack("<I", 4)
    found += struct.pack("<HH", 0x101E, 0x8001) + b"g" * 16 + struct.pack("<II", 1, len(name)) + name + b"\0" * 2
    found += struct.pack("<I", 2) + struct.pack("<I", 2) + b"a\0\0\0" + struct.pack("<I", 4) + b"abc\0"
    found += struct.pack("<HH", 0x03, 0x8002) + b"g" * 16 + struct.pack("<II", 0, 7) + b"\0\0\0\0"
    found += struct.pack("<HH", 0x1003, 0x3700) + struct.pack("<III", 2, 1, 2)
    found += struct.pack("<HH", 0x1E, 0x1000) + struct.pack("<II", 1, 4) + b"text"
    assert parse(b"Content-Type: application/ms-tnef\n\n" + winmail(attribute(1, 0x9003, found))).text == "text"


def test_C9_what_cannot_be_read_or_holds_more_than_is_read_is_kept_whole() -> None:
    rich = winmail(attribute(1, 0x9003, properties((0x102, 0x1009, b"LZFu"))))
    for data in (b"x", b"\x78\x9f\x3e\x22", winmail(), rich):
        mail = parse(b"Content-Type: application/ms-tnef; name=winmail.dat\n\n" + data)
        assert attached(mail) == [("winmail.dat", data)]


def test_C9_a_stream_cut_anywhere_yields_what_is_whole() -> None:
    data = winmail(file_of(b"a.txt", b"A"), file_of(b"b.txt", b"B", (0x1F, 0x3707, "long.txt\0".encode("utf-16le"))))
    for cut in range(len(data)):
        mail = in_a_mixed(data[:cut])
        assert "parser_failed" not in mail.defects
        assert mail.attachments
    names = [part.filename for part in in_a_mixed(data[:-5]).attachments]
    assert names == ["a.txt", "b.txt", "winmail.dat"]  # what is missing may be in there
    lying = winmail(attribute(1, 0x9003, struct.pack("<I", 0xFFFFFFFF) + b"\x03\0\0\x10"), file_of(b"a", b"A"))
    assert attached(in_a_mixed(lying)) == [("a", b"A")]


# --- uuencode ---------------------------------------------------------------------------------------------------

FILE = bytes(range(256)) * 3


def uu(name: str, data: bytes, end: str = "end\n") -> bytes:
    lines = b"".join(binascii.b2a_uu(data[at : at + 45], backtick=True) for at in range(0, len(data), 45))
    return f"begin 644 {name}\n".encode() + lines + b"`\n" + end.encode()


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("encoding", ["7bit", "quoted-printable", "base64"])
def test_files_uuencoded_in_a_text_are_attachments_and_the_text_is_without_them(encoding: str, line_end: bytes) -> None:
    body = b"Segue o arquivo.\n\n" + uu("nota.bin", FILE) + b"\nObrigada\n" + uu("b.txt", b"two") + b"fim\n"
    body = body.replace(b"\n", line_end)
    coded = {
        "7bit": body,
        "quoted-printable": body.replace(b"=", b"=3D"),
        "base64": base64.encodebytes(body),
    }[encoding]
    mail = parse(f"Content-Transfer-Encoding: {encoding}\nContent-Type: text/plain\n\n".encode() + coded)
    assert mail.text == "Segue o arquivo.\n\n\nObrigada\nfim\n"
    assert attached(mail) == [("nota.bin", FILE), ("b.txt", b"two")]
    assert [part.size for part in mail.attachments] == [len(FILE), 3]


def test_a_uuencoded_file_larger_than_a_text_may_be_is_whole_and_the_text_behind_it_is_read() -> None:
    data = b"0123456789" * 120_000
    mail = parse(b"Content-Type: text/plain\n\nbefore\n" + uu("big.bin", data) + b"behind\n")
    assert mail.text == "before\nbehind\n"
    assert attached(mail) == [("big.bin", data)]
    assert "body_cut" not in mail.defects


def test_a_uuencoded_file_without_its_end_is_read_as_far_as_it_goes() -> None:
    mail = parse(b"\n\n" + b"Subject: s\n\ntext\n" + uu("a.bin", FILE, end="")[:-2])
    assert attached(mail) == [("a.bin", FILE)]
    assert mail.text == "text\n"


@pytest.mark.parametrize(
    "text", ["begin 644 people\nwill come\nend\n", "begin now\nend\n", "begin 644 x\n", "xbegin 644 x\n`\nend\n"]
)
def test_words_that_begin_like_a_uuencoded_file_stay_text(text: str) -> None:
    mail = parse(b"Subject: s\n\n" + text.encode())
    assert (mail.text, mail.attachments) == (text, [])
