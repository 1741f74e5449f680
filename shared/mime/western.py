"""Text without a charset in the Latin script: told from all others by its shape, and its code page by its letters.

The shape: bytes over 7F stand alone or in pairs between ASCII letters, and are few. A statistical guesser sees too
little of them: of a Portuguese sentence it makes Romanian or Korean.
"""

import re
from functools import lru_cache
from typing import NamedTuple

_RUN = re.compile(rb"[\x80-\xff]+")
_LETTERS = re.compile(rb"[A-Za-z\x80-\xff]")
_POUNDS = re.compile(rb"\xa3(?= ?\d)")  # which is a letter of Polish elsewhere
_SAMPLE = 64 * 1024
_FEW_LETTERS = 24
_LONGEST_RUN = 2.0  # on average
_LARGEST_SHARE, _LARGEST_SHARE_OF_FEW = 0.3, 0.6
_COVERED = 0.6
# in the places that Windows code pages give them; no character that another code page has letters at
_MARKS = "“”‘’„–—…•€«»°§®©™´·¨¿¡ºª\xa0"  # noqa: RUF001


class _Language(NamedTuple):
    """Its letters beyond ASCII, and a code page that its mail is written in."""

    name: str
    codec: str
    letters: str


# of two that fit equally well the first counts, unless the other is the desk's
_LANGUAGES = (
    _Language("pt", "cp1252", "áâãàçéêíóôõúü"),
    _Language("es", "cp1252", "áéíóúñü"),
    _Language("fr", "cp1252", "àâæçéèêëîïôœùûüÿ"),
    _Language("de", "cp1252", "äöüß"),
    _Language("it", "cp1252", "àèéìíîòóùú"),
    _Language("nl", "cp1252", "áéëïóöüèêúí"),
    _Language("ca", "cp1252", "àçéèíïóòúü·"),
    _Language("sv", "cp1252", "åäöéü"),
    _Language("da", "cp1252", "æøåéö"),
    _Language("fi", "cp1252", "äöåšž"),
    _Language("en", "cp1252", "éèêçñöüïáíóúä"),
    _Language("tr", "cp1254", "çğıöşüâîûİ"),
    _Language("is", "cp1252", "áðéíóúýþæö"),
    _Language("pl", "cp1250", "ąćęłńóśźż"),
    _Language("cs", "cp1250", "áčďéěíňóřšťúůýž"),
    _Language("sk", "cp1250", "áäčďéíĺľňóôŕšťúýž"),
    _Language("hu", "cp1250", "áéíóöőúüű"),
    _Language("ro", "cp1250", "ăâîşţ"),
    _Language("hr", "cp1250", "čćđšž"),
    _Language("pl", "iso-8859-2", "ąćęłńóśźż"),
    _Language("cs", "iso-8859-2", "áčďéěíňóřšťúůýž"),
    _Language("sk", "iso-8859-2", "áäčďéíĺľňóôŕšťúýž"),
    _Language("lt", "cp1257", "ąčęėįšųūž"),
    _Language("lv", "cp1257", "āčēģīķļņšūž"),
    *(
        _Language(name, codec, letters)
        for codec in ("cp850", "mac_roman")
        for name, letters in (("pt", "áâãàçéêíóôõúü"), ("es", "áéíóúñü¿¡"), ("fr", "àâçéèêëîïôùû"), ("de", "äöüß"))
    ),
)


def has_its_shape(data: bytes) -> bool:
    """Whether 8-bit `data` looks like Latin script with a few letters beyond ASCII."""
    sample = data[:_SAMPLE]
    runs = _RUN.findall(sample)
    high = sum(map(len, runs))
    letters = len(_LETTERS.findall(sample))
    share = _LARGEST_SHARE if letters > _FEW_LETTERS else _LARGEST_SHARE_OF_FEW
    return high <= len(runs) * _LONGEST_RUN and high <= letters * share


def code_page(data: bytes, language: str) -> str | None:
    """The codec in which most bytes over 7F are letters of one language; None where no language fits.

    `language` (of the desk, `pt-BR` or `en`) decides between equals.
    """
    sample = _POUNDS.sub(b"", data[:_SAMPLE]).translate(None, bytes(range(128)))
    if not sample:
        return "cp1252"
    best, best_codec = _COVERED * len(sample), None
    for each in (*_of(language), *_LANGUAGES):
        covered = len(sample) - len(sample.translate(None, _accepted(each)))
        if covered > best and _fits(data, each.codec):
            best, best_codec = covered, each.codec
    return best_codec


def _of(language: str) -> tuple[_Language, ...]:
    name = language.partition("-")[0].lower()
    return tuple(each for each in _LANGUAGES if each.name == name)[:1]


@lru_cache(maxsize=64)
def _accepted(language: _Language) -> bytes:
    marks = _MARKS if language.codec.startswith("cp125") else ""
    letters = language.letters + language.letters.upper() + marks
    return letters.encode(language.codec, "ignore").translate(None, bytes(range(128)))


def _fits(data: bytes, codec: str) -> bool:
    try:
        data.decode(codec)
    except UnicodeError:
        return False
    return True
