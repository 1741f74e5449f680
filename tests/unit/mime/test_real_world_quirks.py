"""Input on which other parsers raise, lose the sender or the text, or stall: here each becomes an ordinary mail."""

import base64

import pytest

from shared.mime import Address, parse


def test_an_attachment_that_is_itself_a_multipart_does_not_lose_its_leaves() -> None:
    for kind in ("mixed", "parallel", "digest", "signed", "report"):
        mail = parse(
            b"From: a@b.example\nContent-Type: multipart/mixed; boundary=o\n\n--o\n\nhello\n--o\nContent-Disposition: "
            b"attachment\nContent-Type: multipart/"
            + kind.encode()
            + b"; boundary=i\n\n--i\nContent-Type: image/png\n\n"
            b"png\n--i--\n--o--\n"
        )
        assert mail.text == "hello"
        assert [part.content for part in mail.attachments] == [b"png"], kind


@pytest.mark.parametrize(
    "label", [b"x-unheard-of", b"utf8x", b"'utf-8'", b'"\\"utf-8\\""', b"us-asciii", b"unicode_escape"]
)
def test_an_unknown_misspelt_or_quoted_charset_label_still_yields_the_text(label: bytes) -> None:
    mail = parse(b"From: a@b.example\nContent-Type: text/plain; charset=" + label + b"\n\nOl\xc3\xa1 \\u0041\n")
    assert mail.text == "Olá \\u0041\n"


def test_group_syntax_in_from_yields_its_member() -> None:
    mail = parse(b"From: Team: Ana <ana@x.example>, bob@x.example;\nTo: undisclosed-recipients:;\n\n")
    assert mail.sender == Address("Ana", "ana@x.example")
    assert [address.address for address in mail.all_from] == ["ana@x.example", "bob@x.example"]
    assert mail.to == []


@pytest.mark.parametrize("local", [b'""', b".", b"a..b", b'"a', b"a.\x00b", b"a@b@c", b"[", b"(", b"<<a"])
def test_a_malformed_local_part_never_raises_and_spoils_no_other_field(local: bytes) -> None:
    mail = parse(b"From: X <" + local + b"@x.example>\nSubject: s\nTo: t@x.example\n\nbody")
    assert (mail.subject, mail.to, mail.text) == ("s", [Address("", "t@x.example")], "body")
    assert "parser_failed" not in mail.defects


def test_an_rfc_2231_name_that_is_not_what_its_charset_says_is_decoded_all_the_same() -> None:
    mail = parse(b"Content-Type: application/pdf\nContent-Disposition: attachment; filename*=utf-8''caf%E9.pdf\n\nx")
    assert mail.attachments[0].filename == "café.pdf"


def test_a_line_end_inside_a_decoded_address_is_gone() -> None:
    mail = parse(b"From: =?utf-8?q?Ana_=0D=0A_Lima?= <ana@x.example>\n\n")
    assert mail.sender == Address("Ana Lima", "ana@x.example")


def test_blanks_between_two_encoded_words_of_a_display_name_vanish() -> None:
    mail = parse(b"From: =?utf-8?q?Jo=C3=A3o?= =?utf-8?q?_da_Silva?= <j@x.example>\n\n")
    assert mail.sender == Address("João da Silva", "j@x.example")


@pytest.mark.parametrize("name", ["João".encode(), "João".encode("latin-1")])
def test_a_raw_8_bit_name_in_from_is_read_and_storable(name: bytes) -> None:
    mail = parse(b"From: " + name + b" <j@x.example>\n\n")
    assert mail.sender == Address("João", "j@x.example")


def test_a_utf_8_body_without_a_charset_is_read_as_utf_8() -> None:
    assert parse("From: a@b.example\n\nAção não é opção".encode()).text == "Ação não é opção"


def test_base64_text_with_a_list_footer_loses_nothing_but_the_footer() -> None:
    encoded = base64.encodebytes("Olá, preciso de ajuda.".encode())
    for footer in (
        b"_______________________________________________\nlista mailing list\nlista@x.example\n",
        b"--\nbye bye\n",
    ):
        mail = parse(b"Content-Transfer-Encoding: base64\n\n" + encoded + footer)
        assert mail.text == "Olá, preciso de ajuda."


def test_truncated_base64_yields_what_is_there() -> None:
    mail = parse(b"Content-Transfer-Encoding: base64\n\n" + base64.b64encode(b"hello world")[:-3])
    assert mail.text == "hello wor"


def test_two_base64_blocks_one_after_the_other_are_both_read() -> None:
    blocks = base64.encodebytes(b"first block.") + base64.encodebytes(b"second, and padded") + base64.encodebytes(b"x")
    assert parse(b"Content-Transfer-Encoding: base64\n\n" + blocks).text == "first block.second, and paddedx"


@pytest.mark.parametrize(
    "declared", [b"multipart/mixed", b"multipart/mixed; boundary=never-seen", b'multipart/mixed; boundary=""']
)
def test_a_multipart_without_a_usable_boundary_is_one_text(declared: bytes) -> None:
    mail = parse(b"From: a@b.example\nContent-Type: " + declared + b"\n\n--x\n\nthe text\n")
    assert "the text" in mail.text
    assert "multipart_without_parts" in mail.defects


def test_a_name_broken_at_an_unquoted_comma_is_joined() -> None:
    mail = parse(b"From: Doe, Jane <jane@x.example>\n\n")
    assert mail.sender == Address("Doe, Jane", "jane@x.example")


def test_from_without_an_address_has_no_sender() -> None:
    mail = parse(b"From: root\n\n")
    assert (mail.sender, mail.sender_source, mail.all_from) == (None, "none", [])
    assert "sender_unreadable" in mail.defects


def test_an_encoded_word_glued_to_text_and_one_of_an_unknown_charset_are_decoded() -> None:
    assert parse(b"Subject: Re:=?utf-8?q?=C3=A9?=x\n\n").subject == "Re:éx"
    assert parse(b"Subject: =?x-none-such?q?=C3=A9?=\n\n").subject == "é"


def test_encoded_words_cut_in_the_middle_of_base64_or_of_a_character_are_whole_again() -> None:
    encoded = base64.b64encode("Atualização de cadastro não concluída".encode()).decode()
    cut = f"Subject: =?utf-8?b?{encoded[:18]}?=\n =?utf-8?b?{encoded[18:]}?=\n\n".encode()
    assert parse(cut).subject == "Atualização de cadastro não concluída"
    assert parse(b"Subject: =?utf-8?q?a=C3?= =?utf-8?q?=A9?=\n\n").subject == "aé"


def test_content_type_text_alone_is_plain_text() -> None:
    assert parse(b"Content-Type: text\n\nhello").text == "hello"


def test_a_uuencoded_body_is_decoded_and_an_unreadable_one_is_text() -> None:
    encoded = b"begin 644 a.txt\n#86)C\n`\nend\n"
    assert parse(b"Content-Transfer-Encoding: x-uuencode\n\n" + encoded).text == "abc"
    assert parse(b"Content-Transfer-Encoding: uuencode\n\nnot encoded").text == "not encoded"


def test_a_forwarded_message_is_one_attachment_and_its_text_not_ours() -> None:
    inner = b"From: other@x.example\nSubject: inner\n\ninner text\n"
    mail = parse(
        b"From: a@b.example\nSubject: outer\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nouter text\n"
        b"--b\nContent-Type: message/rfc822\n\n" + inner + b"\n--b--\n"
    )
    assert (mail.subject, mail.text) == ("outer", "outer text")
    assert [(part.content_type, part.content) for part in mail.attachments] == [("message/rfc822", inner)]


def test_c1_nul_in_header_and_body_is_replaced() -> None:
    mail = parse(b"Subject: a\0b\nFrom: N\0 <a@b.example>\n\nx\0y")
    assert (mail.subject, mail.text) == ("a\ufffdb", "x\ufffdy")
    assert mail.sender == Address("N\ufffd", "a@b.example")


def test_inline_and_related_images_are_attachments_with_their_content_id() -> None:
    mail = parse(
        b"Content-Type: multipart/related; boundary=b\n\n--b\nContent-Type: text/html\n\n<img src=cid:i1>\n"
        b"--b\nContent-Type: image/png\nContent-ID: <i1>\nContent-Transfer-Encoding: base64\n\naWk=\n--b--\n"
    )
    (image,) = mail.attachments
    assert (image.content_id, image.inline, image.content, image.size) == ("i1", True, b"ii", 2)
