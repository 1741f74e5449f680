"""Where packs lie: a folder (`file://`, one machine) or an object store (`s3://`, `gs://`, `az://`).

A pack is durable before the caller goes on; a read asks for one mail's bytes alone and verifies them.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from datetime import date
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

import obstore
from obstore.store import from_url

from shared.clock import now
from shared.failures import Transient
from shared.originals.packs import FOLDER, Pack, Reference, Unreadable, opened, packed


class OriginalMissing(Transient):
    """The store has no such object, or another one under its name."""


class Originals(Protocol):
    """Methods raise Transient when the store does not serve. A reference that is none is an OriginalMissing."""

    async def put(self, pack: Pack) -> None:
        """Returns once the pack is durable. Of no mails nothing is written."""

    async def put_many(self, mails: Sequence[bytes]) -> list[str]:
        """Packs the mails and returns their references in order, once they are durable."""

    async def get(self, reference: str) -> bytes:
        """The raw mail. Raises OriginalMissing."""

    def before(self, day: date) -> AsyncIterator[str]:
        """Names of the packs written before that day (UTC), in no order."""

    async def delete(self, names: Sequence[str]) -> None:
        """Removes packs; one that is gone already is no error."""


def open_originals(url: str) -> Originals:
    """Raises ValueError for an address that is no object store."""
    parts = urlsplit(url)
    if parts.scheme == "file":
        return _Files(Path(unquote(parts.path)))
    try:
        return _Objects(url)
    except (obstore.exceptions.BaseError, ValueError) as error:
        raise ValueError("not an object store: file://, s3://, gs:// or az:// is expected") from error


class _Store:
    async def put(self, pack: Pack) -> None:
        raise NotImplementedError

    async def put_many(self, mails: Sequence[bytes]) -> list[str]:
        # in a thread: compressing a batch takes longer than the loop may be held
        pack = await asyncio.to_thread(packed, mails, now())
        await self.put(pack)
        return [str(reference) for reference in pack.references]

    async def get(self, reference: str) -> bytes:
        try:
            wanted = Reference.parse(reference)
        except ValueError as error:
            raise OriginalMissing(str(error)) from error
        try:
            return opened(wanted, await self._read(wanted))
        except Unreadable as error:
            raise OriginalMissing(f"original {error}") from error

    async def _read(self, wanted: Reference) -> bytes:
        raise NotImplementedError


class _Files(_Store):
    def __init__(self, root: Path) -> None:
        self._root = root
        self._synced: Path | None = None  # the day's folder whose way down is durable

    async def put(self, pack: Pack) -> None:
        if not pack.references:
            return
        try:
            await asyncio.to_thread(self._write, pack)
        except OSError as error:
            raise Transient(f"object store: {os.strerror(error.errno or 0)}") from error

    def _write(self, pack: Pack) -> None:
        # in place: the name is new, and nobody knows it before the file and the way to it are on the disk
        path = self._root / pack.name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            file.write(pack.content)
            file.flush()
            os.fdatasync(file.fileno())
        _sync_folder(path.parent)
        if self._synced != path.parent:
            # once a day and process, also where the folders were there already: a crash may have come before their sync
            for folder in list(path.parents)[1:5]:
                _sync_folder(folder)
            self._synced = path.parent

    async def _read(self, wanted: Reference) -> bytes:
        def read() -> bytes:
            with (self._root / wanted.pack).open("rb") as file:
                file.seek(wanted.offset)
                return file.read(wanted.length)

        try:
            return await asyncio.to_thread(read)
        except OSError as error:
            raise OriginalMissing(f"original {wanted.place}: {os.strerror(error.errno or 0)}") from error

    async def before(self, day: date) -> AsyncIterator[str]:
        for folder in sorted((self._root / FOLDER).glob("*/*/*")):
            if _day("/".join(folder.parts[-3:])) < day:
                for path in sorted(folder.glob("*.pack")):
                    yield path.relative_to(self._root).as_posix()

    async def delete(self, names: Sequence[str]) -> None:
        for name in names:
            (self._root / name).unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class _Objects(_Store):
    def __init__(self, url: str) -> None:
        self._store = from_url(url)

    async def put(self, pack: Pack) -> None:
        if not pack.references:
            return
        try:
            await obstore.put_async(self._store, pack.name, pack.content)
        except obstore.exceptions.BaseError as error:
            raise Transient(f"object store: {type(error).__name__}") from error

    async def _read(self, wanted: Reference) -> bytes:
        try:
            return bytes(
                await obstore.get_range_async(self._store, wanted.pack, start=wanted.offset, length=wanted.length)
            )
        except (obstore.exceptions.BaseError, FileNotFoundError) as error:
            raise OriginalMissing(f"original {wanted.place}: {type(error).__name__}") from error

    async def before(self, day: date) -> AsyncIterator[str]:
        try:
            async for listed in obstore.list(self._store, FOLDER):
                for meta in listed:
                    name = str(meta["path"])
                    if _day(name.removeprefix(f"{FOLDER}/")) < day:
                        yield name
        except obstore.exceptions.BaseError as error:
            raise Transient(f"object store: {type(error).__name__}") from error

    async def delete(self, names: Sequence[str]) -> None:
        try:
            await obstore.delete_async(self._store, names)
        except FileNotFoundError:
            pass
        except obstore.exceptions.BaseError as error:
            raise Transient(f"object store: {type(error).__name__}") from error


def _day(path: str) -> date:
    """The day of `YYYY/MM/DD/…`; far in the future for what is no pack of ours, so that nobody removes it."""
    try:
        year, month, day = path.split("/")[:3]
        return date(int(year), int(month), int(day))
    except ValueError:
        return date.max
