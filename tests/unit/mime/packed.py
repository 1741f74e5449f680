"""Parts made by hand: CMS as programs sign, TNEF as Exchange writes it."""

import struct

_SIGNED_DATA = bytes.fromhex("06092a864886f70d010702")
_DATA = bytes.fromhex("06092a864886f70d010701")
_ENVELOPED = bytes.fromhex("06092a864886f70d010703")


def der(tag: int, content: bytes) -> bytes:
    """One element with a definite length."""
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


def endless(tag: int, content: bytes) -> bytes:
    """One element of indefinite length (BER)."""
    return bytes((tag, 0x80)) + content + b"\0\0"


def signed(entity: bytes, *, streamed: bool = False, enveloped: bool = False) -> bytes:
    """A SignedData around `entity`; `streamed` as a program writes it that does not know the length."""
    if streamed:
        octets = endless(0x24, b"".join(der(0x04, entity[at : at + 100]) for at in range(0, len(entity), 100)))
        inner = endless(0x30, _DATA + endless(0xA0, octets))
        body = endless(0x30, der(0x02, b"\1") + endless(0x31, der(0x30, _DATA)) + inner + der(0x31, b""))
        return endless(0x30, _SIGNED_DATA + endless(0xA0, body))
    inner = der(0x30, _DATA + der(0xA0, der(0x04, entity)))
    body = der(0x30, der(0x02, b"\1") + der(0x31, der(0x30, _DATA)) + inner + der(0x31, b""))
    return der(0x30, (_ENVELOPED if enveloped else _SIGNED_DATA) + der(0xA0, body))


def attribute(level: int, number: int, data: bytes) -> bytes:
    return struct.pack("<BHHI", level, number, 0, len(data)) + data + struct.pack("<H", sum(data) & 0xFFFF)


def properties(*found: tuple[int, int, bytes]) -> bytes:
    """(kind, number, value): values of a variable length with their length and padding."""
    out = struct.pack("<I", len(found))
    for kind, number, value in found:
        out += struct.pack("<HH", kind, number)
        if kind in (0x1E, 0x1F, 0x0D, 0x102):
            out += struct.pack("<II", 1, len(value)) + value + b"\0" * (-len(value) % 4)
        else:
            out += value
    return out


def winmail(*attributes: bytes, code_page: int = 1252) -> bytes:
    return b"\x78\x9f\x3e\x22\x01\x00" + attribute(1, 0x9007, struct.pack("<II", code_page, 0)) + b"".join(attributes)


def file_of(name: bytes, content: bytes, *more: tuple[int, int, bytes]) -> bytes:
    long = attribute(2, 0x9005, properties(*more)) if more else b""
    return attribute(2, 0x9002, b"\0" * 14) + attribute(2, 0x8010, name + b"\0") + attribute(2, 0x800F, content) + long
