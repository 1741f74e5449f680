"""The raw originals: one object a mail, zstd, named by the SHA-256 of the raw bytes.

Named by content, so a retry is idempotent and a half-done batch leaves nothing wrong behind. Every read checks
the hash. `file://` (one machine) is written by us, file, rename and folder synced before the caller goes on;
everything else (`s3://`, `gs://`, `az://`) through obstore.
"""

import asyncio
import hashlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

import obstore
import zstandard
from obstore.store import from_url

from shared.failures import Transient

_READ_LIMIT = 64 * 1024 * 1024
_AT_ONCE = 32
_THREADS = 4
_LEVEL = 3


class OriginalMissing(Transient):
    """The store has no such object, or another one under its name."""


class Originals(Protocol):
    """`put_many` returns the references in the order of the mails, once they are durable; both raise Transient
    when the store does not serve."""

    async def put_many(self, mails: Sequence[bytes]) -> list[str]: ...

    async def get(self, reference: str) -> bytes: ...


def reference_of(raw: bytes) -> str:
    """The object's key: a folder per first hex digit (few, each is synced once a batch), then the whole hash."""
    digest = hashlib.sha256(raw).hexdigest()
    return f"{digest[0]}/{digest}.zst"


def open_originals(url: str) -> Originals:
    """Raises ValueError for an address that is no object store."""
    parts = urlsplit(url)
    if parts.scheme == "file":
        return _Files(Path(unquote(parts.path)))
    return _Objects(url)


def _packed(raw: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=_LEVEL, write_content_size=True).compress(raw)


def _unpacked(reference: str, packed: bytes) -> bytes:
    raw = zstandard.ZstdDecompressor().decompress(packed, max_output_size=_READ_LIMIT)
    if reference_of(raw) != reference:
        raise OriginalMissing(f"object {reference} does not hold what its name says")
    return raw


class _Files:
    def __init__(self, root: Path) -> None:
        self._root = root

    async def put_many(self, mails: Sequence[bytes]) -> list[str]:
        """In a few threads: the file system commits what several write at once together."""
        references = [reference_of(raw) for raw in mails]
        missing = dict(zip(references, mails, strict=True))
        named = list(missing.items())
        try:
            await asyncio.gather(*(asyncio.to_thread(self._write_all, named[n::_THREADS]) for n in range(_THREADS)))
            await asyncio.to_thread(self._sync_folders, {reference.partition("/")[0] for reference in references})
        except OSError as error:
            raise Transient(f"object store: {os.strerror(error.errno or 0)}") from error
        return references

    async def get(self, reference: str) -> bytes:
        try:
            packed = await asyncio.to_thread((self._root / reference).read_bytes)
        except OSError as error:
            raise OriginalMissing(f"object {reference}: {os.strerror(error.errno or 0)}") from error
        return _unpacked(reference, packed)

    def _write_all(self, mails: Sequence[tuple[str, bytes]]) -> None:
        compressor = zstandard.ZstdCompressor(level=_LEVEL, write_content_size=True)
        for reference, raw in mails:
            path = self._root / reference
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                self._write(path, compressor.compress(raw))

    def _sync_folders(self, names: set[str]) -> None:
        """Also of files that were there already: a crash may have come before their sync."""
        for name in sorted(names):
            _sync_folder(self._root / name)
        if names:
            _sync_folder(self._root)

    def _write(self, path: Path, packed: bytes) -> None:
        # a name of its own: two dispatchers may write the same mail at once
        handle, temporary = tempfile.mkstemp(prefix=".put-", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(packed)
                file.flush()
                os.fdatasync(file.fileno())
            Path(temporary).rename(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class _Objects:
    def __init__(self, url: str) -> None:
        self._store = from_url(url)
        self._gate = asyncio.Semaphore(_AT_ONCE)

    async def put_many(self, mails: Sequence[bytes]) -> list[str]:
        return list(await asyncio.gather(*(self._put(raw) for raw in mails)))

    async def _put(self, raw: bytes) -> str:
        reference = reference_of(raw)
        async with self._gate:
            try:
                await obstore.put_async(self._store, reference, _packed(raw))
            except obstore.exceptions.BaseError as error:
                raise Transient(f"object store: {type(error).__name__}") from error
        return reference

    async def get(self, reference: str) -> bytes:
        try:
            answer = await obstore.get_async(self._store, reference)
            packed = bytes(await answer.bytes_async())
        except (obstore.exceptions.BaseError, FileNotFoundError) as error:
            raise OriginalMissing(f"object {reference}: {type(error).__name__}") from error
        return _unpacked(reference, packed)
