"""What is body and what is attachment; text from HTML."""
# ruff: noqa: N802  # a name carries the id of its threat

from shared.mime import Limits, Mail, parse


def mail_of(kind: bytes, *parts: bytes) -> Mail:
    return parse(
        b"Content-Type: multipart/"
        + kind
        + b"; boundary=b\n\n"
        + b"".join(b"--b\n" + part + b"\n" for part in parts)
        + b"--b--"
    )


HTML = b"Content-Type: text/html\n\n<p>Hello <b>you</b>"
PLAIN = b"Content-Type: text/plain\n\nplain"


def test_an_alternative_keeps_both_and_the_reader_prefers_plain() -> None:
    mail = mail_of(b"alternative", PLAIN, HTML)
    assert (mail.text, mail.html, mail.text_is_derived) == ("plain", "<p>Hello <b>you</b>", False)


def test_inline_texts_of_a_mixed_are_joined_in_order() -> None:
    mail = mail_of(b"mixed", b"\none", b"Content-Type: a/b\n\nx", b"Content-Disposition: inline\n\nthree")
    assert mail.text == "one\nthree\n"
    assert len(mail.attachments) == 1


def test_html_beside_plain_text_in_a_mixed_is_not_missing_from_the_text() -> None:
    mail = mail_of(b"mixed", PLAIN, HTML)
    assert mail.text == "plain\nHello you\n"
    assert mail.text_is_derived is False


def test_html_only_mail_gets_a_derived_text() -> None:
    mail = parse(b"Content-Type: text/html\n\n" + b"<p>Ol&aacute;</p><ul><li>one<li>two</ul><a href=x>link</a>")
    assert mail.text_is_derived
    assert [line.strip() for line in mail.text.split("\n") if line.strip()] == ["Olá", "* one", "* two", "link"]


def test_an_empty_plain_alternative_gives_way_to_the_html() -> None:
    mail = mail_of(b"alternative", b"\n  \n", HTML)
    assert mail.text.strip() == "Hello you"
    assert mail.text_is_derived


def test_attached_texts_and_named_ones_behind_the_first_are_attachments() -> None:
    attached = b"Content-Disposition: attachment\n\nattached"
    named = b"Content-Disposition: inline; filename=log.txt\n\nlog"
    mail = mail_of(b"mixed", PLAIN, attached, named)
    assert mail.text == "plain"
    assert [(part.filename, part.content) for part in mail.attachments] == [("", b"attached"), ("log.txt", b"log")]
    assert mail_of(b"mixed", named).text == "log"


def test_every_other_part_is_an_attachment_whatever_its_name() -> None:
    kinds = [b"text/calendar", b"message/delivery-status", b"text/rfc822-headers", b"message/rfc822", b"application/x"]
    mail = mail_of(b"mixed", PLAIN, *(b"Content-Type: " + kind + b"\n\nx" for kind in kinds))
    assert [part.content_type.encode() for part in mail.attachments] == kinds


def test_C9_C10_encrypted_signed_and_tnef_parts_stay_untouched() -> None:
    mail = mail_of(b"signed", PLAIN, b"Content-Type: application/pkcs7-signature; name=smime.p7s\n\n\x00\xff\n")
    assert mail.text == "plain"
    assert mail.attachments[0].content == b"\x00\xff\n"
    tnef = parse(b"Content-Type: application/ms-tnef; name=winmail.dat\nContent-Transfer-Encoding: base64\n\neJ8+Ig==")
    assert (tnef.attachments[0].filename, tnef.attachments[0].content) == ("winmail.dat", b"x\x9f>\x22")


def test_tables_become_rows_of_words_and_hidden_text_stays_hidden() -> None:
    html = (
        b"<style>p{}</style><table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table><p style='display:none'>no"
    )
    text = parse(b"Content-Type: text/html\n\n" + html).text
    assert [line.strip() for line in text.splitlines() if line.strip()] == ["a b", "c"]


def test_html_beyond_the_guard_only_loses_its_tags() -> None:
    html = b"<head><title>t</title></head><!-- c --><div>one</div><script>s</script>two &amp; three<br>four"
    deep = parse(b"Content-Type: text/html\n\n" + b"<div>" * 150 + html)
    assert deep.text == "one\ntwo & three\nfour\n"
    assert "html_not_laid_out" in deep.defects
    assert parse(b"Content-Type: text/html\n\n" + html, Limits(derived=10)).text == deep.text


def test_numeric_entities_cannot_smuggle_what_the_database_refuses() -> None:
    text = parse(b"Content-Type: text/html\n\n<p>a&#0;b&#xD800;c&#x110000;").text
    assert "\0" not in text
    assert text.encode().decode() == text


def test_a_body_beyond_its_limit_is_cut_and_marked() -> None:
    mail = parse(b"Subject: s\n\n" + b"x" * 5000, Limits(body=1000))
    assert mail.text == "x" * 1000
    assert "body_cut" in mail.defects
    many = parse(
        b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--b\n\naaaaaaaaaa\n" * 20 + b"--b--", Limits(body=35)
    )
    assert many.text.count("a") == 35
