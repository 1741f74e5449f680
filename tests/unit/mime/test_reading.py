"""Texts as people read them: unwrapped, without what is no text, nothing lost."""

import base64

import pytest

from shared.mime import Limits, Mail, parse
from shared.mime.flowed import unwrapped


def html(source: str, limits: Limits | None = None) -> Mail:
    return parse(b"Content-Type: text/html; charset=utf-8\n\n" + source.encode(), limits or Limits())


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("one \ntwo\nthree", "one two\nthree"),
        ("> a \n> b\nmine", "> a b\nmine"),
        (">> a \n> b \nmine \nalso", ">> a \n> b \nmine also"),
        (">a \n> b", "> a b"),
        ("-- \nName", "-- \nName"),
        ("text \n-- \nName \nfirm", "text \n-- \nName firm"),
        ("> text \n> -- \n> Name", "> text \n> -- \n> Name"),
        (" From here\n >not a quote", "From here\n>not a quote"),
        ("one  \n\ntwo", "one  \ntwo"),
        ("end \n", "end "),
        ("", ""),
    ],
)
def test_flowed_lines_are_joined_by_their_depth_and_a_signature_stays_apart(written: str, read: str) -> None:
    assert unwrapped(written, delete_blank=False) == read


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("foi que \nbrada", "foi quebrada"),
        ("uma  \nduas", "uma duas"),
        ("日本 \n語", "日本語"),
        ("o cliente de \ncorreio", "o cliente de correio"),  # a blank that the sender should have doubled
    ],
)
def test_with_delsp_the_blank_of_a_soft_break_goes(written: str, read: str) -> None:
    assert unwrapped(written, delete_blank=True) == read


@pytest.mark.parametrize("label", ["format=flowed", 'FORMAT="Flowed"; delsp=no', "charset=utf-8; format=flowed"])
def test_only_plain_text_that_says_so_is_unwrapped(label: str) -> None:
    assert parse(f"Content-Type: text/plain; {label}\n\na \nb\n".encode()).text == "a b\n"
    assert parse(b"Content-Type: text/plain\n\na \nb\n").text == "a \nb\n"
    coded = base64.encodebytes(b"a \r\nb\r\n")
    assert (
        parse(b"Content-Type: text/plain; format=flowed\nContent-Transfer-Encoding: base64\n\n" + coded).text == "a b\n"
    )


@pytest.mark.parametrize(
    "text",
    [
        "Bom dia, meu pedido ainda nao chegou.\nPreciso dele ate sexta, obrigada.\n",
        "Obrigado",
        "Ola\n",
        "Bom dia\n",
        "Olá, não chegou\n",
        "Um texto - com tracos, e nada mais\n\nfim\n",
        "Bom dia,\nsegue o pedido 4711, obrigado.\nAna\n",
        "Oi!\n\nO pedido 4711 veio.\n",
        "Prezados,\na fatura não veio\n",
    ],
)
@pytest.mark.parametrize("charset", ["utf-8", "us-ascii", ""])
def test_plain_text_under_a_base64_label_is_the_text(text: str, charset: str) -> None:
    kind = f"Content-Type: text/plain; charset={charset}\n" if charset else ""
    mail = parse(f"{kind}Content-Transfer-Encoding: base64\n\n{text}".encode())
    assert mail.text == text
    assert "transfer_encoding_wrong" in mail.defects


@pytest.mark.parametrize(
    ("data", "charset"),
    [("Olá".encode(), "utf-8"), (b"ok!", ""), ("abc".encode("utf-16"), "utf-16"), (b"\xd0\xc3", "koi8-r")],
)
def test_short_base64_is_still_base64(data: bytes, charset: str) -> None:
    head = f"Content-Type: text/plain; charset={charset}\nContent-Transfer-Encoding: base64\n\n"
    mail = parse(head.encode() + base64.b64encode(data))
    assert mail.text == data.decode(charset or "ascii")


# --- which text is the body -------------------------------------------------------------------------------------


def mixed(*parts: bytes, kind: bytes = b"mixed") -> Mail:
    body = b"".join(b"--b\n" + part + b"\n" for part in parts)
    return parse(b"Content-Type: multipart/" + kind + b"; boundary=b\n\n" + body + b"--b--")


LOG = b'Content-Type: text/plain; name="erro.log"\nContent-Disposition: inline; filename="erro.log"\n\nlog'


def test_a_named_text_beside_one_without_a_name_is_an_attachment_wherever_it_stands() -> None:
    for parts in ((LOG, b"\nbody"), (b"\nbody", LOG), (LOG, b"Content-Type: text/html\n\n<p>body")):
        mail = mixed(*parts)
        assert (mail.text.strip(), [part.filename for part in mail.attachments]) == ("body", ["erro.log"])


def test_the_only_text_is_the_body_even_if_it_has_a_name() -> None:
    assert mixed(LOG).text == "log"
    assert mixed(LOG, b"Content-Type: a/b\n\nx").text == "log"
    second = LOG.replace(b"erro", b"other")
    assert [part.filename for part in mixed(LOG, second).attachments] == ["other.log"]


def test_a_named_text_in_an_alternative_is_a_body() -> None:
    mail = mixed(b"\nplain", b'Content-Type: text/html; name="mail.html"\n\n<p>html', kind=b"alternative")
    assert (mail.text, mail.html, mail.attachments) == ("plain", "<p>html", [])


# --- HTML -------------------------------------------------------------------------------------------------------


def words(mail: Mail) -> list[str]:
    return mail.text.split()


@pytest.mark.parametrize(
    "row",
    ["<tr><td>item{0}<td>{0},00", "<TR><TD>item{0}</TD><TD>{0},00", "<tr><th scope=row>item{0}<td>{0},00</tr>",
     "<tbody><tr><td>item{0}<td>{0},00", "<tr><td><p>item{0}<td><b>{0},00</b>"],
)  # fmt: skip
def test_tables_without_end_tags_lose_nothing(row: str) -> None:
    mail = html("<html><body><table>" + "\n".join(row.format(n) for n in range(300)))
    assert words(mail) == [word for n in range(300) for word in (f"item{n}", f"{n},00")]
    assert "<p>" in row or "item7 7,00\n" in mail.text.replace("\n\n", "\n")


def test_a_table_in_a_cell_without_end_tags_keeps_its_words_in_order() -> None:
    mail = html("<table><tr><td>a<table><tr><td>b<td>c<tr><td>d</table>e<td>f<tr><td>g</table>h")
    assert words(mail) == list("abcdefgh")
    assert "".join(words(html("a</table></td></tr>b<td>c</td>d<tr>e</tr>f"))) == "abcdef"


@pytest.mark.parametrize(
    "item", ["<p>w{}", "<ul><li>w{}</ul>", "<dl><dt>w{}<dd>x</dl>", "<select><option>w{}</select>", "w{}<br>"]
)
def test_other_legal_html_without_end_tags_loses_nothing(item: str) -> None:
    mail = html("".join(item.format(n) for n in range(400)))
    assert [word for word in words(mail) if word.startswith("w")] == [f"w{n}" for n in range(400)]


PICTURE = "data:image/png;base64," + "iVBORw0KGgo" * 30_000


@pytest.mark.parametrize("size", [1, 5])
def test_pictures_in_data_uris_count_for_nothing_before_the_limits(size: int) -> None:
    large = f'<p>before</p><img src="{PICTURE + PICTURE[22:] * size}"><p>behind <b>it</b></p>'
    mail = html(large + f"<img src='{PICTURE}'>" * size)
    assert words(mail) == ["before", "behind", "it"]
    assert "body_cut" not in mail.defects
    assert "html_not_laid_out" not in mail.defects
    assert "<p>behind <b>it</b></p>" in mail.html


def test_words_that_look_like_a_data_uri_stay() -> None:
    text = "data:image/png;base64, is what it begins with and then these are words of a text that nobody may lose"
    assert words(html("<p>" + text + "x" * 300_000))[:5] == text.split()[:5]
