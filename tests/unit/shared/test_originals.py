"""Originals: whatever is put can be got, under a name that is its content, and nothing else can."""

from pathlib import Path

import pytest

from shared.originals import OriginalMissing, Originals, open_originals, reference_of

MAILS = [b"", b"From: a@b\r\n\r\nx\r\n", bytes(range(256)) * 5000]


@pytest.fixture(params=["ours", "obstore"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Originals:
    """One suite on both writers; obstore's in-memory store speaks the interface of the cloud stores."""
    return open_originals(tmp_path.as_uri() if request.param == "ours" else "memory:///")


async def test_what_was_put_is_got_back(store: Originals) -> None:
    references = await store.put_many(MAILS)
    assert [await store.get(reference) for reference in references] == MAILS


async def test_the_name_is_the_content(store: Originals) -> None:
    assert await store.put_many(MAILS) == [reference_of(raw) for raw in MAILS]


async def test_putting_again_changes_nothing(store: Originals) -> None:
    first = await store.put_many(MAILS)
    assert await store.put_many(MAILS + MAILS) == first + first
    assert await store.get(first[1]) == MAILS[1]


async def test_a_missing_object_is_said_to_be_missing(store: Originals) -> None:
    with pytest.raises(OriginalMissing, match=reference_of(b"never put")):
        await store.get(reference_of(b"never put"))


async def test_an_object_that_is_not_what_its_name_says_is_refused(tmp_path: Path) -> None:
    store = open_originals(tmp_path.as_uri())
    one, other = await store.put_many([b"one", b"other"])
    (tmp_path / one).write_bytes((tmp_path / other).read_bytes())
    with pytest.raises(OriginalMissing, match="does not hold"):
        await store.get(one)


async def test_no_temporary_file_stays(tmp_path: Path) -> None:
    await open_originals(tmp_path.as_uri()).put_many(MAILS)
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith(".put-")]


def test_an_address_that_is_no_store_is_refused() -> None:
    with pytest.raises(Exception, match=r"(?i)url|scheme|unable"):
        open_originals("nonsense")
