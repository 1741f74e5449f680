"""The performance page shows the result that it names, nothing typed in by hand."""

import json

from bench.report import PAGE, SHOWN, page


def test_the_table_is_that_of_the_result() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert page(text, json.loads(SHOWN.read_text(encoding="utf-8"))) == text


def test_another_result_makes_another_table() -> None:
    text = PAGE.read_text(encoding="utf-8")
    result = json.loads(SHOWN.read_text(encoding="utf-8"))
    result["median"]["rate"] += 100
    assert page(text, result) != text
