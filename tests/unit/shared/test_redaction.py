"""No form of a secret passes, and ordinary words do."""

from base64 import b64encode
from urllib.parse import quote

import pytest

from shared.redaction import WITHHELD, Redaction

SECRET = 'Canário "9\\x/+ %'
RAW = SECRET.encode()
PLAIN = b64encode(b"\0suporte@demo.test\0" + RAW)

FORMS = {
    "as it is": RAW,
    "in capitals": SECRET.upper().encode(),
    "quoted": RAW.replace(b"\\", b"\\\\").replace(b'"', b'\\"'),
    "percent": quote(SECRET).encode(),
    "every byte percent": b"".join(b"%%%02x" % byte for byte in RAW),
    "a form field": quote(SECRET, safe="").replace("%20", "+").encode(),
    "base64": b64encode(RAW),
    "base64, one behind": b64encode(b"x" + RAW),
    "base64, two behind": b64encode(b"xy" + RAW),
    "base64 without its end": b64encode(RAW).rstrip(b"="),
    "PLAIN": PLAIN,
    "PLAIN cut off": PLAIN[7:-3],
    "base64 of percent": b64encode(quote(SECRET).encode()),
    "hex": RAW.hex().encode(),
    "quoted-printable": b"".join(b"=%02X" % byte for byte in RAW),
    "an entity": RAW.replace(b'"', b"&quot;"),
    "the first half": RAW[: (len(RAW) + 1) // 2],
}


@pytest.mark.parametrize("form", FORMS)
def test_no_form_of_a_secret_is_shown(form: str) -> None:
    said = b"NO [AUTHENTICATIONFAILED] cannot log in with " + FORMS[form] + b" today"
    assert Redaction([SECRET]).words(said) == WITHHELD


@pytest.mark.parametrize(
    "said", [b"[AUTHENTICATIONFAILED] Invalid credentials (Failure)", b"[THROTTLED] 100% of 2=3+4 &amp; more", b""]
)
def test_ordinary_words_are_shown(said: bytes) -> None:
    assert Redaction([SECRET]).words(said) == said
    assert Redaction().words(said) == said


def test_a_short_secret_counts_whole() -> None:
    assert Redaction(["abc"]).reveals(b"user abc refused")
    assert not Redaction(["abc"]).reveals(b"ab c")
