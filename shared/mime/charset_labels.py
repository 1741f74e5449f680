"""Labels of mail charsets, and the Python codec of each.

Labels are the sender's input, so only an allow-list of mail charsets reaches Python's codec registry: there
`unicode_escape`, `punycode` or `idna` are text codecs as well.
"""

import re
from functools import lru_cache

_ALIASES = {
    "us-ascii": "utf-8",
    "ascii": "utf-8",
    "ansi_x3.4-1968": "utf-8",
    "646": "utf-8",
    "utf8": "utf-8",
    "utf8mb4": "utf-8",
    "utf_8": "utf-8",
    "cp65001": "utf-8",
    "unicode-1-1-utf-8": "utf-8",
    "utf7": "utf-7",
    "unicode-1-1-utf-7": "utf-7",
    "unicode": "utf-16",
    "iso-8859-1": "cp1252",
    "iso8859-1": "cp1252",
    "iso_8859-1": "cp1252",
    "latin1": "cp1252",
    "latin-1": "cp1252",
    "l1": "cp1252",
    "ansi": "cp1252",
    "iso-8859-8-i": "iso-8859-8",
    "iso-8859-8-e": "iso-8859-8",
    "iso-8859-6-i": "iso-8859-6",
    "iso-8859-9": "cp1254",
    "iso-8859-11": "cp874",
    "tis-620": "cp874",
    "windows-874": "cp874",
    "dos-874": "cp874",
    "gb2312": "gb18030",
    "gb_2312-80": "gb18030",
    "gbk": "gb18030",
    "cp936": "gb18030",
    "windows-936": "gb18030",
    "hz-gb-2312": "hz",
    "shift_jis": "cp932",
    "shift-jis": "cp932",
    "sjis": "cp932",
    "ms_kanji": "cp932",
    "windows-31j": "cp932",
    "ms932": "cp932",
    "eucjp": "euc-jp",
    "euc-kr": "cp949",
    "euckr": "cp949",
    "ks_c_5601-1987": "cp949",
    "ks_c_5601": "cp949",
    "ksc5601": "cp949",
    "uhc": "cp949",
    "windows-949": "cp949",
    "big5": "big5hkscs",
    "big5-hkscs": "big5hkscs",
    "cp950": "big5hkscs",
    "iso-2022-jp": "iso2022_jp_ext",
    "cp50220": "iso2022_jp_ext",
    "cp50221": "iso2022_jp_ext",
    "iso-2022-jp-1": "iso2022_jp_ext",
    "csiso2022jp": "iso2022_jp_ext",
    "iso-2022-jp-2": "iso2022_jp_2",
    "iso-2022-kr": "iso2022_kr",
    "macintosh": "mac_roman",
    "mac": "mac_roman",
    "macroman": "mac_roman",
    "koi8r": "koi8-r",
}
_KNOWN = frozenset(
    [
        *("utf-8", "utf-7", "utf-16", "utf-16le", "utf-16be", "utf-32", "utf-32le", "utf-32be"),
        *(f"iso-8859-{part}" for part in (2, 3, 4, 5, 6, 7, 8, 10, 13, 14, 15, 16)),
        *(f"cp{page}" for page in (437, 737, 775, 850, 852, 855, 857, 858, 860, 861, 862, 863, 864, 865, 866)),
        *(f"cp{page}" for page in (869, 874, 932, 949, *range(1250, 1259))),
        *("koi8-r", "koi8-u", "koi8-t", "ptcp154", "kz1048", "johab", "hz", "gb18030", "big5hkscs"),
        *("euc-jp", "iso2022_jp_ext", "iso2022_jp_2", "iso2022_kr"),
        *("mac_roman", "mac_cyrillic", "mac_greek", "mac_iceland", "mac_latin2", "mac_turkish"),
    ]
)
_LABEL_END = re.compile(r"[\s;*]")


@lru_cache(maxsize=512)
def codec(label: str) -> str | None:
    """Python codec of a mail charset's label, None where it is not on the list."""
    label = _LABEL_END.split(label.strip(" \t\"'").lower(), maxsplit=1)[0].strip("\"'")[:40]
    for name in (label, label.removeprefix("x-"), label.removeprefix("iso-")):
        found = _ALIASES.get(name, name)
        if found in _KNOWN:
            return found
        if (spelling := _page(found)) in _KNOWN:
            return spelling
    return None


def _page(name: str) -> str:
    """`windows-1252`, `cp-1252`, `ibm850`, `iso8859-15`, `iso_8859-15` in the list's spelling."""
    for prefix, spelling in (("windows-", "cp"), ("cp-", "cp"), ("ibm-", "cp"), ("ibm", "cp"), ("win", "cp")):
        if name.startswith(prefix):
            return spelling + name[len(prefix) :]
    if name.startswith(("iso8859", "iso_8859", "iso-8859")):
        part = name[8 if name[3] in "_-" else 7 :].lstrip("-_").split(":")[0]
        return _ALIASES.get(f"iso-8859-{part}", f"iso-8859-{part}")
    return name


def says_nothing(label: str) -> bool:
    return label.strip(" \"'").lower() in ("", "unknown-8bit", "x-unknown", "unknown", "default", "none", "8bit")
