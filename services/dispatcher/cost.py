"""What reading a mail may cost, estimated before it is read: the dear ones are read in a process of their own.

Reading is linear in the bytes, but not every byte costs the same: an open tag costs a thousand times what a letter
of an attachment does. The estimate counts what is dear, in the decoded HTML, so that no encoding hides it. Pure.
"""

from shared.mime import transfer
from shared.mime.charsets import Decoder
from shared.mime.fields import beginning, block, with_line_feeds
from shared.mime.limits import DEFAULT, Limits
from shared.mime.splitter import Leaf, leaves

DEAR = 60_000
"""An estimate above this is not read in the service's own loop (microseconds of CPU)."""
_ALWAYS_CHEAP = 32 * 1024
"""Whatever such a mail holds, it stays below: no look at it is needed (bytes)."""
_LARGE = 1024 * 1024

# microseconds, measured with `python -m bench.dispatch`; each is the dearest of its kind
_TAG, _PART, _HEADER_BYTE, _BYTE = 6.0, 60.0, 0.15, 0.05
_UNPACKED = ("application/ms-tnef", "application/vnd.ms-tnef", "application/pkcs7-mime", "application/x-pkcs7-mime")


def dear(raw: bytes) -> bool:
    """Whether the mail belongs into the worker."""
    if len(raw) <= _ALWAYS_CHEAP:
        return False
    return len(raw) > _LARGE or microseconds(raw) > DEAR


def microseconds(raw: bytes, limits: Limits = DEFAULT) -> float:
    """CPU that reading and deciding takes at most, roughly; linear in the bytes, and cheap itself."""
    read = with_line_feeds(raw)
    headers = block(read, beginning(read), len(read), limits)
    found = leaves(read, headers, limits, Decoder(0))
    header_bytes = headers.body - headers.start + sum(leaf.headers.body - leaf.headers.start for leaf in found)
    tags = sum(_tags(read, leaf) for leaf in found)
    return _TAG * tags + _PART * len(found) + _HEADER_BYTE * header_bytes + _BYTE * len(raw)


def _tags(raw: bytes, leaf: Leaf) -> int:
    """Tags of HTML, as many as fit into what is unpacked only when it is read, none of any other part."""
    if leaf.content_type in _UNPACKED:
        return (leaf.end - leaf.start) // 4
    if leaf.content_type != "text/html":
        return 0
    data = transfer.decode(raw[leaf.start : leaf.end], leaf.encoding)
    return data.count(b"<") + data.count(b"+A")  # UTF-7 writes `<` as +ADw-
