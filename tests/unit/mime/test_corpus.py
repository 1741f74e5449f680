"""Each mail of the corpus beside what it must become."""

from pathlib import Path
from typing import Any

import pytest

from shared.mime import Mail, parse

CORPUS = Path(__file__).parents[2] / "corpus"

EXPECTED: dict[str, dict[str, Any]] = {
    "plain-utf8-8bit": {
        "subject": "Impressora não imprime",
        "sender": ("Ana Lima", "ana@cliente.example"),
        "text": "Olá,\n\na impressora não imprime.\n\nAna\n",
        "defects": [],
    },
    "alternative-with-inline-image": {
        "text": "See the logo.",
        "html": '<p>See the <img src="cid:logo@x"> logo.</p>',
        "attachments": [("logo.png", "image/png", b"\x89PNG\r\n\x1a\n")],
        "defects": [],
    },
    "attachment-rfc2231-continuations": {
        "attachments": [("Nota fiscal número 17.pdf", "application/pdf", b"%PDF-1.4\n")],
        "defects": [],
    },
    "header-raw-latin1": {
        "sender": ("Conceição", "ana@cliente.example"),
        "subject": "Não imprime",
        "text": "ação\n",
    },
    "header-injection-in-encoded-words": {
        "subject": "hi Bcc: victim@evil.example body",
        "sender": ("Ana Bcc: x@evil.example", "ana@cliente.example"),
        "defects": ["sender_name_holds_address"],
    },
    "charset-lies-ascii-is-cp1252": {"text": "“smart” – café\n", "defects": ["charset_wrong"]},
    "charset-unknown-label": {"text": "ainda legível: ação\n", "defects": ["charset_unknown"]},
    "charset-iso-2022-jp-circled-digits": {"subject": "①", "text": "①日本語\n"},
    "nul-bytes": {"subject": "a\ufffdb", "text": "before\ufffdafter\n"},
    "line-ends-cr-only": {"subject": "CR", "text": "one\ntwo\n", "defects": []},
    "line-ends-mixed": {"subject": "mixed", "text": "one\ntwo\n", "defects": []},
    "mbox-line-and-blank-lines-first": {"subject": "mbox", "text": "text\n", "defects": []},
    "header-junk-line": {"subject": "junk and folded", "text": "text\n", "defects": ["header_junk_line"]},
    "header-empty-line-forgotten": {"text": "still read", "defects": ["header_end_missing"]},
    "multipart-boundary-never-seen": {
        "text": "--other\nContent-Type: text/plain\n\nnot lost\n--other--\n",
        "defects": ["multipart_without_parts"],
    },
    "multipart-outer-boundary-is-prefix": {
        "text": "plain",
        "html": "<p>html</p>",
        "attachments": [("a.csv", "text/csv", b"1;2")],
    },
    "multipart-truncated": {"text": "text", "attachments": [("x.gif", "image/gif", b"GIF89a\x01")]},
    "base64-with-list-footer": {"text": "Preciso de ajuda com a nota.\n"},
    "quoted-printable-broken": {"text": "ação =ZZ softbreak 100=% ok\n"},
    "sender-comma-unquoted": {"sender": ("Lima, Ana", "ana@cliente.example")},
    "sender-missing": {
        "sender": None,
        "subject": "cron",
        "defects": ["sender_unreadable", "date_missing", "message_id_missing"],
    },
    "sender-several": {
        "sender": ("boss@empresa.example", "evil@cliente.example"),
        "defects": ["several_senders", "sender_name_holds_address"],
    },
    "message-id-hostile": {
        "references": ["<ok@x.example>", "<also-ok@x.example>"],
        "defects": ["message_id_unreadable"],
    },
    "forwarded-message": {
        "subject": "Fwd",
        "message_id": "<fwd@cliente.example>",
        "text": "see below",
        "attachments": [
            (
                "",
                "message/rfc822",
                b"From: other@x.example\r\nSubject: inner\r\nMessage-ID: <inner@x.example>\r\n\r\ninner text",
            )
        ],
    },
    "bounce-delivery-status": {
        "return_path": "",
        "text": "Could not be delivered.",
        "attachments": [
            (
                "",
                "message/delivery-status",
                (
                    b"Reporting-MTA: dns; mx.example\r\n\r\nFinal-Recipient: rfc822; gone@cliente.example\r\n"
                    b"Status: 5.1.1\r\nAction: failed"
                ),
            ),
            ("", "text/rfc822-headers", b"Message-ID: <ours@empresa.example>"),
        ],
    },
    "html-only-outlook": {"text_is_derived": True, "text": "Olá,\n\nnão funciona\n"},
    "file-names-hostile": {
        "attachments": [
            (".._.._etc_passwd", "application/octet-stream", b"x"),
            ("C:_temp_x.exe", "application/octet-stream", b"x"),
            ("<img src=x onerror=alert(1)>.txt", "application/octet-stream", b"x"),
            ("same.txt", "application/octet-stream", b"x"),
            ("same.txt", "application/octet-stream", b"x"),
        ]
    },
    "winmail-dat": {"text": "text", "attachments": [("winmail.dat", "application/ms-tnef", b'x\x9f>"\x00\x00')]},
    "only-an-attachment": {"text": "", "attachments": [("scan.pdf", "application/pdf", b"%PDF-1.4\n")], "defects": []},
    "charset-western-unlabelled": {"text": "A emissão da nota não funciona; há um erro de conexão.\n", "defects": []},
    "charset-polish-unlabelled": {"text": "Proszę o korektę faktury, dziękuję. Łukasz\n", "defects": []},
    "charset-utf8-with-latin1-footer": {"text": "A emissão não funciona.\n--\nVerificado pelo antivírus\n"},
    "charset-utf8-under-latin1": {"text": "A emissão não funciona.\n", "defects": ["charset_wrong"]},
    "charset-cesu8": {"text": "Não funciona 😞\n"},
    "charset-euc-jp-under-iso-2022-jp": {"text": "請求書が届きません。\n"},
    "charset-iso-2022-jp-unlabelled": {"text": "請求書が届きません。\n", "defects": []},
    "header-raw-in-the-bodys-charset": {"subject": "Счёт за март", "text": "Где счёт?\n", "defects": []},
    "header-end-is-a-blank": {
        "subject": "Nota",
        "text": "Bom dia,\n\na nota veio errada.\n",
        "defects": ["header_end_missing"],
    },
    "header-end-missing-before-words": {
        "subject": "Nota",
        "text": "Bom dia\nA nota veio errada.\n",
        "defects": ["header_end_missing"],
    },
    "header-end-missing-before-a-form": {
        "subject": "Contato",
        "text": "Nome: Ana Lima\nFone: 11 5550 0000\n",
        "defects": ["header_end_missing"],
    },
    "boundary-in-pieces": {"text": "segue", "attachments": [("a.csv", "text/csv", b"1;2")], "defects": []},
    "boundary-with-charset": {"text": "segue", "attachments": [("a.csv", "text/csv", b"1;2")], "defects": []},
    "boundary-without-semicolon": {"text": "segue", "attachments": [("a.csv", "text/csv", b"1;2")], "defects": []},
    "file-name-words-in-pieces": {"attachments": [("Orçamento.pdf", "application/pdf", b"%PDF")]},
    "word-split-over-q-and-b": {"subject": "Emissão", "defects": []},
    "word-utf-7": {"subject": "Emissão", "defects": []},
    "base64-label-on-words": {
        "text": "Bom dia, a nota veio errada.\nPodem corrigir?\n",
        "defects": ["transfer_encoding_wrong"],
    },
    "base64-word-behind-padding": {"text": "A emissão não funciona"},
    "sender-in-a-comment": {
        "sender": ("Ana Lima", "ana@cliente.example"),
        "to": ["suporte@empresa.example", "a@empresa.example", "b@empresa.example"],
    },
    "sender-with-a-dot-at-its-end": {"sender": ("Ana", "ana.@cliente.example")},
    "ids-without-brackets": {
        "message_id": "<17.4@cliente.example>",
        "in_reply_to": ["<a1@empresa.example>"],
        "references": ["<a0@empresa.example>", "<a1@empresa.example>"],
    },
    "ids-as-words-and-folded": {"message_id": "<17.4@cliente.example>", "in_reply_to": ["<a1@empresa.example>"]},
    "html-table-without-end-tags": {
        "text": "linha 0 0,00\nlinha 1 1,00\nlinha 2 2,00\n",
        "text_is_derived": True,
    },
    "named-text-before-the-body": {"text": "segue o log", "attachments": [("erro.log", "text/plain", b"E17")]},
    "format-flowed": {"text": "A nota veio errada.\n\n> o que houve?\n-- \nAna\n"},
    "uuencode-in-the-text": {
        "text": "segue\n\n\nfim\n",
        "attachments": [("a.csv", "application/octet-stream", b"1;2")],
    },
    "winmail-dat-with-a-file": {"text": "segue", "attachments": [("Orçamento.pdf", "application/pdf", b"%PDF")]},
    "smime-opaque": {"text": "A emissão não funciona.\n", "defects": ["signature_not_verified"]},
    "reply-above-a-gmail-quote": {"reply_text": "Ainda não.\n"},
    "reply-above-outlook-fields": {"reply_text": "Ainda não.\n"},
}


def seen(mail: Mail, field: str) -> object:
    if field == "sender":
        return (mail.sender.name, mail.sender.address) if mail.sender else None
    if field == "attachments":
        return [(part.filename, part.content_type, part.content) for part in mail.attachments]
    if field == "to":
        return [each.address for each in mail.to]
    return getattr(mail, field)


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*.eml")), ids=lambda path: path.stem)
def test_each_mail_becomes_what_is_expected_of_it(path: Path) -> None:
    mail = parse(path.read_bytes())
    expected = EXPECTED[path.stem]
    assert {field: seen(mail, field) for field in expected} == expected


def test_no_expectation_has_lost_its_mail() -> None:
    assert {path.stem for path in CORPUS.glob("*.eml")} == set(EXPECTED)
