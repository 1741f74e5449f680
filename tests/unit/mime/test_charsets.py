"""The ladder from the sender's label to text."""
# ruff: noqa: N802  # a name carries the id of its threat

import codecs

import pytest

from shared.mime import Limits, parse
from shared.mime.charset_labels import codec
from shared.mime.charsets import Decoder


def body(data: bytes, label: str) -> str:
    return parse(b"Content-Type: text/plain; charset=" + label.encode() + b"\n\n" + data).text


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("US-ASCII", "utf-8"),
        ("iso-8859-1", "cp1252"),
        ("Latin1", "cp1252"),
        ('"ISO-8859-15"', "iso-8859-15"),
        ("iso8859-15", "iso-8859-15"),
        ("windows-1251", "cp1251"),
        ("CP-1250", "cp1250"),
        ("x-cp1252", "cp1252"),
        ("gb2312", "gb18030"),
        ("gbk", "gb18030"),
        ("x-sjis", "cp932"),
        ("shift_jis", "cp932"),
        ("ks_c_5601-1987", "cp949"),
        ("big5", "big5hkscs"),
        ("iso-8859-8-i", "iso-8859-8"),
        ("utf8mb4", "utf-8"),
        ("iso-2022-jp", "iso2022_jp_ext"),
        ("utf-8; format=flowed", "utf-8"),
        ("utf-8*en", "utf-8"),
        ("iso-utf-8", "utf-8"),
    ],
)
def test_labels_of_mail_are_known_under_their_many_spellings(label: str, name: str) -> None:
    assert codec(label) == name


@pytest.mark.parametrize(
    "label",
    [
        "unicode_escape",
        "raw_unicode_escape",
        "punycode",
        "idna",
        "undefined",
        "base64",
        "rot13",
        "hex",
        "zlib",
        "mbcs",
        "",
    ],
)
def test_python_codecs_that_are_no_charsets_of_mail_are_never_reached(label: str) -> None:
    assert codec(label) is None


def test_every_codec_of_the_list_exists_in_python() -> None:
    from shared.mime import charset_labels

    for name in [*charset_labels._KNOWN, *charset_labels._ALIASES.values()]:
        assert codecs.lookup(name)._is_text_encoding, name
        assert name in charset_labels._KNOWN


def test_the_declared_charset_is_believed_when_it_fits() -> None:
    assert body("Привет".encode("koi8-r"), "koi8-r") == "Привет"
    assert body("日本語".encode("euc-jp"), "euc-jp") == "日本語"
    assert body("中文€".encode("gb18030"), "gb2312") == "中文€"


def test_a_wrong_label_gives_way_to_utf_8() -> None:
    assert body("Ação".encode(), "us-ascii") == "Ação"
    assert body("Привет, мир".encode(), "iso-2022-jp") == "Привет, мир"


def test_windows_characters_under_the_name_of_latin_1_are_read() -> None:
    assert body(b"\x93quoted\x94 \x80 5", "iso-8859-1") == "“quoted” € 5"


def test_circled_digits_in_iso_2022_jp_are_read_as_windows_writes_them() -> None:
    assert body(b'\x1b$B-!-"\x1b(B ok \x1b$B$"\x1b(B', "iso-2022-jp") == "①② ok あ"
    assert body(b"\x1b$B-!\x1b(I1\x1b(B", "iso-2022-jp") == "①ｱ"


def test_a_few_broken_characters_do_not_discredit_the_declared_charset() -> None:
    text = "漢字仮名交じり文で書かれた長い文章です。" * 3
    assert body(text.encode("cp932") + b"\x81", "shift_jis").startswith(text)


def test_the_charset_of_unlabelled_text_is_guessed() -> None:
    russian = "Здравствуйте, у меня не работает принтер, помогите пожалуйста. Спасибо большое!"
    assert body(russian.encode("cp1251"), "unknown-8bit") == russian


def test_the_number_of_guesses_in_one_mail_is_bounded() -> None:
    # no charset at all: what one guess finds would serve for the others
    part = b"--b\n\n" + b"\x80\xff\xfe\x81\x8d\x00\x01" * 5 + b"\n"
    raw = b"Content-Type: multipart/mixed; boundary=b\n\n" + part * 5
    assert "charset_not_guessed" in parse(raw, Limits(guesses=2)).defects
    assert "charset_not_guessed" not in parse(raw, Limits(guesses=5)).defects


def test_any_bytes_are_text_in_the_end() -> None:
    noise = bytes(range(256)) * 4
    for label in ("utf-8", "utf-16", "utf-7", "iso-2022-kr", "hz", "big5", "cp1252", "none-such"):
        text = body(noise, label)
        assert text.encode().decode() == text
        assert "\0" not in text


def test_C8_utf_7_is_read_in_a_body_that_declares_it_and_in_a_subject_and_never_in_an_address() -> None:
    assert body(b"+AGEA4Q-", "utf-7") == "aá"
    mail = parse(b"Subject: =?utf-7?q?+ADw-script+AD4-?=\nFrom: =?utf-7?q?x+AEA-y?= <a@b.example>\n\n+ADw-")
    assert (mail.subject, mail.header("subject")) == ("<script>", "<script>")
    assert parse(b"Subject: =?utf-7?Q?Re=3A_Best+AOQ-tigung?=\n\n").subject == "Re: Bestätigung"
    assert parse(b"Subject: +AOQ- raw\n\n").subject == "+AOQ- raw"
    assert mail.text == "+ADw-"
    assert mail.sender is not None
    assert mail.sender.name == "=?utf-7?q?x+AEA-y?="


def test_C2_lone_surrogates_leave_the_parser_as_replacement_characters() -> None:
    assert body(b"a+2AA-b", "utf-7") == "a\ufffdb"
    assert body(b"a\xed\xa0\x80b", "utf-8").encode().decode()


def test_a_byte_order_mark_is_no_text() -> None:
    assert body(codecs.BOM_UTF8 + b"a", "utf-8") == "a"
    assert body("aé".encode("utf-16"), "utf-16") == "aé"


def test_a_label_that_says_nothing_is_no_defect_and_an_unknown_one_is() -> None:
    decoder = Decoder(guesses=0)
    decoder.text(b"a", "x-unknown")
    assert decoder.defects == []
    decoder.text(b"a", "klingon")
    assert decoder.defects == ["charset_unknown"]
