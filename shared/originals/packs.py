"""The shape of stored originals. Pure but for the randomness of names and keys.

A pack is the plain concatenation of its mails, each a zstd frame sealed with AES-256-GCM under a random key of its
own. The key stands in the reference and nowhere else: whoever erases the reference has erased the mail, in the
store and in every copy of it; a pack that a failed batch left behind is unreadable from the start.
"""

import hashlib
import os
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import zstandard
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

FOLDER = "packs"
_KEY_BYTES = 32
# zero is safe: no key ever seals twice (NIST SP 800-38D section 8 asks for a nonce that is new under its key)
_NONCE = bytes(12)
_LEVEL = 3
_LARGEST = 64 * 1024 * 1024


class Unreadable(Exception):
    """The bytes are not what the reference says: torn, replaced, or sealed under another key."""


class Reference(NamedTuple):
    """Where an original is and how it is read: `offset` and `length` in bytes inside the pack, `sha256` of the raw
    mail in hex, `key` in hex. As text it travels in events and stands on the article; it opens the mail, so it never
    stands in a log or an error."""

    pack: str
    offset: int
    length: int
    sha256: str
    key: str

    def __str__(self) -> str:
        return f"{self.pack}:{self.offset}:{self.length}:{self.sha256}:{self.key}"

    @property
    def place(self) -> str:
        """What may be shown: without the key."""
        return f"{self.pack}:{self.offset}:{self.length}"

    @classmethod
    def parse(cls, text: str) -> "Reference":
        """Raises ValueError for what is no reference; the message does not hold the text."""
        try:
            pack, offset, length, sha256, key = text.split(":")
            reference = cls(pack, int(offset), int(length), sha256, key)
            fits = len(bytes.fromhex(sha256)) == 32 and len(bytes.fromhex(key)) == _KEY_BYTES
        except ValueError:
            raise ValueError("not a reference to an original") from None
        if not fits or reference.offset < 0 or not 0 < reference.length <= 2 * _LARGEST or not _is_name(pack):
            raise ValueError("not a reference to an original")
        return reference


class Pack(NamedTuple):
    """An object to be written once under `name`, and the references of its mails in their order."""

    name: str
    content: bytes
    references: list[Reference]


def packed(mails: Sequence[bytes], moment: datetime) -> Pack:
    """The pack of these raw mails. `moment` (aware) names its folder and begins its name, so that packs can be
    found by age."""
    name = _name(moment)
    compressor = zstandard.ZstdCompressor(level=_LEVEL, write_content_size=True)
    keys = os.urandom(_KEY_BYTES * len(mails))
    frames: list[bytes] = []
    references: list[Reference] = []
    offset = 0
    for number, raw in enumerate(mails):
        key = keys[number * _KEY_BYTES : (number + 1) * _KEY_BYTES]
        frame = AESGCM(key).encrypt(_NONCE, compressor.compress(raw), None)
        digest = hashlib.sha256(raw).hexdigest()
        references.append(Reference(name, offset, len(frame), digest, key.hex()))
        frames.append(frame)
        offset += len(frame)
    return Pack(name, b"".join(frames), references)


def opened(reference: Reference, frame: bytes) -> bytes:
    """The raw mail. Raises Unreadable."""
    try:
        plain = AESGCM(bytes.fromhex(reference.key)).decrypt(_NONCE, frame, None)
        raw = zstandard.ZstdDecompressor().decompress(plain)  # the frame says its size, and we sealed it
    except (InvalidTag, zstandard.ZstdError) as error:
        raise Unreadable(f"{reference.place}: {type(error).__name__}") from error
    if hashlib.sha256(raw).hexdigest() != reference.sha256:
        raise Unreadable(f"{reference.place}: another mail")
    return raw


def _name(moment: datetime) -> str:
    """`packs/YYYY/MM/DD/<UUIDv7>.pack` (RFC 9562 section 5.7: milliseconds first, so names sort by time)."""
    number = int(moment.timestamp() * 1000) << 80 | int.from_bytes(os.urandom(10), "big")
    number = number & ~(0xF << 76) & ~(0x3 << 62) | 0x7 << 76 | 0x2 << 62
    digits = f"{number:032x}"
    unique = "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
    return f"{FOLDER}/{moment:%Y/%m/%d}/{unique}.pack"


def _is_name(name: str) -> bool:
    """A reference comes from a record: it must lead nowhere else in the store."""
    return name.startswith(f"{FOLDER}/") and name.endswith(".pack") and ".." not in name and "\\" not in name
