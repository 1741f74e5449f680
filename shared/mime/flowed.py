"""`format=flowed` (RFC 3676): lines that the sender's program broke become the lines that he wrote."""

import re

# some senders say DelSp and break at the blanks they find: what stands alone so is a word, hardly the half of one
_SHORT_WORD = re.compile(r"(?:^|[ (])[a-zà-öø-ÿ]{1,2} $", re.IGNORECASE)


def unwrapped(text: str, *, delete_blank: bool) -> str:
    """`text` (LF line ends) with its flowed lines joined, quotes by their depth; one pass.

    `delete_blank`: the blank that marks a soft break was put in (DelSp=yes), as languages without blanks need it.
    """
    out: list[str] = []
    pieces: list[str] = []
    depth = -1
    for line in text.split("\n"):
        content = line.lstrip(">")
        quotes = len(line) - len(content)
        content = content.removeprefix(" ")  # space-stuffing
        is_signature = content == "-- "
        if pieces and (quotes != depth or is_signature):
            _end(out, pieces, depth)
        depth = quotes
        if is_signature or not content.endswith(" "):
            pieces.append(content)
            _end(out, pieces, depth)
        else:
            pieces.append(content[:-1] if delete_blank and not _ends_in_a_short_word(content) else content)
    if pieces:
        _end(out, pieces, depth)
    return "\n".join(out)


def _ends_in_a_short_word(content: str) -> bool:
    return _SHORT_WORD.search(content, max(0, len(content) - 4)) is not None


def _end(out: list[str], pieces: list[str], depth: int) -> None:
    """A paragraph is complete."""
    line = "".join(pieces)
    out.append(">" * depth + " " + line if depth else line)
    pieces.clear()
