"""What a person wrote in a reply, without the history that her program quoted below, above or between it.

Shown beside the full text, never instead of it. Told by the lines that mail programs put before a quote, in the
languages of this table, by `>`, and by what HTML marks as a quotation. One pass over the lines.
"""

import re
from collections.abc import Iterable, Sequence

QUOTE, UNQUOTE, HISTORY = "\ufdd0", "\ufdd1", "\ufdd2"
"""Put into the text of HTML where a quotation begins and ends, and where a program says that the history begins:
characters that no text has (Unicode noncharacters)."""
_MARKS = {ord(mark): None for mark in (QUOTE, UNQUOTE, HISTORY)}
_MARKED_LINE = re.compile(rf"^[ \t]*[{QUOTE}{UNQUOTE}{HISTORY}][{QUOTE}{UNQUOTE}{HISTORY} \t]*(?:\n|\Z)", re.MULTILINE)
_LOOKED_AT = 128 * 1024  # characters
_LONGEST = 400  # characters of an attribution, and of a line that is looked at

_VERBS = ("wrote", "escreveu", "escribió", "escribio", "schrieb", "a écrit", "a ecrit", "ha scritto", "schreef")
_SUBJECTS = ("Subject", "Assunto", "Asunto", "Betreff", "Objet", "Oggetto", "Onderwerp")
_COLON_AT_END = re.compile(r":[ \t]*(?:\n|\Z)")  # what an attribution ends with
_VERB = re.compile(rf"\b(?:{'|'.join(_VERBS)})\b")
_OPENING = re.compile(r"\W{0,2}(?:On|Em|No dia|Na|Às|A|El|Am|Le|Il|Op)\s")
_DATED = re.compile(r"\d{1,4}[./:h-]\d{2}|\b(?:19|20)\d{2}\b")
_SENDER = re.compile(r"\W{0,3}(?:From|De|Von|Da|Van)\s?:\W{0,2}\s*\S")
_OTHERS = re.compile(
    r"\W{0,3}(?:Sent|Date|Enviad[ao](?: em| el)?|Data|Fecha|Gesendet|Datum|Envoyé|Inviato|Verzonden"
    rf"|To|Para|An|À|A|Aan|Cc|{'|'.join(_SUBJECTS)})\s?:"
)
_BLOCK_LINES = 7
_RULE = re.compile(r"\s*[-_*=]{5,}\s*")
_ORIGINAL = re.compile(
    r"\s*[-_*=]{2,}\s*(?:original message|mensagem original|mensaje original|ursprüngliche nachricht"
    r"|original[- ]?nachricht|message d['\u2019]origine|message original|messaggio originale|oorspronkelijk bericht"
    r"|original appointment)\s*[-_*=]{2,}\s*",
    re.IGNORECASE,
)
_FORWARDED = re.compile(
    r"\s*[-_*=]{2,}\s*(?:forwarded message|mensagem (?:re)?encaminhada|mensaje reenviado|weitergeleitete nachricht"
    r"|message (?:transféré|transmis)|messaggio inoltrato|doorgestuurd bericht)\b.{0,60}"
    r"|\s*(?:begin forwarded message|início da mensagem (?:re)?encaminhada|inicio del mensaje reenviado"
    r"|anfang der weitergeleiteten nachricht|début du message (?:réexpédié|transféré)"
    r"|inizio messaggio inoltrato)\s?:\s*",
    re.IGNORECASE,
)
_QUOTED = re.compile(r"[ \t]{0,3}>")


def without_marks(text: str) -> str:
    """`text` without marks, and without lines that held nothing else."""
    if QUOTE not in text and UNQUOTE not in text and HISTORY not in text:
        return text
    return _MARKED_LINE.sub("", text).translate(_MARKS)


def reply_text(text: str) -> str:
    """`text` (LF line ends, perhaps with marks) without quoted history; all of it where nothing else would stay.

    What was forwarded is no history: it stays.
    """
    shown = without_marks(text)
    if not _may_quote(text):
        return shown
    lines = text[:_LOOKED_AT].split("\n")
    kept = _kept(lines, _quoted(lines))
    reply = without_marks("\n".join(kept)).strip("\n")
    return reply.rstrip() + "\n" if reply.strip() else shown


def _may_quote(text: str) -> bool:
    """A quick look that most mails do not pass."""
    return (
        "\n>" in text
        or "\n >" in text
        or text.startswith(">")
        or QUOTE in text
        or HISTORY in text
        or "---" in text
        or (_COLON_AT_END.search(text) is not None and _has_one_of(text, _VERBS))
        or (":" in text and _has_one_of(text, _SUBJECTS))
    )


def _has_one_of(text: str, words: Iterable[str]) -> bool:
    for word in words:  # noqa: SIM110  # of any() the generator costs more than what it asks
        if word in text:
            return True
    return False


def _quoted(lines: Sequence[str]) -> list[bool]:
    """Of each line whether it is a quotation."""
    out = []
    depth = 0
    for line in lines:
        opened, closed = line.count(QUOTE), line.count(UNQUOTE)
        out.append(depth > 0 or opened > 0 or _QUOTED.match(line) is not None)
        depth = max(0, depth + opened - closed)
    return out


def _kept(lines: Sequence[str], quoted: Sequence[bool]) -> list[str]:
    kept: list[str] = []
    number = 0
    while number < len(lines):
        line = lines[number]
        if quoted[number] or len(line) > _LONGEST:
            kept += [] if quoted[number] else [line]
            number += 1
            continue
        if _FORWARDED.fullmatch(line):
            return [*kept, *lines[number:]]
        if HISTORY in line or _ORIGINAL.fullmatch(line) or _is_header(lines, number):
            break
        length = _attribution(lines, quoted, number)
        if length < 0:
            break
        kept += [line] if length == 0 else []
        number += max(1, length)
    while kept and (not kept[-1].strip() or (number < len(lines) and _RULE.fullmatch(kept[-1]))):
        kept.pop()
    return kept


def _is_header(lines: Sequence[str], number: int) -> bool:
    """Whether the fields of a quoted mail begin here, as Outlook writes them: From, and two others below it."""
    if not _SENDER.match(lines[number]):
        return False
    below = [
        line for line in lines[number + 1 : number + _BLOCK_LINES] if len(line) <= _LONGEST and _OTHERS.match(line)
    ]
    return len(below) >= 2


def _attribution(lines: Sequence[str], quoted: Sequence[bool], number: int) -> int:
    """Lines of `On … wrote:` that begin here, before a quotation; -1 where all that follows is one; 0 if none."""
    joined = ""
    for length in range(1, 4):
        at = number + length - 1
        if at >= len(lines) or quoted[at] or not lines[at].strip() or len(joined) > _LONGEST:
            return 0
        joined = f"{joined} {lines[at].strip()}"[: _LONGEST + 1]
        if joined.endswith(":") and _VERB.search(joined):
            return _weighed(joined.strip(), quoted, lines, number, length)
        if not (_OPENING.match(lines[number]) or "@" in joined):
            return 0
    return 0


def _weighed(joined: str, quoted: Sequence[bool], lines: Sequence[str], number: int, length: int) -> int:
    behind = number + length
    while behind < len(lines) and not lines[behind].strip():
        behind += 1
    if behind < len(lines) and quoted[behind]:
        return length
    # nothing marks what follows: then it must look like what a program writes, with its date
    certain = _DATED.search(joined) and (_OPENING.match(joined) or "@" in joined)
    return -1 if certain else 0
