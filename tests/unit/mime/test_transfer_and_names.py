"""Transfer encodings, parameters and file names."""
# ruff: noqa: N802  # a name carries the id of its threat

import base64
import binascii

import pytest

from shared.mime import parse, transfer


def attachment(disposition: bytes, content_type: bytes = b"application/octet-stream") -> str:
    raw = b"Content-Type: " + content_type + b"\nContent-Disposition: attachment" + disposition + b"\n\nx"
    return parse(raw).attachments[0].filename


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (b"YWJj", b"abc"),
        (b"YW Jj\r\n", b"abc"),
        (b"YW!Jj", b"abc"),
        (b"YWI", b"ab"),
        (b"YWJjZ", b"abc"),
        (b"YQ==\nYWJj\n", b"aabc"),
        (b"YQ==YWJj", b"aabc"),
        (b"YQ==\n\nSent from my telephone!\n", b"a"),
        (b"YWJj\n____________\nlist footer\n", b"abc"),
        (b"YWJj\nSent with my telephone\n", b"abc"),
        (b"YWI=\nrodape\n", b"ab"),
        (b"YWI=\nObrigado\n", b"ab"),
        (b"YWI=\nOBRIGADO\n", b"ab"),
        (b"YWJj\nObrigado\n", b"abc"),
        (b"YWJj\nAviso legal\n", b"abc"),
        (b"YWJj\nabcd\n", b"abci\xb7\x1d"),
        (b"QUJD" * 19 + b"\n" + b"YWJj\nObrigado\n", b"ABC" * 19 + b"abc"),
        (b"QUJD" * 19 + b"\n" + b"abcdefgh\n", b"ABC" * 19 + b"i\xb7\x1dy\xf8!"),
        (b"YQ==\nT2zDoSwg\n", b"aOl\xc3\xa1, "),
        (b"Bom dia, meu pedido\nainda nao chegou.\n", b"Bom dia, meu pedido\nainda nao chegou.\n"),
        (b"T2zDoSwgbsOjbyBjaGVnb3Us IG9icmln YWRhIHBlbGEgYWp1ZGE= ", "Olá, não chegou, obrigada pela ajuda".encode()),
        (b"", b""),
        (b"====", b""),
        (b"!!!", b""),
    ],
)
def test_base64_is_read_as_far_as_it_can_be(written: bytes, read: bytes) -> None:
    assert transfer.base64(written) == read


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (b"a=3Db=", b"a=b"),
        (b"a=\r\nb", b"ab"),
        (b"a= \t\r\nb", b"ab"),
        (b"a=ZZ=4 =", b"a=ZZ=4 "),
        (b"a  \nb", b"a\nb"),
        (b"a=\rb\nc", b"ab\nc"),
        (b"=e9=E9", b"\xe9\xe9"),
    ],
)
def test_quoted_printable_is_read_as_far_as_it_can_be(written: bytes, read: bytes) -> None:
    assert transfer.quoted_printable(written) == read


def test_uuencode_with_wrong_padding_and_missing_end_is_read() -> None:
    data = bytes(range(256)) * 2
    lines = [binascii.b2a_uu(data[at : at + 45]) for at in range(0, len(data), 45)]
    encoded = b"text before\nbegin 644 a b.bin\n" + b"".join(lines)
    assert transfer.uuencoded(encoded + b"`\nend\ntext behind\n") == data
    assert transfer.uuencoded(encoded.replace(b"\n", b"\r\n")) == data
    assert transfer.uuencoded(b"begin 644 x\n#86)C~~~~\nend\n") == b"abc"


def test_an_unknown_encoding_leaves_the_bytes_as_they_are() -> None:
    assert parse(b"Content-Transfer-Encoding: x-yenc\n\n=3D").text == "=3D"
    assert parse(b"Content-Transfer-Encoding: Quoted-Printable (comment)\n\n=3D").text == "="
    assert parse(b'Content-Transfer-Encoding: "base64"\n\nYQ==').text in ("a", "YQ==")


@pytest.mark.parametrize("size", [0, 1, 2, 3, 56, 57, 58, 1000])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_the_size_of_an_attachment_is_exact_without_decoding(size: int, end: bytes) -> None:
    encoded = base64.encodebytes(b"x" * size).replace(b"\n", end)
    raw = end.join([b"Content-Type: a/b", b"Content-Transfer-Encoding: base64", b"", b""]) + encoded
    (part,) = parse(raw).attachments
    assert part.size == len(part.content) == size


@pytest.mark.parametrize(
    ("written", "name"),
    [
        (b"; filename=a.pdf", "a.pdf"),
        (b'; filename="a b;c.pdf"', "a b;c.pdf"),
        (b'; filename="a\\"b.pdf"', 'a"b.pdf'),
        (b"; filename=a b.pdf; size=1", "a b.pdf"),
        (b'; filename="never closed.pdf', "never closed.pdf"),
        (b"; FILENAME = x.pdf", "x.pdf"),
        (b"; filename=Nota (2)", "Nota (2)"),
        (b'; filename="Relat%C3%B3rio.pdf"', "Relatório.pdf"),
        (b'; filename="100%25 caf%E9 %c3.pdf"', "100%25 caf%E9 %c3.pdf"),
        (b"; filename*=utf-8'pt'caf%C3%A9.pdf; filename=cafe.pdf", "café.pdf"),
        (b"; filename*=iso-8859-1''caf%E9.pdf", "café.pdf"),
        (b"; filename*=caf%C3%A9.pdf", "café.pdf"),
        (b"; filename*0*=utf-8''caf%C3; filename*1*=%A9; filename*2=\".pdf\"", "café.pdf"),
        (b"; filename*1=b.pdf; filename*0=a", "ab.pdf"),
        (b"; filename*0=a; filename*2=c", "a"),
        (b'; filename="=?utf-8?q?caf=C3=A9?=.pdf"', "café.pdf"),
        (b"; filename=\"utf-8''caf%C3%A9.pdf\"", "café.pdf"),
        ("; filename=café.pdf".encode(), "café.pdf"),
        ("; filename=café.pdf".encode("latin-1"), "café.pdf"),
        (b"; filename=100%25.pdf", "100%25.pdf"),
        (b";;;; filename==x", "=x"),
        (b' filename="no semicolon.pdf"', "no semicolon.pdf"),
        (b'; size=3 filename="a.pdf"', "a.pdf"),
        (b'; filename="a.pdf" size=3', "a.pdf"),
        (b"; filename=a b.pdf size=3", "a b.pdf"),
        (b"; filename*1=a; filename*2=b.pdf", "ab.pdf"),
        (b'; filename*0="=?UTF-8?B?UmVsYXTDs3Jpbw==?="; filename*1=".pdf"', "Relatório.pdf"),
        (b'; filename*0="=?UTF-8?B?UmVsYXTD"; filename*1="s3Jpbw==?=.pdf"', "Relatório.pdf"),
        (b"; filename*0*=utf-8''=?UTF-8?Q?caf=C3=A9?=; filename*1=.pdf", "café.pdf"),
        (b"; filename*==?UTF-8?Q?caf=C3=A9?=.pdf", "café.pdf"),
        ("; filename*0=caf; filename*1=é.pdf".encode("latin-1"), "café.pdf"),
        (b"; filename", ""),
        (b"", ""),
    ],
)
def test_file_names_are_read_in_every_spelling(written: bytes, name: str) -> None:
    assert attachment(written) == name


def test_the_name_of_the_content_type_stands_in_for_a_missing_filename() -> None:
    assert attachment(b"", b"a/b; name=x.bin") == "x.bin"
    assert attachment(b"", b"a/b; name*=utf-8''%C3%A9") == "é"
    assert attachment(b"; filename=y", b"a/b; name=x") == "y"


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("../../etc/passwd", ".._.._etc_passwd"),
        ("C:\\\\x", "C:_x"),
        ("<img src=x onerror=alert(1)>.txt", "<img src=x onerror=alert(1)>.txt"),
        ("a\0b", "a\ufffdb"),
        ("a\x07b\x7f", "a_b_"),
        (".htaccess", ".htaccess"),
        ("in\u200bvisi\u202efdp.exe", "in_visi_fdp.exe"),
        ("=?utf-8?q?a=2Fb=0D=0Ac?=", "a_b c"),
    ],
)
def test_I6_a_hostile_file_name_is_harmless_data(written: str, name: str) -> None:
    assert attachment(f'; filename="{written}"'.encode()) == name


def test_I2_line_ends_quotes_and_commas_in_names_stay_on_one_line() -> None:
    mail = parse(b"From: =?utf-8?q?a=0D=0A=22=2Cb?= <a@b.example>\n\n")
    assert mail.sender is not None
    assert mail.sender.name == 'a ",b'


def test_C11_duplicate_empty_and_overlong_names_are_all_kept() -> None:
    part = b"--b\nContent-Disposition: attachment; filename=%s\n\nx\n"
    names = [b"same.txt", b"same.txt", b'""', b"x" * 300 + b".tar.gz", "é".encode() * 200 + b".pdf", b"y" * 400]
    mail = parse(b"Content-Type: multipart/mixed; boundary=b\n\n" + b"".join(part % name for name in names) + b"--b--")
    read = [attachment.filename for attachment in mail.attachments]
    assert read[:3] == ["same.txt", "same.txt", ""]
    assert [len(name.encode()) for name in read[3:]] == [255, 254, 255]
    assert read[3].endswith(".gz")
    assert read[4].endswith("é.pdf")
    assert len({(attachment.offset, attachment.length) for attachment in mail.attachments}) == 6


def test_C8_of_two_content_types_and_two_equal_parameters_the_first_counts() -> None:
    assert parse(b"Content-Type: text/html\nContent-Type: text/plain\n\n<p>x").html == "<p>x"
    assert parse(b"Content-Type: text/plain; charset=koi8-r; charset=utf-8\n\n\xd0").text == "п"


@pytest.mark.parametrize(
    "written",
    [
        b"; boundary*=us-ascii''zz9",
        b"; boundary*=zz9",
        b'; boundary*0="zz"; boundary*1="9"',
        b"; boundary*0*=us-ascii''z; boundary*1*=%7A; boundary*2=9",
        b'\n boundary="zz9"',
        b" boundary=zz9",
        b' charset="utf-8" boundary=zz9',
        b'; type="text/html" boundary="zz9"',
        b";; boundary = zz9",
        b", boundary=zz9",
        b" (mixed); boundary=zz9 (the boundary)",
    ],
)
def test_a_boundary_in_pieces_with_a_charset_or_without_its_semicolon_is_found(written: bytes) -> None:
    raw = (
        b"Content-Type: multipart/mixed"
        + written
        + b"\n\n--zz9\nContent-Type: text/plain; charset*=us-ascii''koi8-r\n\n\xd0\n--zz9--\n"
    )
    mail = parse(raw)
    assert (mail.text, mail.attachments) == ("п", [])


@pytest.mark.parametrize("written", [b"text/plain charset=koi8-r", b"text/plain; format=fixed charset=koi8-r delsp=no"])
def test_a_charset_without_its_semicolon_is_found(written: bytes) -> None:
    assert parse(b"Content-Type: " + written + b"\n\n\xd0").text == "п"
