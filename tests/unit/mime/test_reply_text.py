"""The reply without what it quotes: beside the full text, never in its place, never empty."""

import pytest

from shared.mime import Mail, parse
from shared.mime.reply import reply_text

ATTRIBUTIONS = [
    "On Tue, Mar 3, 2026 at 10:00 AM Suporte <suporte@e.example> wrote:",
    "On 3 Mar 2026, at 10:00, Suporte <suporte@e.example> wrote:",
    "On Tue, 3 Mar 2026 10:00:00 -0300\nSuporte <suporte@e.example> wrote:",
    "On Tuesday, March 3, 2026, Suporte\n<suporte@e.example>\nwrote:",
    "Suporte <suporte@e.example> wrote on 3 Mar 2026:",
    "Em ter., 3 de mar. de 2026 às 10:00, Suporte <suporte@e.example> escreveu:",
    "Em 03/03/2026 10:00, Suporte escreveu:",
    "Em ter., 3 de mar. de 2026 às 10:00, Suporte da Empresa com um nome longo\n<suporte@e.example> escreveu:",
    "Suporte <suporte@e.example> escreveu no dia terça, 3/03/2026 à(s) 10:00:",
    "No dia 3 de março de 2026, Suporte escreveu:",
    "El mar, 3 mar 2026 a las 10:00, Soporte (<soporte@e.example>) escribió:",
    "El 3/3/2026 a las 10:00, Soporte escribió:",
    "Am Di., 3. März 2026 um 10:00 Uhr schrieb Support <support@e.example>:",
    "Am 03.03.26 um 10:00 schrieb Support:",
    "Le mar. 3 mars 2026 à 10:00, Support <support@e.example> a écrit :",
    "Le 03/03/2026 à 10:00, Support a écrit\u00a0:",
    "Il giorno mar 3 mar 2026 alle ore 10:00 Supporto <s@e.example> ha scritto:",
    "Op di 3 mrt 2026 om 10:00 schreef Support <s@e.example>:",
]
HEADERS = [
    "From: Suporte <s@e.example>\nSent: Tuesday, March 3, 2026 10:00\nTo: Rita\nSubject: RE: Pedido",
    "De: Suporte <s@e.example>\nEnviada em: terça-feira, 3 de março de 2026 10:00\nPara: Rita\nAssunto: RES: Pedido",
    "*De:* Suporte\n*Enviado:* martes, 3 de marzo de 2026\n*Para:* Rita\n*Asunto:* RE: Pedido",
    "Von: Support\nGesendet: Dienstag, 3. März 2026\nAn: Rita\nBetreff: AW: Pedido",
    "De : Support\nEnvoyé : mardi 3 mars 2026\nÀ : Rita\nObjet : RE: Pedido",
]
RULES = [
    "-----Original Message-----",
    "-----Mensagem original-----",
    "-------- Mensaje original --------",
    "-----Ursprüngliche Nachricht-----",
    "-----Message d'origine-----",
    "________________________________\n" + HEADERS[0],
]
REPLY = "Bom dia,\n\nainda não funciona.\n\nRita\n"
HISTORY = "Olá Rita,\n\nreinicie a impressora.\n"
QUOTED = "> Olá Rita,\n>\n> reinicie a impressora.\n"


@pytest.mark.parametrize("attribution", ATTRIBUTIONS)
@pytest.mark.parametrize("history", [HISTORY, QUOTED, "\n" + QUOTED])
def test_a_reply_above_its_history_is_what_stands_before_the_attribution(attribution: str, history: str) -> None:
    assert reply_text(f"{REPLY}\n{attribution}\n{history}") == REPLY


@pytest.mark.parametrize("separator", [*RULES, *HEADERS, *("\n" + header for header in HEADERS)])
def test_a_reply_above_the_mail_as_outlook_appends_it_ends_at_the_rule_or_the_fields(separator: str) -> None:
    assert reply_text(f"{REPLY}\n{separator}\n\n{HISTORY}") == REPLY
    assert reply_text(f"{REPLY}\n\n{separator}\n\n{HISTORY}") == REPLY


@pytest.mark.parametrize("attribution", ATTRIBUTIONS)
def test_a_reply_below_its_quotation_is_what_is_not_quoted(attribution: str) -> None:
    assert reply_text(f"{attribution}\n{QUOTED}\n{REPLY}") == REPLY


def test_answers_between_the_quotations_stay_in_their_order() -> None:
    text = f"{ATTRIBUTIONS[0]}\n> one?\nYes.\n> two?\n>> before\nNo.\n"
    assert reply_text(text) == "Yes.\nNo.\n"
    assert reply_text("Em resumo: sim.\n > um?\nSim.\n") == "Em resumo: sim.\nSim.\n"


@pytest.mark.parametrize(
    "text", [QUOTED, f"{ATTRIBUTIONS[0]}\n{QUOTED}", HEADERS[0] + "\n\ntext\n", RULES[0] + "\nx\n", "", "\n"]
)
def test_a_mail_that_only_quotes_is_shown_whole(text: str) -> None:
    assert reply_text(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "Bom dia, segue o pedido.\n",
        "He wrote:\nI will come.\nSubject: that is all I know.\n",
        "Sobre o pedido 17\n--- urgente ---\nObrigada\n",
        "From: this page I see\nnothing at all.\n",
        "O cliente escreveu:\nnão funciona\nem 2026.\n",
        "a > b\nx->y\n",
        "-- \nRita\n",
    ],
)
def test_prose_that_only_looks_like_a_quotation_stays(text: str) -> None:
    assert reply_text(text) == text


@pytest.mark.parametrize(
    "rule",
    [
        "---------- Forwarded message ---------",
        "---------- Mensagem encaminhada ----------",
        "Begin forwarded message:",
        "Início da mensagem reencaminhada:",
        "-------- Weitergeleitete Nachricht --------",
        "---------- Message transféré ----------",
    ],
)
def test_what_is_forwarded_is_no_history(rule: str) -> None:
    text = f"Veja abaixo.\n\n{rule}\n{HEADERS[0]}\n\n> quoted\nthe forwarded text\n"
    assert reply_text(text) == text


def mail(source: str, kind: str = "html") -> Mail:
    return parse(f"Content-Type: text/{kind}; charset=utf-8\n\n{source}".encode())


QUOTE_OF_GMAIL = (
    '<div class="gmail_quote"><div dir="ltr" class="gmail_attr">Em ter., 3 de mar. de 2026 às 10:00, Suporte &lt;<a'
    ' href="mailto:s@e.example">s@e.example</a>&gt; escreveu:<br></div><blockquote class="gmail_quote" style="margin:'
    '0 0 0 .8ex"><div>Olá Rita,</div><div>reinicie <blockquote>older</blockquote> isto</div></blockquote></div>'
)


@pytest.mark.parametrize(
    "quote",
    [
        QUOTE_OF_GMAIL,
        '<div id="appendonsend"></div><hr><div id="divRplyFwdMsg"><b>Lähettäjä:</b> S<br></div><div>Olá Rita</div>',
        "<BLOCKQUOTE type=cite>Olá Rita</BLOCKQUOTE>",
        "<hr><b>From:</b> S<br><b>Sent:</b> 3 Mar 2026<br><b>To:</b> R<br><b>Subject:</b> P<p>Olá Rita</p>",
        '<div class="yahoo_quoted" id="y1"><div>Anything</div><div>Olá Rita</div></div>',
    ],
)
def test_quotations_of_html_are_known_by_their_elements(quote: str) -> None:
    read = mail(f"<div>ainda não funciona</div><div>Rita</div><br>{quote}")
    assert read.reply_text.split() == ["ainda", "não", "funciona", "Rita"]
    assert "Olá Rita" in read.text
    assert not set("\ufdd0\ufdd1\ufdd2") & set(read.text)


def test_a_reply_below_a_quotation_of_html_stays() -> None:
    assert mail(f"{QUOTE_OF_GMAIL}<div>ainda não</div>").reply_text == "ainda não\n"
    only = mail(QUOTE_OF_GMAIL)
    assert only.reply_text == only.text


def test_marks_change_nothing_of_the_text() -> None:
    for quoted in ("q", "<p>q</p>", "\n<div>q</div>"):
        read = mail(f"<p>a</p><blockquote>{quoted}</blockquote><p>b</p>")
        assert [line.strip() for line in read.text.split("\n") if line.strip()] == ["a", "q", "b"]


def test_with_both_texts_the_plain_one_says_what_the_reply_is() -> None:
    raw = (
        f"Content-Type: multipart/alternative; boundary=b\n\n--b\nContent-Type: text/plain; charset=utf-8\n\n{REPLY}\n"
        f"{ATTRIBUTIONS[0]}\n{QUOTED}\n--b\nContent-Type: text/html\n\n<p>other\n--b--\n"
    )
    assert parse(raw.encode()).reply_text == REPLY


def test_a_hundred_thousand_lines_are_read_in_one_pass() -> None:
    import time

    for line in ("> q", "On 3 Mar 2026", "From: x", "wrote:", "-----", "a@b", "On " * 100, "\ufdd0", " " * 300):
        start = time.process_time()
        reply_text(f"{line}\n" * (1_000_000 // len(line)))
        assert time.process_time() - start < 2
