"""HTML of a stranger for a browser: what runs, what loads from elsewhere and what leads astray is taken out. Pure.

Images are those of the mail itself (`cid:`, RFC 2392); whatever lies elsewhere is never loaded, so that nobody learns
who reads a mail. Time is bounded by the size of the field (shared.wire) and a limit of depth: the parser's time grows
with the square of it.
"""

import re
from collections.abc import Mapping
from html import escape
from urllib.parse import unquote

import nh3

DEEPEST = 500
_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]*)")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# they hold nothing, or end by themselves
_FLAT = _words("area base br col embed hr img input link meta param source track wbr p li td th tr dt dd option")
_TAGS = _words(
    """
    a abbr address article aside b bdi bdo big blockquote br caption center cite code col colgroup dd del details dfn
    div dl dt em figcaption figure font footer h1 h2 h3 h4 h5 h6 header hr i img ins kbd li main mark nav ol p pre q
    s samp section small span strike strong sub summary sup table tbody td tfoot th thead time tr tt u ul var wbr
    """
)
_GONE_WHOLE = _words("script style title head template noscript iframe object embed svg math form select")
_SIZES = {"align", "valign", "width", "height", "bgcolor"}
_ATTRIBUTES = {
    "*": {"dir", "lang", "style", "title"},
    "a": {"href"},
    "img": {"src", "alt", "width", "height"},
    "font": {"color", "face", "size"},
    "table": {"border", "cellpadding", "cellspacing", "summary", *_SIZES},
    **{name: {"colspan", "rowspan", *_SIZES} for name in ("td", "th")},
    **dict.fromkeys(("tr", "col", "colgroup", "tbody", "thead", "tfoot", "p", "div", "hr"), _SIZES),
    "ol": {"start", "type"},
    "blockquote": {"type"},
}
_STYLES = _words(
    """
    background-color border border-bottom border-collapse border-color border-left border-right border-spacing
    border-style border-top border-width color direction font font-family font-size font-style font-weight height
    letter-spacing line-height list-style-type margin margin-bottom margin-left margin-right margin-top max-width
    min-width padding padding-bottom padding-left padding-right padding-top text-align text-decoration text-indent
    text-transform vertical-align white-space width word-break word-spacing word-wrap
    """
)
_LINK = re.compile(r"\s*(?:https?|mailto|tel):", re.IGNORECASE)
_LOADS = re.compile(r"url|image|expression|import|var\s*\(|src|\\|/\*", re.IGNORECASE)


def clean(html: str, images: Mapping[str, str]) -> str | None:
    """The HTML as a browser may have it; `images`: Content-ID without brackets -> the address of that part. None: it
    is nested too deep to be read."""
    if deepest(html) > DEEPEST:
        return None

    def kept(_: str, attribute: str, value: str) -> str | None:
        if attribute == "style":
            return None if _LOADS.search(value) else value
        if attribute == "src":
            scheme, _, name = value.strip().partition(":")
            return images.get(unquote(name)) if scheme.lower() == "cid" else None
        if attribute == "href":
            return value if _LINK.match(value) else None
        return value

    return nh3.clean(
        html,
        tags=set(_TAGS),
        clean_content_tags=set(_GONE_WHOLE),
        attributes={tag: set(names) for tag, names in _ATTRIBUTES.items()},
        attribute_filter=kept,
        url_schemes={"http", "https", "mailto", "tel", "cid"},
        url_relative="pass_through",  # what `kept` gives is relative
        filter_style_properties=set(_STYLES),
        link_rel="noopener noreferrer nofollow",
    )


def deepest(html: str) -> int:
    """How deep its elements are nested, or more: an end tag closes one, whatever its name."""
    depth = most = 0
    for end, name in _TAG.findall(html):
        if name.lower() in _FLAT:
            continue
        depth = max(0, depth - 1) if end else depth + 1
        most = max(most, depth)
    return most


def as_page(text: str) -> str:
    """Text where there is no HTML that could be shown."""
    return f"<pre>{escape(text)}</pre>"
