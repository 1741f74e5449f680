"""Opaque S/MIME (RFC 8551 3.5.2): the entity inside a CMS SignedData (RFC 5652), without a look at its signatures."""

_SEQUENCE, _SET, _OID, _EXPLICIT, _INTEGER, _OCTETS = 0x30, 0x31, 0x06, 0xA0, 0x02, 0x04
_CONSTRUCTED = 0x24
_SIGNED_DATA = bytes.fromhex("2a864886f70d010702")
_INDEFINITE = -1


class _NotBer(Exception):
    """These bytes are not what they are taken for."""


def signed_content(data: bytes) -> bytes | None:
    """What was signed; None where `data` is no SignedData in BER or holds no content. Linear."""
    try:
        reader = _Reader(data)
        reader.enter(_SEQUENCE)
        if reader.value(_OID) != _SIGNED_DATA:
            return None
        reader.enter(_EXPLICIT)
        reader.enter(_SEQUENCE)
        reader.value(_INTEGER)
        reader.skip(_SET)
        reader.enter(_SEQUENCE)
        reader.value(_OID)
        reader.enter(_EXPLICIT)
        return reader.octets()
    except _NotBer:
        return None


class _Reader:
    """Walks down a BER encoding; lengths may be indefinite, as programs write that sign while they read."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def enter(self, tag: int) -> None:
        """Goes into the element at hand, which must be `tag`."""
        self._expect(tag)

    def value(self, tag: int) -> bytes:
        """The bytes of a primitive element, which is passed."""
        length = self._expect(tag)
        if length == _INDEFINITE:
            raise _NotBer
        self._at += length
        return self._data[self._at - length : self._at]

    def skip(self, tag: int) -> None:
        """Passes an element with all that is in it."""
        length = self._expect(tag)
        depth = 1 if length == _INDEFINITE else 0
        self._at += max(0, length)
        while depth:
            found, length = self._head()
            if found == 0 and length == 0:
                depth -= 1
            elif length == _INDEFINITE:
                depth += 1
            else:
                self._at += length

    def octets(self) -> bytes:
        """An octet string, also one in pieces."""
        tag, length = self._head()
        if tag == _OCTETS and length != _INDEFINITE:
            return self._data[self._at : self._at + length]
        if tag != _CONSTRUCTED:
            raise _NotBer
        end = len(self._data) if length == _INDEFINITE else self._at + length
        pieces = []
        while self._at < end:
            tag, length = self._head()
            if tag == _OCTETS and length != _INDEFINITE:
                pieces.append(self._data[self._at : self._at + length])
                self._at += length
            elif tag != _CONSTRUCTED:  # inner pieces are read in one row with the outer ones
                break
        return b"".join(pieces)

    def _expect(self, tag: int) -> int:
        found, length = self._head()
        if found != tag:
            raise _NotBer
        return length

    def _head(self) -> tuple[int, int]:
        """(tag, length or -1) of the element at hand; what is behind them is at hand then."""
        head = self._data[self._at : self._at + 2]
        if len(head) < 2:
            raise _NotBer
        tag, length = head
        self._at += 2
        if length == 0x80:
            return tag, _INDEFINITE
        if length > 0x80:
            size = length & 0x7F
            length = int.from_bytes(self._data[self._at : self._at + size], "big")
            self._at += size
            if size > 8:
                raise _NotBer
        if self._at + length > len(self._data):
            raise _NotBer
        return tag, length
