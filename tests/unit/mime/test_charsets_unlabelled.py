"""Text whose charset nobody says, or says wrongly: what is measured here is how often it is read as it was written."""

import base64

import pytest

from shared.mime import parse
from shared.mime.charsets import Decoder
from shared.mime.utf8 import mixed, whole

# language, code page, two phrases as customers write them
PHRASES = [
    ("pt", "cp1252", "Bom dia, não recebi a fatura de março. João", "A impressora não imprime, há erro de conexão."),
    ("es", "cp1252", "Buenos días, ¿cuándo llegará mi pedido? Señor Núñez", "No puedo entrar: la contraseña caducó."),
    (
        "fr",
        "cp1252",
        "Je n'ai pas reçu la facture, où est ma commande ?",
        "L’imprimante « Énergie » ne répond plus, ç",
    ),
    ("de", "cp1252", "Die Rückzahlung für die größere Bestellung fehlt.", "Schöne Grüße aus Köln, „Müller & Söhne“"),
    ("it", "cp1252", "Perché la fattura non è più disponibile? Così non va.", "La stampante è guasta già da lunedì."),
    ("nl", "cp1252", "Ik heb de factuur geüpload, één exemplaar.", "De coördinatie is niet geïnformeerd."),
    ("sv", "cp1252", "Skrivaren på övervåningen fungerar inte, är någon där?", "Hälsningar från Malmö"),
    ("da", "cp1252", "Kan I hjælpe på tirsdag? Først på året gik det.", "Vi mangler nøglen til døren, tak."),
    ("fi", "cp1252", "Hyvää päivää, tulostin ei toimi enää täällä.", "Lähetä minulle uusi käyttäjätunnus."),
    (
        "tr",
        "cp1254",
        "Yazıcı çalışmıyor, lütfen yardım edin. Teşekkürler",
        "Faturayı hâlâ almadım, ığdır şubesi.",
    ),
    ("pl", "cp1250", "Proszę o fakturę, drukarka nie działa. Dziękuję", "Zażółć gęślą jaźń, to próba wiadomości."),
    ("cs", "cp1250", "Tiskárna nefunguje, prosím o pomoc. Děkuji, Řehoř", "Příliš žluťoučký kůň úpěl ďábelské ódy."),
    ("hu", "cp1250", "A nyomtató nem működik, kérem segítsenek előbb.", "Árvíztűrő tükörfúrógép, köszönöm szépen."),
    ("ro", "cp1250", "Imprimanta nu funcţionează şi aştept răspuns.", "Vă rog să trimiteţi factura pe luna aceasta."),
    ("ru", "cp1251", "Здравствуйте, принтер не работает, помогите.", "Счёт за прошлый месяц до сих пор не пришёл."),
    ("el", "cp1253", "Καλημέρα, ο εκτυπωτής δεν λειτουργεί σήμερα.", "Δεν έλαβα ακόμη το τιμολόγιο του Μαρτίου."),
    ("he", "cp1255", "שלום, המדפסת לא עובדת מאז אתמול, בבקשה עזרה.", "לא קיבלתי את החשבונית של החודש שעבר."),
]
OTHER_PAGES = [
    ("pl", "iso-8859-2", "Proszę o fakturę, drukarka nie działa. Dziękuję"),
    ("cs", "iso-8859-2", "Tiskárna nefunguje, prosím o pomoc. Děkuji, Řehoř"),
    ("lt", "cp1257", "Laba diena, spausdintuvas neveikia, ačiū už pagalbą."),
    ("lv", "cp1257", "Labdien, rēķins nav saņemts, lūdzu palīdziet."),
    ("pt", "cp850", "A nota não chegou até amanhã: atenção à conexão."),
    ("de", "cp850", "Die Rückzahlung für die größere Bestellung fehlt."),
    ("pt", "mac_roman", "A nota não chegou até amanhã: atenção à conexão."),
    ("ru", "koi8-r", "Здравствуйте, у меня не работает принтер, помогите пожалуйста."),
]


def body(data: bytes, label: str = "", language: str = "") -> str:
    kind = b"Content-Type: text/plain; charset=" + label.encode() + b"\n" if label else b""
    return parse(kind + b"\n" + data, language=language).text


@pytest.mark.parametrize("language", ["", "pt-BR", "en", "es"])
@pytest.mark.parametrize("label", ["", "us-ascii", "unknown-8bit"])
def test_phrases_of_seventeen_languages_without_a_charset_are_read_as_written(language: str, label: str) -> None:
    wrong = [
        (name, read)
        for name, page, *phrases in PHRASES
        for phrase in phrases
        if (read := body(phrase.encode(page), label, language)) != phrase
    ]
    # beyond the Latin script it is guessed: of one Hebrew phrase the guess makes Russian
    assert {name for name, _ in wrong} <= {"he"}
    assert len(wrong) <= 1


@pytest.mark.parametrize(("name", "page", "phrase"), OTHER_PAGES)
def test_older_code_pages_are_told_from_windows_by_their_letters(name: str, page: str, phrase: str) -> None:
    assert body(phrase.encode(page)) == phrase


def test_a_pound_sign_before_a_number_is_no_polish_letter() -> None:
    assert body("The invoice over £500 is missing".encode("cp1252")) == "The invoice over £500 is missing"
    assert body("Proszę o korektę faktury, dziękuję. Łukasz".encode("cp1250")).endswith("Łukasz")


@pytest.mark.parametrize("word", ["ação", "é só à mão", "Olá", "über", "señor", "crème brûlée", "João"])
def test_a_few_words_are_western(word: str) -> None:
    assert body(word.encode("cp1252")) == word


def test_the_language_of_the_desk_decides_between_code_pages_that_fit_equally_well() -> None:
    text = "Îmi pare rău".encode("cp1250")  # ă is ã in cp1252, and every letter is one of Portuguese or French
    assert Decoder(0, "ro").text(text, None) == "Îmi pare rău"
    assert Decoder(0, "pt-BR").text("câmara não".encode("cp1252"), None) == "câmara não"


# --- UTF-8 ------------------------------------------------------------------------------------------------------

UTF_8 = "Olá, não recebi a nota fiscal — situação: ação".encode()


@pytest.mark.parametrize("label", ["", "utf-8", "us-ascii"])
@pytest.mark.parametrize(
    ("foreign", "read"),
    [
        (b"\n-- \nJo\xe3o", "\n-- \nJoão"),
        (b"\n\x93Aviso autom\xe1tico\x94", "\n“Aviso automático”"),
        (b" caf\xe9 \xabcaf\xe9\xbb.", " café «café»."),
        (b" \xed\xa0\xbd\xed\xb8\x80", " 😀"),  # CESU-8: surrogates encoded one by one
        (b" a\xed\xa0\x80b", " a\ufffdb"),
        (b" a\xc0\x80b", " a\ufffdb"),
        (b" cut\xc3", " cut\ufffd"),
        (b" cut\xe2\x82", " cut\ufffd"),
        (b" cut\xf0\x9f\x98\nnext", " cut\ufffd\nnext"),
        (b" n\xc3\r\n\xa3o", " nã\no"),
        (b" n\xe2\x82\r\n \xac5", " n€\n5"),
        (b" n\xc3\r\nx", " nÃ\nx"),
    ],
)
def test_utf_8_with_a_few_foreign_bytes_stays_utf_8(label: str, foreign: bytes, read: str) -> None:
    assert body(UTF_8 + foreign, label) == UTF_8.decode() + read


def test_more_foreign_bytes_than_characters_are_not_utf_8() -> None:
    assert body("É Não até à março é".encode("cp1252") + "ã".encode(), "utf-8") == "É Não até à março éÃ£"
    assert body("é".encode() + " e não".encode("cp1252"), "utf-8") == "é e não"  # as many of both: the label decides
    assert body("é".encode() + " e não".encode("cp1252")) == "Ã© e não"


@pytest.mark.parametrize("label", ["iso-8859-1", "windows-1252", "iso-8859-15", "windows-1251", "koi8-r", "gb2312"])
def test_utf_8_under_another_label_is_utf_8(label: str) -> None:
    assert body("Olá, a impressora não funciona. Conceição".encode(), label).startswith("Olá, a impressora não")
    mail = parse(f"Subject: =?{label}?Q?Conex=C3=A3o_n=C3=A3o_=C3=A9_poss=C3=ADvel?=\n\n".encode())
    assert mail.subject == "Conexão não é possível"
    assert "charset_wrong" in mail.defects


@pytest.mark.parametrize("label", ["iso-8859-1", "windows-1252", "iso-8859-2", "windows-1251", "koi8-r"])
def test_utf_8_with_a_foreign_byte_under_another_label_is_utf_8(label: str) -> None:
    assert body(UTF_8 + b"\n-- \nJo\xe3o", label) == UTF_8.decode() + "\n-- \nJoão"


@pytest.mark.parametrize(
    ("page", "text"), [("cp1251", "Привет, Ёж и СЁСТРЫ: №5"), ("cp1252", "Ã© é “raro”: Ã, Â e â"), ("koi8-r", "Счёт")]
)
def test_text_of_single_bytes_stays_what_its_label_says(page: str, text: str) -> None:
    assert body(text.encode(page), page) == text


@pytest.mark.parametrize(
    "meta",
    ['<meta charset="windows-1251">', "<META http-equiv=Content-Type content='text/html; charset=windows-1251'>"],
)
def test_html_without_a_label_says_its_charset_itself(meta: str) -> None:
    source = f"<html><head>{meta}</head><p>Где счёт?".encode("cp1251")
    assert parse(b"Content-Type: text/html\n\n" + source).text.strip() == "Где счёт?"
    labelled = b"Content-Type: text/html; charset=utf-8\n\n" + f"<head>{meta}</head><p>Где счёт?".encode()
    assert parse(labelled).text.strip() == "Где счёт?"
    assert (
        parse(b"Content-Type: text/html\n\n" + f"<head>{meta}</head><p>Где счёт?".encode()).text.strip() == "Где счёт?"
    )


@pytest.mark.parametrize("order", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_a_label_is_known_by_its_byte_order_mark(order: str) -> None:
    coded = base64.b64encode("\ufeffOlá, não".encode(order))
    assert parse(b"Content-Transfer-Encoding: base64\n\n" + coded).text == "Olá, não"


def test_one_character_of_utf_8_under_a_latin_label_is_utf_8_and_a_rare_pair_of_letters_is_not() -> None:
    assert body("Olá".encode(), "iso-8859-1") == "Olá"
    assert body(b"CAF\xc9\xae", "iso-8859-1") == "CAFÉ®"
    assert body("日本語".encode("cp932"), "shift_jis") == "日本語"


def test_our_own_cut_leaves_no_half_character() -> None:
    from shared.mime import Limits

    mail = parse(b"Content-Type: text/plain; charset=utf-8\n\n" + "ã".encode() * 600, Limits(body=999))
    assert mail.text == "ã" * 499
    assert mail.defects[:1] == ["body_cut"]
    assert "charset_wrong" not in mail.defects
    assert [whole(data) for data in (b"a\xc3", b"a\xe2\x82", b"a\xf0\x9f\x98", b"a\xc3\xa3", b"a", b"")] == [
        *(b"a", b"a", b"a", b"a\xc3\xa3", b"a", b"")
    ]


def test_characters_and_foreign_bytes_are_counted() -> None:
    found = mixed(b"\xc3\xa3\xe9x\xc3\xa3 \xff")
    assert (found.text, found.sequences, found.strays) == ("ãéxã ÿ", 2, 2)


# --- Japanese ---------------------------------------------------------------------------------------------------

ORDER = "注文書を送りました。ご確認ください。"


@pytest.mark.parametrize("label", ["", "iso-2022-jp", "shift_jis", "euc-jp", "us-ascii", "utf-8", "iso-8859-1"])
def test_iso_2022_jp_is_read_under_any_label(label: str) -> None:
    assert body(ORDER.encode("iso2022_jp"), label) == ORDER


@pytest.mark.parametrize("label", ["iso-2022-jp", "euc-jp", "shift_jis"])
@pytest.mark.parametrize("written", ["euc_jp", "cp932", "utf-8"])
def test_eight_bit_japanese_is_read_under_the_labels_of_its_sisters(label: str, written: str) -> None:
    assert body(ORDER.encode(written), label) == ORDER


def test_half_width_katakana_is_not_taken_for_euc_jp() -> None:
    assert body("ｱｲｳ ﾃｽﾄ".encode("cp932"), "shift_jis") == "ｱｲｳ ﾃｽﾄ"


def test_raw_iso_2022_jp_in_a_subject_is_read() -> None:
    assert parse(b"Subject: " + ORDER.encode("iso2022_jp") + b"\n\n").subject == ORDER


# --- fields and file names --------------------------------------------------------------------------------------


def test_raw_8_bit_fields_and_file_names_take_the_charset_of_the_mails_own_parts() -> None:
    part = (
        "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain; charset=windows-1251\n\nда\n"
        '--b\nContent-Type: a/b; name="Счёт.pdf"\n\nx\n--b--\n'
    )
    mail = parse(("From: Олег Зимин <oleg@zavod.example>\nSubject: Счёт не пришёл\n" + part).encode("cp1251"))
    assert mail.sender is not None
    assert (mail.subject, mail.sender.name) == ("Счёт не пришёл", "Олег Зимин")
    assert mail.header("subject") == mail.subject
    assert [each.filename for each in mail.attachments] == ["Счёт.pdf"]


@pytest.mark.parametrize(("label", "page"), [("gb2312", "gb18030"), ("euc-kr", "cp949"), ("koi8-r", "koi8-r")])
def test_raw_8_bit_subjects_in_charsets_of_other_scripts_are_read(label: str, page: str) -> None:
    subject = {"gb18030": "打印机不工作", "cp949": "프린터가 작동하지 않습니다", "koi8-r": "Счёт"}[page]
    raw = f"Subject: {subject}\nContent-Type: text/html; charset={label}\n\n<p>x".encode(page)
    assert parse(raw).subject == subject


def test_a_field_is_read_alike_whenever_it_is_asked_for() -> None:
    words = "=?us-ascii?Q?" + "".join(f"={byte:02X}" for byte in "Здравствуйте, принтер".encode("cp1251")) + "?="
    mail = parse(f"From: {words} <a@b.example>\nSubject: {words}\n\nx".encode())
    assert mail.header("subject") == mail.subject
    polish = "From: Łukasz Gęś <a@b.example>\nSubject: À ê\nTo: Żółć <b@c.example>\n\nx".encode("cp1250", "replace")
    again = parse(polish)
    assert again.header("subject") == again.subject


def test_a_raw_subject_in_utf_8_stays_so_whatever_the_parts_declare() -> None:
    raw = "Subject: Não é Счёт\nContent-Type: text/plain; charset=windows-1251\n\nx".encode()
    assert parse(raw).subject == "Não é Счёт"


def test_a_raw_subject_without_any_declared_charset_follows_the_body_and_else_is_western() -> None:
    russian = "Здравствуйте, у меня не работает принтер, помогите пожалуйста. Спасибо большое!"
    assert parse(f"Subject: Счёт\n\n{russian}".encode("cp1251")).subject == "Счёт"
    assert parse("Subject: Não abre a solicitação\n\nx".encode("cp1252")).subject == "Não abre a solicitação"
    polish = "Subject: Błąd\n\nProszę o fakturę, drukarka nie działa."
    assert parse(polish.encode("cp1250")).subject == "Błąd"


def test_euc_jp_without_a_label_is_known_by_its_kana() -> None:
    text = "注文書を送りましたが、まだ返事がありません"
    assert parse(b"From: a@b.example\n\n" + text.encode("euc_jp")).text == text


def test_what_a_page_says_of_its_own_charset_counts_for_unlabelled_fields() -> None:
    page = "<html><head><meta charset=windows-1253></head><body>Καλημέρα</body></html>".encode("cp1253")
    subject = "Πρόβλημα με την παραγγελία"
    mail = parse(b"Subject: " + subject.encode("cp1253") + b"\nContent-Type: text/html\n\n" + page)
    assert (mail.subject, mail.text) == (subject, "Καλημέρα\n")
