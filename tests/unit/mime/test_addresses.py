"""Address fields are split before anything is decoded."""
# ruff: noqa: N802  # a name carries the id of its threat

import pytest

from shared.mime import DEFAULT, Address, Limits, addresses, parse
from shared.mime.charsets import Decoder


def to(value: str | bytes) -> list[tuple[str, str]]:
    raw = value.encode() if isinstance(value, str) else value
    return [(address.name, address.address) for address in parse(b"To: " + raw + b"\n\n").to]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("a@b.example", [("", "a@b.example")]),
        ("<a@b.example>", [("", "a@b.example")]),
        ("Ana <a@b.example>", [("Ana", "a@b.example")]),
        ("a@b.example, c@d.example; e@f.example", [("", "a@b.example"), ("", "c@d.example"), ("", "e@f.example")]),
        ('"Lima, Ana" <a@b.example>, X <c@d.example>', [("Lima, Ana", "a@b.example"), ("X", "c@d.example")]),
        ("Lima, Ana <a@b.example>", [("Lima, Ana", "a@b.example")]),
        (r'"A \"B\" \\ C" <a@b.example>', [('A "B" \\ C', "a@b.example")]),
        ("a@b.example (Ana Lima)", [("Ana Lima", "a@b.example")]),
        ("<a@b.example> (Ana)", [("Ana", "a@b.example")]),
        ("Ana (x, y <z@z>) <a@b.example>", [("Ana (x, y <z@z>)", "a@b.example")]),
        ("Team: a@b.example, Bob <c@d.example>;", [("", "a@b.example"), ("Bob", "c@d.example")]),
        ("undisclosed-recipients:;", []),
        ('"<fake@x.example>" <real@b.example>', [("<fake@x.example>", "real@b.example")]),
        ("one <a@b.example> two <c@d.example>", [("one", "a@b.example"), ("two", "c@d.example")]),
        ("<a@b.example> <c@d.example>", [("", "a@b.example"), ("", "c@d.example")]),
        ("a@b.example  c@d.example, e@f.example", [("", "a@b.example"), ("", "c@d.example"), ("", "e@f.example")]),
        ("a@b.example or so", [("", "a@b.example")]),
        ("Rita Prado (rita@loja.example)", [("Rita Prado", "rita@loja.example")]),
        ("(rita@loja.example) Rita", [("Rita", "rita@loja.example")]),
        ("Ana (vendas) (ana@x.example), (b@x.example)", [("Ana", "ana@x.example"), ("", "b@x.example")]),
        ("Rita (r@x@y)", []),
        ("Rita Prado rita@x.example", [("Rita Prado", "rita@x.example")]),
        ("Rita [rita@x.example]", [("Rita", "rita@x.example")]),
        ("<Rita Prado> rita@x.example", [("Rita Prado", "rita@x.example")]),
        ("'rita@x.example'", [("", "rita@x.example")]),
        ("marta.@x.example", [("", "marta.@x.example")]),
        (".m..a@x.example", [("", ".m..a@x.example")]),
        ("<@relay.example,@other.example:a@b.example>", [("", "a@b.example")]),
        ("<Mixed.Case@B.EXAMPLE.>", [("", "Mixed.Case@b.example")]),
        ("<a @ b.example>", [("", "a@b.example")]),
        ('<"a b"@b.example>', [("", '"a b"@b.example')]),
        ('"a@x" a@b.example', [("", "a@b.example")]),
        ('"a@b.example"', [("", "a@b.example")]),
        ("a@[192.0.2.1]", [("", "a@[192.0.2.1]")]),
        ("mailto:a@b.example", [("", "a@b.example")]),
        ("<mailto:a@b.example>", [("", "a@b.example")]),
        ("[a@b.example]", [("", "a@b.example")]),
        ("Ana <a@bücher.example>", [("Ana", "a@xn--bcher-kva.example")]),
        ("Ana <a@b.example", [("Ana", "a@b.example")]),
        ('"Ana <a@b.example>, c@d.example', [("Ana", "a@b.example"), ("", "c@d.example")]),
        ("a@b.example (open, c@d.example", [("", "a@b.example"), ("", "c@d.example")]),
        ("=?utf-8?q?Ana_=3Ca=40b.example=3E?=", [("Ana", "a@b.example")]),
        ("=?utf-8?q?x=2C_=3Cevil=40x=3E=2C?= <a@b.example>", [("x, <evil@x>,", "a@b.example")]),
        ('"=?utf-8?q?Jo=C3=A3o?=" <a@b.example>', [("João", "a@b.example")]),
        ("root, <>, @, a@, @b", []),
        (",,;, a@b.example ,;", [("", "a@b.example")]),
        ("=?utf-8?q?Lima,_Ana:_x?= <a@b.example>", [("Lima, Ana: x", "a@b.example")]),
        ("=?utf-8?q?Ana_<a@b.example>?=", [("Ana", "a@b.example")]),
        ("", []),
    ],
)
def test_addresses_are_read_as_senders_write_them(written: str, read: list[tuple[str, str]]) -> None:
    assert to(written) == read


def test_names_are_stored_composed() -> None:
    assert to("Joa\u0303o <a@b.example>") == [("João", "a@b.example")]


def test_F8_a_sender_name_that_holds_an_address_is_kept_and_marked() -> None:
    mail = parse(b'From: "ceo@corp.example" <x@evil.example>\n\n')
    assert mail.sender == Address("ceo@corp.example", "x@evil.example")
    assert "sender_name_holds_address" in mail.defects


def test_F9_of_several_senders_the_first_counts_and_all_are_kept() -> None:
    mail = parse(b"From: A <a@x.example>, B <b@x.example>\nFrom: c@x.example\n\n")
    assert mail.sender == Address("A", "a@x.example")
    assert [address.address for address in mail.all_from] == ["a@x.example", "b@x.example", "c@x.example"]
    assert "several_senders" in mail.defects


def test_F9_what_stands_before_the_senders_address_is_a_name_that_he_chose() -> None:
    mail = parse(b"From: <boss@corp.example> <x@evil.example>\n\n")
    assert mail.sender == Address("<boss@corp.example>", "x@evil.example")
    assert "sender_name_holds_address" in mail.defects
    assert [each.address for each in parse(b"From: a@x.example b@x.example\n\n").all_from] == [
        "a@x.example",
        "b@x.example",
    ]


def test_L12_addresses_parted_by_blanks_are_counted_as_others_are() -> None:
    mail = parse(b"To: " + b" ".join(b"a%d@x.example" % n for n in range(20)) + b"\n\n", Limits(addresses=5))
    assert len(mail.to) == 5
    assert "to_cut" in mail.defects


def test_F9_an_address_with_several_at_signs_is_none_because_it_has_two_meanings() -> None:
    for written in ("<a@evil.example@b.example>", "a@evil.example@b.example", "X <a@evil.example@b.example>"):
        assert to(written) == []
        assert to(written + ", c@d.example") == [("", "c@d.example")]
    assert to('"a@x"@b.example') == [("", '"a@x"@b.example')]


def test_F10_the_sender_is_from_and_never_reply_to_where_both_are_there() -> None:
    mail = parse(b"From: a@x.example\nReply-To: B <b@y.example>\n\n")
    assert mail.sender == Address("", "a@x.example")
    assert mail.reply_to == [Address("B", "b@y.example")]


@pytest.mark.parametrize(
    ("header", "source", "address"),
    [
        (b"From: root\nReply-To: r@x.example\nSender: s@x.example\n", "reply-to", "r@x.example"),
        (b"Return-Path: <p@x.example>\nSender: s@x.example\n", "return-path", "p@x.example"),
        (b"Sender: s@x.example\nReturn-Path: <>\n", "sender", "s@x.example"),
        (b"To: t@x.example\n", "none", None),
    ],
)
def test_without_a_sender_in_from_the_other_fields_are_asked_in_order(
    header: bytes, source: str, address: str | None
) -> None:
    mail = parse(header + b"\n")
    assert mail.sender_source == source
    assert (mail.sender.address if mail.sender else None) == address


@pytest.mark.parametrize(
    ("header", "path"),
    [
        (b"", None),
        (b"Return-Path: <>\n", ""),
        (b"Return-Path:\n", ""),
        (b"Return-Path: <A@X.example>\n", "A@x.example"),
    ],
)
def test_an_absent_return_path_differs_from_the_null_path(header: bytes, path: str | None) -> None:
    assert parse(b"From: a@b.example\n" + header + b"\n").return_path == path


def test_a_return_path_without_a_domain_is_not_the_null_path() -> None:
    mail = parse(b"From: rita@x.example\nReturn-Path: <rita>\n\n")
    assert mail.return_path == "rita"
    assert "return_path_unreadable" in mail.defects


def test_L12_addresses_beyond_the_limit_are_dropped_and_marked() -> None:
    mail = parse(b"To: " + b", ".join(b"a%d@x.example" % n for n in range(20)) + b"\n\n", Limits(addresses=5))
    assert len(mail.to) == 5
    assert "to_cut" in mail.defects


@pytest.mark.parametrize(
    "written",
    [
        *(b"a@b.example", b"<a@B.example>", b"Ana Lima <a.b+c@x.example>", b"O'Neil <a@b>", b"a b@c.example", b"a@b>"),
        *(
            b"<a@b",
            b"A<a@b.c>",
            b"=?utf-8?q?J=C3=A1?= <a@b.c>",
            b"=?utf-8?q?a?=\t =?utf-8?q?b?= <a@b.c>",
            b"a.@b.c",
            b"x",
        ),
    ],
)
def test_the_simple_way_and_the_careful_one_read_the_same(written: bytes) -> None:
    simple = addresses._simple(written, Decoder(0), DEFAULT)
    assert simple in (None, addresses._mailbox(written, Decoder(0), DEFAULT))
