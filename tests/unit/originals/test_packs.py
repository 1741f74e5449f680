"""The shape of a pack: names that sort by time, references that can be read back, keys that are used once."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.originals.packs import Reference, Unreadable, opened, packed

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)


@given(st.lists(st.binary(max_size=300), max_size=8))
def test_every_mail_is_where_its_reference_says(mails: list[bytes]) -> None:
    pack = packed(mails, NOON)
    for raw, reference in zip(mails, pack.references, strict=True):
        frame = pack.content[reference.offset : reference.offset + reference.length]
        assert opened(Reference.parse(str(reference)), frame) == raw


def test_a_name_is_a_uuid_of_version_seven_in_the_folder_of_its_day() -> None:
    name = packed([], NOON).name
    assert name.startswith("packs/2026/03/04/")
    unique = uuid.UUID(name.rpartition("/")[2].removesuffix(".pack"))
    assert (unique.version, unique.variant) == (7, uuid.RFC_4122)
    assert unique.int >> 80 == int(NOON.timestamp() * 1000)


def test_names_sort_by_time() -> None:
    made = [packed([], NOON + timedelta(milliseconds=n)).name for n in range(20)]
    assert made == sorted(made)


def test_no_key_is_used_twice() -> None:
    pack = packed([b"same"] * 50, NOON)
    assert len({reference.key for reference in pack.references}) == 50


def test_another_mail_under_the_right_key_is_noticed() -> None:
    pack = packed([b"one"], NOON)
    (reference,) = pack.references
    with pytest.raises(Unreadable, match="another mail"):
        opened(reference._replace(sha256="0" * 64), pack.content)


def test_what_may_be_shown_holds_no_key() -> None:
    (reference,) = packed([b"one"], NOON).references
    assert reference.key not in reference.place


@pytest.mark.parametrize("name", ["packs/../desk.pack", "other/x.pack", "packs/x.yaml", "packs/..\\x.pack"])
def test_a_reference_leads_nowhere_else_in_the_store(name: str) -> None:
    with pytest.raises(ValueError, match="not a reference"):
        Reference.parse(f"{name}:0:1:{'ab' * 32}:{'cd' * 32}")
