from typing import Any

import pytest
from hypothesis import given, strategies

from shared.desk.source import SourceError, parse

VALUES: list[tuple[str, Any]] = [
    ("a: no", "no"),  # Norwegian, and a word
    ("a: on", "on"),
    ("a: 10:30", "10:30"),  # YAML 1.1 reads sixty to the power
    ("a: 2026-01-31", "2026-01-31"),
    ("a: 010", "010"),
    ("a: 10", 10),
    ("a: -3", -3),
    ("a: 1.5", 1.5),
    ("a: true", True),
    ("a: 'true'", "true"),
    ("a: ~", None),
    ("a:", None),
    ("a: !!str 10", "10"),
    ("a: [1, {b: c}]", [1, {"b": "c"}]),
]


@pytest.mark.parametrize(("text", "value"), VALUES)
def test_scalars_are_those_of_yaml_1_2(text: str, value: Any) -> None:
    assert parse(text.encode()).data == {"a": value}


def test_every_key_and_item_knows_its_line() -> None:
    source = parse(b"# comment\na:\n  b: 1\n  c:\n  - x\n  - y: 2\n")
    assert source.lines == {
        ("a",): 2,
        ("a", "b"): 3,
        ("a", "c"): 4,
        ("a", "c", 0): 5,
        ("a", "c", 1): 6,
        ("a", "c", 1, "y"): 6,
    }


def test_an_anchor_and_a_merge_share_fields_and_keep_the_line_where_they_stand() -> None:
    source = parse(b"base: &base\n  host: h\n  user: u\none:\n  <<: *base\n  user: v\ntwo: *base\n")
    assert source.data["one"] == {"user": "v", "host": "h"}
    assert source.data["two"] == {"host": "h", "user": "u"}
    assert (source.lines["one", "host"], source.lines["one", "user"]) == (2, 6)


def test_several_bases_merge_the_first_one_first() -> None:
    source = parse(b"a: &a {x: 1}\nb: &b {x: 2, y: 2}\nc: {<<: [*a, *b]}\n")
    assert source.data["c"] == {"x": 1, "y": 2}


def test_an_empty_file_is_an_empty_desk() -> None:
    assert parse(b"").data == {}
    assert parse(b"\xef\xbb\xbf# only a comment\n").data == {}


COMPLAINTS = [
    (b"a: 1\nb: 2\na: 3\n", ("a",), "the key stands twice, also in line 3"),
    (b"a: {b: 1, b: 2}", ("a", "b"), "the key stands twice, also in line 1"),
    (b"a: !!python/object/apply:os.system [x]", None, None),
    (b"a: !secret x", ("a",), "a YAML tag"),
    (b"a: {<<: 1}", ("a",), "<< without a mapping"),
]


@pytest.mark.parametrize(("raw", "loc", "found"), COMPLAINTS)
def test_what_yaml_permits_and_a_desk_does_not_is_a_complaint(raw: bytes, loc: Any, found: str | None) -> None:
    source = parse(raw)
    expected = [] if loc is None else [(loc, found)]
    assert [(each.loc, each.found) for each in source.complaints] == expected


def test_nothing_is_ever_constructed_from_a_tag() -> None:
    assert parse(b"a: !!python/object/apply:os.system ['exit 1']").data == {"a": ["exit 1"]}


BROKEN = [
    (b"a: [1\nb: 2\n", 2, "expected ',' or ']', but got ':'"),
    (b"a: 1\n\tb: 2\n", 2, None),
    (b"a: 1\n--- \nb: 1\n", 2, None),
    (b"a: \xff\n", 1, "bytes that are not UTF-8"),
    (b"a: 1\nb: \x07\n", 2, "a control character"),
    (b"a: 1\n? [x]\n: 2\n", 2, "a mapping or list in the place of a key"),
    (b"a: !!int word\n", 1, "a number that cannot be read"),
    (b"a: " + b"9" * 5000, 1, "a number that cannot be read"),
    (b"a: &a [*a]", 1, "aliases or nesting without end"),
    (b"a: " + b"[" * 100_000, 1, "aliases or nesting without end"),
    (b"a: " + b"{a: " * 40 + b"1" + b"}" * 40, 1, "aliases or nesting without end"),
]


@pytest.mark.parametrize(("raw", "line", "found"), BROKEN)
def test_broken_yaml_is_one_sentence_with_its_line(raw: bytes, line: int, found: str | None) -> None:
    with pytest.raises(SourceError) as error:
        parse(raw)
    assert error.value.line == line
    assert found is None or error.value.found == found


@pytest.mark.timeout(20)
def test_aliases_of_aliases_end_soon() -> None:
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    with pytest.raises(SourceError, match="without end"):
        parse("\n".join(levels).encode())


@pytest.mark.parametrize(
    "raw", [b"password: *hunter2", b"password: !hunter2!x y", b"password: %hunter2", b"p: @hunter2"]
)
def test_a_sentence_about_broken_yaml_repeats_no_word_of_the_file(raw: bytes) -> None:
    with pytest.raises(SourceError) as error:
        parse(raw)
    assert "hunter2" not in error.value.found


@given(strategies.binary(max_size=200) | strategies.text(alphabet="ab:-[]{}&*!<>|'\"?# \n\t,1.", max_size=80))
def test_whatever_the_bytes_it_is_values_or_one_sentence(text: bytes | str) -> None:
    raw = text if isinstance(text, bytes) else text.encode()
    try:
        source = parse(raw)
    except SourceError as error:
        assert error.found  # noqa: PT017  # the other outcome is as good
        assert error.line >= 1  # noqa: PT017
    else:
        assert all(line >= 1 for line in source.lines.values())
