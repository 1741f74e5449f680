"""Text derived from HTML, for mails that have no other."""

import html
import re

from inscriptis import get_text
from inscriptis.css_profiles import CSS_PROFILES
from inscriptis.html_properties import Display
from inscriptis.model.config import ParserConfig
from inscriptis.model.html_element import HtmlElement

from shared.mime.reply import HISTORY, QUOTE, UNQUOTE

_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]*)")
_NOT_NESTING = frozenset(
    [
        *("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"),
        *("p", "li", "td", "tr", "th", "dt", "dd", "option", "thead", "tbody", "tfoot"),
    ]
)
_LIST_WEIGHT = 8  # each list indents all its lines
_HIDDEN = ("script", "style", "head", "title")
_BLOCK_END = re.compile(r"(?i)br|/?(?:p|div|tr|li|h[1-6]|table|ul|ol|blockquote|pre)")
_BLANKS = re.compile(r"[ \t\r\f\v]+")
_NEWLINES = re.compile(r" ?\n[ \n]*")
_TABLES = re.compile(r"(?i)<(/?)(table|tbody|thead|tfoot|tr|td|th)(?=[\s/>])")
_META = re.compile(rb"<meta\s[^<>]{0,200}charset\s{0,5}=[\s\"']{0,5}([\w.:-]{1,40})", re.IGNORECASE)
_HEAD = 4_096
_IMAGES = re.compile(
    rb"(data:image/[a-z0-9.+-]{1,40};base64,)(?:\s*[A-Za-z0-9+/=%]{40,}+)++[A-Za-z0-9+/=%]*", re.IGNORECASE
)
_QUOTATION = re.compile(r"(?i)<(/?)blockquote(?=[\s>])[^<>]{0,2000}>")
# where Outlook on the web, Outlook and Yahoo say that all that follows is the mail that is answered
_HISTORY_WORDS = ("divRplyFwdMsg", "appendonsend", "OutlookMessageHeader", "yahoo_quoted")
_HISTORY = re.compile(rf"(?i)<(?:div|hr|span)\s(?=[^<>]{{0,200}}(?:{'|'.join(_HISTORY_WORDS)}))[^<>]{{0,2000}}>")
_NOTHING = "<img"  # for an end tag without its beginning: no void element that shows less is known to every parser
_INVISIBLE = re.compile(r"(?i)display\s*:\s*none")


def _only_visibility(style: str, element: HtmlElement) -> None:
    """A margin of 100,000 lines on each of a thousand elements is a bomb: of a style only `display: none` counts."""
    if _INVISIBLE.search(style):
        element.display = Display.none


# the indentation of nested lists multiplies with their lines: half of the usual
_LIST = HtmlElement(display=Display.block, padding_inline=2)
_BLOCK = HtmlElement(display=Display.block)
_BLOCKS = [
    *("dl", "dt", "dd", "option", "center", "address", "form", "fieldset", "legend", "section", "article", "header"),
    *("footer", "main", "nav", "aside", "figure", "figcaption", "details", "summary", "caption", "noscript"),
]
_LAYOUT = ParserConfig(css={**dict.fromkeys(_BLOCKS, _BLOCK), **CSS_PROFILES["strict"], "ul": _LIST, "ol": _LIST})
_LAYOUT.attribute_handler.attribute_mapping = {"style": _only_visibility}


def text_of(source: str, room: int, depth: int, elements: int) -> tuple[str, bool]:
    """(text, whether it was laid out). Beyond `room` characters, `depth` open elements and `elements` in all tags are
    only dropped: laying one out costs a hundred times as much.

    Quotations are marked in it as `reply` reads them.
    """
    source = _QUOTATION.sub(_marked, source)
    if any(word in source for word in _HISTORY_WORDS):
        source = _HISTORY.sub(rf"\g<0>{HISTORY}", source)
    if len(source) <= room and source.count("<") <= elements and not _too_deep(source, depth):
        try:
            return get_text(_without_tables(source), _LAYOUT).strip("\n") + "\n", True
        except Exception:  # noqa: BLE001  # a foreign layout engine on a stranger's HTML: the mail must not die of it
            return stripped(source), False
    return stripped(source), False


def _marked(match: re.Match[str]) -> str:
    return UNQUOTE + match[0] if match[1] else match[0] + QUOTE


def _too_deep(source: str, limit: int) -> bool:
    """Whether more than `limit` elements are open at once, without building a tree."""
    depth = 0
    for closing, name in _TAG.findall(source):
        if name.lower() in _NOT_NESTING:
            continue
        weight = _LIST_WEIGHT if name.lower() in ("ul", "ol") else 1
        depth = max(0, depth - weight) if closing else depth + weight
        if depth > limit:
            return True
    return False


def charset_of(data: bytes) -> str:
    """What HTML says of its own charset, "" if nothing; the part's Content-Type comes before it."""
    found = _META.search(data, 0, _HEAD)
    return found[1].decode("ascii") if found else ""


def without_images(data: bytes) -> bytes:
    """HTML without the bytes of the pictures that stand in it as `data:` URIs: they are no text, however long."""
    return _IMAGES.sub(rb"\1", data)


def _without_tables(source: str) -> str:
    """Tables as rows of words: padding every line to the widest cell costs the square of a hostile table's size."""
    return _TABLES.sub(_Rows().plain, source) if "<" in source else source


class _Rows:
    """Puts the end tags of rows and cells, which HTML lets senders omit: else each would be inside of the one before,
    and the parser drops what is nested too deep."""

    def __init__(self) -> None:
        self._open: list[list[bool]] = [[False, False]]  # of each table around: a row, a cell

    def plain(self, match: re.Match[str]) -> str:
        """The tag's beginning, which stands for that of a tag of the table; its attributes stay behind it."""
        closing, name = match[1] != "", match[2].lower()
        if name == "table":
            return self._table(closing=closing)
        if name == "tr":
            return self._row(closing=closing)
        if name in ("td", "th"):
            return self._cell(closing=closing)
        return self._end_row() + _NOTHING

    def _table(self, *, closing: bool) -> str:
        if not closing:
            self._open.append([False, False])
            return "<div"
        ended = self._end_row()
        if len(self._open) > 1:
            self._open.pop()
        return ended + "</div"

    def _row(self, *, closing: bool) -> str:
        if closing:
            return self._end_row().removesuffix(">") or _NOTHING
        ended = self._end_row()
        self._open[-1][0] = True
        return ended + "<div"

    def _cell(self, *, closing: bool) -> str:
        ended = self._end_cell()
        if closing:
            return ended.removesuffix(">") or _NOTHING
        self._open[-1][1] = True
        return ended + "<span"

    def _end_cell(self) -> str:
        _, cell = self._open[-1]
        self._open[-1][1] = False
        return " </span>" if cell else ""

    def _end_row(self) -> str:
        ended = self._end_cell()
        row, _ = self._open[-1]
        self._open[-1][0] = False
        return ended + ("</div>" if row else "")


def stripped(source: str) -> str:
    """The text between tags, one pass: comments, scripts and styles are left out, entities are read."""
    out: list[str] = []
    here = 0
    while here < len(source):
        opening = source.find("<", here)
        if opening < 0:
            out.append(source[here:])
            break
        out.append(source[here:opening])
        here, separator = _after_tag(source, opening)
        out.append(separator)
    text = html.unescape("".join(out).replace("\n\n", "\n"))
    return _NEWLINES.sub("\n", _BLANKS.sub(" ", text)).strip() + "\n"


def _after_tag(source: str, opening: int) -> tuple[int, str]:
    """(offset behind the tag at `opening`, what stands for it in the text)."""
    if source.startswith("<!--", opening):
        end = source.find("-->", opening + 4)
        return (len(source) if end < 0 else end + 3), ""
    end = source.find(">", opening)
    if end < 0:
        return len(source), ""
    word = source[opening + 1 : opening + 13].lower()
    for name in _HIDDEN:
        if word.startswith(name) and not word[len(name) : len(name) + 1].isalnum():
            close = source.find("</" + name, end)
            return (len(source) if close < 0 else close), ""
    return end + 1, "\n" if _BLOCK_END.match(word) else " " if word.startswith(("/td", "/th")) else ""
