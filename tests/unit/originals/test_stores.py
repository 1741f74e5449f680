"""Originals: whatever is put can be got by its reference alone, and nothing else can."""

import os
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from shared.failures import Transient
from shared.originals import OriginalMissing, Originals, Reference, open_originals, packed

MAILS = [b"", b"From: a@b\r\n\r\nx\r\n", bytes(range(256)) * 5000]
NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)


@pytest.fixture(params=["ours", "obstore"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Originals:
    """One suite on both writers; obstore's in-memory store speaks the interface of the cloud stores."""
    return open_originals(tmp_path.as_uri() if request.param == "ours" else "memory:///")


async def names(store: Originals, day: date) -> list[str]:
    return [name async for name in store.before(day)]


async def test_what_was_put_is_got_back(store: Originals) -> None:
    references = await store.put_many(MAILS)
    assert [await store.get(reference) for reference in references] == MAILS


async def test_a_batch_is_one_object(store: Originals) -> None:
    references = [Reference.parse(text) for text in await store.put_many(MAILS)]
    assert {reference.pack for reference in references} == set(await names(store, date.max))
    assert len({reference.pack for reference in references}) == 1


async def test_of_no_mails_nothing_is_written(store: Originals) -> None:
    assert await store.put_many([]) == []
    assert await names(store, date.max) == []


async def test_the_same_mail_put_twice_is_sealed_twice(store: Originals) -> None:
    (first,), (second,) = await store.put_many([MAILS[1]]), await store.put_many([MAILS[1]])
    assert first != second
    assert await store.get(first) == await store.get(second) == MAILS[1]


async def test_a_missing_object_is_said_to_be_missing_without_its_key(store: Originals) -> None:
    reference = packed([b"never put"], NOON).references[0]
    with pytest.raises(OriginalMissing, match=reference.place) as caught:
        await store.get(str(reference))
    assert reference.key not in str(caught.value)


@pytest.mark.parametrize("text", ["", "1/abc.zst", "packs/../x.pack:0:1:00:00", "packs/x.pack:a:b:c:d"])
async def test_what_is_no_reference_is_missing(store: Originals, text: str) -> None:
    with pytest.raises(OriginalMissing, match="not a reference"):
        await store.get(text)


async def test_packs_are_found_by_their_day_and_removed(store: Originals) -> None:
    old, new = packed([b"old"], NOON), packed([b"new"], datetime(2026, 3, 5, tzinfo=UTC))
    await store.put(old)
    await store.put(new)
    assert await names(store, date(2026, 3, 5)) == [old.name]
    await store.delete([old.name])
    await store.delete([old.name])  # another sweep was quicker
    assert await names(store, date.max) == [new.name]
    assert await store.get(str(new.references[0])) == b"new"


async def test_a_pack_that_was_cut_or_changed_is_refused(tmp_path: Path) -> None:
    store = open_originals(tmp_path.as_uri())
    for last in (b"", b"x"):
        (reference,) = await store.put_many([b"one"])
        path = tmp_path / Reference.parse(reference).pack
        path.write_bytes(path.read_bytes()[:-1] + last)
        with pytest.raises(OriginalMissing, match="InvalidTag"):
            await store.get(reference)


async def test_the_store_alone_gives_nothing_away(tmp_path: Path) -> None:
    """Neither the mail nor its hash, which would tell whoever guesses a mail that it came."""
    raw = b"Subject: segredo\r\n\r\n" + b"segredo " * 100
    (reference,) = await open_originals(tmp_path.as_uri()).put_many([raw])
    (path,) = tmp_path.rglob("*.pack")
    kept = path.read_bytes() + str(path).encode()
    for known in (b"segredo", Reference.parse(reference).sha256.encode(), Reference.parse(reference).key.encode()):
        assert known not in kept
    assert bytes.fromhex(Reference.parse(reference).sha256) not in kept


async def test_an_erased_mail_cannot_be_read_from_any_copy(tmp_path: Path) -> None:
    """Without its reference its neighbours' are of no use: every mail has a key of its own."""
    store = open_originals(tmp_path.as_uri())
    kept, erased = [Reference.parse(text) for text in await store.put_many([b"neighbour", b"erased"])]
    forged = kept._replace(offset=erased.offset, length=erased.length, sha256=erased.sha256)
    with pytest.raises(OriginalMissing, match="InvalidTag"):
        await store.get(str(forged))


async def test_file_and_folders_are_synced_before_the_caller_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a power failure leaves: the file's bytes, its entry, and each new folder's entry in the one above."""
    synced: list[int] = []

    def watched(real: Any) -> Any:
        def call(handle: int) -> None:
            synced.append(os.fstat(handle).st_ino)
            real(handle)

        return call

    monkeypatch.setattr(os, "fsync", watched(os.fsync))
    monkeypatch.setattr(os, "fdatasync", watched(os.fdatasync))
    root = tmp_path / "objects"
    store = open_originals(root.as_uri())
    first = packed([b"x"], NOON)
    await store.put(first)
    day = (root / first.name).parent
    way = [root / first.name, day, *list(day.parents)[:4]]
    assert synced == [path.stat().st_ino for path in way]
    assert way[-1] == root
    second = packed([b"y"], NOON)
    await store.put(second)
    assert synced[len(way) :] == [path.stat().st_ino for path in (root / second.name, day)]


async def test_a_store_that_cannot_be_written_is_waited_for(tmp_path: Path) -> None:
    (tmp_path / "packs").write_text("a file where the folder should be")
    with pytest.raises(Transient, match="object store"):
        await open_originals(tmp_path.as_uri()).put_many([b"x"])


@pytest.mark.parametrize("url", ["nonsense", "foo://x", ""])
def test_an_address_that_is_no_store_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="not an object store"):
        open_originals(url)


async def test_what_is_no_pack_of_ours_is_never_listed_for_removal(tmp_path: Path) -> None:
    theirs = tmp_path / "packs/lost/and/found/x.pack"
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(b"")
    assert [name async for name in open_originals(tmp_path.as_uri()).before(date.max)] == []
